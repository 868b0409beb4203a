"""Keywords of an issue's text (CONTRACT.md 6.4). Pure."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.values import texts

MAX_KEYWORDS = 16
_WORD = re.compile(r"[A-Za-z0-9_]{3,}")
_STOP_WORDS = frozenset(
    (
        "the",
        "and",
        "for",
        "with",
        "from",
        "into",
        "over",
        "under",
        "then",
        "than",
        "this",
        "that",
        "these",
        "those",
        "your",
        "you",
        "our",
        "are",
        "was",
        "were",
        "has",
        "have",
        "had",
        "not",
        "but",
        "can",
        "may",
        "must",
        "should",
        "will",
        "would",
        "fix",
        "add",
        "update",
        "create",
        "make",
    )
)


def extract_keywords(title: Any, description: Any) -> list[str]:
    """The most frequent words, then alphabetically. The title is taken as text, even where it is null."""
    text = f"{title}\n{description or ''}"
    return list(_known_keywords(text) if len(text) <= _REMEMBERED else _keywords(text))


def _keywords(text: str) -> tuple[str, ...]:
    words = (word.lower() for word in _WORD.findall(text))
    counts = Counter(word for word in words if word not in _STOP_WORDS)
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:MAX_KEYWORDS])


# Most issues are tried more than once, each time with the same text; a text can have megabytes.
_REMEMBERED = 8192
_known_keywords = lru_cache(maxsize=1024)(_keywords)


def issue_keywords(issue: JsonObject) -> list[str]:
    """The recorded keywords, or those of title and description where that is not a list."""
    if isinstance(issue.get("keywords"), list):
        return texts(issue["keywords"])
    return extract_keywords(issue.get("title") or "", issue.get("description"))

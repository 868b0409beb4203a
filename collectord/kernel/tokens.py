"""Keywords and tokens of a planner input (CONTRACT.md 6.4 and 6.6). Pure."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from collectord.kernel.jsonio import JsonObject
from collectord.kernel.values import as_object, is_int, member, text_or_none, texts

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


def words_of(text: str) -> list[str]:
    """Everything in a text that keywords are made of."""
    return [word.lower() for word in _WORD.findall(text)]


def _keywords(text: str) -> tuple[str, ...]:
    counts = Counter(word for word in words_of(text) if word not in _STOP_WORDS)
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:MAX_KEYWORDS])


# Most issues are tried more than once, each time with the same text; a text can have megabytes.
_REMEMBERED = 8192
_known_keywords = lru_cache(maxsize=1024)(_keywords)


def issue_keywords(issue: JsonObject) -> list[str]:
    """The recorded keywords, or those of title and description where that is not a list."""
    if isinstance(issue.get("keywords"), list):
        return texts(issue["keywords"])
    return extract_keywords(issue.get("title") or "", issue.get("description"))


MAX_TOKENS = 1024
MAX_RUN_TOKENS = 64
# A duration is in the first bin whose limit it is below.
_DURATION_LIMITS_MS = (1_000, 10_000, 30_000, 60_000, 300_000, 1_800_000)
_DURATION_BINS = ("LT_1S", "1_10S", "10_30S", "30_60S", "1_5M", "5_30M", "GE_30M")


def _hash_token(prefix: str, salt: str, value: str) -> str:
    digest = hashlib.sha256(f"{salt}:{value}".encode("utf-8", "surrogatepass")).digest()
    return f"[{prefix}_HASH_{int.from_bytes(digest[:8], 'big') % 1024}]"


# Rows repeat the same tags and codes. Texts of archives can have megabytes, and those are not kept.
_SHORT = 256
_known_token = lru_cache(maxsize=65536)(_hash_token)


def hashed(prefix: str, salt: str, values: Iterable[str]) -> list[str]:
    """The sorted set of hash tokens of the values."""
    return sorted({(_known_token if len(v) <= _SHORT else _hash_token)(prefix, salt, v) for v in values})


def _triple(key: str, namespace: str, value: object) -> list[str]:
    text = _text(value)
    return [f"[KEY:{key}]", "[=]", f"[VAL:{namespace}:{text if text.strip() else 'NONE'}]"]


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _set(key: str, tokens: list[str]) -> list[str]:
    return [f"[KEY:{key}]", "[=]", *tokens] if tokens else []


def run_block(run: JsonObject) -> list[str]:
    """The tokens of one similar run after its `[RUN_i]`, not yet cut."""
    outcome = as_object(run.get("outcome"))
    duration = as_object(run.get("runtime")).get("duration_ms")
    status = _text(outcome.get("status"))
    swarm = _text(as_object(run.get("action_executed")).get("swarm_id"))
    duration_bin = _duration_bin(duration) if is_int(duration) and duration >= 0 else None
    codes, gates = tuple(texts(outcome.get("fail_codes"))[:8]), tuple(_failed_gates(outcome)[:8])
    is_short = max(map(len, (status, swarm, *codes, *gates))) <= _SHORT
    return (_known_block if is_short else _block)(status, swarm, duration_bin, codes, gates)


def _block(
    status: str,
    swarm: str,
    duration_bin: str | None,
    fail_codes: tuple[str, ...],
    fail_gates: tuple[str, ...],
) -> list[str]:
    """Runs of a kind have the same block; it is shared between rows and never changed."""
    block = _triple("OUTCOME_STATUS", "STATUS", status)
    block += _triple("EXEC_SWARM_ID", "SWARM_ID", swarm)
    if duration_bin is not None:
        block += _triple("DURATION_BIN", "DURATION_BIN", duration_bin)
    block += _set("FAIL_CODES", hashed("FAIL", "fail", fail_codes))
    return block + _set("FAIL_GATES", hashed("GATE", "gate", fail_gates))


_known_block = lru_cache(maxsize=4096)(_block)


def _duration_bin(duration_ms: int) -> str:
    return _DURATION_BINS[bisect_right(_DURATION_LIMITS_MS, duration_ms)]


def _failed_gates(outcome: JsonObject) -> list[str]:
    gates = outcome.get("gates")
    if not isinstance(gates, list):
        return []
    names = [g.get("name") for g in gates if isinstance(g, dict) and g.get("passed") is False]
    return [name for name in names if isinstance(name, str) and name]


def head_tokens(planner_input: JsonObject) -> list[str]:
    """Everything before the similar runs: universe, issue and system state, each closed by `[SEP]`."""
    return [
        "[BOS]",
        *_universe_tokens(planner_input),
        "[SEP]",
        *_issue_tokens(as_object(planner_input.get("issue"))),
        "[SEP]",
        *_state_tokens(planner_input.get("system_state")),
        "[SEP]",
    ]


def _universe_tokens(planner_input: JsonObject) -> list[str]:
    defaults = as_object(planner_input.get("universe_defaults"))
    objective = text_or_none(defaults.get("objective_id"))
    return [
        *_triple("UNIVERSE_ID", "UNIVERSE_ID", planner_input.get("universe_id")),
        *_triple("JOB_TYPE", "JOB_TYPE", planner_input.get("job_type")),
        *_triple("DEFAULT_SWARM_ID", "SWARM_ID", defaults.get("swarm_id")),
        *_set("DEFAULT_OBJECTIVE", hashed("KW", "kw", [objective] if objective else [])),
    ]


def _issue_tokens(issue: JsonObject) -> list[str]:
    return [
        *_triple("DK_PRIORITY", "DK_PRIORITY", issue.get("dk_priority")),
        *_triple("DK_RISK", "DK_RISK", issue.get("dk_risk")),
        *_triple("DK_SIZE", "DK_SIZE", issue.get("dk_size")),
        *_triple("DK_TOOL_HINT", "TOOLCHAIN", issue.get("dk_tool_hint")),
        *_set("TAGS", hashed("TAG", "tag", texts(issue.get("tags")))),
        *_set("KEYWORDS", hashed("KW", "kw", issue_keywords(issue))),
    ]


def _state_tokens(state: Any) -> list[str]:
    if not isinstance(state, dict):
        return []
    toolchains = sorted({f"[VAL:TOOLCHAIN:{t}]" for t in texts(state.get("available_toolchains"))})
    return [
        *_triple("ACTIVE_WORKCELLS_BIN", "BIN", state.get("active_workcells_bin")),
        *_triple("QUEUE_DEPTH_BIN", "BIN", state.get("queue_depth_bin")),
        *_triple("HOUR_BUCKET", "HOUR", state.get("hour_bucket")),
        *_triple("BUDGET_REMAINING_BIN", "BIN", state.get("budget_remaining_bin")),
        *_set("AVAILABLE_TOOLCHAINS", toolchains),
    ]


def sequence(head: list[str], blocks: Iterable[list[str]]) -> list[str]:
    """The whole sequence from the head and the similar runs' blocks, cut and closed."""
    tokens = list(head)
    for i, block in enumerate(blocks):
        tokens += [f"[RUN_{i}]", *block][:MAX_RUN_TOKENS]
        tokens.append("[SEP]")
        if len(tokens) >= MAX_TOKENS:
            break
    del tokens[MAX_TOKENS:]
    if tokens[-1] == "[SEP]":
        tokens.pop()
    return [*tokens, "[EOS]"][:MAX_TOKENS]


def tokens_of(planner_input: JsonObject) -> list[str]:
    """The token sequence of a whole planner input, recorded or rebuilt."""
    runs = member(planner_input, "history", "last_n_similar_runs")
    runs = [r for r in runs if isinstance(r, dict)] if isinstance(runs, list) else []
    return sequence(head_tokens(planner_input), (run_block(run) for run in runs))

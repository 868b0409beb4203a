"""What looks like a credential in texts that people wrote: found, counted, replaced.

detect-secrets (the extra `redact`) knows what credentials look like. Its detectors by entropy and by keyword
are not used: issues are full of hashes, and of words such as token. Loaded only where a dataset is made.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

from collectord.errors import ExtraMissing
from collectord.kernel.jsonio import ITEM, KEY, JsonObject
from collectord.kernel.tokens import words_of
from collectord.kernel.values import as_object

# The module of each detector; its name is the kind.
_MODULES: Final = (
    *("artifactory", "aws", "azure_storage_key", "basic_auth", "cloudant", "discord", "github_token"),
    *("gitlab_token", "ibm_cloud_iam", "ibm_cos_hmac", "jwt", "mailchimp", "npm", "openai", "private_key"),
    *("pypi_token", "sendgrid", "slack", "softlayer", "square_oauth", "stripe", "telegram_token", "twilio"),
)
KINDS: Final = tuple(module.replace("_", "-") for module in _MODULES)
_PRIVATE_KEY: Final = "private-key"
# The detector finds the first line; all of it has to go.
_KEY_BLOCK = re.compile(
    r"(?:-----)?BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?(?:-----)?"
    r"(?:.*?END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?(?:-----)?|.*)"
    r"|PuTTY-User-Key-File-2.*",
    re.DOTALL,
)
# Theirs ends before the signature.
_JWT = re.compile(r"eyJ[\w=-]+\.[\w=-]+(?:\.[\w.+/=-]*)?")
# A text without any of these signs holds nothing that a detector finds: cheap, and nearly all texts end here.
# One pattern of all took four times as long: its search stops at every letter that one of them begins with.
_CAPITALS = re.compile(
    r"A(?:KC|P[\dA-F]|3T|BIA|CCA|KIA|SIA|ccountKey=|C[a-z0-9]{32})|S(?:G\.|K[a-z0-9]{32})"
    r"|GR1348941|P(?:RIVATE KEY|uTTY)"
)
_LITERALS = ("eyJ", "sk-", "://", "_authToken", "k_live_", "sq0csp-", "pypi-Ag")
_PREFIXED = tuple(map(re.compile, (r"-us\d", r"gh[pousr]_", r"gl[a-z]{2,5}-", r"\.[\w-]{6}\.")))
_ANY_CASE = "xox"
# Where only a word says so, a value of at least so many characters follows: `token` stands in many a text.
_WORDS, _LONG = ("aws", "key", "pw", "pass", "token"), re.compile(r"(?<![\w/+-])[\w/+-]{24}")
# What some patterns take of the text around a value.
_AROUND = " \t\r\n\"'"
_TOKEN = re.compile(r"[\w+/=-]+", re.ASCII)
_PART, _OVERLAP = 16_384, 4_096
REPLACED: Final = re.compile(r"\[REDACTED:([a-z0-9-]+)\]")


def may_hold_one(text: str) -> bool:
    """Whether a text can hold a credential: nearly all hold no sign of one, which is cheap to see."""
    if _CAPITALS.search(text) or _is_numbered(text):
        return True
    if any(sign in text for sign in _LITERALS) or any(sign.search(text) for sign in _PREFIXED):
        return True
    lower = text.lower()
    return _ANY_CASE in lower or (any(word in lower for word in _WORDS) and _LONG.search(text) is not None)


def _is_numbered(text: str) -> bool:
    """Whether a colon follows eight digits."""
    return ":" in text and any(len(part) >= 8 and part[-8:].isdecimal() for part in text.split(":")[:-1])


def detector_version() -> str | None:
    """The installed version of detect-secrets, or None where the extra `redact` is not installed."""
    try:
        return version("detect-secrets") if find_spec("detect_secrets") else None
    except PackageNotFoundError:
        return None


class Detector:
    """Finds and replaces credentials in texts. Raises ExtraMissing where detect-secrets is missing."""

    def __init__(self) -> None:
        if (found := detector_version()) is None:
            raise ExtraMissing("looking for credentials wants", "redact")
        self.version = found
        self.find = lru_cache(maxsize=100_000)(self._find)

    def _find(self, text: str) -> tuple[tuple[str, str], ...]:
        """(kind, value) of each credential in a text, the longest value first."""
        found = {pair for part in _parts(text) if may_hold_one(part) for pair in self._find_in(part)}
        return tuple(sorted(found, key=lambda pair: (-len(pair[1]), pair)))

    def _find_in(self, part: str) -> Iterator[tuple[str, str]]:
        for kind, pattern in self._patterns:
            # Not `analyze_string`: of a pattern with groups it gives the groups, of a token its `ghp`.
            for match in pattern.finditer(part):
                # Of some kinds a pattern knows only the least length: all of the token has to go.
                rest = _TOKEN.match(part, match.end())
                value = match[0].strip(_AROUND).lstrip("=:")
                if value:
                    yield kind, value + (rest[0] if rest and part[match.end() - 1] == value[-1] else "")

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        return _patterns()  # a third of a second, and most collections hold no sign of a credential

    def kinds_in(self, value: object) -> set[str]:
        """The kinds of credentials in any text of a JSON value."""
        texts = list(_texts(value))
        if not may_hold_one("\n".join(texts)):
            return set()
        return {kind for text in texts for kind, _ in self.find(text)}

    def redacted(self, value: Any) -> Any:
        """A JSON value with each credential in a text of it replaced by `[REDACTED:<kind>]`."""
        match value:
            case str():
                return self._replaced(value)
            case list():
                return [self.redacted(item) for item in value]
            case dict():
                return {self._replaced(key): self.redacted(item) for key, item in value.items()}
        return value

    def redacted_input(self, planner_input: JsonObject, issue_texts: Iterable[str]) -> JsonObject:
        """A planner input without credentials, also in keywords.

        Keywords are single words of a title and a description, in which a credential cannot be recognised:
        those that come from a credential in `issue_texts` go.
        """
        issue = as_object(planner_input.get("issue"))
        texts = [*issue_texts, *_texts(issue)]
        secret = {word for text in texts for _, value in self.find(text) for word in words_of(value)}
        if secret and isinstance(issue.get("keywords"), list):
            keywords = [word for word in issue["keywords"] if word not in secret]
            planner_input = {**planner_input, "issue": {**issue, "keywords": keywords}}
        found: JsonObject = self.redacted(planner_input)
        return found

    def _replaced(self, text: str) -> str:
        for kind, value in self.find(text):
            text = text.replace(value, f"[REDACTED:{kind}]")
        return text


def issue_texts(manifest: JsonObject) -> list[str]:
    """The texts of the issue that a manifest was made for: keywords come from more than the input shows."""
    return list(_texts(manifest.get("issue")))


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)


def _parts(text: str) -> Iterator[str]:
    """A long text in pieces that overlap: some patterns take the square of a length that nobody limits."""
    for start in range(0, max(1, len(text) - _OVERLAP), _PART - _OVERLAP):
        yield text[start : start + _PART]


def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    from importlib import import_module

    from detect_secrets.plugins.base import RegexBasedDetector

    found = [(_PRIVATE_KEY, _KEY_BLOCK), ("jwt", _JWT)]
    for module, kind in zip(_MODULES, KINDS, strict=True):
        named = vars(import_module(f"detect_secrets.plugins.{module}"))
        for each in named.values() if kind != _PRIVATE_KEY else ():
            is_one = isinstance(each, type) and issubclass(each, RegexBasedDetector)
            if is_one and each is not RegexBasedDetector:
                patterns: Iterable[Any] = each().denylist
                found += [(kind, re.compile(pattern)) for pattern in patterns]
    return found


@dataclass(frozen=True, slots=True)
class CredentialCounts:
    """In how many rows something looks like a credential, or was replaced; and in how many by kind."""

    rows: int
    by_kind: Mapping[str, int]

    def as_json(self) -> JsonObject:
        """As it stands in snapshot.json."""
        return {"rows": self.rows, "by_kind": dict(sorted(self.by_kind.items()))}


NO_CREDENTIALS = CredentialCounts(0, {})


class CredentialCounter:
    """Counts rows by the kinds of credentials that were found in each."""

    def __init__(self) -> None:
        self._rows, self._by_kind = 0, Counter[str]()

    def add(self, kinds: Collection[str]) -> None:
        """One row."""
        if kinds:
            self._rows += 1
            self._by_kind.update(kinds)

    def counts(self) -> CredentialCounts:
        """What was found so far."""
        return CredentialCounts(self._rows, dict(self._by_kind))


# The kinds of credentials in the text of a row.
KindsOf = Callable[[str], Collection[str]]


def kinds_finder(*, redacted: bool) -> KindsOf:
    """Tells what kinds of credentials were replaced in a row, or else what kinds it looks to hold.

    The latter looks at the issue of a row, and finds nothing where the extra is not installed.
    """
    if redacted:
        return lambda row: set(REPLACED.findall(row))
    if detector_version() is None:
        return lambda _row: ()
    detector = Detector()

    @lru_cache(maxsize=10_000)
    def kinds_in(issue: str) -> frozenset[str]:
        # No sign of a credential holds a character that JSON escapes, so its text tells as much as its parts.
        return frozenset(detector.kinds_in(_decoded(issue)) if may_hold_one(issue) else ())

    return lambda row: kinds_in(issue_in(row))


def issue_in(row: str) -> str:
    """The text of the issue in a row; all of the row where that cannot be told.

    Histories name job types too, so it ends at the first one after its beginning; one that has a member of
    that name of its own is no whole object up to there.
    """
    start = row.find(_ISSUE)
    end = row.find(_AFTER_ISSUE, start)
    if not 0 <= start == row.rfind(_ISSUE) or end < 0:
        return row
    issue = row[start + len(_ISSUE) - 1 : end]
    return issue if _is_whole(issue) else row


@lru_cache(maxsize=10_000)
def _is_whole(text: str) -> bool:
    try:
        _decoded(text)
    except ValueError:
        return False
    return True


def _decoded(text: str) -> Any:
    return json.loads(text.translate(_PLAIN))


_ISSUE, _AFTER_ISSUE = f'"issue"{KEY}{{', f'{ITEM}"job_type"{KEY}'
_PLAIN = str.maketrans({ITEM: ",", KEY: ":"})

"""The environment as a hash: one digest a component, and one over those that can move a label; and as it
may be shown, without secrets.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from collectord.kernel.jsonio import ascii_json
from collectord.kernel.policy import MATERIAL, Surface

# Counts up whenever the same files give another surface: stored environments are then read again, which
# by itself opens no epoch.
NORMALISER = 1


def component_digests(surface: Surface) -> dict[str, str]:
    """sha256 hex of each component's canonical JSON, in the order of the surface."""
    return {name: _sha256(ascii_json(value)) for name, value in surface.components.items()}


def fingerprint(surface: Surface) -> str:
    """sha256 hex over the material components: all but scheduling, which changes pressure, not labels."""
    digests = component_digests(surface)
    return _sha256(ascii_json({name: digests[name] for name in MATERIAL}))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


HIDDEN = "(hidden)"
# The repo is untrusted and the loop waits for this: a longer text is cut before it is searched.
MAX_TEXT = 4096

_NAMES = r"token|secret|passw(?:or)?d|passphrase|credential|authorization|api[-_]?key|access[-_]?key|private"
_SECRET_KEY = re.compile(rf"(?i){_NAMES}|_key$|^key$")
# A key that counts or limits tokens is not one.
_HARMLESS_KEY = re.compile(r"(?i)^(max|estimated|budget)_\w*tokens?$")
_SECRET_TEXT = re.compile(
    rf"(?i)((?:{_NAMES})[\w-]{{0,64}}\s{{0,16}}[=:]\s*(?:bearer\s+)?"
    rf"|(?<!-)-[\w-]{{0,64}}(?:{_NAMES})[\w-]{{0,64}}\s+)\S+"
    r"|\b(?:sk|pk|rk|gh[oprsu]|github_pat|glpat|xox[abprs]|hf|akia|eyj)[-_]?[a-z0-9_.-]{12,}"
    r"|(://[^\s/:@]*:)[^\s/@]+(?=@)"
)


def masked(pointer: str, value: Any) -> Any:
    """The value at a JSON pointer with secrets hidden, of the same shape.

    Hidden are all values under an `env`, values whose key looks like that of a secret, and parts of texts
    that look like one. Null and switches say nothing and stay.
    """
    return _masked([part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]], value)


def _masked(path: list[str], value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked([*path, key], inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(path, inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if "env" in path[:-1] or (path and _is_secret(path[-1])):
        return HIDDEN
    return masked_text(value) if isinstance(value, str) else value


def masked_text(text: str) -> str:
    """A text without the parts that look like secrets; a very long one is cut after `MAX_TEXT` characters."""
    if len(text) <= MAX_TEXT:
        return _SECRET_TEXT.sub(_hide, text)
    # A cut inside of a word could take away what makes it look like a secret.
    head = text[:MAX_TEXT].rpartition(" ")[0]
    return f"{_SECRET_TEXT.sub(_hide, head)} … ({len(text) - len(head)} more characters)"


def _hide(match: re.Match[str]) -> str:
    return f"{match[1] or match[2] or ''}{HIDDEN}"


def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _HARMLESS_KEY.search(key)

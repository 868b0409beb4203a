"""Which failures are the environment's and not the task's, by what gates and fail codes say. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from collectord.kernel.jsonio import JsonObject
from collectord.kernel.values import as_object, capped, member, texts

TOOL, MODULE, DISK, NETWORK, MEMORY = (
    "missing tool",
    "missing module",
    "no disk space",
    "network",
    "out of memory",
)
_NOT_FOUND = 127
# The end of an output says why a command ended; more of it would be work for nothing.
_TAIL = 20_000
# A code is a name; the time that a search takes grows with the square of its length.
_MOST_OF_A_CODE = 1000
_RULES = (
    (DISK, re.compile(r"no space left on device|\bENOSPC\b|disk quota exceeded", re.I)),
    (MODULE, re.compile(r"no module named ['\"]?([\w.]+)|cannot find module ['\"]([^'\"]+)", re.I)),
    (
        TOOL,
        re.compile(
            r"command not found|: not found$|is not recognized as an internal|executable file not found"
            r"|no such file or directory: ['\"]?[\w./-]+['\"]?$",
            re.I,
        ),
    ),
    (
        NETWORK,
        re.compile(
            r"temporary failure in name resolution|could not resolve host|network is unreachable"
            r"|name or service not known|\bECONNREFUSED\b|\bENOTFOUND\b|\bETIMEDOUT\b|connection refused"
            r"|max retries exceeded with url|failed to establish a new connection",
            re.I,
        ),
    ),
    (MEMORY, re.compile(r"cannot allocate memory|out of memory|oom-killed|\bOOMKilled\b", re.I)),
)
_CODES = (
    (TOOL, re.compile(r"(tool|command|binary).*(missing|not_?found)|exit_?127", re.I)),
    (MODULE, re.compile(r"module.*(missing|not_?found)|import_?error", re.I)),
    (DISK, re.compile(r"no_?space|enospc|disk_?full", re.I)),
    (NETWORK, re.compile(r"network|dns|connection|econn", re.I)),
    (MEMORY, re.compile(r"out_?of_?memory|oom", re.I)),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a run failed outside of its task; `evidence` is one capped line."""

    cause: str
    evidence: str


def cause_of(proof: JsonObject, fail_codes: Iterable[str]) -> Cause | None:
    """The first environment reason among the failed gates, in file order, then among the fail codes."""
    changed = frozenset(_stem(path) for path in texts(member(proof, "patch", "files_modified")))
    for name, gate in as_object(member(proof, "verification", "gates")).items():
        if isinstance(gate, dict) and not gate.get("passed"):
            found = _of_gate(name, gate, changed)
            if found:
                return found
    for code in fail_codes:
        for cause, pattern in _CODES:
            if pattern.search(code[:_MOST_OF_A_CODE]):
                return Cause(cause, f"fail code {capped(code)}")
    return None


def _of_gate(name: str, gate: JsonObject, changed: frozenset[str]) -> Cause | None:
    for line in _lines(gate):
        for cause, pattern in _RULES:
            match = pattern.search(line)
            if match and not (cause == MODULE and _is_own(match, changed)):
                return Cause(cause, capped(f"{name}: {line}"))
    if gate.get("exit_code") == _NOT_FOUND:
        return Cause(TOOL, capped(f"{name}: exit code {_NOT_FOUND}"))
    return None


def _is_own(match: re.Match[str], changed: frozenset[str]) -> bool:
    """Whether the missing module is one that the run itself was changing: then it is the task's failure."""
    name = next((group for group in match.groups() if group), "")
    return any(part in changed for part in re.split(r"[./]", name) if part)


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _lines(gate: JsonObject) -> list[str]:
    said = [gate.get(key) for key in ("error", "output", "stderr")]
    return [line for text in said if isinstance(text, str) for line in text[-_TAIL:].splitlines()]

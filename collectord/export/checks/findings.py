"""What a check of a snapshot found, and the check of its sums."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from collectord.cyntra.jsonio import loads
from collectord.export import snapshot
from collectord.export.dataset import file_sha256

_MAX_FINDINGS = 20


class Findings(list[str]):
    """Sentences, the first twenty of them and then how many more."""

    def add(self, sentence: str) -> None:
        """Note one finding."""
        self.append(sentence)

    def told(self) -> tuple[str, ...]:
        """What is shown of them."""
        more = len(self) - _MAX_FINDINGS
        return (*self[:_MAX_FINDINGS], *([f"… and {more} more differences"] if more > 0 else []))


def read_document(path: Path, findings: Findings) -> dict[str, Any]:
    """A JSON object from a file; empty and a finding where it is none."""
    try:
        value = loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        findings.add(f"{path.name}: missing or not a JSON object")
        return {}
    return value


_OTHER = "has other bytes than when it was published"


def check_sums(folder: Path, findings: Findings) -> dict[str, str]:
    """Every file is listed, there and as it was; returns name → sha256 as listed."""
    sums = _read_sums(folder / snapshot.SUMS_FILE, findings)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not S_ISDIR(p.lstat().st_mode)}
    for name in sorted(sums.keys() - there):
        findings.add(f"{name}: missing")
    for name in sorted(there - sums.keys() - {snapshot.SUMS_FILE}):
        findings.add(f"{name}: not part of the snapshot (not in {snapshot.SUMS_FILE})")
    for name in sorted(sums.keys() & there):
        if not _is_as_published(folder / name, sums[name]):
            findings.add(f"{name}: {_OTHER}")
    return sums


def _is_as_published(path: Path, digest: str) -> bool:
    return S_ISREG(path.lstat().st_mode) and file_sha256(path) == digest


def _read_sums(path: Path, findings: Findings) -> dict[str, str]:
    """Name → digest; the file must be exactly what those sums are written as, to the last byte."""
    try:
        data = path.read_bytes()
        lines = data.decode("utf-8").split("\n")[:-1]
        sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        findings.add(f"{path.name}: missing or unreadable")
        return {}
    if snapshot.sums_document(sums) != data:
        findings.add(f"{path.name}: {_OTHER}")
    return sums

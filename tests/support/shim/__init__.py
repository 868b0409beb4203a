"""The disk as a thing that fails: a library put before libc that counts, fails, kills or records writes."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("writes.c")
WRITE, SYNC, TRUNCATE = 1, 2, 3
_HEAD = struct.Struct("=IIQQ")


def why_not() -> str | None:
    """Why there can be no shim here, or None."""
    if sys.platform != "linux":
        return "LD_PRELOAD and /proc/self/fd are Linux"
    return None if shutil.which("cc") else "there is no C compiler (cc)"


def build(folder: Path) -> Path:
    """The library, compiled into a folder."""
    library = folder / "writes.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wno-nonnull"]
    subprocess.run(["cc", *flags, "-o", library, SOURCE, "-ldl"], check=True)
    return library


@dataclass(frozen=True)
class Shim:
    """What a process is to be started with; `folder` is the one whose files are meant."""

    library: Path
    folder: Path
    scratch: Path

    def env(
        self, *, at: int = 0, error: int = 0, sticky: bool = False, record: Path | None = None
    ) -> dict[str, str]:
        """Environment for one process: at the `at`-th call `error`, or without an error SIGKILL."""
        self.counter.unlink(missing_ok=True)
        return {
            "LD_PRELOAD": str(self.library),
            "SHIM_DIR": str(self.folder.resolve()),
            "SHIM_COUNT": str(self.counter),
            "SHIM_AT": str(at),
            "SHIM_ERRNO": str(error),
            "SHIM_STICKY": str(int(sticky)),
            **({"SHIM_RECORD": str(record)} if record else {}),
        }

    @property
    def counter(self) -> Path:
        """The file with the number of calls."""
        return self.scratch / "shim-count"

    def count(self) -> int:
        """How many calls the last process made."""
        return int(struct.unpack("=Q", self.counter.read_bytes())[0])


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call: `op` on the file `name` below the folder; a truncation has its size as offset."""

    op: int
    name: str
    offset: int
    data: bytes


def read_record(path: Path) -> Iterator[Call]:
    """The calls of a recorded process, in order."""
    text, at = path.read_bytes(), 0
    while at < len(text):
        op, name_length, offset, length = _HEAD.unpack_from(text, at)
        at += _HEAD.size
        name = text[at : at + name_length].decode()
        at += name_length
        data = text[at : at + length] if op == WRITE else b""
        at += len(data)
        yield Call(op, name, offset, data)

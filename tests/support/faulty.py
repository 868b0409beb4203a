"""A storage of fsspec whose every call can go wrong: `faulty://` in front of an absolute path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import fsspec
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.local import LocalFileSystem


@dataclass
class Faults:
    """What goes wrong. `fail_at` are numbers of calls that raise `error`; all from `dead_from` on do.

    `late` are ends of names that no listing shows, `unreadable` of those that cannot be opened; `sizes` gives
    what is said of the size of a file.
    """

    fail_at: frozenset[int] = frozenset()
    dead_from: int | None = None
    error: Callable[[], Exception] = lambda: OSError(5, "Input/output error")
    late: tuple[str, ...] = ()
    sizes: Callable[[str, int], int] = lambda _path, size: size
    unreadable: tuple[str, ...] = ()
    calls: int = 0
    said: list[str] = field(default_factory=list)

    def call(self, what: str) -> None:
        """One call; raises where it is to fail."""
        number, self.calls = self.calls, self.calls + 1
        self.said.append(what)
        if number in self.fail_at or (self.dead_from is not None and number >= self.dead_from):
            raise self.error()


NOW = Faults()


def time_out() -> Exception:
    """What fsspec raises when a storage does not answer."""
    found: Exception = FSTimeoutError("no answer")
    return found


class FaultyFileSystem(LocalFileSystem):  # type: ignore[misc]
    """A folder, seen through `NOW`; files get their names as on an object store, whole or not at all."""

    protocol = ("faulty",)
    cachable = False

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        NOW.call(f"open {mode} {path}")
        if mode == "rb" and path.endswith(NOW.unreadable or ("\0",)):
            raise NOW.error()
        return super()._open(path, mode, **kwargs)

    def info(self, path: Any, **kwargs: Any) -> dict[str, Any]:
        """One look at a file."""
        found: dict[str, Any] = super().info(path, **kwargs)
        if isinstance(path, str):
            NOW.call(f"info {path}")
            found["size"] = NOW.sizes(path, found["size"])
        return found

    def find(self, path: str, **kwargs: Any) -> Any:
        """A listing; what is late is not in it."""
        NOW.call(f"find {path}")
        found = super().find(path, **kwargs)
        return {name: info for name, info in found.items() if not name.endswith(NOW.late or ("\0",))}

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        """An upload."""
        NOW.call(f"put {rpath}")
        super().put_file(lpath, rpath)

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        """A rename."""
        NOW.call(f"mv {path2}")
        super().mv(path1, path2)

    def rm_file(self, path: str) -> None:
        """A removal."""
        NOW.call(f"rm {path}")
        super().rm_file(path)


fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)

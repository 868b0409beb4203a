"""Puts unit files where the service manager looks, and tells ours from those that somebody wrote or changed.

A file of ours says in a comment what the digest of all its other lines is. Nothing here talks to a service
manager.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Literal

from collectord.errors import CollectordError
from collectord.fs import atomic_write, fsync_dir

_MARK = "collectord-digest: sha256:"
_MARKED_LINE = re.compile(rb"^(?:# |<!-- )" + _MARK.encode() + rb"([0-9a-f]{64})(?: -->)?\n", re.MULTILINE)

Installed = Literal["created", "updated", "unchanged"]
Uninstalled = Literal["removed", "absent"]


def seal(body: str) -> str:
    """The text with its digest in a comment: the first line, or the one after an XML declaration."""
    digest = f"{_MARK}{hashlib.sha256(body.encode()).hexdigest()}"
    if body.startswith("<?xml"):
        declaration, _, rest = body.partition("\n")
        return f"{declaration}\n<!-- {digest} -->\n{rest}"
    return f"# {digest}\n{body}"


def install(path: Path, text: str, *, force: bool = False) -> Installed:
    """Makes the file hold this sealed text, in one step.

    What is not ours, or was changed by hand, is replaced with `force` only. Raises CollectordError.
    """
    try:
        present = _content(path)
        if present == text.encode():
            return "unchanged"
        if os.path.lexists(path) and not force:
            _refuse_unless_ours(path, present, "replace")
        created = not os.path.lexists(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode(), 0o644)
    except OSError as error:
        raise CollectordError(_cannot("write", path, error)) from error
    return "created" if created else "updated"


def uninstall(path: Path, *, force: bool = False) -> Uninstalled:
    """Removes the file and the links that enabled it, under the same terms as `install`."""
    try:
        if not os.path.lexists(path):
            return "absent"
        if not force:
            _refuse_unless_ours(path, _content(path), "remove")
        for link in _enabling_links(path):
            link.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        fsync_dir(path.parent)
    except OSError as error:
        raise CollectordError(_cannot("remove", path, error)) from error
    return "removed"


def _content(path: Path) -> bytes | None:
    """The bytes of a regular file, None for anything else: a link is how systemd masks or aliases a unit."""
    try:
        return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _refuse_unless_ours(path: Path, content: bytes | None, verb: str) -> None:
    mark = _MARKED_LINE.search(content) if content is not None else None
    if content is None or mark is None:
        raise CollectordError(f"{path} was not written by collectord; --force to {verb} it all the same")
    rest = content[: mark.start()] + content[mark.end() :]
    if hashlib.sha256(rest).hexdigest().encode() != mark[1]:
        raise CollectordError(
            f"{path} was changed by hand since collectord wrote it; move the changes to a drop-in "
            f"(systemctl edit {path.name}), then --force to {verb} it"
        )


def _enabling_links(path: Path) -> list[Path]:
    """What `systemctl enable` made; it would stay and dangle, as a unit without a file cannot be disabled."""
    links = (folder / path.name for folder in sorted(path.parent.glob("*.wants")))
    return [link for link in links if link.is_symlink()]


def _cannot(verb: str, path: Path, error: OSError) -> str:
    advice = " (with sudo?)" if isinstance(error, PermissionError) else ""
    return f"cannot {verb} {path}: {error.strerror or error}{advice}"

"""How a path is written into a systemd unit so that systemd reads the same path out of it. Pure.

Checked against systemd's own readers: lists such as ReadWritePaths= undo quotes and backslashes, command
lines undo C escapes as well, and both expand %-specifiers afterwards. What is written here means the same
to both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from collectord.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z0-9/._+,=:@-]+")
_USER = re.compile(r"[^\s/:%$\"'\\\x00-\x1f\x7f-][^\s/:%$\"'\\\x00-\x1f\x7f]*")
# systemd takes no program whose path has one of these, however it is written; as an argument they are fine.
_NEVER_IN_A_PROGRAM = frozenset("'\"\\")


def word(text: str) -> str:
    """One word of a command line or of a list."""
    return text if _PLAIN.fullmatch(text) else f'"{_escaped(text)}"'


def sentence(text: str) -> str:
    """Free text such as a description; a full stop keeps a final backslash from joining the next line."""
    return text.replace("%", "%%") + ("." if text.endswith("\\") else "")


def command(argv: Sequence[str]) -> str:
    """The value of ExecStart= that starts exactly this program with exactly these arguments."""
    if _NEVER_IN_A_PROGRAM & set(argv[0]):
        argv = ["/bin/sh", "-c", 'exec "$0" "$@"', *argv]
    # A colon switches $VARIABLES off; a dollar doubled instead would stay doubled in the program's own path.
    literally = ":" if any("$" in argument for argument in argv) else ""
    return literally + " ".join(map(word, argv))


def user_name(name: str) -> str:
    """The value of User=. Raises UsageError for what cannot be a user."""
    if not _USER.fullmatch(name):
        raise UsageError(f"{name!r} is not a user name; name the user who owns the repo")
    return name


def writable(path: Path) -> Path:
    """The path again, if it can stand in a unit. Raises UsageError."""
    if not path.is_absolute() or ".." in path.parts:
        raise UsageError(f"{path} is not an absolute path; a service has no working directory of yours")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in str(path)):
        raise UsageError(f"{str(path)!r} holds characters that no service file can name; rename the folder")
    return path


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")

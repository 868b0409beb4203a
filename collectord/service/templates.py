"""The unit files that are shipped, and the part of them that holds for every repo."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
# In the wheel, in a checkout. In this order: beside an installed package there may be another `systemd`.
_FOLDERS = (_PACKAGE / "_systemd", _PACKAGE.parent / "systemd")
_BORDER = "# ==== Nothing below names a path or a user. ====\n"


def template(name: str) -> Path:
    """Where the shipped file of this name is. Raises FileNotFoundError: the installation is incomplete."""
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{name} is missing from {_FOLDERS[0]}; install collectord again")


def common_part(name: str) -> str:
    """What a shipped systemd unit says below its border: all that names neither a path nor a user."""
    _, border, common = template(name).read_text("utf-8").partition(_BORDER)
    if not border:
        raise ValueError(f"{template(name)} has no line {_BORDER!r}; install collectord again")
    return common

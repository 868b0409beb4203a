"""Names of directories as texts that every terminal, log and database can hold."""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes

# Directories of ours in the archives folder, while an archive is removed or put back.
OWN_PREFIX = ".collectord-"


def is_own(name: str) -> bool:
    """Whether a directory in the archives folder is ours: nobody looks at it, and no index has it."""
    return name.startswith(OWN_PREFIX)


def readable_name(name: str) -> str:
    """The name itself if it is UTF-8, else its bytes percent-encoded behind a mark."""
    if name.isascii():  # nearly all are, and this is asked some times of each
        return name
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return f"undecodable:{quote_from_bytes(os.fsencode(name))}"
    return name


def printable(text: str) -> str:
    """The text with everything that is not printable written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

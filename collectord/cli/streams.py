"""The standard streams: closed ones, full ones, and those that cannot hold every character."""

from __future__ import annotations

import contextlib
import io
import os
import sys


def prepare_streams() -> None:
    """Fill what the caller closed, and write what an encoding cannot hold as an escape."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # The next file that is opened would be standard output, and our words would go into it.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_or_discard() -> None:
    """Write out what waits to be; where it cannot be, keep the interpreter from trying again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

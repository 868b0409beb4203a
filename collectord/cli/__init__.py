"""The command line: parses, calls one use case, prints, and ends with an exit code."""

from collectord.cli.main import main

__all__ = ["main"]

"""What every command is given: where it was called, its settings, and ages as people type them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collectord.errors import UsageError

if TYPE_CHECKING:
    from collectord.config import Settings


class Group(click.Group):
    """A group whose help has the whole line of each command, wrapped and not cut."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(1000)) for name, one in sorted(self.commands.items())]
            )


@dataclass(frozen=True, slots=True)
class Invocation:
    """The options before the command."""

    repo: Path | None
    config: Path | None
    quiet: bool = False
    verbose: bool = False

    def settings(self, overrides: Mapping[str, object] | None = None, *, as_owner: bool = True) -> Settings:
        """The loaded configuration; `overrides` are dotted keys from the command's own options.

        Root acts as the owner of the repo from here on, but for who writes elsewhere and says so.
        """
        from collectord.config import load

        found = load(
            repo=self.repo,
            config=self.config,
            overrides={**(overrides or {}), "log.level": "debug" if self.verbose else None},
            environ=os.environ,
            cwd=Path.cwd(),
        )
        if as_owner and os.geteuid() == 0:
            from collectord.cli.output import note
            from collectord.system.owner import act_as_owner

            if (name := act_as_owner(found.state_dir)) is not None:
                note(f"acting as {name}, who owns {found.repo}")
        return found


_AGE = re.compile(r"([0-9]{1,12})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age_ms(text: str, option: str) -> int:
    """Milliseconds of an age such as 7d; raises UsageError naming the option."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise UsageError(f"{option}: '{text}' is not an age; write a number and s, m, h, d or w, such as 7d")
    return int(found[1]) * _UNITS[found[2]] * 1000

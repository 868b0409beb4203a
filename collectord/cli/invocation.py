"""What stood before the command: the repo and the configuration file, loaded when a command needs them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collectord.config import Settings


@dataclass(frozen=True, slots=True)
class Invocation:
    """The options before the command."""

    repo: Path | None
    config: Path | None

    def settings(self, overrides: Mapping[str, object] | None = None) -> Settings:
        """The loaded configuration; `overrides` are dotted keys from the command's own options."""
        from collectord.config import load

        return load(
            repo=self.repo,
            config=self.config,
            overrides=overrides or {},
            environ=os.environ,
            cwd=Path.cwd(),
        )

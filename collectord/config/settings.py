"""The loaded configuration: the values, the repo they are for, and where each came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from collectord.config.schema import Config, IgnoredPath, dotted_keys

DEFAULT = "default"


@dataclass(frozen=True)
class Settings:
    """`repo` is absolute; `sources` names where `repo` and each dotted key came from."""

    repo: Path
    config: Config
    sources: Mapping[str, str]
    file: Path | None = None

    @property
    def archives_dir(self) -> Path:
        """Where the kernel puts finished runs; may not exist yet."""
        return self._absolute(self.config.paths.archives)

    @property
    def state_dir(self) -> Path:
        """Where collectord keeps what is its own."""
        return self._absolute(self.config.paths.state)

    @property
    def benches_dir(self) -> Path:
        """Where datasets are published."""
        return self._absolute(self.config.paths.benches)

    @property
    def index_path(self) -> Path:
        """The SQLite index."""
        return self.state_dir / "index.sqlite3"

    @property
    def lock_path(self) -> Path:
        """Held exclusively by whoever writes the index."""
        return self.state_dir / "lock"

    def rows(self) -> list[tuple[str, object, str]]:
        """(key, plain JSON value, source) of the repo and every key, in the order of the model."""
        keys = [(key, _plain(value_of(self.config, key)), self.sources[key]) for key in dotted_keys()]
        return [("repo", str(self.repo), self.sources["repo"]), *keys]

    def _absolute(self, path: str) -> Path:
        return Path(os.path.normpath(self.repo / path))


def value_of(config: Config, dotted: str) -> object:
    """The value of one dotted key."""
    section, _, key = dotted.partition(".")
    value: object = getattr(getattr(config, section), key)
    return value


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, IgnoredPath):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value

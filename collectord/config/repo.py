"""Which repo a command is about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from collectord.config.env_and_flags import COMMAND_LINE, REPO
from collectord.errors import ConfigError


def find_repo(given: Path | None, environ: Mapping[str, str], cwd: Path) -> tuple[Path, str]:
    """(absolute repo, where it came from): `--repo`, `COLLECTORD_REPO`, or found from the working directory.

    Found is the nearest parent that holds `.cyntra/`. A repo that was named only has to
    be a directory: its archives may appear later. Raises ConfigError.
    """
    if given is not None:
        return _named(cwd / given, f"--repo {given}"), COMMAND_LINE
    if environ.get(REPO):
        return _named(cwd / environ[REPO], f"{REPO}={environ[REPO]}"), REPO
    for candidate in (cwd, *cwd.parents):
        if _is_directory(candidate / ".cyntra"):
            return candidate, "working directory"
    raise ConfigError(
        f"no Cyntra repo: neither {cwd} nor any folder above it holds a .cyntra folder; "
        f"go into the repo, or name it with --repo DIR or {REPO}"
    )


def _named(path: Path, given: str) -> Path:
    if _is_directory(path):
        return path.resolve() if ".." in path.parts else path
    trouble = "is not a directory" if path.exists() else "does not exist"
    raise ConfigError(f"{given}: {path} {trouble}; name the folder that holds .cyntra")


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False

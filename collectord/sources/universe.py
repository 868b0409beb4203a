"""The universe registry of a repo, read from its files (CONTRACT.md 6.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from collectord.cyntra.jsonio import is_encodable
from collectord.cyntra.policy.documents import refuse_depth
from collectord.cyntra.universe import UNKNOWN, Universe, from_documents
from collectord.sources.files import open_regular

MAX_YAML_BYTES = 2**20


def default_universe_id(repo: Path) -> str | None:
    """The one universe of a repo: in `.cyntra/universes/`, else in `universes/`; None if not just one."""
    in_state = _directories(repo / ".cyntra/universes")
    registered = [d for d in _directories(repo / "universes") if _is_file(d / "universe.yaml")]
    for found in (in_state, registered):
        if len(found) == 1:
            # A name that is not UTF-8 cannot stand in a dataset.
            return found[0].name if is_encodable(found[0].name) else None
    return None


def _directories(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except OSError:
        return []


def load_universe(repo: Path, universe_id: str | None) -> Universe:
    """The named universe, or the repo's own; one that is not valid contributes its name alone."""
    name = universe_id or default_universe_id(repo) or UNKNOWN
    folder = repo / "universes" / name
    # The name comes from a person or a folder listing; it must not lead out of the registry.
    if "/" in name or name in (".", "..") or not _is_file(folder / "universe.yaml"):
        return Universe(name)
    documents = [_yaml(folder / f"{part}.yaml") for part in ("universe", "swarms", "objectives")]
    return from_documents(name, *documents, path_is_inside=lambda path: _is_inside(repo, path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _yaml(path: Path) -> Any | None:
    """The document; None where there is no file, an empty text where it cannot be read or parsed."""
    try:
        with open_regular(path, follow=True) as file:
            data = file.read(MAX_YAML_BYTES + 1)
        if len(data) > MAX_YAML_BYTES:
            return ""
        refuse_depth(data)
        return yaml.safe_load(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return ""


def _is_inside(repo: Path, path: str) -> bool:
    try:
        target = (repo / path).resolve()
        return target.is_relative_to(repo.resolve()) and target.exists()
    except (OSError, ValueError, RuntimeError):
        return False

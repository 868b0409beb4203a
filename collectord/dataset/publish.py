"""Publishing a snapshot directory whole or not at all, never over anything; and finding those published."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectord.dataset.layout import DATASET_FILE, SNAPSHOT_FILE
from collectord.errors import CollectordError
from collectord.index.engine import IndexConnection
from collectord.index.rows import db_text
from collectord.index.snapshots import known_snapshots, record_of
from collectord.kernel.jsonio import ascii_json
from collectord.system.durable import (
    SUFFIX,
    fsync_dir,
    own_prefix,
    permitted,
    publish_directory,
    replace_symlink,
)

LINK = "planner_dataset_v1"
_MAX_DOCUMENT = 16 * 2**20
_CONTENT = ("options", "dataset_hash", "runs_digest", "epoch", "environment")


@dataclass(frozen=True, slots=True)
class PublishPlace:
    """Where a snapshot is to stand: one exact directory, or a dated name in the benches folder."""

    folder: Path
    exact: Path | None = None


@contextmanager
def workspace(place: PublishPlace) -> Iterator[Path]:
    """A temporary directory beside the final one; removed unless it was published."""
    import shutil
    import tempfile

    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=own_prefix(), suffix=SUFFIX, dir=place.folder))
    except OSError as error:
        raise CollectordError(
            f"{place.folder}: cannot write there ({error.strerror}); check its rights and its disk, "
            "or name another place with --out"
        ) from error
    try:
        path.chmod(permitted(0o755))
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def same_content(document: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two snapshots hold the same dataset, made in the same way of the same artifacts and epoch."""
    return all(document.get(key) == other.get(key) for key in _CONTENT)


_WHY_AGAIN = {
    "options": "it was made with other options",
    "runs_digest": "other runs were looked at, or their archives were edited",
    "epoch": "its epoch has other runs, or another end, by now",
    "environment": "its environment was read anew",
}


def why_again(document: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Why a snapshot was published beside another one that holds the same rows."""
    reasons = [words for key, words in _WHY_AGAIN.items() if document.get(key) != other.get(key)]
    if (document.get("parquet") is None) != (other.get("parquet") is None):
        reasons.append("one has Parquet files, and the other none")
    return reasons


def twin_of(published: Path) -> tuple[str, list[str]] | None:
    """(name of the newest other snapshot beside it with the same dataset_hash, why it was not enough)."""
    document = read_snapshot(published) or {}
    for folder in candidates(PublishPlace(published.parent)):
        other = read_snapshot(folder) or {}
        if folder != published and other.get("dataset_hash") == document.get("dataset_hash"):
            return folder.name, why_again(document, other)
    return None


def read_snapshot(folder: Path) -> dict[str, Any] | None:
    """snapshot.json of a directory; None if it is none of ours."""
    try:
        with (folder / SNAPSHOT_FILE).open("rb") as file:
            document = json.loads(file.read(_MAX_DOCUMENT))
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def candidates(place: PublishPlace) -> list[Path]:
    """The published snapshots that a new one could repeat."""
    if place.exact is not None:
        return [place.exact] if place.exact.is_dir() else []
    found = [p for p in place.folder.glob(f"{LINK}_*") if p.is_dir() and not p.is_symlink()]
    return sorted(found, key=lambda path: age_key(path.name), reverse=True)


def publish(workspace_path: Path, place: PublishPlace, now_ms: int) -> Path:
    """Give the finished directory its name; raises CollectordError where an exact name is taken."""
    # The folders stay writable by their owner: an old snapshot must go away with one `rm -r`.
    for file in workspace_path.rglob("*"):
        file.chmod(permitted(0o755 if file.is_dir() else 0o444))
    if place.exact is not None:
        try:
            publish_directory(workspace_path, place.exact)
        except FileExistsError:
            raise taken(place.exact) from None
        return place.exact
    return _publish_dated(workspace_path, place.folder, now_ms)


def taken(path: Path) -> CollectordError:
    """The sentence for a name that is in use."""
    return CollectordError(
        f"{path}: already exists and holds something else; nothing was written. "
        "Name a directory that does not exist, or remove that one"
    )


def _publish_dated(workspace_path: Path, folder: Path, now_ms: int) -> Path:
    for name in dated_names(LINK, now_ms):
        try:
            publish_directory(workspace_path, folder / name)
        except FileExistsError:
            continue
        return folder / name
    raise AssertionError("names are endless")


def dated_names(link: str, now_ms: int) -> Iterator[str]:
    """The names of a day, one after the other, for ever."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%d")
    yield f"{link}_{day}"
    number = 2
    while True:
        yield f"{link}_{day}.{number}"
        number += 1


def age_key(name: str) -> tuple[str, int]:
    """Sorts the names of `dated_names`, the oldest first."""
    date, _, number = name.partition(".")
    return date, int(number) if number.isdigit() else 1


def point_link(folder: Path, target: Path) -> Path | None:
    """Let `planner_dataset_v1` point to a snapshot; returns where a directory in its place was moved."""
    link = folder / LINK
    moved = None
    if os.path.lexists(link) and not link.is_symlink():
        moved = _move_aside(link)
    if not link.is_symlink() or link.readlink() != Path(target.name):
        replace_symlink(link, target.name)
    return moved


def _move_aside(link: Path) -> Path:
    """A dataset that something else made keeps its content and gets the dated name of its own day."""
    made_ms = int(link.stat().st_mtime * 1000)
    for name in dated_names(LINK, made_ms):
        target = link.with_name(name)
        if not os.path.lexists(target):
            link.rename(target)
            fsync_dir(link.parent)
            return target
    raise AssertionError("names are endless")


def published(connection: IndexConnection, benches: Path) -> list[dict[str, Any]]:
    """Every snapshot that the index remembers or that stands in the benches folder, the newest first.

    An export beside a daemon cannot note itself in the index: the directory is what counts.
    """
    known = {str(row["path"]): row for row in known_snapshots(connection)}
    for entry in list_snapshots(benches):
        path = Path(entry["path"])
        if entry["snapshot"] is not None and db_text(str(path.absolute())) not in known:
            with suppress(OSError, KeyError):
                record = asdict(record_of(path, entry["snapshot"]))
                known[record["path"]] = {**record, "options": ascii_json(record["options"])}
    return sorted(known.values(), key=lambda row: (row["published_ms"], row["path"]), reverse=True)


LATEST = "latest"


def list_snapshots(benches: Path) -> list[dict[str, Any]]:
    """Name, path and snapshot.json (None for a directory of something else), the newest name first."""
    latest = _latest(benches)
    return [
        {
            "name": folder.name,
            "path": str(folder),
            "latest": latest is not None and folder == latest,
            "snapshot": read_snapshot(folder),
        }
        for folder in (candidates(PublishPlace(benches)) if benches.is_dir() else [])
    ]


def find_snapshot(benches: Path, name: str) -> Path:
    """The directory of that name or path, or where the link leads; raises CollectordError where none is."""
    if name == LATEST:
        latest = _latest(benches)
        if latest is None:
            raise CollectordError(f"{benches / LINK}: leads to no dataset; `collectord export` publishes one")
        return latest
    for folder in (benches / name, Path(name)):
        if (folder / DATASET_FILE).is_file():
            return folder
    raise CollectordError(f"{name}: no dataset directory; `collectord snapshot list` names those there are")


def _latest(benches: Path) -> Path | None:
    link = benches / LINK
    if not (link / DATASET_FILE).is_file():
        return None
    return benches / link.readlink() if link.is_symlink() else link

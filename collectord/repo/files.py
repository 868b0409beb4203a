"""Files beside the archives: Beads, the event log, workcells, the universe registry. Regular ones only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from collectord.kernel.beads import dropped_edges, dropped_lines, issues_and_dropped, parse_deps
from collectord.kernel.events import WorkcellEnd, parse_end
from collectord.kernel.jsonio import JsonObject, Unparsable, is_encodable, parse_object
from collectord.kernel.universe import UNKNOWN, Universe, from_documents
from collectord.kernel.values import stamp_ms
from collectord.system.names import readable_name

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_regular(path: Path, *, follow: bool = False) -> BinaryIO:
    """The file opened for reading; raises OSError for anything that is not a regular file.

    With `follow` a link in the last place may lead to one.
    """
    file = os.fdopen(os.open(path, _OPEN & ~os.O_NOFOLLOW if follow else _OPEN), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file")
    return file


def stamp_of(path: Path) -> str:
    """What changes whenever the file is written or replaced; "" where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


BEADS_FILE = Path(".beads/issues.jsonl")
DEPS_FILE = Path(".beads/deps.jsonl")
MAX_BEADS_BYTES = 256 * 2**20


def read_beads(repo: Path) -> dict[str, JsonObject] | None:
    """Today's issues by id; None if there is no readable file. Nothing that is in it raises."""
    return read_beads_and_dropped(repo)[0]


def read_beads_and_dropped(repo: Path) -> tuple[dict[str, JsonObject] | None, tuple[int, ...]]:
    """What `read_beads` and `read_dropped` give, of one reading where the file is whole text."""
    try:
        with open_regular(repo / BEADS_FILE) as file:
            data = file.read(MAX_BEADS_BYTES + 1)
        if len(data) <= MAX_BEADS_BYTES:
            return issues_and_dropped(data.decode("utf-8"))
    except (OSError, UnicodeDecodeError):
        pass
    return None, read_dropped(repo)


def read_dropped(repo: Path) -> tuple[int, ...]:
    """Numbers of the lines of Beads that no kernel reads."""
    return dropped_lines(_text(repo / BEADS_FILE))


def read_dropped_edges(repo: Path) -> tuple[int, ...]:
    """Numbers of the lines of deps.jsonl that no kernel reads."""
    return dropped_edges(_text(repo / DEPS_FILE))


def _text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return file.read(MAX_BEADS_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def read_deps(repo: Path) -> tuple[tuple[str, str], ...]:
    """(blocker, blocked) issue ids of today; none if there is no readable file. Nothing in it raises."""
    try:
        with open_regular(repo / DEPS_FILE) as file:
            data = file.read(MAX_BEADS_BYTES + 1)
        return parse_deps(data.decode("utf-8")) if len(data) <= MAX_BEADS_BYTES else ()
    except (OSError, UnicodeDecodeError):
        return ()


EVENTS_FILE = Path(".cyntra/logs/events.jsonl")
MAX_LINE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a log was read: which file it was, and up to which byte."""

    stamp: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """A whole line: where it starts, where the next one does, and the workcell end in it, if any."""

    start: int
    after: int
    end: WorkcellEnd | None


@contextmanager
def appended(repo: Path, read: LogPosition) -> Iterator[tuple[str, Iterator[LogLine]]]:
    """The stamp of the log as it is, and its whole lines since `read`; from the start if it was replaced.

    Raises OSError where there is no readable log.
    """
    with open_regular(repo / EVENTS_FILE) as file:
        own = os.fstat(file.fileno())
        stamp = str(own.st_ino)
        replaced = stamp != read.stamp or own.st_size < read.position
        yield stamp, _whole_lines(file, 0 if replaced else read.position)


def _whole_lines(file: BinaryIO, position: int) -> Iterator[LogLine]:
    """Each line that is ended; one longer than the cap is passed over in pieces."""
    file.seek(position)
    while line := file.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
            return
        start, position = position, position + len(line)
        yield LogLine(start, position, parse_end(line))


WORKCELLS = Path(".workcells")
MARKER = ".workcell"
MAX_WORKCELLS = 10_000
_MAX_MARKER_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class InFlight:
    """A workcell that was not archived yet; `created_ms` None where nothing tells when it was dispatched."""

    name: str
    created_ms: int | None


def in_flight(repo: Path) -> list[InFlight]:
    """Every workcell with a marker, by name; none where there is no folder. Links are not followed."""
    return sorted(islice(_found(repo / WORKCELLS), MAX_WORKCELLS), key=lambda workcell: workcell.name)


def _found(folder: Path) -> Iterator[InFlight]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in names:
        marker = folder / name / MARKER
        if os.path.lexists(marker):
            yield InFlight(readable_name(name), _created_ms(marker, name))


def _created_ms(marker: Path, name: str) -> int | None:
    try:
        with open_regular(marker) as file:
            created = stamp_ms(parse_object(file.read(_MAX_MARKER_BYTES)).get("created"))
    except (OSError, Unparsable):
        created = None
    return stamp_ms(name) if created is None else created


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
    import yaml

    from collectord.kernel.policy.documents import refuse_depth

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

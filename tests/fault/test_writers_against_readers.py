"""Slow writers, rewrites and removals against the daemon's reading: what is indexed is what was written."""

from __future__ import annotations

import heapq
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_kernel import FakeKernel
from tests.support.fake_writing import Steps, write_file
from tests.support.index_state import differences, on_disk, reading, revisions, standing, states, troubles
from tests.support.steered import Steered

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SCHEDULES = REWRITES = REMOVALS = 500
ODD = {"kéy": 'Größe 🚀 \\ " \n', "number": -1.2345e300, "flag": True, "nothing": None, "list": [1, 2]}
ODD_TEXT = json.dumps({"odd": ODD}, ensure_ascii=False)[1:-1].encode()
# Where a JSON text can be torn: the bytes before the cut, found in the text above.
BOUNDARIES = {
    "nothing yet": b"",
    "in a key": b'"k',
    "in a character of two bytes": b'"k\xc3',
    "after a key": '"kéy"'.encode(),
    "after a colon": '"kéy": '.encode(),
    "in a string": '"kéy": "Gr'.encode(),
    "in a character of four bytes": b"\xf0\x9f",
    "in an escape": "🚀 \\".encode(),
    "in a number": b"-1.23",
    "in an exponent": b"-1.2345e",
    "in a literal": b'"flag": tr',
    "after a comma": b"true, ",
    "in an array": b"[1, ",
    "before the last brace": None,
    "before the final newline": None,
}
# Shorter and longer than both settle times; most of them short, as on a real kernel.
PAUSES, HOW_OFTEN = (0.0, 0.4, 1.0, 2.4, 5.0, 31.0, 75.0), (6, 6, 6, 6, 3, 1, 1)


@pytest.fixture
def steered(tmp_path: Path) -> Iterator[Steered]:
    steered = Steered(tmp_path)
    yield steered
    steered.close()


def torn(text: bytes, boundary: str) -> list[bytes]:
    """A text in two pieces, torn at that kind of place."""
    if boundary == "before the last brace":
        at = text.rindex(b"}")
    elif boundary == "before the final newline":
        at = len(text) - 1
    else:
        before = BOUNDARIES[boundary]
        assert before is not None
        at = text.index(before) + len(before) if before else 0
    return [piece for piece in (text[:at], text[at:]) if piece]


def documents(kernel: FakeKernel) -> dict[str, bytes]:
    """The files of a run, with everything in its JSON that can be torn."""
    files = kernel.files_of(kernel.next_run())
    return {
        name: _with_odd(text) if name.endswith((".json", ".workcell")) else text.encode()
        for name, text in files.items()
        if not name.startswith("logs/")
    }


def _with_odd(text: str) -> bytes:
    return b"{" + ODD_TEXT + b", " + text.encode().lstrip()[1:] + b"\n"


def slow_writer(folder: Path, files: dict[str, bytes], tears: Iterator[str]) -> Steps:
    folder.mkdir()
    (folder / "logs").mkdir()
    yield
    for name, text in files.items():
        pieces = torn(text, next(tears)) if ODD_TEXT in text else [text]
        yield from write_file(folder / name, pieces)


def endless_boundaries(dice: random.Random) -> Iterator[str]:
    while True:
        yield from dice.sample(list(BOUNDARIES), len(BOUNDARIES))


def test_500_slow_writers_torn_at_every_kind_of_boundary_end_in_the_right_state(
    steered: Steered, dice: random.Random, tmp_path: Path
) -> None:
    kernel, tears = FakeKernel(tmp_path / "kernel"), endless_boundaries(dice)
    written = {f"wc-{i}": documents(kernel) for i in range(SCHEDULES)}
    due: list[tuple[float, str, Steps]] = []
    for name, files in written.items():
        writer = slow_writer(steered.archives / name, files, tears)
        due.append((steered.mono + dice.uniform(0, 60), name, writer))
    heapq.heapify(due)
    while due:
        steered.passes(1.0, step=1.0)
        while due and due[0][0] <= steered.mono:
            _, name, writer = heapq.heappop(due)
            if next(writer, due) is not due:
                heapq.heappush(due, (steered.mono + dice.choices(PAUSES, HOW_OFTEN)[0], name, writer))
    steered.passes(4 * 32.0, step=4.0)
    assert differences(steered.index, steered.archives) == []
    assert set(states(steered.index).values()) == {"indexed"}
    assert troubles(steered.index) == []
    assert half_files(steered.index, written) == []
    assert steered.vanished == []


def half_files(index: Path, written: dict[str, dict[str, bytes]]) -> list[str]:
    """Files of whole revisions, also of superseded ones, that are not what was written in the end."""
    import zlib

    query = """
        SELECT a.name, f.name, b.data FROM archives a JOIN revisions r ON r.archive_id = a.id
        JOIN revision_files f ON f.revision_id = r.id JOIN artifacts b ON b.sha256 = f.sha256
        WHERE r.partial IS NULL
    """
    with reading(index) as connection:
        rows = connection.execute(query).fetchall()
    assert len(rows) >= 3 * SCHEDULES
    return [
        f"{name}/{file}"
        for name, file, data in rows
        if zlib.decompress(data).strip() != written[name][file].strip()
    ]


class Race:
    """Acts at the n-th system call of the reader: in the very moment before it."""

    CALLS = ("open", "read", "fstat", "scandir", "stat")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left, self._act = -1, lambda: None
        for call in self.CALLS:
            monkeypatch.setattr(os, call, self._wrapped(getattr(os, call)))

    def arm(self, at: int, act: Callable[[], None]) -> None:
        self._left, self._act = at, act

    def disarm(self) -> bool:
        """Whether it never came to it."""
        armed, self._left = self._left > 0, -1
        return armed

    def _wrapped(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self._left > 0:
                self._left -= 1
                if self._left == 0:
                    self._act()
            return plain(*args, **kwargs)

        return wrapped


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> Race:
    return Race(monkeypatch)


def land(steered: Steered, kernel: FakeKernel, name: str) -> Path:
    folder = steered.archives / name
    folder.mkdir()
    for file, text in documents(kernel).items():
        (folder / file).write_bytes(text)
    return folder


VERSION = '"version": {:06d}'


def rewrite(folder: Path, version: int) -> None:
    """Another version of both files over the old ones, of the same size and with the old mtimes."""
    _let_the_clock_of_the_file_system_tick(folder)
    for name in ("manifest.json", "proof.json"):
        place = folder / name
        own = place.stat()
        text = place.read_text()
        at = text.index('"version": ') if '"version": ' in text else -1
        mark = f'"version": {100000 + version}'
        text = text[:at] + mark + text[at + len(mark) :] if at >= 0 else "{" + mark + ", " + text[1:]
        with place.open("r+") as file:
            file.write(text)
        if at >= 0:
            assert place.stat().st_size == own.st_size
            os.utime(place, ns=(own.st_atime_ns, own.st_mtime_ns))


def _let_the_clock_of_the_file_system_tick(folder: Path) -> None:
    """Two changes within one tick of a coarse clock look alike; real ones are seconds apart by then."""
    probe = folder.parent.with_name("probe")
    newest = max(path.stat().st_ctime_ns for path in folder.iterdir())
    probe.touch()
    while probe.stat().st_ctime_ns <= newest:
        probe.touch()


def versions_of(index: Path, name: str) -> list[tuple[int, int]]:
    """(version of the manifest, of the proof) of every revision, oldest first."""
    import re
    import zlib

    found = []
    with reading(index) as connection:
        for _, files in revisions(index)[name]:
            query = "SELECT data FROM artifacts WHERE sha256 = ?"
            texts = [
                zlib.decompress(connection.execute(query, (files[file],)).fetchone()[0]).decode()
                for file in ("manifest.json", "proof.json")
            ]
            marks = [re.search(r'"version": (\d+)', text) for text in texts]
            found.append(tuple(int(mark[1]) if mark else 0 for mark in marks))
    return found  # type: ignore[return-value]


def with_proof(kernel: FakeKernel) -> dict[str, bytes]:
    while "proof.json" not in (files := documents(kernel)):
        pass
    return files


def test_500_rewrites_that_race_the_reader_and_hide_their_size_and_mtime_give_exact_revisions(
    steered: Steered, dice: random.Random, race: Race, tmp_path: Path
) -> None:
    kernel, version, raced = FakeKernel(tmp_path / "kernel"), 0, 0
    names = [f"wc-{i}" for i in range(10)]
    for name in names:
        folder = steered.archives / name
        folder.mkdir()
        for file, text in with_proof(kernel).items():
            (folder / file).write_bytes(text)
        rewrite(folder, 0)
    steered.passes(35)
    last = dict.fromkeys(names, 0)
    for number in range(REWRITES // 2):
        folder = steered.archives / names[number % len(names)]
        version += 2
        rewrite(folder, version - 1)
        steered.folder.intake.note([folder.name], steered.mono)
        race.arm(dice.randrange(1, 120), lambda f=folder, v=version: rewrite(f, v))  # type: ignore[misc]
        steered.passes(4)
        if race.disarm():
            rewrite(folder, version)
        else:
            raced += 1
        steered.folder.intake.note([folder.name], steered.mono)
        steered.passes(4)
        last[folder.name] = version
    assert differences(steered.index, steered.archives) == []
    for name in names:
        found = versions_of(steered.index, name)
        assert [pair for pair in found if pair[0] != pair[1]] == [], f"{name}: a mixture of two versions"
        told = [manifest for manifest, _ in found]
        assert told == sorted(set(told))
        assert told[-1] == 100000 + last[name]
    assert raced > REWRITES // 8
    assert troubles(steered.index) == []


def test_500_archives_removed_while_they_are_read_are_indexed_or_counted_and_crash_nothing(
    steered: Steered, dice: random.Random, race: Race, tmp_path: Path
) -> None:
    kernel, digests, raced = FakeKernel(tmp_path / "kernel"), {}, 0
    for number in range(REMOVALS):
        folder = land(steered, kernel, f"wc-{number}")
        digests[folder.name] = on_disk(steered.archives)[folder.name]
        steered.folder.intake.note([folder.name], steered.mono)
        steered.turn()
        race.arm(dice.randrange(1, 60), lambda f=folder: shutil.rmtree(f))  # type: ignore[misc]
        steered.passes(3)
        if race.disarm():
            shutil.rmtree(folder)
        else:
            raced += 1
        steered.passes(1)
    land(steered, kernel, "wc-last")
    steered.passes(35)
    indexed = standing(steered.index, gone=True)
    assert "wc-last" in indexed
    del indexed["wc-last"]
    assert sorted([*indexed, *steered.vanished]) == sorted(digests), "each is indexed or counted, once"
    assert {name: digests[name] for name in indexed} == indexed
    assert raced > REMOVALS // 4
    assert troubles(steered.index) == []
    assert '"level": "error"' not in steered.said.getvalue()

"""A disk that fails, fills up or loses power: what was said to be indexed is there, the rest comes later."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from collectord.intake.ingest import ingest as ingest_now
from tests.support import acking
from tests.support.archives import Maker
from tests.support.index_state import differences, on_disk, standing, states, troubles
from tests.support.shim import SYNC, TRUNCATE, Call, Shim, read_record
from tests.support.warm import Nursery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
BATCH = 2
FIRST, MORE = 2, 4
KILLED, EIO, ENOSPC = 0, errno.EIO, errno.ENOSPC


@dataclass
class Bench:
    """A repo whose state folder can be put back to how it was, and processes whose writes fail."""

    repo: Path
    saved: Path | None
    shim: Shim
    nursery: Nursery

    @property
    def index(self) -> Path:
        return self.shim.folder / "index.sqlite3"

    def put_back(self) -> None:
        shutil.rmtree(self.shim.folder, ignore_errors=True)
        if self.saved:
            shutil.copytree(self.saved, self.shim.folder)
        else:
            self.shim.folder.mkdir(parents=True)

    def ingest(self, **fault: int | bool | Path | None) -> tuple[int | None, set[str]]:
        """One ingest with that fault; its exit code and the archives that it said are indexed."""
        log = self.shim.scratch / "acknowledged"
        log.unlink(missing_ok=True)
        env = self.shim.env(**fault)  # type: ignore[arg-type]
        started = self.nursery.start([str(self.repo), str(BATCH)], env, log, main="tests.support.acking")
        code = started.wait()
        said = [line.split() for line in log.read_text().splitlines()]
        return code, {words[0] for words in said if len(words) == 2 and words[1] in ("indexed", "unchanged")}


@pytest.fixture
def bench(tmp_path: Path, shim_library: Path, failing_nursery: Nursery) -> Bench:
    """A repo with archives in the index and as many more that are not."""
    repo = tmp_path / "repo"
    maker = Maker(repo)
    maker.add(FIRST)
    folder = repo / ".cyntra/state/collectord"
    ingest_now(acking.settings_of(repo, BATCH))
    saved = Path(shutil.copytree(folder, tmp_path / "saved"))
    maker.add(MORE)
    return Bench(repo, saved, Shim(shim_library, folder, tmp_path), failing_nursery)


@pytest.fixture
def fresh(bench: Bench) -> Bench:
    """The same without any index."""
    bench.saved = None
    return bench


def faults_of(bench: Bench) -> int:
    """How many write calls one undisturbed ingest makes."""
    bench.put_back()
    code, said = bench.ingest()
    assert (code, len(said)) == (0, FIRST + MORE)
    return bench.shim.count()


def check(bench: Bench, said: set[str], where: str) -> None:
    """Nothing that was said is missing, nothing is half, and the next pass brings the rest."""
    archives = bench.repo / ".cyntra/archives"
    if said:
        assert troubles(bench.index) == [], where
        kept, disk = standing(bench.index), on_disk(archives)
        assert {name: kept.get(name) for name in said} == {name: disk[name] for name in said}, where
    ingest_now(acking.settings_of(bench.repo, BATCH))
    assert troubles(bench.index) == [], where
    assert differences(bench.index, archives) == [], where
    assert set(states(bench.index).values()) == {"indexed"}, where


@pytest.mark.parametrize(
    ("error", "sticky"),
    [(EIO, False), (ENOSPC, True), (KILLED, False)],
    ids=["EIO once", "ENOSPC from there on", "SIGKILL"],
)
def test_a_fault_at_any_write_of_an_ingest_acknowledges_nothing_that_is_not_there(
    bench: Bench, error: int, sticky: bool
) -> None:
    writes = faults_of(bench)
    assert writes > 20
    failed = 0
    for at in range(1, writes + 1):
        bench.put_back()
        code, said = bench.ingest(at=at, error=error, sticky=sticky)
        assert code == -9 if error == KILLED else code in (0, 1), f"write {at}"
        assert code != 0 or len(said) == FIRST + MORE, f"write {at}"
        failed += code != 0
        check(bench, said, f"write {at} of {writes}")
    assert failed > writes / 2


@pytest.mark.parametrize("error", [EIO, ENOSPC, KILLED], ids=["EIO", "ENOSPC", "SIGKILL"])
def test_a_fault_while_the_index_is_made_leaves_nothing_that_stops_the_next_pass(
    fresh: Bench, error: int, dice: random.Random
) -> None:
    writes = faults_of(fresh)
    for at in sorted(dice.sample(range(1, writes + 1), 8)):
        fresh.put_back()
        code, said = fresh.ingest(at=at, error=error)
        assert code != 0 or len(said) == FIRST + MORE
        check(fresh, said, f"write {at} of {writes}")


class Disk:
    """Files as a disk holds them: what was synced is there, of the rest whatever the power cut left."""

    def __init__(self, saved: Path) -> None:
        self.durable = {path.name: path.read_bytes() for path in saved.iterdir() if path.is_file()}
        self.pending: dict[str, list[Call]] = {}

    def take(self, call: Call) -> None:
        self.pending.setdefault(call.name, []).append(call)
        if call.op == SYNC:
            self.durable[call.name] = self._applied(call.name, self.pending.pop(call.name))

    def _applied(self, name: str, calls: list[Call]) -> bytes:
        data = bytearray(self.durable.get(name, b""))
        for call in calls:
            if call.op == TRUNCATE:
                del data[call.offset :]
                data.extend(bytes(call.offset - len(data)))
            elif call.op != SYNC:
                data.extend(bytes(max(0, call.offset - len(data))))
                data[call.offset : call.offset + len(call.data)] = call.data
        return bytes(data)

    def cut(self, folder: Path, dice: random.Random | None) -> None:
        """What is found after the power is back; with dice some of the writes that were not synced too."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in self.durable.keys() | self.pending.keys():
            calls = self.pending.get(name, [])
            kept = [call for call in calls if dice is not None and dice.random() < 0.5]
            if not name.endswith("-shm"):  # rebuilt from the log, whatever it holds
                (folder / name).write_bytes(self._applied(name, kept))


def cuts(calls: list[Call], dice: random.Random, count: int) -> Iterator[int]:
    """Places in a record: after every acknowledgement, and anywhere."""
    acknowledged = [i + 1 for i, call in enumerate(calls) if call.name == "acknowledged"]
    yield from dice.sample(acknowledged, min(count // 2, len(acknowledged)))
    yield from dice.sample(range(len(calls)), min(count // 2, len(calls)))


def test_what_was_acknowledged_survives_a_power_cut(
    bench: Bench, dice: random.Random, tmp_path: Path
) -> None:
    """The log of the acknowledgements lies in the recorded folder, so that it is a part of the order."""
    names = Maker(bench.repo, seed=7).add(60)
    bench.put_back()
    record = tmp_path / "record"
    log = bench.shim.folder / "acknowledged"
    env = bench.shim.env(record=record)
    started = bench.nursery.start([str(bench.repo), "1"], env, log, main="tests.support.acking")
    assert started.wait() == 0
    calls = list(read_record(record))
    said = [call for call in calls if call.name == "acknowledged" and b" indexed" in call.data]
    assert len(said) >= len(names)
    assert bench.saved is not None
    for torn in (None, dice):
        checked = 0
        for place in sorted(cuts(calls, dice, 100)):
            disk = Disk(bench.saved)
            acknowledged = set()
            for call in calls[:place]:
                if call.name == "acknowledged":
                    acknowledged |= {call.data.split()[0].decode()}
                else:
                    disk.take(call)
            disk.cut(tmp_path / "after", torn)
            index = tmp_path / "after/index.sqlite3"
            assert troubles(index) == [], place
            lost = acknowledged - standing(index).keys()
            assert not lost, f"{len(lost)} of {len(acknowledged)} lost by a power cut at call {place}"
            checked += 1
        assert checked == 100

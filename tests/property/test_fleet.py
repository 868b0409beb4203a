"""Whatever sources there are, pushed in whatever order: the hash that follows from their own exports."""

from __future__ import annotations

import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collectord.dataset.exporter import export
from collectord.dataset.row_plan import ExportOptions
from collectord.fleet.datasets import find
from collectord.fleet.options import FleetOptions
from collectord.fleet.push import push
from collectord.fleet.runners import Here
from collectord.fleet.verify import verify_fleet
from collectord.kernel.jsonio import canonical
from collectord.kernel.rows import split_of, split_of_issue
from tests.integration.test_fleet_export import Doubled, exported
from tests.support.examples import examples
from tests.support.fleets import made_source, settings_in
from tests.support.snapshots import read_rows

# The same runs are in several of them, as where a repo was copied.
PARTS = {
    "a": slice(0, 5),
    "b/x": slice(3, 9),
    "b/y": slice(3, 9),
    "c": slice(0, 1),
    "d": slice(20, 33),
    "e": slice(0, 0),
}


@cache
def made() -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """Indexed repos, and the rows that each one's own machine exports."""
    folder = Path(tempfile.mkdtemp(prefix="collectord-test-"))
    rows = {}
    for number, (name, part) in enumerate(PARTS.items()):
        source = made_source(folder / str(number), folder / "unused", name, part=part)
        done = export(source, ExportOptions(), epoch="all", out=folder / f"own{number}")
        assert done.path is not None
        rows[name] = read_rows(done.path)
    return folder, rows


def hash_by_hand(names: list[str], split_by: str) -> tuple[str, int]:
    """The hash as it is defined, from the rows of the sources' own datasets."""
    _, own = made()
    found = [(name, row) for name in names for row in own[name]]
    found.sort(key=lambda one: (one[1]["started_ms"], one[0], one[1]["run_id"]))
    digest = sha256()
    for rank, (name, row) in enumerate(found):
        split = split_of(rank, len(found))
        if split_by != "time":
            issue = row["planner_input"]["issue"].get("issue_id")
            split = split_of_issue(name if split_by == "source" else issue or row["run_id"])
        one = canonical({**row, "source": name, "split": split})
        digest.update(sha256(one.encode()).digest())
    return digest.hexdigest(), len(found)


@given(
    st.permutations(sorted(PARTS)),
    st.integers(1, len(PARTS)),
    st.sampled_from([1, 2, 5, 10_000]),
    st.sampled_from(["time", "issue", "source"]),
    st.booleans(),
)
@settings(max_examples=examples(24), deadline=None)
def test_a_fleet_is_what_its_sources_are(
    order: list[str], count: int, shard_rows: int, split_by: str, doubled: bool
) -> None:
    names = order[:count]
    folder, _ = made()
    wanted, rows = hash_by_hand(names, split_by)
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch, "store")
        for name in names:
            push(settings_in(folder / str(list(PARTS).index(name)), store, name))
        runner = Doubled() if doubled else Here()
        options = FleetOptions(split_by=split_by, shard_rows=shard_rows)
        done = exported(str(store), Path(scratch, "to"), options, runner)
        assert (done.document["dataset_hash"], done.document["example_count"]) == (wanted, rows)
        storage, name = find(done.url)
        assert verify_fleet(storage, name).findings == ()

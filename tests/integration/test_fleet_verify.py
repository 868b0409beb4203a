"""A dataset of a fleet is checked to the byte, made again from its pushes, and compared with another one."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from collectord.dataset.snapshot import sums_document
from collectord.fleet.compare import compare, read_side
from collectord.fleet.datasets import find
from collectord.fleet.documents import described
from collectord.fleet.options import FleetOptions
from collectord.fleet.push import push
from collectord.fleet.storage import Folder
from collectord.fleet.verify import verify_fleet
from tests.integration.test_fleet_export import exported
from tests.support.cli import Cli
from tests.support.fleets import made_source, one_more_run, pushed_source

OPTIONS = FleetOptions(shard_rows=9, jsonl=True)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`store` with two sources and `to` with their dataset; only to be copied."""
    folder = tmp_path_factory.mktemp("verify")
    pushed_source(folder / "a", folder / "store", "a/kernel", part=slice(0, 15))
    pushed_source(folder / "b", folder / "store", "b", "universe", part=slice(0, 40))
    exported(str(folder / "store"), folder / "to", OPTIONS)
    for name in ("a", "b"):
        shutil.rmtree(folder / name)
    return folder


@pytest.fixture
def place(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "fleet", symlinks=True))


def findings(place: Path, *, rebuild: bool = False) -> tuple[str, ...]:
    storage, name = find(str(place / "to"))
    return verify_fleet(storage, name, rebuild=Folder(place / "store") if rebuild else None).findings


def dataset(place: Path) -> Path:
    return (place / "to/planner_fleet_v1").resolve()


def with_new_sums(folder: Path) -> None:
    """Sums as a forger would make them again."""
    names = [p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS"]
    sums = {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in names}
    write(folder / "SHA256SUMS", sums_document(sums))


def forge(folder: Path) -> None:
    """Every document as an export would have written it for the rows that lie there now."""
    document = json.loads((folder / "fleet.json").read_bytes())
    data = [p for p in folder.rglob("*") if p.is_file() and p.name not in ("README.md", "croissant.json")]
    sums = {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in data}
    for name, written in described(document, {n: d for n, d in sums.items() if n != "SHA256SUMS"}).items():
        write(folder / name, written)
    with_new_sums(folder)


def write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("split_by", ["time", "issue", "source"])
def test_what_was_published_is_verified_and_made_again(place: Path, split_by: str) -> None:
    made = exported(
        str(place / "store"), place / "other", FleetOptions(split_by=split_by, shard_rows=9, jsonl=True)
    )
    storage, name = find(made.url)
    found = verify_fleet(storage, name, rebuild=Folder(place / "store"))
    assert found.findings == ()
    assert (found.rows, found.dataset_hash) == (made.document["example_count"], made.document["dataset_hash"])
    assert found.checked == ("sums", "documents", "rows and hash", "rebuild")
    assert verify_fleet(storage, name, fast=True).findings == ()


def _flip(folder: Path) -> None:
    path = next(folder.glob("data/train-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    write(path, bytes(data))


def _remove(folder: Path) -> None:
    next(folder.glob("data/test-*")).unlink()


def _add(folder: Path) -> None:
    (folder / "data/more.parquet").write_bytes(b"x")


def _card(folder: Path) -> None:
    write(folder / "README.md", (folder / "README.md").read_bytes() + b"more")
    with_new_sums(folder)


def _no_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


def _document(folder: Path) -> None:
    write(folder / "fleet.json", b"[]")
    with_new_sums(folder)


def _rewrite(folder: Path, column: str, value: Callable[[object], object]) -> None:
    """One value of one row is another one, and all else fits."""
    path = next(folder.glob("data/train-00000-*"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[1][column] = value(rows[1][column])
    write(path, b"")
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    forge(folder)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_flip, "other bytes"),
        (_remove, "missing"),
        (_add, "not part of"),
        (_card, "does not say"),
        (_no_sums, "SHA256SUMS"),
        (_document, "fleet.json"),
        (lambda folder: _rewrite(folder, "label_swarm_id", lambda _old: "another"), "dataset_hash"),
        (lambda folder: _rewrite(folder, "issue_title", lambda _old: "another"), "issue_title"),
        (lambda folder: _rewrite(folder, "split", lambda _old: "test"), "split"),
        (lambda folder: _rewrite(folder, "started_ms", lambda _old: 5), "out of order"),
        (lambda folder: _rewrite(folder, "run_id", lambda old: f"{old}x"), "JSON lines"),
        (lambda folder: _rewrite(folder, "planner_input_json", lambda _old: "{"), "cannot be read"),
    ],
)
def test_whatever_is_changed_is_found(place: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(dataset(place))
    found = findings(place)
    assert any(said in finding for finding in found), found


def test_an_outcome_that_was_changed_under_new_sums_is_found_by_making_it_again(place: Path) -> None:
    _rewrite(dataset(place), "model", lambda _old: "another")
    assert findings(place) == ()
    found = findings(place, rebuild=True)
    assert any("columns of row" in finding for finding in found), found


def test_a_push_that_is_gone_or_another_one_is_told(place: Path) -> None:
    [manifest] = (place / "store/sources/b").glob("0*.json")
    manifest.unlink()
    assert any("cannot be had" in finding for finding in findings(place, rebuild=True))


def test_an_index_whose_kept_row_was_altered_gives_rows_that_a_rebuild_refutes(tmp_path: Path) -> None:
    settings = made_source(tmp_path / "a", tmp_path / "store", "a", part=slice(0, 6))
    with closing(sqlite3.connect(settings.index_path)) as connection, connection:
        [(key, data)] = connection.execute("SELECT key, data FROM kept_rows LIMIT 1").fetchall()
        text = zlib.decompress(data).replace(b"executed_plan", b"executed_plum")
        connection.execute("UPDATE kept_rows SET data = ? WHERE key = ?", (zlib.compress(text), key))
    push(settings)
    made = exported(str(tmp_path / "store"), tmp_path / "to")
    storage, name = find(made.url)
    found = verify_fleet(storage, name, rebuild=Folder(tmp_path / "store")).findings
    assert found != ()


def test_two_datasets_are_compared_by_source_and_row(tmp_path: Path) -> None:
    store = tmp_path / "store"
    settings = made_source(tmp_path / "a", store, "a", part=slice(0, 8))
    push(settings)
    pushed_source(tmp_path / "b", store, "b", part=slice(8, 20))
    first = exported(str(store), tmp_path / "to")
    one_more_run(settings)
    push(settings)
    pushed_source(tmp_path / "c", store, "c", part=slice(20, 24))
    second = exported(str(store), tmp_path / "to")
    found = compare(read_side(*find(first.url)), read_side(*find(second.url)))
    assert not found["same"]
    assert {name: one["pushes"] for name, one in found["sources"].items()} == {"a": [1, 2], "c": [None, 1]}
    assert len(found["added"]) == found["rows"][1] - found["rows"][0]
    assert (found["removed"], found["flips"]) == ([], [])
    same = compare(read_side(*find(first.url)), read_side(*find(first.url)))
    assert (same["same"], same["sources"], same["shifts"]) == (True, {}, {})


def test_the_commands_say_what_they_found(place: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path / "none", tmp_path)
    url = str(place / "store")
    done = cli("fleet", "verify", str(place / "to"), "--rebuild", "--url", url, repo=False)
    assert (done.returncode, "verified (sums, documents, rows and hash, rebuild)" in done.stdout) == (0, True)
    made = json.loads(
        cli(
            "fleet", "export", "--url", url, "--to", "to2", "--all", "--workers", "0", "--json", repo=False
        ).stdout
    )
    assert made["url"].startswith(str(tmp_path / "to2"))
    compared = cli("fleet", "diff", made["url"], str(place / "to"), "--exit-code", repo=False)
    assert (compared.returncode, "the same rows" in compared.stdout) == (0, True)
    _flip(dataset(place))
    refused = cli("fleet", "verify", str(place / "to"), "--json", repo=False)
    assert (refused.returncode, json.loads(refused.stdout)["verified"]) == (3, False)
    nothing = cli("fleet", "verify", str(tmp_path), repo=False)
    assert (nothing.returncode, "no dataset" in nothing.stderr) == (1, True)


def test_the_audit_has_all_rows_and_those_of_each_source(place: Path, tmp_path: Path) -> None:
    cli = Cli(tmp_path / "none", tmp_path)
    done = cli("fleet", "audit", str(place / "to"), "--json", "--html", "page.html", repo=False)
    document = json.loads(done.stdout)
    sizes = {name: one["runs"] for name, one in document["by_source"].items()}
    assert set(sizes) == {"a/kernel", "b"}
    assert document["whole"]["runs"] == sum(sizes.values()) == len(find_rows(place))
    lanes = document["whole"]["lanes"]["lanes"]
    assert sum(lane["runs"] for lane in lanes) + document["whole"]["lanes"]["other"] == sum(sizes.values())
    outcomes = document["whole"]["outcomes"]["overall"]
    statuses = [row["outcome_status"] for row in find_rows(place)]
    assert (outcomes["success"], outcomes["failed"]) == (statuses.count("success"), statuses.count("failed"))
    page = (tmp_path / "page.html").read_text()
    assert "<details><summary>a/kernel</summary>" in page
    assert "<script" not in page
    said = cli("fleet", "audit", str(place / "to"), "--source", "b", repo=False).stdout
    assert said.splitlines()[1].split("\t")[0] == "all"
    assert "Label consistency" in said
    assert cli("fleet", "audit", str(place / "to"), "--source", "x", repo=False).returncode == 2


def find_rows(place: Path) -> list[dict[str, object]]:
    return [row for path in dataset(place).glob("data/*") for row in pq.read_table(path).to_pylist()]


def test_lines_of_a_part_are_those_of_its_table(place: Path) -> None:
    for path in sorted(dataset(place).glob("dataset/*")):
        text = zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read().decode()
        rows = pq.read_table(dataset(place) / "data" / path.name.replace(".jsonl.zst", ".parquet"))
        assert [json.loads(line)["run_id"] for line in text.splitlines()] == rows["run_id"].to_pylist()

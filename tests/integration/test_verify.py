"""verify finds what is not what it was, and --rebuild what hides behind recomputed sums."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.columns import ROW_COLUMNS, RUN_COLUMNS
from collectord.dataset.documents import described
from collectord.dataset.exporter import export
from collectord.dataset.parquet import ParquetFile, read_parquet
from collectord.dataset.row_plan import BUILDER, BY_ISSUE, BY_TIME, ExportOptions, Tally, label_values
from collectord.dataset.snapshot import Provenance
from collectord.dataset.verify import verify
from collectord.errors import CollectordError
from collectord.intake.ingest import ingest
from collectord.kernel.jsonio import canonical
from tests.conftest import unpack
from tests.support.export_histories import small_pieces
from tests.support.snapshots import export_with, file_names, read_document, settings_of

FILES = [
    "README.md",
    "SHA256SUMS",
    "croissant.json",
    "data/test-00000-of-00001.parquet",
    "data/train-00000-of-00001.parquet",
    "data/validation-00000-of-00001.parquet",
    "dataset.jsonl",
    "drift.json",
    "environment.json",
    "meta.json",
    "rejects.jsonl",
    "runs.jsonl",
    "runs.parquet",
    "schema.json",
    "snapshot.json",
]
PROVENANCE = Provenance(
    {"number": 2, "ended_ms": 5, "cut": {"why": "routing"}},
    {"fingerprint": "f" * 64, "digests": {"routing": "a" * 64}, "components": {"routing": {"rules": []}}},
    ({"component": "routing", "words": "a rule changed"},),
)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_of(unpack("awkward", tmp_path_factory.mktemp("kernel") / "repo"))
    ingest(settings)
    return settings


@pytest.fixture(scope="module")
def published(kernel: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot with every file that there can be; only to be copied."""
    out = tmp_path_factory.mktemp("published") / "snapshot"
    return export_with(kernel, out, ExportOptions(), PROVENANCE)


@pytest.fixture
def snapshot(published: Path, tmp_path: Path) -> Path:
    """A snapshot that may be harmed."""
    return _writable_copy(published, tmp_path / "snapshot")


def _writable_copy(folder: Path, copy: Path) -> Path:
    shutil.copytree(folder, copy)
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def _findings(folder: Path, **how: bool) -> tuple[str, ...]:
    return verify(None, folder, **how).findings


def test_an_untouched_snapshot_verifies_also_from_the_index(kernel: Settings, snapshot: Path) -> None:
    assert file_names(snapshot) == set(FILES)
    assert _findings(snapshot) == ()
    assert _findings(snapshot, fast=True) == ()
    verified = verify(kernel, snapshot)
    assert verified.findings == ()
    assert verified.checked == ("sums", "documents", "rows and hash", "Parquet", "rebuild")
    assert verified.skipped == ()


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_found_in_every_file(snapshot: Path, name: str) -> None:
    data = (snapshot / name).read_bytes()
    for where in (0.0, 0.3, 0.7, 0.999):
        harmed = bytearray(data)
        harmed[int(where * len(harmed))] ^= 0x01
        (snapshot / name).write_bytes(harmed)
        assert any(name in finding for finding in _findings(snapshot, fast=True))
    assert any(name in finding for finding in _findings(snapshot))
    (snapshot / name).write_bytes(data)
    assert _findings(snapshot, fast=True) == ()


@pytest.mark.parametrize("name", [name for name in FILES if name != "dataset.jsonl"])
def test_a_missing_file_is_found(snapshot: Path, name: str) -> None:
    (snapshot / name).unlink()
    assert any(name in finding for finding in _findings(snapshot))
    _write_sums(snapshot)
    if name != "SHA256SUMS":
        assert any(name in finding for finding in _findings(snapshot, fast=True)), (
            "with its sum taken out too"
        )


def test_a_directory_without_rows_is_none(snapshot: Path) -> None:
    (snapshot / "dataset.jsonl").unlink()
    with pytest.raises(CollectordError, match=r"there is no dataset\.jsonl in it"):
        verify(None, snapshot)


@pytest.mark.parametrize("name", ["extra.txt", "data/extra.parquet", ".hidden"])
def test_an_added_file_is_found(snapshot: Path, name: str) -> None:
    (snapshot / name).write_text("x")
    assert any(name in finding for finding in _findings(snapshot))
    _write_sums(snapshot)
    assert any(name in finding for finding in _findings(snapshot, fast=True)), "with a sum of its own too"


def test_a_link_in_place_of_a_file_is_found(snapshot: Path, tmp_path: Path) -> None:
    shutil.move(snapshot / "meta.json", tmp_path / "meta.json")
    (snapshot / "meta.json").symlink_to(tmp_path / "meta.json")
    assert any("meta.json" in finding for finding in _findings(snapshot))


def _write_sums(snapshot: Path) -> None:
    sums = {n: sha256((snapshot / n).read_bytes()).hexdigest() for n in file_names(snapshot) - {"SHA256SUMS"}}
    (snapshot / "SHA256SUMS").write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def _forge(snapshot: Path, change: Callable[[list[Any]], None], *, thorough: bool = False) -> None:
    """Change rows and recompute sums and hash, as a forger would; a thorough one all that tells of them."""
    rows = [json.loads(line) for line in (snapshot / "dataset.jsonl").read_text().splitlines()]
    change(rows)
    lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    (snapshot / "dataset.jsonl").write_text(lines)
    digest = sha256("".join(canonical(row) + "\n" for row in rows).encode()).hexdigest()
    for name in ("meta.json", "snapshot.json"):
        _write_json(snapshot / name, {**read_document(snapshot / name), "dataset_hash": digest})
    if thorough:
        _rewrite_what_tells_of_rows(snapshot, rows)
    _write_sums(snapshot)


def _rewrite_what_tells_of_rows(snapshot: Path, rows: list[Any]) -> None:
    for path in (snapshot / "data").iterdir():
        _rewrite_table(path, {row["run_id"]: row["label_action"]["budgets"] for row in rows})
    tally = Tally()
    for row in rows:
        tally.add(row["split"], label_values(row["label_action"]), None)
    document = read_document(snapshot / "snapshot.json")
    outcomes = document["distributions"]["outcome_status"]
    document["distributions"] = {**tally.as_json(), "outcome_status": outcomes}
    _write_json(snapshot / "snapshot.json", document)
    _write_described(snapshot, (rows[0]["started_ms"], rows[-1]["started_ms"]))


def _rewrite_table(path: Path, budgets: dict[str, Any]) -> None:
    records = list(read_parquet(path, ROW_COLUMNS))
    with ParquetFile(path, ROW_COLUMNS) as file:
        for record in records:
            minutes = str(budgets[record["run_id"]]["max_minutes_bin"])
            file.add(list({**record, "label_max_minutes_bin": minutes}.values()))


def _write_described(snapshot: Path, span_ms: tuple[int, int]) -> None:
    names = file_names(snapshot) - {"SHA256SUMS", "README.md", "croissant.json"}
    sums = {name: sha256((snapshot / name).read_bytes()).hexdigest() for name in names}
    for name, data in described(read_document(snapshot / "snapshot.json"), sums, span_ms).items():
        (snapshot / name).write_bytes(data)


def test_swapped_rows_are_found_by_their_order(snapshot: Path) -> None:
    def swap(rows: list[Any]) -> None:
        rows[3], rows[40] = rows[40], rows[3]

    _forge(snapshot, swap)
    assert any("out of order" in finding for finding in _findings(snapshot))


def _edit_label(rows: list[Any]) -> None:
    assert rows[5]["label_action"]["budgets"]["max_minutes_bin"] != 120
    rows[5]["label_action"]["budgets"]["max_minutes_bin"] = 120


def test_an_edited_label_with_recomputed_sums_does_not_fit_the_other_files(snapshot: Path) -> None:
    _forge(snapshot, _edit_label)
    found = " ".join(_findings(snapshot))
    assert "croissant.json: has another sum of dataset.jsonl" in found
    assert "the distribution of max_minutes_bin is not that of the rows" in found


def test_an_edited_label_in_every_file_is_found_by_the_rebuild_alone(
    kernel: Settings, snapshot: Path
) -> None:
    _forge(snapshot, _edit_label, thorough=True)
    assert _findings(snapshot) == ()
    findings = verify(kernel, snapshot).findings
    assert len(findings) == 1
    assert "dataset.jsonl:6: rebuilt otherwise: /label_action/budgets/max_minutes_bin is 120" in findings[0]


@pytest.mark.parametrize(
    ("name", "columns", "column"),
    [
        ("data/train-00000-of-00001.parquet", ROW_COLUMNS, "outcome_status"),
        ("runs.parquet", RUN_COLUMNS, "status"),
    ],
)
def test_an_edited_outcome_with_recomputed_sums_is_found_by_the_rebuild(
    kernel: Settings, snapshot: Path, name: str, columns: Any, column: str
) -> None:
    records = list(read_parquet(snapshot / name, columns))
    with ParquetFile(snapshot / name, columns) as file:
        for number, record in enumerate(records):
            file.add(list({**record, **({column: "timeout"} if number == 2 else {})}.values()))
    rows = [json.loads(line) for line in (snapshot / "dataset.jsonl").read_text().splitlines()]
    _write_described(snapshot, (rows[0]["started_ms"], rows[-1]["started_ms"]))
    _write_sums(snapshot)
    assert _findings(snapshot) == ()
    (finding,) = verify(kernel, snapshot).findings
    assert name in finding
    assert column in finding


@pytest.mark.parametrize("column", ["label_swarm_id", "tokens", "planner_input_json", "split"])
def test_a_parquet_row_that_says_something_else_than_its_row_is_found(snapshot: Path, column: str) -> None:
    path = snapshot / "data/test-00000-of-00001.parquet"
    records = list(read_parquet(path, ROW_COLUMNS))
    records[4][column] = ["x"] if column == "tokens" else "x"
    with ParquetFile(path, ROW_COLUMNS) as file:
        for record in records:
            file.add(list(record.values()))
    rows = [json.loads(line) for line in (snapshot / "dataset.jsonl").read_text().splitlines()]
    _write_described(snapshot, (rows[0]["started_ms"], rows[-1]["started_ms"]))
    _write_sums(snapshot)
    (finding,) = _findings(snapshot)
    assert finding.startswith(f"data/test-00000-of-00001.parquet: {column} not as in dataset.jsonl:")


@pytest.mark.parametrize("split_by", [BY_TIME, BY_ISSUE])
def test_each_of_several_files_of_a_split_is_held_against_its_rows(
    kernel: Settings, tmp_path: Path, split_by: str
) -> None:
    with small_pieces():
        out = export_with(kernel, tmp_path / "out", ExportOptions(split_by=split_by), PROVENANCE)
    files = sorted(path.name for path in (out / "data").glob("train-*"))
    assert files[-1] == f"train-{len(files) - 1:05d}-of-{len(files):05d}.parquet"
    assert len(files) > 2
    assert verify(kernel, out).findings == ()
    snapshot = _writable_copy(out, tmp_path / "snapshot")
    first, second = (snapshot / "data" / name for name in files[:2])
    first.rename(snapshot / "aside")
    second.rename(first)
    (snapshot / "aside").rename(second)
    rows = [json.loads(line) for line in (snapshot / "dataset.jsonl").read_text().splitlines()]
    _write_described(snapshot, (rows[0]["started_ms"], rows[-1]["started_ms"]))
    _write_sums(snapshot)
    findings = _findings(snapshot)
    assert any(finding.startswith(f"data/{files[0]}: ") for finding in findings)
    assert any(finding.startswith(f"data/{files[1]}: ") for finding in findings)
    assert not any(finding.startswith(f"data/{files[2]}: ") for finding in findings)


@pytest.mark.parametrize("name", ["README.md", "snapshot.json", "rejects.jsonl", "environment.json"])
def test_an_edited_document_with_recomputed_sums_is_found(
    kernel: Settings, snapshot: Path, name: str
) -> None:
    text = (snapshot / name).read_text()
    before, after = {
        "README.md": ("serial_handoff", "serial_handover"),
        "snapshot.json": ('"left_out": {', '"left_out": {\n    "other": 1,'),
        "rejects.jsonl": ("no_executed_plan", "no_plan"),
        "environment.json": ("routing", "ruoting"),
    }[name]
    assert before in text
    (snapshot / name).write_text(text.replace(before, after, 1))
    _write_sums(snapshot)
    assert _findings(snapshot)


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"files": 1}', '{"files": ["a"], "distributions": 1, "parquet": {}, "options": []}'],
)
def test_a_snapshot_document_that_is_none_is_a_finding_and_not_a_crash(
    kernel: Settings, snapshot: Path, document: str
) -> None:
    (snapshot / "snapshot.json").write_text(document)
    (snapshot / "schema.json").write_text('{"properties": 5, "type": "nothing"}')
    _write_sums(snapshot)
    assert _findings(snapshot)
    assert verify(kernel, snapshot).findings


@pytest.mark.parametrize("line", ["{}", "5", "[" * 100_000, '{"split": []}', "\xff"])
def test_a_row_that_is_none_is_a_finding_and_not_a_crash(snapshot: Path, line: str) -> None:
    with (snapshot / "dataset.jsonl").open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    _write_sums(snapshot)
    assert any(finding.startswith("dataset.jsonl:94: ") for finding in _findings(snapshot))


def test_a_row_that_breaks_only_the_schema_beside_it_is_found(snapshot: Path) -> None:
    schema = read_document(snapshot / "schema.json")
    schema["properties"]["run_id"]["pattern"] = "^never$"
    _write_json(snapshot / "schema.json", schema)
    assert any("/run_id does not match ^never$" in finding for finding in _findings(snapshot))


def test_without_pyarrow_it_says_that_parquet_was_not_read(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    verified = verify(None, snapshot)
    assert verified.findings == ()
    assert "Parquet" not in verified.checked
    assert "not installed" in verified.skipped[0]


def test_a_snapshot_from_before_these_files_existed_verifies_also_from_the_index(
    tmp_path: Path, settings_for: Any
) -> None:
    with tarfile.open(Path(__file__).parent / "data/snapshot-of-0.1.tar.gz") as tar:
        tar.extractall(tmp_path, filter="tar")
    settings = settings_for(unpack("universe", tmp_path / "repo"))
    ingest(settings)
    verified = verify(settings, tmp_path / "snapshot")
    assert verified.findings == ()
    assert verified.checked == ("sums", "documents", "rows and hash", "rebuild")
    (tmp_path / "snapshot/runs.jsonl").chmod(0o644)
    (tmp_path / "snapshot/runs.jsonl").unlink()
    assert _findings(tmp_path / "snapshot", fast=True)


@pytest.mark.parametrize("options", [ExportOptions(), ExportOptions(n_similar=3), ExportOptions(BUILDER)])
def test_an_old_snapshot_is_rebuilt_from_an_index_that_has_grown(
    settings_for: Any, tmp_path: Path, options: ExportOptions
) -> None:
    repo = unpack("kernel-run", tmp_path / "repo")
    late = sorted((repo / ".cyntra/archives").iterdir())[::4]
    for archive in late:
        shutil.move(archive, tmp_path / archive.name)
    settings = settings_for(repo)
    ingest(settings)
    export(settings, options, out=tmp_path / "old")
    for archive in late:
        shutil.move(tmp_path / archive.name, archive)
    proof = next((repo / ".cyntra/archives").glob("*/proof.json"))
    proof.write_text(proof.read_text().replace('"success"', '"failed"'))
    ingest(settings)
    assert export(settings, options, dry_run=True).meta["example_count"] == 66
    assert verify(settings, tmp_path / "old").findings == ()

"""Whatever stands in the archives folder gets its outcome, its neighbours are indexed, nothing escapes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collectord.config import Settings, load
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.dataset.verify import verify
from collectord.index.opening import reader_for
from collectord.intake.ingest import ingest
from collectord.repair.check import check
from tests.conftest import unpack
from tests.support.examples import examples

CANARY = "canary-4f1c9a"
NEIGHBOURS = 3
MANIFEST: dict[str, Any] = {
    "schema_version": "1.0.0",
    "workcell_id": "wc-evil",
    "job_type": "code",
    "issue": {"id": "1", "title": "t", "tags": ["area:cache"]},
    "planner": {"executed_plan": {"swarm_id_executed": "serial_handoff", "timeout_seconds_executed": 3600}},
}
PROOF: dict[str, Any] = {
    "workcell_id": "wc-evil",
    "status": "success",
    "verification": {"gates": {}, "all_passed": True},
    "metadata": {"started_at": "2025-12-10T08:01:00Z", "duration_ms": 5},
}


def _settings(repo: Path) -> Settings:
    overrides = {"settle.min_age": 0}
    return load(repo=repo, config=None, overrides=overrides, environ={"HOME": "/nonexistent"}, cwd=repo)


@cache
def _template() -> tempfile.TemporaryDirectory[str]:
    """A repo with a few good archives, and a canary outside of it; only to be copied."""
    folder = tempfile.TemporaryDirectory()
    base = Path(folder.name)
    archives = unpack("universe", base / "repo") / ".cyntra/archives"
    for entry in sorted(archives.iterdir()):
        if entry.name not in ("wc-e001", "wc-e058", "wc-e074"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (base / "outside").mkdir()
    for name in ("manifest.json", "proof.json"):
        secret = {**MANIFEST, "issue": {"id": CANARY, "tags": [CANARY]}, "workcell_id": CANARY}
        (base / "outside" / name).write_text(json.dumps(secret))
    return folder


@contextmanager
def _repo() -> Iterator[Path]:
    """A copy of the template, with its times."""
    with tempfile.TemporaryDirectory() as folder:
        base = shutil.copytree(_template().name, Path(folder, "base"), symlinks=True)
        yield base / "repo"


def _evil(repo: Path, **files: str | bytes) -> Path:
    folder = repo / ".cyntra/archives/wc-evil"
    folder.mkdir()
    for name, data in files.items():
        path = folder / f"{name}.json"
        path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    return folder


def _check(repo: Path) -> tuple[str, str | None, dict[str, Any]]:
    """Ingest twice, export and verify both profiles; the outcome of the evil one and the neighbours."""
    settings = _settings(repo)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    ingest(settings)
    ingest(settings)
    documents = {}
    for options in (ExportOptions(DISPATCH), ExportOptions(DISPATCH, 4), ExportOptions(BUILDER)):
        out = repo.parent / f"out-{options.profile}-{options.n_similar}"
        exported = export(settings, options, out=out)
        assert verify(settings, out).findings == ()
        data = (out / "dataset.jsonl").read_bytes()
        assert CANARY.encode() not in data
        if options.profile == DISPATCH:
            assert b"NaN" not in data
            assert b"Infinity" not in data
            assert len(data.decode("utf-8").splitlines()) == exported.meta["example_count"]
        documents[f"{options.profile}-{options.n_similar}"] = exported.document
    with reader_for(settings) as reader:
        known = {k.name: k for k in reader.known() if k.kind == "archive"}
        for run in reader.runs():
            assert CANARY not in run.summary
    with closing(sqlite3.connect(settings.index_path)) as connection:
        for (data,) in connection.execute("SELECT data FROM artifacts"):
            assert CANARY.encode() not in zlib.decompress(data)
        assert not any(CANARY in line for line in connection.iterdump())
    indexed = [name for name in ("wc-e001", "wc-e058", "wc-e074") if known[name].state == "indexed"]
    assert len(indexed) == NEIGHBOURS
    assert check(settings).findings == []
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after <= before
    evil = [k for name, k in known.items() if name not in ("wc-e001", "wc-e058", "wc-e074")]
    assert len(evil) == 1
    return evil[0].state, evil[0].reason, documents


def _with(**members: Any) -> str:
    return json.dumps({**MANIFEST, **members})


def _planned(raw: str) -> str:
    """A manifest whose recorded planner_input holds raw JSON text."""
    recorded = '{"schema_version": "cyntra.planner_input.v1", "created_at": "2025-12-10T08:00:00Z", '
    recorded += f'"issue": {{"issue_id": "1", "tags": [], "title": {raw}}}, '
    recorded += '"action_space": {"swarm_ids": ["serial_handoff"]}}'
    text = json.dumps({**MANIFEST, "planner": {**MANIFEST["planner"], "planner_input": "@"}})
    return text.replace('"@"', recorded)


CONTENTS: dict[str, tuple[dict[str, str | bytes], str]] = {
    "NaN in the recorded input": ({"manifest": _planned("NaN"), "proof": json.dumps(PROOF)}, "indexed"),
    "infinite cost": ({"manifest": _with(), "proof": '{"metadata": {"cost_usd": Infinity}}'}, "indexed"),
    "NaN duration": ({"manifest": _with(), "proof": '{"metadata": {"duration_ms": NaN}}'}, "indexed"),
    "duplicate keys": ({"manifest": '{"a": 1, "a": 2, ' + _with()[1:]}, "indexed"),
    "an integer of 2^63": (
        {"manifest": _with(), "proof": '{"metadata": {"tokens_used": 9223372036854775808}}'},
        "indexed",
    ),
    "an integer of 10^400": (
        {
            "manifest": _with(),
            "proof": '{"metadata": {"cost_usd": 1' + "0" * 400 + ', "duration_ms": 1' + "0" * 400 + "}}",
        },
        "indexed",
    ),
    "a plan of 10^400 seconds": (
        {"manifest": _with().replace("3600", "1" + "0" * 400), "proof": json.dumps(PROOF)},
        "indexed",
    ),
    "an integer of 5000 digits": ({"manifest": '{"a": ' + "9" * 5000 + "}"}, "partial"),
    "a lone surrogate in a tag": ({"manifest": _with(issue={"id": "1", "tags": ["\ud800"]})}, "indexed"),
    "a lone surrogate in the run id": ({"manifest": _with(workcell_id="wc-\udcff")}, "indexed"),
    "a lone surrogate in the recorded input": ({"manifest": _planned('"\\ud83d"')}, "indexed"),
    "a NUL in names": (
        {"manifest": _with(workcell_id="a\0b", issue={"id": "\0", "tags": ["\0"]})},
        "indexed",
    ),
    "line separators": ({"manifest": _planned('"\\u2028 \\u2029 \\u0085"')}, "indexed"),
    "depth beyond the limit": ({"manifest": '{"a":' * 100_000}, "partial"),
    "closed depth beyond the limit": ({"manifest": '{"a":' * 50_000 + "1" + "}" * 50_000}, "partial"),
    "megabytes in one string": ({"manifest": _with(issue={"id": "x" * 4_000_000})}, "indexed"),
    "a file over the cap": ({"manifest": _with(issue={"id": "x" * 20_000_000})}, "quarantined"),
    "a byte order mark": ({"manifest": b"\xef\xbb\xbf" + _with().encode()}, "partial"),
    "UTF-16": ({"manifest": _with().encode("utf-16")}, "partial"),
    "bytes that are not UTF-8": ({"manifest": b'{"a": "\xff"}'}, "partial"),
    "an empty file": ({"manifest": b"", "proof": json.dumps(PROOF)}, "partial"),
    "an array": ({"manifest": "[1, 2]"}, "partial"),
    "no core file": ({}, "partial"),
    "a torn file": ({"manifest": _with()[:40]}, "partial"),
    "a time beyond the calendar": (
        {"manifest": _with(), "proof": '{"metadata": {"started_at": "0001-01-01T00:00:00+23:59"}}'},
        "indexed",
    ),
    "a job type that is a list": ({"manifest": _with(job_type=[1, {"a": None}])}, "indexed"),
    "a fab-world with odd ids": (
        {"manifest": _with(job_type="fab-world"), "proof": json.dumps(PROOF)},
        "indexed",
    ),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_hostile_content_gets_its_outcome(kind: str) -> None:
    files, expected = CONTENTS[kind]
    with _repo() as repo:
        _evil(repo, **files)
        state, reason, _ = _check(repo)
        assert state == expected, reason


def test_what_cannot_be_encoded_is_left_out_and_counted() -> None:
    with _repo() as repo:
        _evil(repo, manifest=_planned('"\\ud83d"'), proof=json.dumps(PROOF))
        _, _, documents = _check(repo)
        assert documents["dispatch-8"]["left_out"] == {"not_encodable": 1}
        assert documents["builder-8"]["left_out"] == {"not_encodable": 1}


def test_an_input_that_is_not_finite_is_rebuilt_and_not_taken_verbatim() -> None:
    with _repo() as repo:
        _evil(repo, manifest=_planned("NaN"), proof=json.dumps(PROOF))
        _, _, documents = _check(repo)
        assert documents["dispatch-8"]["input_hashes"] == {}
        assert documents["dispatch-8"]["example_count"] == NEIGHBOURS + 1


def _link_archive(repo: Path) -> None:
    (repo / ".cyntra/archives/wc-evil").symlink_to(repo.parent / "outside")


def _link_file(repo: Path) -> None:
    (_evil(repo) / "manifest.json").symlink_to(repo.parent / "outside/manifest.json")


def _link_nowhere(repo: Path) -> None:
    (_evil(repo) / "manifest.json").symlink_to("/nowhere/at/all")


def _link_directory(repo: Path) -> None:
    (_evil(repo, manifest=_with()) / "proof.json").symlink_to("/etc")


def _fifo(repo: Path) -> None:
    os.mkfifo(_evil(repo) / "manifest.json")


def _socket(repo: Path) -> None:
    folder = _evil(repo)
    here = Path.cwd()
    os.chdir(folder)  # the path would be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("manifest.json")
    finally:
        os.chdir(here)


def _device(repo: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: making a device node needs root")
    os.mknod(_evil(repo) / "manifest.json", 0o20600, os.makedev(1, 5))


def _sparse(repo: Path) -> None:
    with (_evil(repo) / "manifest.json").open("wb") as file:
        file.truncate(2**40)


def _hard_link(repo: Path) -> None:
    outside = repo.parent / "outside/manifest.json"
    if os.geteuid() != 0:
        pytest.skip("HARD LINKS TO FILES OF OTHERS NOT TESTED: needs root")
    os.chown(outside, 65534, 65534)
    os.link(outside, _evil(repo) / "manifest.json")


def _directory_as_file(repo: Path) -> None:
    (_evil(repo) / "manifest.json").mkdir()


def _not_utf8(repo: Path) -> None:
    folder = os.fsencode(repo / ".cyntra/archives") + b"/wc-\xff\xfe"
    os.mkdir(folder)  # noqa: PTH102
    Path(os.fsdecode(folder), "manifest.json").write_text(_with())


def _many_entries(repo: Path) -> None:
    folder = _evil(repo, manifest=_with())
    for number in range(10_050):
        (folder / f"f{number}").touch()


QUARANTINED = [
    _link_file,
    _link_nowhere,
    _link_directory,
    _fifo,
    _socket,
    _device,
    _sparse,
    _hard_link,
    _directory_as_file,
    _not_utf8,
    _many_entries,
]


@pytest.mark.parametrize("harm", QUARANTINED, ids=lambda harm: harm.__name__.strip("_"))
def test_what_must_not_be_opened_is_quarantined(harm: Callable[[Path], None]) -> None:
    with _repo() as repo:
        harm(repo)
        state, reason, _ = _check(repo)
        assert (state, bool(reason)) == ("quarantined", True)


def _worktree(repo: Path) -> None:
    (_evil(repo, manifest=_with()) / ".git").write_text("gitdir: elsewhere")


def _orphans(repo: Path) -> None:
    folder = repo / ".cyntra/archives/orphaned-workcells/wc-1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(_with())


def _plain_file(repo: Path) -> None:
    (repo / ".cyntra/archives/wc-evil").write_text(_with())


@pytest.mark.parametrize("harm", [_link_archive, _worktree, _orphans, _plain_file], ids=lambda h: h.__name__)
def test_what_is_no_archive_is_ignored(harm: Callable[[Path], None]) -> None:
    with _repo() as repo:
        harm(repo)
        assert _check(repo)[0] == "ignored"


def test_a_name_with_control_characters_is_an_archive_like_any_other() -> None:
    with _repo() as repo:
        _evil(repo, manifest=_with()).rename(repo / ".cyntra/archives/wc-\x1b[2J\nx")
        assert _check(repo)[0] == "indexed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
PLAN = ["swarm_id_executed", "max_candidates_executed", "timeout_seconds_executed", "max_iterations_executed"]


def _shape(*names: str) -> st.SearchStrategy[Any]:
    return JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON))


INPUT = st.fixed_dictionaries(
    {"schema_version": st.just("cyntra.planner_input.v1")},
    optional={
        "issue": _shape("issue_id", "tags", "title", "keywords", "description"),
        "action_space": st.just({"swarm_ids": ["serial_handoff"]}) | _shape("swarm_ids"),
        "history": _shape("last_n_similar_runs"),
        "universe_defaults": _shape("swarm_id", "objective_id"),
        **dict.fromkeys(["created_at", "job_type", "system_state", "universe_id", "extra"], JSON),
    },
)
PLANNER = st.fixed_dictionaries(
    {},
    optional={
        "executed_plan": st.just(MANIFEST["planner"]["executed_plan"]) | _shape(*PLAN),
        "planner_input": INPUT | JSON,
        "planner_action": _shape("input_hash"),
    },
)
ODD_MANIFEST = st.fixed_dictionaries(
    {},
    optional={
        "planner": PLANNER,
        "issue": _shape("id", "tags", "title", "dk_attempts", "dk_risk"),
        "control": _shape("speculate_parallelism"),
        **dict.fromkeys(["workcell_id", "job_type", "speculate_mode", "toolchain", "toolchain_config"], JSON),
    },
)
ODD_PROOF = st.fixed_dictionaries(
    {},
    optional={
        "verification": _shape("gates", "all_passed", "blocking_failures"),
        "metadata": _shape("started_at", "completed_at", "duration_ms", "cost_usd", "tokens_used"),
        **dict.fromkeys(["workcell_id", "status"], JSON),
    },
)
ODD_ROLLOUT = st.fixed_dictionaries(
    {"schema_version": st.just("cyntra.rollout.v1") | JSON},
    optional={
        "outcomes": _shape("verification"),
        "scores": _shape("duration_ms", "cost_usd"),
        **dict.fromkeys(["workcell_id", "job_type", "issue_id", "metadata"], JSON),
    },
)


@pytest.mark.slow
@example(
    manifest={
        "workcell_id": True,
        "planner": {"planner_input": {"schema_version": "cyntra.planner_input.v1"}},
    },
    proof={},
    rollout={"schema_version": "cyntra.rollout.v1"},  # the builder gives this run another id than the index
)
@given(manifest=ODD_MANIFEST, proof=st.none() | ODD_PROOF, rollout=st.none() | ODD_ROLLOUT)
@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_type_in_any_field_gets_an_outcome(manifest: Any, proof: Any, rollout: Any) -> None:
    documents = {"manifest": manifest, "proof": proof, "rollout": rollout}
    with _repo() as repo:
        _evil(repo, **{name: json.dumps(value) for name, value in documents.items() if value is not None})
        state, _, _ = _check(repo)
        assert state in ("indexed", "partial")

"""diff names exactly what differs between two dataset directories, and what explains it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.diff import Diff, diff_document, diff_snapshots, shift
from collectord.dataset.documents import Difference, differences
from collectord.dataset.row_plan import BUILDER, ExportOptions
from collectord.dataset.snapshot import NO_PROVENANCE, Provenance
from collectord.errors import CollectordError
from collectord.intake.ingest import ingest
from tests.conftest import unpack
from tests.support.cli import Cli
from tests.support.snapshots import export_with, read_document, read_rows, settings_of

FLIPPED, ADDED, REMOVED = slice(20, 23), slice(3, 8), slice(40, 42)
BEFORE = Provenance(
    {"number": 1, "ended_ms": 9, "cut": {}},
    {"fingerprint": "a" * 64, "digests": {}, "components": {"routing": {"rules": [{"use": "codex"}]}}},
)
AFTER = Provenance(
    {"number": 2, "ended_ms": None, "cut": None},
    {"fingerprint": "b" * 64, "digests": {}, "components": {"routing": {"rules": [{"use": "claude"}]}}},
    (
        {
            "component": "toolchains",
            "pointer": "/codex",
            "words": "time limit 60 became 30",
            "moves": ["minutes"],
        },
        {"component": "routing", "pointer": "/rules/0", "words": "a rule went away", "moves": ["swarm"]},
    ),
)


@pytest.fixture(scope="module")
def repos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Settings, dict[str, list[str]]]:
    """Two repos of one corpus: without five archives, and without two others and with three other labels."""
    folder = tmp_path_factory.mktemp("diff")
    names: dict[str, list[str]] = {}
    found = []
    for side in ("a", "b"):
        settings = settings_of(unpack("kernel-run", folder / side))
        archives = sorted(settings.archives_dir.iterdir())
        names = {
            "flipped": [a.name for a in archives[FLIPPED]],
            "added": [a.name for a in archives[ADDED]],
            "removed": [a.name for a in archives[REMOVED]],
        }
        for archive in archives[ADDED if side == "a" else REMOVED]:
            shutil.rmtree(archive)
        if side == "b":
            for archive in archives[FLIPPED]:
                _flip(archive / "manifest.json")
        ingest(settings)
        found.append(settings)
    return found[0], found[1], names


def _flip(path: Path) -> None:
    manifest = json.loads(path.read_text())
    manifest["planner"]["executed_plan"]["timeout_seconds_executed"] = 900
    path.write_text(json.dumps(manifest))


def _diff(repos: Any, tmp_path: Path, before: Provenance, after: Provenance, **options: Any) -> Diff:
    for settings, name, provenance in ((repos[0], "a", before), (repos[1], "b", after)):
        export_with(settings, tmp_path / name, ExportOptions(**options), provenance)
    return diff_snapshots(tmp_path / "a", tmp_path / "b")


def test_planted_flips_new_and_removed_rows_are_named_and_nothing_else(repos: Any, tmp_path: Path) -> None:
    found, names = _diff(repos, tmp_path, NO_PROVENANCE, NO_PROVENANCE), repos[2]
    assert sorted(found.added) == names["added"]
    assert sorted(found.removed) == names["removed"]
    assert sorted(flip.run_ids[0] for flip in found.flips) == names["flipped"]
    assert sorted(found.changed) == names["flipped"]
    assert set(map(tuple, found.changed.values())) == {("/label_action/budgets/max_minutes_bin",)}
    for flip in found.flips:
        assert list(flip.before) == ["max_minutes_bin"]
        assert flip.after == {"max_minutes_bin": "15"}
        assert flip.why == ["its archive was changed after the first dataset was made"]
    assert found.issue_flips == []
    assert not found.is_same
    assert found.shifts["max_minutes_bin"]["values"]["15"] == [0, 3]
    assert set(found.shifts["outcome_status"]["values"]) == {"failed", "success"}
    assert found.row_counts == (61, 64)


def test_a_flip_is_explained_by_the_changes_of_the_environment_that_can_move_it(
    repos: Any, tmp_path: Path
) -> None:
    found = _diff(repos, tmp_path, BEFORE, AFTER)
    assert found.fingerprints == ("a" * 64, "b" * 64)
    assert [change.component for change in found.environment] == ["toolchains", "routing"]
    for flip in found.flips:
        assert flip.why[0] == "environment: toolchains /codex: time limit 60 became 30"
        assert not any("a rule went away" in why for why in flip.why)


def test_environments_that_do_not_follow_each_other_are_compared_by_their_components(
    repos: Any, tmp_path: Path
) -> None:
    later = Provenance({**(AFTER.epoch or {}), "number": 5}, AFTER.environment, AFTER.drift)
    found = _diff(repos, tmp_path, BEFORE, later)
    assert [change.as_json() for change in found.environment] == [
        {
            "component": "routing",
            "pointer": "/routing/rules/0/use",
            "words": '"codex" became "claude"',
            "moves": None,
        }
    ]
    assert all('"codex" became "claude"' in flip.why[0] for flip in found.flips)


def test_an_issue_that_ran_again_under_another_environment_shows_its_new_label(
    repos: Any, tmp_path: Path
) -> None:
    whole = export_with(repos[0], tmp_path / "whole", ExportOptions(), BEFORE)
    rows = read_rows(whole)
    # Two datasets without a common run: one issue gets another label in the later one, one does not.
    for earlier, later in ((2, 31), (3, 32)):
        rows[later]["planner_input"]["issue"]["issue_id"] = rows[earlier]["planner_input"]["issue"][
            "issue_id"
        ]
        rows[later]["label_action"]["budgets"] = dict(rows[earlier]["label_action"]["budgets"])
        rows[later]["label_action"]["swarm_id"] = rows[earlier]["label_action"]["swarm_id"]
    rows[31]["label_action"]["budgets"]["max_minutes_bin"] = 120
    for name, provenance, kept in (("a", BEFORE, rows[2:4]), ("b", AFTER, rows[31:33])):
        export_with(repos[0], tmp_path / name, ExportOptions(), provenance)
        (tmp_path / name / "dataset.jsonl").chmod(0o644)
        lines = (json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in kept)
        (tmp_path / name / "dataset.jsonl").write_text("".join(lines))
    found = diff_snapshots(tmp_path / "a", tmp_path / "b")
    (flip,) = found.issue_flips
    assert found.flips == []
    assert flip.issue_id == rows[2]["planner_input"]["issue"]["issue_id"]
    assert flip.run_ids == (rows[2]["run_id"], rows[31]["run_id"])
    assert flip.after == {"max_minutes_bin": "120"}
    assert flip.why == ["environment: toolchains /codex: time limit 60 became 30"]


def test_the_same_dataset_twice_is_the_same(repos: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_with(repos[0], tmp_path / name, ExportOptions(), NO_PROVENANCE)
    found = diff_snapshots(tmp_path / "a", tmp_path / "b")
    assert found.is_same
    assert (found.changed, found.moved, found.shifts, found.made) == ({}, {}, {}, [])


def test_another_split_moves_rows_and_changes_none(repos: Any, tmp_path: Path) -> None:
    export_with(repos[0], tmp_path / "a", ExportOptions(), NO_PROVENANCE)
    export_with(repos[0], tmp_path / "b", ExportOptions(split_by="issue"), NO_PROVENANCE)
    found = diff_snapshots(tmp_path / "a", tmp_path / "b")
    assert not found.is_same
    assert (found.added, found.removed, found.changed) == ([], [], {})
    assert found.moved
    assert found.made == ['option split_by: "time" became "issue"']


def test_a_dataset_of_the_kernel_itself_can_be_compared(repos: Any, tmp_path: Path) -> None:
    export_with(repos[0], tmp_path / "a", ExportOptions(BUILDER), NO_PROVENANCE)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in ("dataset.jsonl", "meta.json"):
        shutil.copy(tmp_path / "a" / name, theirs / name)
    assert diff_snapshots(tmp_path / "a", theirs).is_same
    export_with(repos[1], tmp_path / "b", ExportOptions(BUILDER), NO_PROVENANCE)
    found = diff_snapshots(theirs, tmp_path / "b")
    assert "outcome_status" not in found.shifts
    assert all(flip.why == ["nothing in the two directories explains it"] for flip in found.flips)
    assert found.flips


def test_two_rows_with_one_run_id_are_told_apart(repos: Any, tmp_path: Path) -> None:
    out = export_with(repos[0], tmp_path / "a", ExportOptions(), NO_PROVENANCE)
    twice = tmp_path / "b"
    twice.mkdir()
    lines = (out / "dataset.jsonl").read_text().splitlines(keepends=True)
    (twice / "dataset.jsonl").write_text("".join([lines[0], *lines]))
    found = diff_snapshots(out, twice)
    assert found.added == [json.loads(lines[0])["run_id"]]
    assert (found.removed, found.changed) == ([], {})


@pytest.mark.parametrize("line", ["{}", "nothing", '{"label_action": 5}'])
def test_what_is_no_dataset_is_a_sentence(tmp_path: Path, line: str) -> None:
    with pytest.raises(CollectordError, match=r"there is no dataset\.jsonl"):
        diff_snapshots(tmp_path, tmp_path)
    (tmp_path / "dataset.jsonl").write_text(line + "\n")
    with pytest.raises(CollectordError, match=r"dataset\.jsonl:1: not a row"):
        diff_snapshots(tmp_path, tmp_path)


def test_the_command_prints_what_differs_and_says_so_with_its_exit_code(repos: Any, tmp_path: Path) -> None:
    found, names = _diff(repos, tmp_path, BEFORE, AFTER), repos[2]
    cli = Cli(repos[0].repo, tmp_path)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    text = cli.ok("diff", a, b)
    for name in [*names["added"], *names["removed"], *names["flipped"]]:
        assert name in text
    assert "time limit 60 became 30" in text
    assert text.endswith("they differ\n")
    different, same = cli("diff", a, b, "--exit-code", "--json"), cli("diff", a, a, "--exit-code")
    assert (different.returncode, same.returncode) == (1, 0)
    document = json.loads(different.stdout)
    assert document == json.loads(json.dumps(diff_document(found, tmp_path / "a", tmp_path / "b")))
    assert len(document["label_flips"]) == 3
    assert cli("diff", a, str(tmp_path / "none")).returncode == 1


def test_snapshots_are_listed_shown_and_found_by_name(ingested: Cli) -> None:
    assert "none yet" in ingested.ok("snapshot", "list")
    assert ingested("snapshot", "path").returncode == 1
    ingested.ok("export", "--profile", "builder")
    ingested.ok("export")
    found = json.loads(ingested.ok("snapshot", "list", "--json"))["snapshots"]
    assert [entry["latest"] for entry in found] == [True, False]
    assert [entry["snapshot"]["profile"] for entry in found] == ["dispatch", "builder"]
    latest = ingested.ok("snapshot", "path").strip()
    assert latest == found[0]["path"]
    assert ingested.ok("snapshot", "path", found[1]["name"]).strip() == found[1]["path"]
    shown = json.loads(ingested.ok("snapshot", "show", "--json"))
    assert shown == {**read_document(Path(latest) / "snapshot.json"), "path": latest}
    assert "dispatch" in ingested.ok("snapshot", "show", latest)
    assert "no dataset directory" in ingested("snapshot", "show", "nowhere").stderr


def test_differences_name_members_by_pointer() -> None:
    a = {"x": [1, {"y": True}], "a/b": 1, "same": None}
    b = {"x": [1, {"y": 1}], "a/b": [], "new": 2}
    assert list(differences(a, b)) == [
        Difference("/a~1b", 1, []),
        Difference("/new", None, 2),
        Difference("/x/1/y", True, 1),
    ]


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({"a": 1}, {"a": 5}, 0.0),
        ({"a": 1}, {"b": 1}, 1.0),
        ({"a": 3, "b": 1}, {"a": 1, "b": 1}, 0.25),
        ({}, {}, 0.0),
        ({}, {"a": 1}, 1.0),
    ],
)
def test_a_shift_is_the_share_of_rows_that_would_have_to_change(
    before: dict[str, int], after: dict[str, int], wanted: float
) -> None:
    assert shift(before, after) == pytest.approx(wanted)

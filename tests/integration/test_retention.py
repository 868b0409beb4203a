"""What is pruned can be restored, datasets keep their hashes, and nothing outside is ever touched."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.errors import CollectordError, LockHeld
from collectord.intake.ingest import ingest
from collectord.retention.plan import Ages
from collectord.retention.prune import prune
from collectord.retention.restore import restore
from collectord.system.lock import StateLock
from collectord.system.names import OWN_PREFIX
from tests.support.cli import Cli

WHOLE = Ages(archives_s=0)
LOGS = Ages(logs_s=0)


def hashes(settings: Settings) -> dict[str, str]:
    found = {}
    for profile, n_similar in ((BUILDER, 8), (DISPATCH, 8), (DISPATCH, 5)):
        options = ExportOptions(profile, n_similar, None, include_world=True)
        exported = export(settings, options, dry_run=True)
        found[f"{profile}-{n_similar}"] = str(exported.meta["dataset_hash"])
    return found


def tree(folder: Path) -> dict[str, tuple[bytes | str, int]]:
    """Every entry with its bytes or kind and its mtime."""
    found = {}
    for path in sorted(folder.rglob("*")):
        what = path.read_bytes() if path.is_file() and not path.is_symlink() else "other"
        found[str(path.relative_to(folder))] = (what, path.lstat().st_mtime_ns)
    return found


def hidden(cli: Cli) -> list[str]:
    return [name for name in os.listdir(cli.archives) if name.startswith(OWN_PREFIX)]


def yes(_plan: object) -> bool:
    return True


def core_of(archives: Path) -> dict[str, tuple[bytes | str, int]]:
    names = {"manifest.json", "proof.json", "rollout.json", ".workcell"}
    return {k: v for k, v in tree(archives).items() if k.count("/") == 1 and k.rpartition("/")[2] in names}


@pytest.mark.parametrize("corpus", ["kernel-run", "worlds"])
def test_pruned_and_deleted_archives_keep_every_hash_and_come_back(
    golden_repo: Any, settings_for: Any, tmp_path: Path, corpus: str
) -> None:
    repo = golden_repo(corpus)
    settings = settings_for(repo)
    ingest(settings)
    before, core = hashes(settings), core_of(settings.archives_dir)
    prune(settings, LOGS, yes)
    ingest(settings)
    assert hashes(settings) == before
    prune(settings, WHOLE, yes)
    shutil.rmtree(settings.archives_dir)
    settings.archives_dir.mkdir()
    ingest(settings, accept_gone=True)
    assert hashes(settings) == before
    again = tmp_path / "again"
    shutil.copytree(repo, again, symlinks=True, ignore=shutil.ignore_patterns("archives", "runs", "state"))
    (again / ".cyntra").mkdir(exist_ok=True)
    restore(settings, None, to=again / ".cyntra/archives", runs_to=again / ".cyntra/runs")
    assert core_of(again / ".cyntra/archives").items() <= core.items()
    anew = settings_for(again)
    ingest(anew)
    assert hashes(anew) == before


def test_pruning_logs_makes_no_revision_and_no_second_reading(kept: Cli) -> None:
    logs = kept.archives / "wc-e001/logs/deep"
    logs.mkdir(parents=True)
    (logs / "big.log").write_bytes(b"x" * 10_000)
    kept.ok("ingest")
    said = json.loads(kept.ok("prune", "--logs-older-than", "0s", "--yes", "--json"))
    assert "wc-e001" in said["touched"]
    assert said["bytes"] >= 10_000
    assert not (kept.archives / "wc-e001/logs").exists()
    assert (kept.archives / "wc-e001/proof.json").exists()
    counts = json.loads(kept.ok("ingest", "--json"))["outcomes"]
    assert counts["indexed"] == 0
    assert counts["unchanged"] == 112
    assert json.loads(kept.ok("explain", "wc-e001", "--json"))["archive"]["revision"] == 1


def test_links_are_removed_and_never_followed(kept: Cli, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    logs = kept.archives / "wc-e001/logs"
    (logs / "sub").mkdir(parents=True)
    (logs / "sub/dir").symlink_to(outside)
    (logs / "file").symlink_to(outside / "precious")
    (logs / "up").symlink_to("../../..")
    os.link(outside / "precious", logs / "second name")
    os.mkfifo(logs / "fifo")
    shutil.rmtree(kept.archives / "wc-e002/logs", ignore_errors=True)
    (kept.archives / "wc-e002/logs").symlink_to(outside)
    kept.ok("ingest")
    kept.ok("prune", "--logs-older-than", "0s", "--yes")
    assert not (kept.archives / "wc-e001/logs").exists()
    assert not (kept.archives / "wc-e002/logs").is_symlink()
    assert tree(outside).keys() == {"precious"}
    assert (outside / "precious").read_text() == "mine"


def test_what_changed_since_it_was_indexed_stays(kept: Cli) -> None:
    (kept.archives / "wc-e001/proof.json").write_text("{}")
    said = json.loads(kept.ok("prune", "--archives-older-than", "0s", "--yes", "--json"))
    assert "changed since it was indexed" in said["kept"]["wc-e001"]
    assert (kept.archives / "wc-e001/proof.json").read_text() == "{}"


def test_what_the_index_cannot_restore_stays(kept: Cli) -> None:
    with sqlite3.connect(kept.index) as connection:
        connection.execute("UPDATE artifacts SET data = x'00'")
    said = json.loads(kept.ok("prune", "--archives-older-than", "0s", "--yes", "--json"))
    assert said["gone"] == []
    assert "does not hold all" in said["kept"]["wc-e001"]


def test_an_archive_with_something_of_a_persons_own_stays(kept: Cli) -> None:
    (kept.archives / "wc-e001/notes.txt").write_text("mine")
    kept.ok("ingest")
    said = json.loads(kept.ok("prune", "--archives-older-than", "0s", "--yes", "--json"))
    assert "notes.txt" in said["kept"]["wc-e001"]
    assert (kept.archives / "wc-e001/notes.txt").exists()
    assert "wc-e002" in said["gone"]
    assert not (kept.archives / "wc-e002").exists()


def test_a_dry_run_says_it_all_and_removes_nothing(kept: Cli) -> None:
    before = tree(kept.archives)
    text = kept.ok("prune", "--archives-older-than", "0s", "--dry-run")
    assert "to remove: 0 whole" not in text
    assert " whole archives, parts of 0" in text
    assert tree(kept.archives) == before


def test_without_a_terminal_and_without_yes_nothing_is_removed(kept: Cli) -> None:
    before = tree(kept.archives)
    for arguments in (["--logs-older-than", "0s"], [], ["--logs-older-than", "soon", "--yes"]):
        assert kept("prune", *arguments).returncode == 2
    assert tree(kept.archives) == before


def test_a_prune_that_was_killed_is_finished_by_the_next(kept: Cli) -> None:
    doomed = kept.archives / f"{OWN_PREFIX}pruning-wc-e001"
    (kept.archives / "wc-e001").rename(doomed)
    outcomes = json.loads(kept.ok("ingest", "--json"))["outcomes"]
    assert outcomes["indexed"] == 0, "what is being removed is no archive"
    kept.ok("prune", "--archives-older-than", "3000d", "--dry-run")
    assert doomed.exists()
    kept.ok("prune", "--archives-older-than", "0s", "--yes")
    assert not doomed.exists()
    kept.ok("restore", "wc-e001")
    assert (kept.archives / "wc-e001/manifest.json").exists()


def test_what_was_out_of_the_way_goes_back_also_where_nothing_is_due(kept: Cli) -> None:
    hidden = kept.archives / f"{OWN_PREFIX}checking-wc-e001"
    (kept.archives / "wc-e001").rename(hidden)
    nothing_due = ("prune", "--archives-older-than", "3000d")
    kept.ok(*nothing_due, "--dry-run")
    assert hidden.exists(), "a dry run moves nothing"
    kept.ok(*nothing_due, "--yes")
    assert not hidden.exists()
    assert (kept.archives / "wc-e001/manifest.json").exists()


def test_two_prunes_are_not_in_each_others_way(kept: Cli, settings_for: Any) -> None:
    with StateLock.acquire(kept.index.with_name("prune.lock"), "collectord prune"), pytest.raises(LockHeld):
        prune(settings_for(kept.repo), WHOLE, yes)


def test_what_a_killed_prune_had_not_checked_goes_back_to_its_name(kept: Cli) -> None:
    for name in ("wc-e001", "wc-e002"):
        (kept.archives / name).rename(kept.archives / f"{OWN_PREFIX}checking-{name}")
    (kept.archives / "wc-e002").mkdir()
    done = kept("prune", "--archives-older-than", "0s", "--yes")
    assert (kept.archives / "wc-e001/proof.json").exists()
    assert (kept.archives / f"{OWN_PREFIX}checking-wc-e002/manifest.json").exists()
    assert done.returncode == 1
    assert "which is taken" in done.stderr


def test_what_cannot_be_checked_any_more_keeps_its_name(kept: Cli, settings_for: Any, tmp_path: Path) -> None:
    def swap(_plan: object) -> bool:
        (kept.archives / "wc-e001").rename(tmp_path / "elsewhere")
        (kept.archives / "wc-e001").symlink_to(tmp_path / "elsewhere")
        return True

    _, done = prune(settings_for(kept.repo), WHOLE, swap)
    assert done is not None
    assert (kept.archives / "wc-e001").is_symlink()
    assert "wc-e001" in done.kept
    assert hidden(kept) == []


def test_a_tree_that_cannot_be_removed_holds_up_nothing_else(kept: Cli, settings_for: Any) -> None:
    (kept.archives / "wc-e001/logs/sub").mkdir(parents=True, exist_ok=True)
    kept.ok("ingest")
    left = f"{OWN_PREFIX}pruning-wc-e001"

    def deepen(_plan: object) -> bool:
        (kept.archives / "wc-e001/logs/sub" / Path(*["d"] * 210)).mkdir(parents=True)
        return True

    _, done = prune(settings_for(kept.repo), WHOLE, deepen)
    assert done is not None
    assert "wc-e001" in done.gone
    assert "wc-e002" in done.gone
    assert "wc-e001 is gone" in done.kept[left]
    kept.ok("restore", "wc-e002")
    kept.ok("ingest")
    again = kept("prune", "--archives-older-than", "0s", "--yes", "--json")
    assert again.returncode == 1
    assert "wc-e002" in json.loads(again.stdout)["gone"]
    assert "left by an earlier prune" in json.loads(again.stdout)["kept"][left]


def test_pruning_beside_a_writer_leaves_the_index_to_it(kept: Cli) -> None:
    with StateLock.acquire(kept.index.with_name("lock"), "collectord run"):
        said = json.loads(kept.ok("prune", "--archives-older-than", "0s", "--yes", "--json"))
    assert len(said["gone"]) > 90
    assert json.loads(kept.ok("status", "--json"))["archives"]["gone"] == 0


def test_restoring_writes_bytes_and_times_and_never_over_anything(kept: Cli) -> None:
    folder = kept.archives / "wc-e001"
    before, mtime = core_of(kept.archives), folder.stat().st_mtime_ns
    done = kept("restore", "wc-e001")
    assert done.returncode == 1
    assert "nothing is written over" in done.stderr
    shutil.rmtree(folder)
    kept.ok("restore", str(folder))
    assert core_of(kept.archives) == before
    assert folder.stat().st_mtime_ns == mtime
    counts = json.loads(kept.ok("ingest", "--json"))["outcomes"]
    assert (counts["indexed"], counts["unchanged"]) == (0, 112)
    assert [name for name in os.listdir(kept.archives) if name.startswith(OWN_PREFIX)] == []


def test_restoring_all_says_what_was_there_already(kept: Cli) -> None:
    shutil.rmtree(kept.archives / "wc-e001")
    assert "1 restored, 111 were there already" in kept.ok("restore", "--all")


def test_an_earlier_revision_is_restored_by_its_number(kept: Cli, settings_for: Any, tmp_path: Path) -> None:
    before = core_of(kept.archives)["wc-e001/proof.json"]
    (kept.archives / "wc-e001/proof.json").write_text("{}")
    settings = settings_for(kept.repo)
    ingest(settings)
    kept.ok("restore", "wc-e001", "--revision", "1", "--to", str(tmp_path / "first"))
    assert core_of(tmp_path / "first")["wc-e001/proof.json"] == before
    restore(settings, ["wc-e001"], to=tmp_path / "now")
    assert core_of(tmp_path / "now")["wc-e001/proof.json"][0] == b"{}"
    with pytest.raises(CollectordError, match="no revision 7 of it"):
        restore(settings, ["wc-e001"], to=tmp_path / "now", revision=7)
    assert kept("restore", "--all", "--revision", "1").returncode == 2


def test_restoring_what_was_never_indexed_fails_with_a_sentence(kept: Cli) -> None:
    done = kept("restore", "wc-nope")
    assert done.returncode == 1
    assert "no revision of it" in done.stderr
    assert kept("restore").returncode == 2

"""`./dev mutate`: takes away one safeguard at a time, in a copy, and demands that a test notices.

Each mutation names a function or a constant, the body that it gets, and the tests that must fail then. They
must pass on the untouched copy first, or their failing would prove nothing.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("collectord", "migrations", "systemd", "tests", "pyproject.toml", "config.example.yaml", "dev")


@dataclass(frozen=True)
class Mutation:
    """One safeguard taken away: the function or constant at `place` gets another body, and `tests` must fail.

    `place` is `package.module:Class.function`. In a body `original` is what stood there.
    """

    name: str
    place: str
    body: str
    tests: tuple[str, ...]


RACES = "tests/fault/test_writers_against_readers.py"
HOSTILE = "tests/fault/test_hostile_archives.py"
PARTS = "tests/integration/test_daemon_parts.py"
MUTATIONS = (
    Mutation(
        "another index takes the name of a source",
        "collectord.fleet.push:_Pushing._refuse_another",
        "return",
        ("tests/integration/test_fleet_push.py::test_another_index_cannot_have_the_name_and_both_are_told",),
    ),
    Mutation(
        "a manifest is written over another one",
        "collectord.fleet.storage:Folder.create",
        "self.replace(name, data)",
        ("tests/fault/test_fleet_storage.py::test_every_storage_does_the_same",),
    ),
    Mutation(
        "a push whose index is torn counts",
        "collectord.fleet.catalog:pushed",
        "data = storage.read(manifest_name(source, sequence), MAX_BYTES)\n"
        "return read_manifest(data or b'', source, sequence)",
        (
            "tests/integration/test_fleet_push.py::"
            "test_a_push_torn_at_any_byte_falls_back_to_the_newest_whole_one",
        ),
    ),
    Mutation(
        "the pushes of a dataset are removed",
        "collectord.fleet.pins:pinned",
        "return frozenset()",
        ("tests/integration/test_fleet_push.py::test_only_so_many_are_kept_and_those_that_a_dataset_names",),
    ),
    Mutation(
        "the schema of a pushed index is trusted",
        "collectord.fleet.shard:_require_ours",
        "return",
        ("tests/fault/test_fleet_hostile.py::test_an_index_that_no_collectord_made_is_refused",),
    ),
    Mutation(
        "a bomb in a pushed index goes off",
        "collectord.fleet.shard:_refuse_bombs",
        "return",
        ("tests/fault/test_fleet_hostile.py::test_a_bomb_inside_of_an_index_is_refused",),
    ),
    Mutation(
        "a source that cannot be had is left out without a word",
        "collectord.fleet.export:_Export._refuse_missing",
        "return",
        (
            "tests/integration/test_fleet_export.py::"
            "test_a_source_that_cannot_be_had_ends_it_unless_it_may_be_missing",
        ),
    ),
    Mutation(
        "a row of a fleet is hashed without its source",
        "collectord.fleet.render:row_digests",
        "return original(piece, '')",
        (
            "tests/integration/test_fleet_export.py::"
            "test_the_hash_is_that_of_each_rows_canonical_json_with_its_source",
        ),
    ),
    Mutation(
        "columns of a fleet's rows are not made again",
        "collectord.fleet.verify:values_digest",
        "return bytes(32)",
        (
            "tests/integration/test_fleet_verify.py::"
            "test_an_outcome_that_was_changed_under_new_sums_is_found_by_making_it_again",
        ),
    ),
    Mutation(
        "an index is moved apart from its log",
        "collectord.repair.rebuild:_merge_log",
        "pass",
        ("tests/fault/test_rebuild_killed.py",),
    ),
    Mutation(
        "a backup is a plain copy",
        "collectord.index.files:_copy",
        "partial.write_bytes(source.read_bytes())",
        ("tests/fault/test_backup_beside_writer.py",),
    ),
    Mutation(
        "an index goes although only it has something",
        "collectord.repair.rebuild:Rebuilt.lost",
        "return []",
        (
            "tests/integration/test_rebuild.py::"
            "test_an_index_is_not_replaced_by_one_that_lacks_what_only_it_had",
        ),
    ),
    Mutation(
        "nightly work is due for ever",
        "collectord.daemon.schedule:is_due",
        "return True",
        ("tests/unit/test_nightly.py::test_it_runs_once_a_night_and_rests_between",),
    ),
    Mutation(
        "absences are weighed while a prune runs",
        "collectord.daemon.compose:_is_held",
        "return False",
        ("tests/integration/test_daemon_storage.py",),
    ),
    Mutation(
        "no rescan",
        "collectord.watch.watcher:Watcher.take",
        "dirty = original(self, timeout)\nreturn Dirty(dirty.names, False, dirty.files)",
        ("tests/integration/test_watch.py::test_what_was_there_before_is_found_by_the_first_scan",),
    ),
    Mutation(
        "no look at the signature after reading",
        "collectord.intake.settle:after_read",
        "same = replace(pending, signature=after.signature)\n"
        "return original(same, after, core_ok=core_ok, mono=mono, rules=rules)",
        (
            f"{RACES}::test_500_rewrites_that_race_the_reader_and_hide_their_size_and_mtime_give_exact_revisions",
        ),
    ),
    Mutation(
        "no full sync",
        "collectord.index.engine:_demand_full_sync",
        'connection.execute("PRAGMA synchronous = NORMAL")',
        ("tests/fault/test_failing_disk.py::test_what_was_acknowledged_survives_a_power_cut",),
    ),
    Mutation("links are followed", "collectord.archive:OPEN_DIRECTORY", "_OPEN_ROOT", (HOSTILE,)),
    Mutation(
        "a folder is known by its path",
        "collectord.archive:ArchiveRoot.__init__",
        "original(self, path)\nown = os.stat(path)\nself.device, self.inode = own.st_dev, own.st_ino",
        (f"{HOSTILE}::test_a_folder_replaced_while_it_is_opened_is_the_one_that_was_opened",),
    ),
    Mutation(
        "core files are not compared with the last look",
        "collectord.intake.look:Reader._is_as_it_was",
        "return known is not None",
        (f"{PARTS}::test_an_edit_in_place_is_found_when_the_turn_of_its_archive_comes",),
    ),
    Mutation(
        "an archive is only glanced at for ever",
        "collectord.intake.queue:GLANCES_PER_LOOK",
        "10**9",
        (f"{PARTS}::test_an_edit_outside_the_core_files_keeps_prune_away_only_until_the_next_whole_look",),
    ),
    Mutation(
        "a history foresees a run of its own millisecond",
        "collectord.kernel.dispatch:visible_from_ms",
        "return complete if finished is None else finished",
        ("tests/unit/test_times.py", "tests/golden/test_golden_bytes.py"),
    ),
    Mutation(
        "a run is finished when its proof says so, whatever its duration",
        "collectord.kernel.dispatch:finished_ms",
        "return completed_ms(proof) or original(proof, started, duration_ms)",
        ("tests/unit/test_times.py",),
    ),
    Mutation(
        "the process of a kernel tells nothing",
        "collectord.epochs.assign:Explaining._by_process",
        "return None, KnownBy.NOTHING",
        ("tests/unit/test_sessions.py",),
    ),
    Mutation(
        "the executed action is no evidence",
        "collectord.epochs.actions:Actions.agrees",
        "return True",
        ("tests/live/test_restart.py",),
    ),
    Mutation(
        "a kernel reads genomes at its start only",
        "collectord.epochs.timeline:Standing.of_session",
        "return original(self, tenure, min(at_ms, tenure.session.started_ms + READS_AFTER_MS))",
        ("tests/unit/test_sessions.py",),
    ),
    Mutation(
        "a pass by hand believes an absence at once",
        "collectord.intake.absence:weigh",
        "return original(state, known=known, present=present, scan_ok=scan_ok, root=root, mono=mono, "
        "rules=replace(rules, at_once=True))",
        ("tests/integration/test_absence_by_hand.py",),
    ),
)


def mutated(text: str, mutation: Mutation) -> str:
    """The source of a module with another body at the place of the mutation; raises KeyError without one."""
    names = mutation.place.partition(":")[2].split(".")
    scope: ast.AST = ast.parse(text)
    for name in names:
        node = scope = _named(scope, name)
    lines = text.splitlines(keepends=True)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return "".join(
            [*lines[: node.lineno - 1], f"{names[-1]} = {mutation.body}\n", *lines[node.end_lineno :]]
        )
    assert isinstance(node, ast.FunctionDef)
    old, indent = f"_original_{names[-1].strip('_')}", " " * node.col_offset
    begin = node.lineno - 1
    head = "".join(lines[begin : node.body[0].lineno - 1])
    renamed = head.replace(f"def {names[-1]}(", f"def {old}(", 1)
    rest = "".join(lines[node.body[0].lineno - 1 : node.end_lineno])
    call = old if len(names) == 1 else f"{names[0]}.{old}"
    body = "".join(f"{indent}    {line}\n" for line in [f"original = {call}", *mutation.body.split("\n")])
    decorators = "".join(lines[node.decorator_list[0].lineno - 1 : begin]) if node.decorator_list else ""
    start = begin - decorators.count("\n")
    return "".join([*lines[:start], renamed, rest, "\n", decorators, head, body, *lines[node.end_lineno :]])


def _named(scope: ast.AST, name: str) -> ast.AST:
    for node in ast.iter_child_nodes(scope):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(node, "name", None) == name or any(getattr(t, "id", None) == name for t in targets):
            return node
    raise KeyError(name)


def source_of(folder: Path, mutation: Mutation) -> Path:
    """The file that a mutation changes."""
    return folder.joinpath(*mutation.place.partition(":")[0].split(".")).with_suffix(".py")


def copied(folder: Path) -> Path:
    """The tree, with an interpreter of its own that finds this copy before what is installed."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    [packages] = (folder / ".venv").glob("lib/python*/site-packages")
    installed = sysconfig.get_paths()["purelib"]
    (packages / "copy.pth").write_text(f"{folder}\n{installed}\n")
    return folder / ".venv/bin/python"


def run_tests(python: Path, folder: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The tests in the copy; stops at the first failure."""
    command = [str(python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def without(folder: Path, python: Path, mutation: Mutation) -> str | None:
    """What is wrong with the suite: it does not notice that the safeguard is missing; else None."""
    place = source_of(folder, mutation)
    text = place.read_text()
    place.write_text(mutated(text, mutation))
    try:
        done = run_tests(python, folder, mutation.tests)
    finally:
        place.write_text(text)
    # 1: tests failed. All else, such as 2 for an error in the mutation itself, is no proof.
    return None if done.returncode == 1 else f"the tests ended with {done.returncode}\n{done.stdout[-2000:]}"


def main() -> None:
    """Exit code 1 if a missing safeguard goes unnoticed."""
    parser = argparse.ArgumentParser(prog="./dev mutate", description=__doc__)
    parser.add_argument("--only", help="a part of the name of the mutations to try")
    asked = parser.parse_args()
    chosen = [m for m in MUTATIONS if (asked.only or "") in m.name]
    with tempfile.TemporaryDirectory(prefix="collectord-mutate-") as name:
        folder = Path(name)
        python = copied(folder)
        tests = tuple(sorted({test for mutation in chosen for test in mutation.tests}))
        done = run_tests(python, folder, tests)
        if done.returncode:
            sys.exit(f"the tests fail without any mutation:\n{done.stdout[-3000:]}")
        unnoticed = 0
        for mutation in chosen:
            begun = time.monotonic()
            wrong = without(folder, python, mutation)
            unnoticed += wrong is not None
            print(f"{mutation.name}: {wrong or 'noticed'} ({time.monotonic() - begun:.0f} s)", flush=True)
    sys.exit(1 if unnoticed else 0)


if __name__ == "__main__":
    main()

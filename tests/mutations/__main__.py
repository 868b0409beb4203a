"""`./dev mutate`: takes away one safeguard at a time, in a copy, and demands that a test notices.

Each mutation names its place in the source, word for word, and the tests that must fail without it. They
must pass on the untouched copy first, or their failing would prove nothing.
"""

from __future__ import annotations

import argparse
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
    """One safeguard taken away: in `path`, `before` becomes `after`; the `tests` must fail then."""

    name: str
    path: str
    before: str
    after: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "an index is moved apart from its log",
        "collectord/repair/rebuild.py",
        "            IndexWriter(settings.index_path).close()",
        "            pass",
        ("tests/fault/test_rebuild_killed.py",),
    ),
    Mutation(
        "a backup is a plain copy",
        "collectord/index/files.py",
        "        old.backup(new)",
        "        partial.write_bytes(source.read_bytes())",
        ("tests/fault/test_backup_beside_writer.py",),
    ),
    Mutation(
        "an index goes although only it has something",
        "collectord/repair/rebuild.py",
        "if replace and done.differences and not done.lost:",
        "if replace and done.differences:",
        (
            "tests/integration/test_rebuild.py::"
            "test_an_index_is_not_replaced_by_one_that_lacks_what_only_it_had",
        ),
    ),
    Mutation(
        "nightly work is due for ever",
        "collectord/daemon/schedule.py",
        "    return done_ms is None or done_ms < slot or done_ms > now_ms + DAY_MS",
        "    return True",
        ("tests/unit/test_nightly.py::test_it_runs_once_a_night_and_rests_between",),
    ),
    Mutation(
        "absences are weighed while a prune runs",
        "collectord/daemon/compose.py",
        "    folders[0].absences.held = lambda: is_pruning(settings, process_state.jobs)\n",
        "",
        ("tests/integration/test_daemon_storage.py",),
    ),
    Mutation(
        "no rescan",
        "collectord/watch/watcher.py",
        "        return Dirty(dirty.names, due, dirty.files)",
        "        return Dirty(dirty.names, False, dirty.files)",
        ("tests/integration/test_watch.py::test_what_was_there_before_is_found_by_the_first_scan",),
    ),
    Mutation(
        "no look at the signature after reading",
        "collectord/intake/settle.py",
        "    if after.signature != pending.signature:\n        return now, Verdict(VerdictKind.WAITING",
        "    if False:\n        return now, Verdict(VerdictKind.WAITING",
        (
            "tests/fault/test_writers_against_readers.py::"
            "test_500_rewrites_that_race_the_reader_and_hide_their_size_and_mtime_give_exact_revisions",
        ),
    ),
    Mutation(
        "no full sync",
        "collectord/index/engine.py",
        'connection.execute("PRAGMA synchronous = FULL")',
        'connection.execute("PRAGMA synchronous = NORMAL")',
        ("tests/fault/test_failing_disk.py::test_what_was_acknowledged_survives_a_power_cut",),
    ),
    Mutation(
        "links are followed",
        "collectord/archive.py",
        "OPEN_DIRECTORY: Final = _OPEN_ROOT | os.O_NOFOLLOW",
        "OPEN_DIRECTORY: Final = _OPEN_ROOT",
        ("tests/fault/test_hostile_archives.py",),
    ),
    Mutation(
        "a folder is known by its path",
        "collectord/archive.py",
        "own = os.fstat(self.fd)",
        "own = os.stat(path)",
        (
            "tests/fault/test_hostile_archives.py::"
            "test_a_folder_replaced_while_it_is_opened_is_the_one_that_was_opened",
        ),
    ),
    Mutation(
        "core files are not compared with the last look",
        "collectord/daemon/reading.py",
        "archive.glance(root, name, self._files) == before.files",
        "archive.glance(root, name, self._files) is not None",
        (
            "tests/integration/test_daemon_parts.py::"
            "test_an_edit_in_place_is_found_when_the_turn_of_its_archive_comes",
        ),
    ),
    Mutation(
        "an archive is only glanced at for ever",
        "collectord/daemon/reading.py",
        "doubted.glances < GLANCES_PER_LOOK and ",
        "",
        (
            "tests/integration/test_daemon_parts.py::"
            "test_an_edit_outside_the_core_files_keeps_prune_away_only_until_the_next_whole_look",
        ),
    ),
    Mutation(
        "a history foresees a run of its own millisecond",
        "collectord/kernel/dispatch.py",
        "    return max(complete if finished is None else finished, started + 1)",
        "    return complete if finished is None else finished",
        ("tests/unit/test_times.py", "tests/golden/test_golden_bytes.py"),
    ),
    Mutation(
        "a run is finished when its proof says so, whatever its duration",
        "collectord/kernel/dispatch.py",
        "    found = max(ends, default=None)",
        "    found = next(iter(ends), None)",
        ("tests/unit/test_times.py",),
    ),
    Mutation(
        "the process of a kernel tells nothing",
        "collectord/epochs/assign.py",
        "        candidate, known_by = self._by_process(run, running)",
        "        candidate, known_by = None, KnownBy.NOTHING",
        ("tests/unit/test_sessions.py",),
    ),
    Mutation(
        "the executed action is no evidence",
        "collectord/epochs/actions.py",
        "        return self.judgement(executed, text, asks, environment).verdict is not Verdict.IMPOSSIBLE",
        "        return True",
        ("tests/live/test_restart.py",),
    ),
    Mutation(
        "a kernel reads genomes at its start only",
        "collectord/epochs/timeline.py",
        "        live = max(position, self.position_at(launch, at_ms))\n        return self.joined",
        "        live = position\n        return self.joined",
        ("tests/unit/test_sessions.py",),
    ),
    Mutation(
        "a pass by hand believes an absence at once",
        "collectord/intake/ingest.py",
        "        gone = known - present if self._options.accept_gone else found.gone_now",
        "        gone = known - present",
        ("tests/integration/test_absence_by_hand.py",),
    ),
)


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
    command = [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def without(folder: Path, python: Path, mutation: Mutation) -> str | None:
    """What is wrong with the suite: it does not notice that the safeguard is missing; else None."""
    place = folder / mutation.path
    text = place.read_text()
    if text.count(mutation.before) != 1:
        return f"{mutation.path} no longer holds what is to be taken away: mend the mutation"
    place.write_text(text.replace(mutation.before, mutation.after))
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

"""A `rebuild --replace` that is killed before its n-th step, for every n.

`python -m tests.support.rebuild_killing REPO`; its index is changed so that it differs from what it would be
made into, and the change stands in its log, as a killed writer leaves it.
Prints one JSON line a try: which index a reader then finds, and which one the next writer does.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from collectord.index.opening import writer_for
from collectord.index.reader import IndexReader
from collectord.repair.rebuild import rebuild
from tests.support.index_state import dump
from tests.support.killing import attempt
from tests.support.snapshots import settings_of

Dump = dict[str, Counter[str]]


def main() -> None:
    """Try every step."""
    settings = settings_of(Path(sys.argv[1]))
    state, template = settings.state_dir, settings.state_dir.with_name("template")
    with closing(sqlite3.connect(settings.index_path)) as connection:
        for status in ("first", "other"):
            connection.execute("UPDATE runs SET status = ?", (status,))
            connection.commit()
            if status == "first":
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        old = dump(settings.index_path)
        shutil.copytree(state, template)
    (template / f"{settings.index_path.name}-shm").unlink()
    assert (template / f"{settings.index_path.name}-wal").stat().st_size
    rebuild(settings, replace=True)  # imports all that there is to import
    known = {"old": old, "new": dump(settings.index_path)}
    assert known["old"] != known["new"]
    number, killed = 0, True
    while killed:
        number += 1
        shutil.rmtree(state)
        shutil.copytree(template, state)
        killed = attempt(lambda: rebuild(settings, replace=True), number)
        with IndexReader(settings.index_path):
            reader = which(settings.index_path, known)
        with writer_for(settings, "test"):
            pass
        names = sorted(path.name for path in state.iterdir())
        aside = [which(state / n, known) for n in names if ".replaced-" in n and not n.endswith("-wal")]
        found = {"reader": reader, "writer": which(settings.index_path, known), "aside": aside}
        print(json.dumps({"step": number, "killed": killed, **found}), flush=True)


def which(index: Path, known: dict[str, Dump]) -> str:
    """The name of the known index that this one is."""
    there = dump(index)
    return next((name for name, expected in known.items() if expected == there), "neither")


if __name__ == "__main__":
    main()

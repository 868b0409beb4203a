"""Dataset directories read with other people's tools, in a process with caches of its own and no network.

`python -m tests.support.loading TOOL DIR...` prints what the tool read as JSON: for each directory the run
ids by split, and a few things more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Found = dict[str, Any]
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def load(tool: str, folders: list[Path], home: Path) -> list[Found]:
    """What a tool reads of each directory; its caches go into `home`."""
    places = {"HOME": home, "HF_HOME": home / "hf", "CROISSANT_CACHE": home / "croissant", "TMPDIR": home}
    environ = {"PATH": os.environ["PATH"], **_OFFLINE, **{name: str(path) for name, path in places.items()}}
    command = [sys.executable, "-m", "tests.support.loading", tool, *map(str, folders)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Found] = json.loads(done.stdout.splitlines()[-1])
    return found


def with_datasets(folder: str) -> Found:
    """Hugging Face datasets, both configurations of the card."""
    import datasets

    datasets.disable_progress_bars()
    rows = datasets.load_dataset(folder)
    runs = datasets.load_dataset(folder, "runs", split="train")
    return {
        "splits": {name: part["run_id"][:] for name, part in rows.items()},
        "label_bins": sorted({b for part in rows.values() for b in part["label_max_minutes_bin"][:]}),
        "types": {name: str(value) for name, value in next(iter(rows.values())).features.items()},
        "null_throughout": {
            name: [c for c in part.column_names if all(v is None for v in part[c][:])]
            for name, part in rows.items()
        },
        "first_input": json.loads(next(iter(rows.values()))[0]["planner_input_json"]),
        "runs": runs["run_id"][:],
    }


def with_duckdb(folder: str) -> Found:
    """DuckDB on all Parquet files of the rows at once."""
    import duckdb

    found = duckdb.sql(f"SELECT split, run_id FROM '{folder}/data/*.parquet'")
    assert found is not None
    rows = found.fetchall()
    return {"splits": {split: [r for s, r in rows if s == split] for split in {s for s, _ in rows}}}


def with_polars(folder: str) -> Found:
    """Polars on all Parquet files of the rows at once."""
    import polars

    frame = polars.read_parquet(f"{folder}/data/*.parquet")
    rows = frame.select("split", "run_id").rows()
    return {"splits": {split: [r for s, r in rows if s == split] for split in {s for s, _ in rows}}}


def with_croissant(folder: str) -> Found:
    """mlcroissant: validates the document, then reads every record set; `error` where it refuses."""
    import mlcroissant

    try:
        dataset = mlcroissant.Dataset(f"{folder}/croissant.json")
        names = [record_set.uuid for record_set in dataset.metadata.record_sets]
        read = {name: [_texts(record) for record in dataset.records(name)] for name in names}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error.__cause__ or error}"}
    return {
        "record_sets": {name: [r.get(f"{name}/run_id") for r in records] for name, records in read.items()},
        "first": {name: records[0] for name, records in read.items() if records},
        "is_live": bool(dataset.metadata.ctx.is_live_dataset),
        "warnings": len(dataset.metadata.ctx.issues.warnings),
        "report": dataset.metadata.ctx.issues.report(),
    }


def _texts(record: Found) -> Found:
    """A record as JSON holds it: the library gives bytes and numpy's numbers."""
    plain = {k: v.item() if hasattr(v, "item") else v for k, v in record.items()}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in plain.items()}


TOOLS: dict[str, Callable[[str], Found]] = {
    "datasets": with_datasets,
    "duckdb": with_duckdb,
    "polars": with_polars,
    "mlcroissant": with_croissant,
}


def main() -> None:
    """Read the directories that the arguments name."""
    tool, *folders = sys.argv[1:]
    print(json.dumps([TOOLS[tool](folder) for folder in folders], default=str))


if __name__ == "__main__":
    main()

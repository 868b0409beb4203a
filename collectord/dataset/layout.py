"""How the files of a dataset directory are called."""

from __future__ import annotations

DATASET_FILE = "dataset.jsonl"
META_FILE = "meta.json"
SNAPSHOT_FILE = "snapshot.json"
RUNS_FILE = "runs.jsonl"
REJECTS_FILE = "rejects.jsonl"
RUNS_TABLE = "runs.parquet"
SCHEMA_FILE = "schema.json"
CARD_FILE = "README.md"
CROISSANT_FILE = "croissant.json"
ENVIRONMENT_FILE = "environment.json"
DRIFT_FILE = "drift.json"
SUMS_FILE = "SHA256SUMS"
# The files that tell of the others.
DESCRIBING = frozenset({CARD_FILE, CROISSANT_FILE})

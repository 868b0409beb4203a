"""The columns of the flat files: one list for Parquet, the dataset card and Croissant. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

TEXT = "string"
TEXTS = "strings"
INTEGER = "int64"
REAL = "float64"
FLAG = "bool"

# Names of splits in flat files: what loaders expect. The rows themselves say `val`, as the kernel does.
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its kind (one of the constants above) and what it holds."""

    name: str
    kind: str
    meaning: str


ROW_COLUMNS = (
    Column("run_id", TEXT, "The run's own id, as in dataset.jsonl."),
    Column("workcell_id", TEXT, "Name of the archive that the run was read from."),
    Column("split", TEXT, "train, validation or test."),
    Column("started_ms", INTEGER, "Dispatch of the run, UTC epoch milliseconds."),
    Column("finished_ms", INTEGER, "End of the run, UTC epoch milliseconds; null where nothing tells."),
    Column("universe_id", TEXT, "Universe in the planner input."),
    Column("job_type", TEXT, "Kind of job: code, fab-world, ..."),
    Column("domain", TEXT, "code, fab_asset or fab_world."),
    Column("issue_id", TEXT, "The issue that the run worked on."),
    Column("issue_title", TEXT, "Title of the issue as the planner saw it."),
    Column("dk_priority", TEXT, "P0 to P3."),
    Column("dk_risk", TEXT, "low, medium, high or critical."),
    Column("dk_size", TEXT, "XS to XL."),
    Column("dk_tool_hint", TEXT, "Toolchain that the issue asks for."),
    Column("dk_attempts", INTEGER, "Failed attempts at the issue before."),
    Column("tags", TEXTS, "Tags of the issue."),
    Column("label_swarm_id", TEXT, "Label: the executed swarm."),
    Column("label_max_candidates_bin", TEXT, "Label: width of the swarm as a bin, NA for none."),
    Column("label_max_minutes_bin", TEXT, "Label: time limit in minutes as a bin, NA for none."),
    Column("label_max_iterations_bin", TEXT, "Label: iterations as a bin, NA for none."),
    Column("input_hash", TEXT, "sha256 of the canonical planner input without created_at."),
    Column("outcome_status", TEXT, "success, failed or timeout. Not known at dispatch: never a feature."),
    Column("fail_codes", TEXTS, "What failed. Not known at dispatch: never a feature."),
    Column("duration_ms", INTEGER, "How long the run took. Not known at dispatch: never a feature."),
    Column("cost_usd", REAL, "Estimated cost. Not known at dispatch: never a feature."),
    Column("toolchain", TEXT, "Toolchain that was used."),
    Column("model", TEXT, "Model that was used."),
    Column("prompt_genome_id", TEXT, "Prompt genome that was used."),
    Column("epoch", INTEGER, "Number of the environment epoch; null where no epoch was selected."),
    Column("environment", TEXT, "Fingerprint of the environment; null where it is not known."),
    Column("planner_input_json", TEXT, "The planner input as it stands in dataset.jsonl."),
    Column("tokens", TEXTS, "Token sequence of the planner input."),
)

RUN_COLUMNS = (
    Column("kind", TEXT, "archive or world."),
    Column("workcell_id", TEXT, "Name of the directory that the run was read from."),
    Column("revision", TEXT, "Digest of the revision of that directory."),
    Column("run_id", TEXT, "The run's own id."),
    Column("left_out", TEXT, "Why the run is no row; null for rows."),
    Column("issue_id", TEXT, "The issue that the run worked on."),
    Column("job_type", TEXT, "Kind of job."),
    Column("domain", TEXT, "code, fab_asset or fab_world."),
    Column("status", TEXT, "success, failed or timeout."),
    Column("toolchain", TEXT, "Toolchain that was used."),
    Column("model", TEXT, "Model that was used."),
    Column("prompt_genome_id", TEXT, "Prompt genome that was used."),
    Column("started_ms", INTEGER, "Dispatch, UTC epoch milliseconds."),
    Column("started_source", TEXT, "What that time was read from."),
    Column("finished_ms", INTEGER, "End, UTC epoch milliseconds; null where only the arrival tells."),
    Column("duration_ms", INTEGER, "How long the run took."),
    Column("cost_usd", REAL, "Estimated cost."),
    Column("tokens_used", INTEGER, "Model tokens used."),
    Column("has_proof", FLAG, "Whether there is a usable proof.json."),
    Column("has_rollout", FLAG, "Whether there is a usable rollout.json."),
    Column("ends_in_event_log", FLAG, "Whether only the event log can say how it ended."),
    Column("input_state", TEXT, "Whether the recorded planner input can be taken as it is."),
    Column("hash_state", TEXT, "The recorded planner input against the hash recorded with it."),
    Column("encodable", FLAG, "Whether the run can be written as UTF-8."),
    Column("partial", TEXT, "What is missing or broken in the archive; null for a whole one."),
    Column("plan_explicit", FLAG, "Whether an executed plan was recorded."),
    Column("plan_swarm_id", TEXT, "Executed swarm."),
    Column("plan_max_candidates", INTEGER, "Executed width."),
    Column("plan_timeout_seconds", INTEGER, "Executed time limit."),
    Column("plan_max_iterations", INTEGER, "Executed iterations."),
    Column("manifest_sha256", TEXT, "sha256 of manifest.json."),
    Column("proof_sha256", TEXT, "sha256 of proof.json."),
    Column("rollout_sha256", TEXT, "sha256 of rollout.json."),
    Column("workcell_sha256", TEXT, "sha256 of .workcell."),
    Column("context_sha256", TEXT, "sha256 of context.json (world runs)."),
)
ARTIFACT_COLUMNS = {
    "manifest_sha256": "manifest.json",
    "proof_sha256": "proof.json",
    "rollout_sha256": "rollout.json",
    "workcell_sha256": ".workcell",
    "context_sha256": "context.json",
}


def split_file(split: str, number: int, of: int) -> str:
    """Path of a Parquet file of a split (`train`, `val`, `test`) inside a snapshot, one of so many."""
    return f"data/{SPLIT_NAMES[split]}-{number:05d}-of-{of:05d}.parquet"


def split_files(files: Iterable[str], split: str) -> list[str]:
    """The Parquet files of a split among the files of a snapshot, in the order of their rows."""
    return sorted(name for name in files if name.startswith(f"data/{SPLIT_NAMES[split]}-"))

"""Examples that stand under the help of each command."""

from __future__ import annotations

EXAMPLES = {
    "run": (
        ("collectord run", "beside `cyntra run --watch`; ctrl-C ends it"),
        ("collectord run -v", "with every line at debug"),
    ),
    "ingest": (
        ("collectord ingest", "one pass over everything"),
        ("collectord ingest -v", "with every archive"),
        ("collectord ingest --accept-gone", "it was removed on purpose"),
    ),
    "export": (
        ("collectord export", "the epoch of now"),
        ("collectord export --epoch all --split-by issue", "each issue in one split"),
        ("collectord export --redact --out ../dataset", "to publish"),
        ("collectord export --profile builder --dry-run", "the kernel's hash, no files"),
    ),
    "verify": (
        ("collectord verify latest", "is it what was published"),
        ("collectord verify latest --rebuild", "does the index give it again"),
    ),
    "diff": (("collectord diff planner_dataset_v1_20261120 latest", "what a week changed"),),
    "snapshot": (("collectord snapshot list", "datasets that were published"),),
    "status": (
        ("collectord status", "what is there, what waits, who is alive"),
        ("collectord status --watch", "the same as a live screen"),
        ("collectord status --check", "one line and an exit code, for monitoring"),
    ),
    "runs": (
        ("collectord runs --since 7d --status failed", "what failed this week"),
        ("collectord runs --issue 42 --json", "all runs of one issue"),
    ),
    "explain": (
        ("collectord explain 42", "the newest run of issue 42"),
        ("collectord explain wc-42", "an archive by the beginning of its name"),
    ),
    "audit": (
        ("collectord audit", "the first screen"),
        ("collectord audit --full --since 4w", "all of it, over four weeks"),
        ("collectord audit --open", "the page"),
        ("collectord audit --markdown", "for a chat"),
    ),
    "environment": (
        ("collectord environment show", "what decides labels now"),
        ("collectord environment diff 1 2", "what changed between two epochs"),
    ),
    "epoch": (
        ("collectord epoch list", "what ended each"),
        ("collectord epoch cut --why 'a new kernel'", "begin another one now"),
    ),
    "drift": (
        ("collectord drift list --since 7d", "alerts of the week"),
        ("collectord drift ack", "all of them were seen"),
    ),
    "quarantine": (
        ("collectord quarantine list", "archives that were not read, and why"),
        ("collectord quarantine requeue --all", "try them again"),
    ),
    "config": (
        ("collectord config show", "each value and where it came from"),
        ("collectord config check", "mistakes with line and column"),
    ),
    "db": (
        ("collectord db backup", "a checked copy"),
        ("collectord db check", "every page, digest and run"),
        ("collectord db rebuild", "made again and compared"),
    ),
    "doctor": (("collectord doctor", "each check, and what to do"),),
    "metrics": (("collectord metrics", "for a scrape"),),
    "prune": (
        ("collectord prune --logs-older-than 14d --dry-run", "what would go"),
        ("collectord prune --archives-older-than 90d --yes", "without asking"),
    ),
    "restore": (("collectord restore wc-42-20261123T181404Z", "after a prune"),),
    "fleet": (
        ("collectord fleet push", "this index, to fleet.url"),
        ("collectord fleet list", "who pushed what, and when"),
        ("collectord fleet export --to ../datasets", "one dataset of all of them"),
        ("collectord fleet verify ../datasets --rebuild", "made again from its pushes"),
    ),
    "service": (
        ("collectord service install", "of your user"),
        ("collectord service install --system --run-as kernel", "of the machine, as root"),
    ),
}


def examples_of(command: str) -> str | None:
    """The examples as they stand under the help of a command."""
    listed = EXAMPLES.get(command)
    if listed is None:
        return None
    width = max(len(line) for line, _ in listed)
    lines = [f"  {line:<{width}}  {meaning}" for line, meaning in listed]
    return "\n".join(["\b", "Examples:", *lines])

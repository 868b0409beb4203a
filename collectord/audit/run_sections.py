"""Agreement, outcomes, drift, quality, steadiness, phase and health as text. Pure."""

from __future__ import annotations

from collectord.audit.layout import JsonObject, Table, count, day, percent, share_words

_MOST_ALERTS = 20


def agreement_lines(document: JsonObject) -> list[str]:
    """Agreement: what is said of it."""
    found = document["agreement"]
    hashes = ", ".join(f"{number:,} {state}" for state, number in found["hashes"].items())
    said = [f"recorded inputs against their hashes: {hashes}"]
    if found["compared"]:
        said.append(
            f"of the newest {found['compared']} recorded histories, {found['histories_equal']} hold the runs "
            f"that the index gives, {found['contents_equal']} with every detail of their outcomes"
        )
    if found["issues_compared"]:
        said.append(
            f"of {found['issues_compared']} recorded issues, "
            f"{found['issues_equal']} are as Beads had them then"
        )
    if found["issue_fields"]:
        fields = ", ".join(f"{name} {number}" for name, number in found["issue_fields"].items())
        said.append(f"issue fields that differ: {fields}")
    return said


# Outcomes and drift


def outcomes_lines(document: JsonObject) -> list[str]:
    """Outcomes: what is said of it."""
    found = document["outcomes"]
    all_, window = found["overall"], found["window"]
    return [
        f"success: {share_words(all_['success_share'])} of all {all_['runs']:,}, "
        f"{share_words(window['success_share'])} of the {window['runs']:,} of {window['name']}",
        f"failed outside of the task: {all_['environment']:,} of all, "
        f"{window['environment']:,} of the window",
        f"successes of the window that changed nothing: {found['empty_successes']:,}",
    ]


def outcomes_tables(document: JsonObject) -> list[Table]:
    """Outcomes: its tables."""
    found = document["outcomes"]
    names = ("", "runs", "success", "failed", "timeout", "environment", "success share (95 %)")
    causes = [
        [c["cause"], f"{c['runs']:,}", day(c["first_ms"]), day(c["last_ms"]), c["evidence"]]
        for c in found["causes"]
    ]
    tables = [Table("Failed outside of the task", ("cause", "runs", "first", "last", "evidence"), causes)]
    for by, groups in found["by"].items():
        if by != "genome" or len(groups) > 1:
            tables.append(Table(f"By {by}", (by, *names[1:]), [_group(group) for group in groups]))
    return tables


def _group(group: JsonObject) -> list[str]:
    numbers = [f"{group[name]:,}" for name in ("runs", "success", "failed", "timeout", "environment")]
    return [group["name"], *numbers, share_words(group["success_share"])]


def drift_lines(document: JsonObject) -> list[str]:
    """Drift: what is said of it."""
    drift = document["drift"]
    promise = drift["false_alarms_a_year"]
    return [drift["words"], f"expected false alarms: at most {promise:.2f} a year, asked once a week"]


def drift_tables(document: JsonObject) -> list[Table]:
    """Drift: its tables."""
    rows = [
        [
            t["what"],
            percent(t["before"]),
            percent(t["recent"]),
            f"{t['p']:.4f}",
            "drift" if t["drifted"] else "none",
        ]
        for t in document["drift"]["tested"]
    ]
    return [
        Table("Window against the epoch before it", ("", "before", "window", "p (Holm)", "verdict"), rows)
    ]


# Quality, steadiness, phase, health


def quality_lines(document: JsonObject) -> list[str]:
    """Quality: what is said of it."""
    found = document["quality"]
    return [f"{found['faultless']:,} of {count(found['looked_at'], 'issue')} break no rule"]


def quality_tables(document: JsonObject) -> list[Table]:
    """Quality: its tables."""
    rows = [
        [r["rule"], f"{r['broken']:,}", ", ".join(r["issues"][:8])]
        for r in document["quality"]["rules"]
        if r["broken"]
    ]
    return [Table("Rules that issues break", ("rule", "issues", "such as"), rows)]


def steadiness_lines(document: JsonObject) -> list[str]:
    """Steadiness: what is said of it."""
    found = document["steadiness"]
    said = [f"{found['active_days']} of {found['days']} days active"]
    if found["busiest_day"]:
        said.append(f"busiest day: {found['busiest_day']} with {percent(found['busiest_day_share'])}")
    if found["busiest_issue"]:
        said.append(f"busiest issue: {found['busiest_issue']} with {percent(found['busiest_issue_share'])}")
    said.append(f"gaps of more than a day: {len(found['gaps'])}")
    return said


def phase_lines(document: JsonObject) -> list[str]:
    """Phase: what is said of it."""
    found = document["phase"]
    label = found["majority_label"]
    beat = f"always saying “{label}” is right in {percent(found['majority_share'])}: a model must beat that"
    return [
        found["words"],
        f"manifest and proof: {percent(found['consistent_share'])} of archives",
        f"label entropy {found['label_entropy_bits']:.2f} bits; {beat if label else 'no label yet'}",
        f"issues with several runs and a pass, for best-of-K: {found['best_of_total']:,}",
    ]


def phase_tables(document: JsonObject) -> list[Table]:
    """Phase: its tables."""
    rows = [
        [b["issue_id"], str(b["candidates"]), str(b["passed"])] for b in document["phase"]["best_of"][:10]
    ]
    return [Table("For best-of-K, the most runs first", ("issue", "runs", "passed"), rows)]


def health_lines(document: JsonObject) -> list[str]:
    """Health: what is said of it."""
    found = document["health"]
    archives = ", ".join(f"{number:,} {state}" for state, number in found["archives"].items())
    lag, snapshot = found["lag"], found["snapshot"]
    said = [f"archives: {found['seen']:,} seen: {archives or 'none'}"]
    said.append(
        f"pruned unseen, or never archived: {count(found['unseen'], 'failed workcell')} of the event log"
    )
    if found["last_ingest_ms"] is not None:
        said.append(f"last ingest: {day(found['last_ingest_ms'])}")
    if lag["median_s"] is not None:
        said.append(
            f"from end to complete archive: median {lag['median_s']:.0f} s, 95 % within {lag['p95_s']:.0f} s"
        )
    if snapshot is None:
        return [*said, "dataset: none published yet"]
    rebuilt = {None: "not rebuilt in this audit", True: "rebuilt to the same hash", False: "NOT rebuilt"}
    dataset = f"{snapshot['rows']:,} rows, hash {snapshot['dataset_hash'][:16]}…"
    return [*said, f"dataset: {snapshot['path']}: {dataset}, {rebuilt[snapshot['rebuilt']]}"]


def health_tables(document: JsonObject) -> list[Table]:
    """Health: its tables."""
    found = document["health"]
    epochs = [
        [str(e["number"]), day(e["from_ms"]), day(e["to_ms"]) if e["to_ms"] else "now", e["words"]]
        for e in found["epochs"]
    ]
    alerts = [[a["event"], day(a["opened_ms"]), a["words"]] for a in found["alerts"][:_MOST_ALERTS]]
    attention = [[a["name"], a["state"], a["reason"]] for a in found["attention"]]
    return [
        Table("Environments", ("epoch", "from", "to", "what"), epochs),
        Table("Archives that are not whole", ("archive", "state", "reason"), attention),
        Table("Open alerts", ("alert", "since", "what"), alerts),
    ]

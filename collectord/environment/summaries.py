"""What an alert is about, in one line: the same in lists, in the log of an ingest and in an audit. Pure."""

from __future__ import annotations

from typing import Any

MAX_LABELS = 3


def summary_of(event: str, fields: dict[str, Any]) -> str:
    """One line of what an alert is about."""
    match event:
        case "environment.drift":
            words = fields["affected"] or [c["words"] for c in fields["changes"]]
            return f"{', '.join(fields['components'])}: {words[0] if words else 'no label moves'}"
        case "environment.stale_kernel" if "pid" in fields:
            edited = fields["affected"] or [c["words"] for c in fields["changes"]]
            said = f"process {fields['pid']} has read what stood before the edit"
            return f"{said}: {edited[0] if edited else 'no label moves'}; {fields['advice']}"
        case "kernel.several":
            return f"{len(fields['kernels'])} kernels run at once: {fields['advice']}"
        case "environment.stale_kernel":
            return f"{fields['runs']} runs, last {fields['last']}: {fields['advice']}"
        case "epoch.reassigned":
            moved = f"{fields['runs']} runs, {fields['before'][:12]} → {fields['after'][:12]}"
            return f"{moved}: {fields['why'][0] if fields['why'] else 'the runs before one that moved'}"
        case "environment.unexplained":
            shown = fields["shown"][0] if fields["shown"] else "nothing"
            return f"{fields['runs']} runs, first {fields['first']}: {shown}"
        case "environment.unreadable":
            return f"{fields['path']}: {fields['reason']}"
        case "labels.contradiction":
            labels = " | ".join([*fields["labels"]][:MAX_LABELS])
            issue = " ".join(fields[key] or "?" for key in ("job_type", "risk", "size"))
            return f"epoch {fields['epoch']}, {issue} issues, {len(fields['labels'])} labels: {labels}"
    ended = f", ended by {fields['why']}" if fields.get("why") else ""
    return f"epoch {fields['epoch']}, {fields['runs']} runs{ended}"

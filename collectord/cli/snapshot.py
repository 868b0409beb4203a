"""`collectord snapshot`: dataset directories that were published."""

from __future__ import annotations

from typing import Any

import click

from collectord.cli.export import document_rows
from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import emit_json, json_option, line, pairs, table, time_text
from collectord.errors import CollectordError

_HASH = 12


@click.group(cls=Group, short_help="Dataset directories that were published.")
def snapshot() -> None:
    """Dataset directories that were published."""


@snapshot.command("list")
@json_option
@click.pass_obj
def snapshot_list(invocation: Invocation, as_json: bool) -> None:
    """List the dataset directories in the benches folder, the newest first."""
    from collectord.dataset.publish import list_snapshots

    found = list_snapshots(invocation.settings().benches_dir)
    if as_json:
        emit_json({"schema": "collectord.snapshots.v1", "snapshots": found})
    elif found:
        headers = ("name", "rows", "left out", "profile", "epoch", "Parquet", "dataset_hash", "")
        table(headers, [_row(entry) for entry in found], drop=("Parquet", "epoch", "profile", "left out"))
    else:
        line("none yet: `collectord export` publishes one")


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    document = entry["snapshot"]
    latest = "latest" if entry["latest"] else ""
    if document is None:
        return entry["name"], "", "", "not made by collectord", "", "", "", latest
    epoch = (document.get("epoch") or {}).get("number", "")
    cells = (
        document.get("example_count", ""),
        sum((document.get("left_out") or {}).values()),
        document.get("profile", ""),
        epoch,
        "yes" if document.get("parquet") else "no",
        str(document.get("dataset_hash", ""))[:_HASH],
    )
    return entry["name"], *map(str, cells), latest


@snapshot.command("show")
@click.argument("name", default="latest")
@json_option
@click.pass_obj
def snapshot_show(invocation: Invocation, name: str, as_json: bool) -> None:
    """Show what a dataset directory says of itself: a name, a path, or `latest`."""
    from collectord.dataset.publish import find_snapshot, read_snapshot

    folder = find_snapshot(invocation.settings().benches_dir, name)
    document = read_snapshot(folder)
    if document is None:
        raise CollectordError(
            f"{folder}: has no snapshot.json that can be read, so it tells nothing of itself"
        )
    if as_json:
        emit_json({**document, "path": str(folder)})
        return
    pairs([("path", str(folder)), *document_rows(document), *_origin(document)])


def _origin(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Of which epoch and options a snapshot is, and what made it; `--json` has all of it."""
    epoch, parquet = document.get("epoch"), document.get("parquet")
    options, software = document.get("options") or {}, document.get("software") or {}
    said = [(name, value) for name, value in options.items() if name not in ("epoch", "environment")]
    rows = [("options", ", ".join(f"{name} {_word(value)}" for name, value in said))]
    if epoch:
        first, last = time_text(epoch["first_ms"]), time_text(epoch["last_ms"])
        ended = f", ended {time_text(epoch['ended_ms'])}" if epoch.get("ended_ms") else ""
        rows += [
            ("environment", str(epoch["fingerprint"])),
            ("dispatched", f"{first} to {last}, {epoch['runs']} runs in the epoch{ended}"),
        ]
    made_by = ", ".join(f"{name} {version}" for name, version in software.items())
    with_tables = f"pyarrow {parquet['pyarrow']}" if parquet else "no Parquet"
    return [*rows, ("made by", f"{made_by}, {with_tables}")]


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


@snapshot.command("path")
@click.argument("name", default="latest")
@click.pass_obj
def snapshot_path(invocation: Invocation, name: str) -> None:
    """Print the path of a dataset directory: a name, a path, or `latest`."""
    from collectord.dataset.publish import find_snapshot

    line(str(find_snapshot(invocation.settings().benches_dir, name)))

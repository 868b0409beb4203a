"""`collectord snapshot`: dataset directories that were published."""

from __future__ import annotations

from typing import Any

import click

from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import emit_json, json_option, line, pairs, table
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
    pairs([("path", str(folder)), *((key, _text(value)) for key, value in _members(document).items())])


def _members(document: dict[str, Any]) -> dict[str, Any]:
    left = ("distributions", "files", "schema", "cut")
    return {key: value for key, value in document.items() if key not in left}


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items()) or "none"
    return "none" if value is None else str(value)


@snapshot.command("path")
@click.argument("name", default="latest")
@click.pass_obj
def snapshot_path(invocation: Invocation, name: str) -> None:
    """Print the path of a dataset directory: a name, a path, or `latest`."""
    from collectord.dataset.publish import find_snapshot

    line(str(find_snapshot(invocation.settings().benches_dir, name)))

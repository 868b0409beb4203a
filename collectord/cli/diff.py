"""`collectord diff`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from collectord.cli.export import dataset_folder
from collectord.cli.output import emit_json, json_option, line

if TYPE_CHECKING:
    from collectord.dataset.diff import Diff, Flip


_SHOWN = 20


@click.command(short_help="Compare two dataset directories.")
@click.argument("a")
@click.argument("b")
@click.option("--exit-code", is_flag=True, help="Exit 1 where they differ.")
@json_option
@click.pass_context
def diff(context: click.Context, a: str, b: str, exit_code: bool, as_json: bool) -> None:
    """Compare two dataset directories: rows, labels and why they flipped, distributions, environments.

    Each is a path, the name of a snapshot, or `latest`.
    """
    from collectord.dataset.diff import diff_document, diff_snapshots

    before, after = dataset_folder(context.obj, a), dataset_folder(context.obj, b)
    found = diff_snapshots(before, after)
    if as_json:
        emit_json(diff_document(found, before, after))
    else:
        _print(found)
    if exit_code and not found.is_same:
        context.exit(1)


def _print(found: Diff) -> None:
    before, after = found.row_counts
    line(
        f"rows {before} and {after}: {len(found.added)} added, {len(found.removed)} removed, "
        f"{len(found.changed)} changed, {len(found.flips)} of them with another label"
    )
    _list("added", found.added)
    _list("removed", found.removed)
    _list("changed", [f"{run_id}: {_shown(fields)}" for run_id, fields in found.changed.items()])
    _flips("label of a run", found.flips)
    _flips("label of an issue that ran again", found.issue_flips)
    if found.moved:
        line("moved between splits: " + ", ".join(f"{n} {what}" for what, n in found.moved.items()))
    for name, shift in found.shifts.items():
        values = ", ".join(f"{value} {x} and {y}" for value, (x, y) in shift["values"].items())
        line(f"{name}: shifted by {shift['shift']:.1%}: {values}")
    _environment(found)
    for words in found.made:
        line(f"made otherwise: {words}")
    line("the same rows and environment" if found.is_same else "they differ")


def _environment(found: Diff) -> None:
    before, after = found.fingerprints
    if before != after:
        line(f"environment: {_name(before)} and {_name(after)}")
    _list("environment", [f"{c.component} {c.pointer}: {c.words}" for c in found.environment])


def _name(fingerprint: str | None) -> str:
    return fingerprint[:12] if fingerprint else "not known"


def _flips(what: str, flips: Sequence[Flip]) -> None:
    lines = []
    for flip in flips:
        names = " → ".join(dict.fromkeys(flip.run_ids))
        parts = ", ".join(f"{name} {old} → {flip.after[name]}" for name, old in flip.before.items())
        lines.append(f"{names} (issue {flip.issue_id}): {parts}: {_shown(flip.why, '; ')}")
    _list(what, lines)


def _shown(texts: Sequence[Any], joint: str = ", ") -> str:
    more = f"{joint}and {len(texts) - 3} more" if len(texts) > 3 else ""
    return joint.join(map(str, texts[:3])) + more


def _list(what: str, items: Sequence[str]) -> None:
    for item in items[:_SHOWN]:
        line(f"{what}: {item}")
    if len(items) > _SHOWN:
        line(f"{what}: and {len(items) - _SHOWN} more; --json has all of them")

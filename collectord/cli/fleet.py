"""`collectord fleet`: many indexes on one storage, one dataset of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import complain, emit_json, json_option, line, size_text

if TYPE_CHECKING:
    from collectord.fleet.push import Pushed


@click.group(cls=Group, short_help="Many indexes on one storage, one dataset of them.")
def fleet() -> None:
    """Many indexes on one storage, one dataset of them."""


@fleet.command("push")
@json_option
@click.pass_obj
def fleet_push(invocation: Invocation, as_json: bool) -> None:
    """Push a checked copy of the index to fleet.url, as fleet.source.

    The same index again makes nothing new. Beside a daemon at any time.
    """
    from collectord.fleet.push import push

    pushed = push(invocation.settings())
    if as_json:
        emit_json(_pushed(pushed))
        return
    made = pushed.push
    where = f"{pushed.url}/{made.manifest}"
    if pushed.is_new:
        sizes = f"{size_text(made.size)}, {size_text(made.index_size)} unpacked"
        line(f"pushed {where}: {made.runs} runs, {sizes}")
    else:
        line(f"nothing new: {where} holds the same")
    if pushed.removed:
        line(f"removed older pushes: {', '.join(map(str, pushed.removed))}")
    for problem in pushed.problems:
        complain(problem)


def _pushed(pushed: Pushed) -> dict[str, Any]:
    made = pushed.push
    return {
        "schema": "collectord.fleet_push_done.v1",
        "url": pushed.url,
        "source": made.source,
        "sequence": made.sequence,
        "sha256": made.sha256,
        "bytes": made.size,
        "runs": made.runs,
        "is_new": pushed.is_new,
        "removed": list(pushed.removed),
        "problems": list(pushed.problems),
    }

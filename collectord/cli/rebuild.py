"""`collectord db rebuild`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

import click

from collectord.cli.invocation import Invocation
from collectord.cli.output import emit_json, json_option, line, progress_bar
from collectord.errors import CollectordError, VerificationFailed

if TYPE_CHECKING:
    from collectord.repair.rebuild import Difference, Rebuilt


_MAX_NAMES = 5
_COUNTED = ("archives", "revisions", "artifacts", "runs")
_WORDS = {"gone_ms": "whether they are there", "revision": "which revision is the current one"}
_SIDES = {"old": "only in the old index", "new": "only in the new one", "both": "differ in"}


@click.command(short_help="Make the index again and compare it with the one that is there.")
@click.option("--replace", is_flag=True, help="Put the new index in place; the old one is kept beside it.")
@json_option
@click.pass_obj
def rebuild(invocation: Invocation, replace: bool, as_json: bool) -> None:
    """Make a new index from stored core files and archives, deriving everything again, and compare.

    Exit 3 where the two differ. Without --replace the index stays as it is and a daemon may go on.
    """
    from collectord.repair.rebuild import rebuild as rebuild_index

    settings = invocation.settings()
    with progress_bar("deriving archives again") as progress:
        done = rebuild_index(settings, replace=replace, progress=progress)
    if as_json:
        emit_json(_document(done))
    else:
        _print(done)
    if replace and done.lost:
        raise CollectordError(
            f"{settings.index_path}: not replaced, as the new index lacks {len(done.lost)} rows that the old "
            "one has and nothing else can give: the old one is damaged. Run `collectord db recover`, which "
            "names what is lost"
        )
    if done.differences and not done.replaced:
        raise VerificationFailed(
            f"{settings.index_path}: differs from what its artifacts and archives give; see above. Where "
            "archives are only newer, run `collectord ingest`; else stop the daemon and run "
            "`collectord db rebuild --replace`"
        )


def _print(done: Rebuilt) -> None:
    if done.beside:
        line("archives were not read: another process writes the index and reads them as they come")
    for sentence in _sentences(done.differences):
        line(sentence)
    counts = ", ".join(
        f"{done.counts[name]} {name}" for name in ("archives", "revisions", "artifacts", "runs")
    )
    if not done.differences:
        line(f"the same: {counts} derived again give the index that is there; nothing to do")
        return
    line(f"the new index has {counts}")
    for path in done.aside:
        line(f"kept: {path}")
    if done.replaced:
        line("the new index is in place; delete the old one when it is not needed any more")


def _sentences(differences: Iterable[Difference]) -> list[str]:
    """One sentence for each table, side and set of columns."""
    kinds = sorted(differences, key=_kind)
    return [_sentence(*kind, [_name(one) for one in found]) for kind, found in groupby(kinds, _kind)]


def _kind(one: Difference) -> tuple[str, str, tuple[str, ...]]:
    return one.table, one.side, one.columns


def _sentence(table: str, side: str, columns: tuple[str, ...], names: list[str]) -> str:
    shown = list(dict.fromkeys(names))
    more = len(shown) - _MAX_NAMES
    listed = ", ".join(shown[:_MAX_NAMES]) + (f" and {more} more (--json lists all)" if more > 0 else "")
    named = ", ".join(_WORDS.get(column, column) for column in columns)
    what = f"{_SIDES[side]} {named}" if columns else _SIDES[side]
    return f"{table.replace('_', ' ')}: {len(names)} {what}: {listed}"


def _name(one: Difference) -> str:
    """The archive where there is one; else what tells the row from others."""
    return one.key[1] if one.key[0] in ("archive", "world") and len(one.key) > 1 else " ".join(one.key)


def _document(done: Rebuilt) -> dict[str, object]:
    return {
        "schema": "collectord.rebuild.v1",
        "same": not done.differences,
        "replaced": done.replaced,
        "archives_read": not done.beside,
        "aside": [str(path) for path in done.aside],
        "artifacts_from_archives": done.from_disk,
        "ingested": done.ingested,
        "counts": done.counts,
        "differences": [
            {"table": d.table, "key": list(d.key), "side": d.side, "columns": list(d.columns)}
            for d in done.differences
        ],
        "lost": len(done.lost),
    }

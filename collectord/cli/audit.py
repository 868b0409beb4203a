"""`collectord audit`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collectord.cli.invocation import Invocation, age_ms
from collectord.cli.output import emit_json, json_option, note
from collectord.errors import CollectordError, UsageError

if TYPE_CHECKING:
    from collectord.audit.document import AuditDocument

KINDS = (
    "out",
    "leaning",
    "blocked",
    "conflict",
    "drift",
    "environment",
    "disagreement",
    "quality",
    "unsteady",
    "pressure",
    "collection",
    "undetermined",
    "note",
)


class AuditFailed(CollectordError):
    """The audit found something of a kind that `--fail-on` names."""

    exit_code = 3


def _kinds(text: str | None) -> frozenset[str]:
    named = frozenset(part.strip() for part in (text or "").split(",") if part.strip())
    if unknown := sorted(named - set(KINDS)):
        raise UsageError(f"--fail-on: '{unknown[0]}' is no kind of finding; there are {', '.join(KINDS)}")
    return named


def _draw(found: AuditDocument, target: Path) -> Exception | None:
    """Write the page; what prevents that must not cost the answers, which took a while."""
    from collectord.audit import report

    try:
        report.write_page(found, target)
    except Exception as error:
        return error
    note(f"written: {target}")
    return None


@click.command(short_help="Say whether the dataset is worth training on, and what to add.")
@click.option("--since", help="The window, such as 7d or 4w; default: audit.window of the configuration.")
@click.option("--epoch", type=click.IntRange(1), help="Only runs of this epoch; default: all.")
@click.option(
    "--html", type=click.Path(path_type=Path), help="Also write one self-contained HTML page there."
)
@click.option("--open", "open_page", is_flag=True, help="Write the page to a temporary file and open it.")
@click.option("--markdown", "as_markdown", is_flag=True, help="The first screen as Markdown, for a chat.")
@click.option("--full/--brief", "full", default=None, help="All, or 24 lines as on a terminal.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare with the audit in this JSON file; default: the last weekly report.",
)
@click.option("--fail-on", help="Exit 3 if there are findings of these kinds, such as out,conflict.")
@click.option("--rebuild", is_flag=True, help="Also make the newest dataset again and compare.")
@click.option("--schema", is_flag=True, help="Only print the JSON Schema of what --json prints.")
@json_option
@click.pass_obj
def audit(
    invocation: Invocation,
    since: str | None,
    epoch: int | None,
    html: Path | None,
    open_page: bool,
    as_markdown: bool,
    full: bool | None,
    against: Path | None,
    fail_on: str | None,
    rebuild: bool,
    schema: bool,
    as_json: bool,
) -> None:
    """Say whether the dataset is worth training on, and what the backlog should hold next.

    First what to do, then why. Works beside a running daemon.
    """
    from collectord.audit import document, report

    if schema:
        emit_json(document.json_schema())
        return
    settings, wanted = invocation.settings(), _kinds(fail_on)
    window_ms = age_ms(since, "--since") if since else None
    if window_ms == 0:
        raise UsageError(f"--since {since}: a window must have a length, such as 7d")
    if open_page and html is None:
        html = Path(tempfile.mkdtemp(prefix="collectord-audit-")) / "audit.html"
    if html is not None:
        report.require_page(html)
    found = report.audit(settings, window_ms=window_ms, epoch=epoch, rebuild=rebuild, against=against)
    undrawn = None if html is None else _draw(found, html)
    if open_page and html is not None and undrawn is None:
        click.launch(html.absolute().as_uri())
    if as_json:
        emit_json(document.plain(found))
    elif as_markdown:
        from collectord.audit.markdown import markdown

        click.echo(markdown(found), nl=False)
    else:
        from collectord.audit.terminal import show

        show(found, sys.stdout, full=not sys.stdout.isatty() if full is None else full)
    if undrawn is not None:
        raise undrawn
    if failed := [kind for kind in found.verdicts.kinds if kind in wanted]:
        raise AuditFailed(f"the audit found: {', '.join(failed)}")

"""`collectord doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from collectord.cli.invocation import Invocation
from collectord.cli.output import emit_json, json_option, line, usage_text
from collectord.errors import CollectordError


@click.command(short_help="Check what breaks such a service, and say what to do.")
@json_option
@click.pass_obj
def doctor(invocation: Invocation, as_json: bool) -> None:
    """Check folders, disks, limits, index, backups, clock, daemon and labels; exit 1 with an error."""
    from collectord.status.doctor import ERROR, examine

    found, usage = examine(invocation.settings())
    errors = [finding for finding in found if finding.level == ERROR]
    if as_json:
        document = {"ok": not errors, "findings": [asdict(finding) for finding in found], "usage": usage}
        emit_json({"schema": "collectord.doctor.v1", **document})
    else:
        for finding in found:
            line(f"{finding.level:<8} {finding.check}: {finding.said}")
            if finding.advice:
                line(f"{'':<8} → {finding.advice}")
        line(f"on disk: {usage_text(usage)}")
    if errors:
        raise CollectordError(f"{len(errors)} of {len(found)} checks found an error")

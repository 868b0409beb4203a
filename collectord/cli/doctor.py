"""`collectord doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from collectord.cli.invocation import Invocation
from collectord.cli.output import emit_json, json_option, line, styled, usage_text
from collectord.errors import CollectordError

_COLOURS = {"good": None, "watch": "yellow", "act": "red"}


@click.command(short_help="Check what breaks such a service, and say what to do.")
@json_option
@click.pass_obj
def doctor(invocation: Invocation, as_json: bool) -> None:
    """Check folders, disks, limits, index, backups, clock, daemon and labels; exit 1 with an error."""
    from collectord.status.doctor import examine
    from collectord.status.health import State

    examined = examine(invocation.settings())
    found, usage = examined.checks, examined.usage
    errors = [check for check in found if check.state is State.ACT]
    if as_json:
        document = {"ok": not errors, "findings": [asdict(check) for check in found], "usage": usage}
        emit_json({"schema": "collectord.doctor.v1", **document})
    else:
        for check in found:
            styled(f"{check.state:<5} {check.check}: {check.said}", _COLOURS[check.state])
            if check.advice:
                line(f"{'':<5} → {check.advice}")
        line(f"on disk: {usage_text(usage)}")
    if errors:
        raise CollectordError(f"{len(errors)} of {len(found)} checks say act: see above")

"""`collectord config`."""

from __future__ import annotations

import click

from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import emit_json, json_option, line, note, table
from collectord.errors import ConfigError


@click.group(cls=Group, short_help="Show or check the configuration.")
def config() -> None:
    """Show or check the configuration."""


@config.command("show")
@json_option
@click.pass_obj
def config_show(invocation: Invocation, as_json: bool) -> None:
    """Print each value and where it came from."""
    settings = invocation.settings()
    rows = settings.rows()
    if as_json:
        values = {key: {"value": value, "source": source} for key, value, source in rows}
        emit_json({"schema": "collectord.config.v1", "values": values})
        return
    shown = [(key, settings.value_text(key, value), source) for key, value, source in rows]
    table(("key", "value", "from"), shown, wrap="value")


@config.command("check")
@json_option
@click.pass_obj
def config_check(invocation: Invocation, as_json: bool) -> None:
    """Say whether the configuration is good: exit 0, or 78 with every finding.

    What is allowed and has no effect, such as a path in `environment.severity` that matches nothing, is a
    note.
    """
    from collectord.epochs.requests import overrides_without_effect
    from collectord.status.health import WITHOUT_EFFECT_ADVICE, without_effect_words

    schema = "collectord.config_check.v1"
    try:
        settings = invocation.settings()
    except ConfigError as error:
        if as_json:
            emit_json({"schema": schema, "ok": False, "file": None, "findings": str(error).split("\n")})
        raise
    file = str(settings.file) if settings.file else None
    entries = overrides_without_effect(settings)
    if as_json:
        document = {"ok": True, "file": file, "findings": [], "without_effect": list(entries)}
        emit_json({"schema": schema, **document})
        return
    line(f"good ({file or 'no file: defaults, environment and command line'})")
    if entries:
        note(f"{without_effect_words(entries)}; {WITHOUT_EFFECT_ADVICE}")

"""`collectord config` and `collectord db`."""

from __future__ import annotations

import click

from collectord import app
from collectord.cli.invocation import Invocation
from collectord.cli.output import emit_json, json_option, line, table
from collectord.errors import CollectordError, ConfigError


@click.group(short_help="Show or check the configuration.")
def config() -> None:
    """Show or check the configuration."""


@config.command("show")
@json_option
@click.pass_obj
def config_show(invocation: Invocation, as_json: bool) -> None:
    """Print each value and where it came from."""
    rows = invocation.settings().rows()
    if as_json:
        values = {key: {"value": value, "source": source} for key, value, source in rows}
        emit_json({"schema": "collectord.config.v1", "values": values})
        return
    shown = [(key, _value_text(value), source) for key, value, source in rows]
    table(("key", "value", "from"), shown)


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}: {inner}" for key, inner in value.items())
    return ", ".join(map(_value_text, value)) if isinstance(value, list) else str(value)


@config.command("check")
@json_option
@click.pass_obj
def config_check(invocation: Invocation, as_json: bool) -> None:
    """Say whether the configuration is good: exit 0, or 78 with every finding."""
    schema = "collectord.config_check.v1"
    try:
        settings = invocation.settings()
    except ConfigError as error:
        if as_json:
            emit_json({"schema": schema, "ok": False, "file": None, "findings": str(error).split("\n")})
        raise
    file = str(settings.file) if settings.file else None
    if as_json:
        emit_json({"schema": schema, "ok": True, "file": file, "findings": []})
    else:
        line(f"good ({file or 'no file: defaults, environment and command line'})")


@click.group(short_help="Upgrade or check the index.")
def db() -> None:
    """Upgrade or check the index."""


@db.command("upgrade")
@json_option
@click.pass_obj
def db_upgrade(invocation: Invocation, as_json: bool) -> None:
    """Bring the index to the schema of this collectord; a backup is made first."""
    done = app.upgrade(invocation.settings())
    backup = str(done.backup) if done.backup else None
    if as_json:
        document = {"before": done.before, "after": done.after, "backup": backup}
        emit_json({"schema": "collectord.db_upgrade.v1", **document})
    elif done.before == done.after:
        line(f"nothing to do: the index has schema {done.after}")
    else:
        kept = f"; the index as it was: {backup}" if backup else ""
        line(f"schema {done.before or 'none'} → {done.after}{kept}")


@db.command("check")
@json_option
@click.pass_obj
def db_check(invocation: Invocation, as_json: bool) -> None:
    """Check the index: its pages, its references, and the digest of every artifact."""
    settings = invocation.settings()
    findings, artifacts = app.check(settings)
    if as_json:
        document = {"ok": not findings, "artifacts": artifacts, "findings": findings}
        emit_json({"schema": "collectord.db_check.v1", **document})
    else:
        for finding in findings:
            line(finding)
    if findings:
        raise CollectordError(
            f"{settings.index_path}: {len(findings)} findings. Keep the file and everything beside it: runs "
            "whose archives were pruned are only there. Move the state folder aside and run `collectord "
            "ingest` for a new index of the archives that are left"
        )
    if not as_json:
        line(f"{settings.index_path}: fine ({artifacts} artifacts have their digests)")

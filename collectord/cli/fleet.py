"""`collectord fleet`: many indexes on one storage, one dataset of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from collectord.cli.environment import print_changes
from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import complain, emit_json, json_option, line, note, size_text, table
from collectord.errors import UsageError

if TYPE_CHECKING:
    from collectord.fleet.push import Pushed
    from collectord.fleet.storage import Storage


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


_URL = "The storage; default: fleet.url of the repo's configuration."
_SOURCES = "Only sources whose names fit, such as 'build-*/kernel'."


def storage_at(invocation: Invocation, url: str | None) -> Storage:
    """The storage that was named, which needs no repo, or the configured one."""
    from collectord.config.schema import OFF, storage_url
    from collectord.fleet.storage import open_storage

    if url is not None:
        try:
            return open_storage(storage_url(url))
        except ValueError as error:
            raise UsageError(f"--url: {error}") from None
    configured = invocation.settings().config.fleet.url
    if configured == OFF:
        raise UsageError("no fleet is named: give --url, or set fleet.url in the configuration")
    return open_storage(configured)


@fleet.command("list")
@click.option("--url", help=_URL)
@click.option("--sources", "glob", default="*", help=_SOURCES)
@json_option
@click.pass_obj
def fleet_list(invocation: Invocation, url: str | None, glob: str, as_json: bool) -> None:
    """List the sources with their newest pushes, and what cannot be read and why."""
    from collectord.fleet.look import list_sources
    from collectord.index.opening import now_ms

    found = list_sources(storage_at(invocation, url), glob, now_ms())
    if as_json:
        emit_json(found)
        return
    headers = ("source", "runs", "epochs", "environments", "push", "age", "schema", "trouble")
    rows = [_source_row(source) for source in found["sources"]]
    table(headers, rows, drop=("schema", "push", "environments"), wrap="trouble")
    for source in found["sources"]:
        for problem in source["problems"]:
            complain(f"{source['source']}: {problem}")
    for names in found["same_index"]:
        complain(f"{', '.join(names)} are pushes of one index: each of its rows would come several times")
    if not rows:
        note(f"{found['url']}: no source there fits; `collectord fleet push` on a host makes one")


def _source_row(source: dict[str, Any]) -> tuple[str, ...]:
    if "sequence" not in source:
        return source["source"], *[""] * 6, str(source["trouble"])
    return (
        source["source"],
        str(source["runs"]),
        str(source["epochs"]),
        str(len(source["environments"])),
        str(source["sequence"]),
        age_text(source["age_s"]),
        source["index_schema"],
        source["trouble"] or "",
    )


def age_text(seconds: int) -> str:
    """An age in its largest unit of which there are two."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


@fleet.command("environments")
@click.option("--url", help=_URL)
@click.option("--sources", "glob", default="*", help=_SOURCES)
@json_option
@click.pass_obj
def fleet_environments(invocation: Invocation, url: str | None, glob: str, as_json: bool) -> None:
    """List the environments with the sources that share each, and what tells them apart.

    Each is compared with the first, under which there are the most runs.
    """
    from collectord.fleet.look import list_environments

    found = list_environments(storage_at(invocation, url), glob)
    if as_json:
        emit_json(found)
        return
    for number, one in enumerate(found["environments"]):
        _print_environment(one, is_first=number == 0)
    if not found["environments"]:
        note(f"{found['url']}: no source there fits; `collectord fleet push` on a host makes one")


def _print_environment(one: dict[str, Any], *, is_first: bool) -> None:
    line(f"{one['fingerprint'][:21] or 'not known'}: {one['runs']} runs of {len(one['sources'])} sources")
    for source in one["sources"]:
        epochs = ", ".join(map(str, source["epochs"])) or "none"
        line(f"  {source['source']}: {source['runs']} runs, epochs {epochs}")
    if one["why"]:
        line(f"  {one['why']}")
    elif not is_first and (differs := one["differs"]):
        if not differs["comparable"]:
            line("  one of them was never read: only runs show it; compare what they show with --json")
        print_changes(differs["changes"])
        for name in differs["in_hidden_values_of"]:
            line(f"  ~ {name}: a value that is hidden, as it may be a secret")
        for words in differs["affected"]:
            line(f"  {words}")

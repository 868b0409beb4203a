"""`collectord fleet`: many indexes on one storage, one dataset of them."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collectord.cli.environment import print_changes
from collectord.cli.export import print_verified, verified_json
from collectord.cli.invocation import Group, Invocation, age_ms
from collectord.cli.output import (
    complain,
    emit_json,
    is_quiet,
    json_option,
    line,
    note,
    pairs,
    size_text,
    table,
)
from collectord.errors import UsageError
from collectord.system.names import printable

if TYPE_CHECKING:
    from collectord.fleet.export import Exported, Progress
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
    from collectord.config.schema import OFF
    from collectord.fleet.storage import open_storage

    if url is not None:
        return open_storage(_place(url, "--url"))
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


@fleet.command("export")
@click.option("--to", required=True, help="Where the dataset goes: a folder, or a URL of a storage.")
@click.option("--url", help=_URL)
@click.option("--sources", "glob", default="*", help=_SOURCES)
@click.option(
    "--environment",
    "environments",
    multiple=True,
    help="A fingerprint or its beginning, several times for several; default: the only one that there is.",
)
@click.option("--all", "all_runs", is_flag=True, help="Every run, whatever its environment.")
@click.option("--profile", type=click.Choice(["dispatch"]), default="dispatch", help="Only dispatch.")
@click.option("--redact", is_flag=True, help="Replace what looks like a credential by its kind.")
@click.option(
    "--split-by",
    type=click.Choice(["time", "issue", "source"]),
    default="time",
    show_default=True,
    help="By time over all sources, or all rows of an issue or of a source in one split.",
)
@click.option(
    "--shard-rows",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    help="Rows in a file.",
)
@click.option("--jsonl", is_flag=True, help="Also files of JSON lines, compressed with zstd.")
@click.option("--allow-missing", is_flag=True, help="Publish without the sources that cannot be had.")
@click.option("--workers", type=click.IntRange(0, 1024), help="Processes; 0: this one. Default: cores.")
@click.option("--memory", help="Of each process, such as 2GiB; default: its share of the machine.")
@click.option("--scheduler", help="A Dask cluster, such as tcp://host:8786, in place of processes here.")
@json_option
@click.pass_obj
def fleet_export(
    invocation: Invocation,
    to: str,
    url: str | None,
    glob: str,
    environments: tuple[str, ...],
    all_runs: bool,
    profile: str,
    redact: bool,
    split_by: str,
    shard_rows: int,
    jsonl: bool,
    allow_missing: bool,
    workers: int | None,
    memory: str | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Publish one dataset of the sources of a fleet, under a dated name in the folder or storage --to.

    Each row is the one that its source's own export has, with the column `source` beside it. The same content
    again makes nothing new, and a source that pushed nothing new is not rendered again.
    """
    from collectord.fleet.export import Asked, export_fleet
    from collectord.fleet.options import FleetOptions
    from collectord.fleet.runners import workers as workers_of
    from collectord.index.opening import now_ms

    asked = Asked(
        storage_at(invocation, url).url, _place(to, "--to"), glob, environments, all_runs, allow_missing
    )
    options = FleetOptions(None, split_by, redact, shard_rows, jsonl)
    count = workers if workers is not None else os.cpu_count() or 1
    with workers_of(count, _bytes(memory), scheduler) as runner, stages() as progress:
        if runner.dashboard:
            note(f"dashboard: {runner.dashboard}")
        exported = export_fleet(asked, options, runner, progress, now_ms)
    for said in exported.notes:
        complain(said)
    for one in exported.document["sources"]:
        for problem in one["problems"]:
            complain(f"{one['source']}: {problem}; push {one['sequence']} was taken")
    for one in exported.document["missing"]:
        complain(f"missing: {one['source']}: {one['why']}")
    if as_json:
        emit_json(_exported(exported))
    else:
        _print_exported(exported)


def _place(given: str, option: str) -> str:
    """A URL as it is, a path as an absolute one."""
    from collectord.config.schema import storage_url

    place = given if "://" in given else os.path.normpath(Path(given).absolute())
    try:
        return storage_url(place)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _bytes(memory: str | None) -> int | None:
    from collectord.config.schema import size

    try:
        return None if memory is None else size(memory)
    except ValueError as error:
        raise UsageError(f"--memory: {error}") from None


_TOLD = ("dataset_hash", "example_count", "split_counts", "options", "missing", "without_runs")


def _exported(exported: Exported) -> dict[str, Any]:
    shown = ("source", "sequence", "rows")
    sources = [{name: one[name] for name in shown} for one in exported.document["sources"]]
    return {
        "schema": "collectord.fleet_export.v1",
        "url": exported.url,
        "is_new": exported.is_new,
        "reused": exported.reused,
        "notes": list(exported.notes),
        "sources": sources,
        **{name: exported.document[name] for name in _TOLD},
    }


def _print_exported(exported: Exported) -> None:
    document = exported.document
    splits = ", ".join(f"{name} {count}" for name, count in document["split_counts"].items())
    environments = document["options"]["environments"]
    named = "all" if environments is None else ", ".join(name[:21] for name in environments)
    without = ", ".join(document["without_runs"])
    rows = [
        ("sources", f"{len(document['sources'])}, {exported.reused} of them as before"),
        ("without such runs", without),
        ("environments", named),
        ("rows", f"{document['example_count']} ({splits})"),
        ("dataset_hash", document["dataset_hash"]),
    ]
    pairs([(name, value) for name, value in rows if value])
    said = "published" if exported.is_new else "nothing new, the same is there:"
    line(f"{said} {exported.url}")


@contextmanager
def stages() -> Iterator[Progress]:
    """What is done of each stage, with rates: bars on a terminal, elsewhere a line for each source."""
    if not sys.stderr.isatty() or is_quiet():
        yield _say_stage
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<7}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, TextColumn("{task.fields[said]}"), console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}
        begun, counts = {}, Counter[str]()

        def tell(stage: str, done: int, total: int, what: str, rows: int) -> None:
            if stage not in tasks:
                tasks[stage], begun[stage] = bars.add_task(stage, total=total, said=""), time.monotonic()
            counts[stage] += rows
            rate = counts[stage] / max(0.001, time.monotonic() - begun[stage])
            said = f"{rate:.0f} rows/s, {printable(what)}"
            bars.update(tasks[stage], completed=done, total=total, said=said)

        yield tell


def _say_stage(stage: str, done: int, total: int, what: str, rows: int) -> None:
    note(f"{stage} {done} of {total}: {what}, {rows} rows")


@fleet.command("verify")
@click.argument("dataset")
@click.option("--fast", is_flag=True, help="Only sums and documents; the rows are not read.")
@click.option("--rebuild", is_flag=True, help="Also make each row again from the pushes, and compare.")
@click.option("--url", help="Where the pushes are; default: fleet.url of the repo's configuration.")
@json_option
@click.pass_obj
def fleet_verify(
    invocation: Invocation, dataset: str, fast: bool, rebuild: bool, url: str | None, as_json: bool
) -> None:
    """Check a dataset of a fleet: sums, documents, each row, the hash; DATASET is a URL or a path.

    What holds several is good too: then it is the newest of them.
    """
    from collectord.fleet.datasets import find
    from collectord.fleet.verify import verify_fleet

    if fast and rebuild:
        raise UsageError("--fast and --rebuild ask for opposite things; give one of them")
    storage, name = find(_place(dataset, "DATASET"))
    pushes = storage_at(invocation, url) if rebuild else None
    verified = verify_fleet(storage, name, fast=fast, rebuild=pushes)
    where = f"{storage.url}/{name}"
    print_verified(verified, where, verified_json("collectord.fleet_verify.v1", where, verified), as_json)


@fleet.command("diff")
@click.argument("a")
@click.argument("b")
@click.option("--exit-code", is_flag=True, help="Exit 1 where they differ.")
@json_option
@click.pass_context
def fleet_diff(context: click.Context, a: str, b: str, exit_code: bool, as_json: bool) -> None:
    """Compare two datasets of fleets: sources, rows, labels, splits, distributions."""
    from collectord.fleet.compare import compare, read_side
    from collectord.fleet.datasets import find

    sides = [read_side(*find(_place(given, name))) for given, name in ((a, "A"), (b, "B"))]
    found = compare(*sides)
    if as_json:
        emit_json(found)
    else:
        _print_diff(found)
    if exit_code and not found["same"]:
        context.exit(1)


_SHOWN = 20


def _print_diff(found: dict[str, Any]) -> None:
    before, after = found["rows"]
    counts = ", ".join(f"{len(found[name])} {name}" for name in ("added", "removed", "changed"))
    line(f"rows {before} and {after}: {counts}, {len(found['flips'])} of them with another label")
    for name, one in found["sources"].items():
        numbers = ", ".join(f"{one[what]} {what}" for what in ("added", "removed", "changed") if one[what])
        pushes = " → ".join("none" if push is None else str(push) for push in one["pushes"])
        line(f"source {name}: push {pushes}{': ' if numbers else ''}{numbers}")
    for flip in found["flips"][:_SHOWN]:
        parts = [f"{n} {x} → {flip['after'][n]}" for n, x in flip["before"].items() if x != flip["after"][n]]
        line(f"label of {flip['source']} {flip['run_id']}: {', '.join(parts)}")
    if (more := len(found["flips"]) - _SHOWN) > 0:
        line(f"label: and {more} more; --json has all of them")
    if found["moved"]:
        line("moved between splits: " + ", ".join(f"{n} {what}" for what, n in found["moved"].items()))
    for name, shift in found["shifts"].items():
        values = ", ".join(f"{value} {x} and {y}" for value, (x, y) in shift["values"].items())
        line(f"{name}: shifted by {shift['shift']:.1%}: {values}")
    for name, (x, y) in found["options"].items():
        line(f"made otherwise: {name}: {x} became {y}")
    line("the same rows" if found["same"] else "they differ")


@fleet.command("audit")
@click.argument("dataset")
@click.option("--since", help="The window before the last dispatch, such as 4w; default: all of it.")
@click.option("--source", help="All answers of this source instead of those of all sources.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write one self-contained page there.")
@json_option
@click.pass_obj
def fleet_audit(
    _invocation: Invocation,
    dataset: str,
    since: str | None,
    source: str | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Say whether a dataset of a fleet is worth training on: lanes, coverage, consistency, outcomes.

    Over all sources and by source, from the rows alone; what needs a repo is for `collectord audit` there.
    """
    from collectord.fleet.audit import audit_document, audit_fleet
    from collectord.fleet.audit_views import page, source_table, text_lines, title
    from collectord.fleet.datasets import find
    from collectord.system.durable import atomic_write, permitted

    window_ms = age_ms(since, "--since") if since else None
    if window_ms == 0:
        raise UsageError(f"--since {since}: a window must have a length, such as 4w")
    found = audit_fleet(*find(_place(dataset, "DATASET")), window_ms)
    if source is not None and source not in found.by_source:
        raise UsageError(f"--source {source}: the dataset has rows of {', '.join(found.by_source)}")
    if html is not None:
        atomic_write(html.absolute(), page(found).encode("utf-8", "backslashreplace"), permitted(0o644))
        note(f"written: {html}")
    if as_json:
        emit_json(audit_document(found))
        return
    line(title(found))
    listed = source_table(found)
    table(listed.columns, listed.rows)
    for said in text_lines(found.by_source[source] if source else found.whole):
        line(said)

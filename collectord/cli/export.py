"""`collectord export` and `collectord verify`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collectord.cli.invocation import Invocation
from collectord.cli.output import complain, emit_json, json_option, line, pairs, progress_bar
from collectord.errors import CollectordError, UsageError, VerificationFailed

if TYPE_CHECKING:
    from collectord.dataset.exporter import Exported
    from collectord.dataset.verify import Verified


_DOCUMENTED = ("profile", "left_out", "not_selected", "input_hashes")
_NO_PARQUET = "none: the extra `parquet` is not installed"


@click.command(short_help="Publish the dataset of the index.")
@click.option("--profile", type=click.Choice(["dispatch", "builder"]), help="Default: dispatch.")
@click.option("--out", type=click.Path(path_type=Path), help="A directory that does not exist yet.")
@click.option("--n-similar", type=click.IntRange(0, 10_000), help="Similar runs in a history; default 8.")
@click.option(
    "--histories",
    type=click.Choice(["recorded", "rebuilt"]),
    default="recorded",
    show_default=True,
    help="Of a recorded input: as the kernel recorded it, or made again from the index.",
)
@click.option("--redact", is_flag=True, help="Replace what looks like a credential by its kind.")
@click.option("--universe", help="Universe to name in rows that recorded none; default: the repo's own.")
@click.option("--include-world/--no-include-world", default=None, help="Also fab-world runs; default no.")
@click.option(
    "--split-by",
    type=click.Choice(["time", "issue"]),
    default="time",
    show_default=True,
    help="By time as the kernel does, or all rows of an issue in one split.",
)
@click.option("--epoch", help="current, all, a number or a key; default: current (dispatch), all (builder).")
@click.option("--environment", help="A fingerprint or its beginning: every epoch that has it.")
@click.option("--dry-run", is_flag=True, help="Compute the dataset and its hash, write nothing.")
@json_option
@click.pass_obj
def export(
    invocation: Invocation,
    profile: str | None,
    out: Path | None,
    n_similar: int | None,
    histories: str,
    redact: bool,
    universe: str | None,
    include_world: bool | None,
    split_by: str,
    epoch: str | None,
    environment: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the dataset of the index, in .cyntra/benches/planner_dataset_v1_<day>/ unless --out is given.

    The same content again makes nothing new: the same rows of the same runs, with the files that it would
    have now. Works beside a running daemon.
    """
    from collectord.dataset.card import credentials_text
    from collectord.dataset.exporter import export as export_dataset
    from collectord.dataset.row_plan import BUILDER, REBUILT, ExportOptions

    asked = {"profile": profile, "n_similar": n_similar, "include_world": include_world}
    settings = invocation.settings({f"export.{key}": value for key, value in asked.items()})
    chosen = settings.config.export
    options = ExportOptions(
        chosen.profile,
        chosen.n_similar,
        _universe(universe),
        chosen.include_world,
        split_by=split_by,
        histories=histories,
        redact=redact,
    )
    if redact and chosen.profile == BUILDER:
        raise UsageError("--redact: the builder profile is byte for byte what the kernel writes")
    if histories == REBUILT and chosen.profile == BUILDER:
        raise UsageError("--histories: the builder profile makes every history again by itself")
    target = _target(out, settings.archives_dir)
    with progress_bar("writing rows") as progress:
        exported = export_dataset(
            settings,
            options,
            epoch=epoch or ("all" if chosen.profile == "builder" else "current"),
            environment=environment,
            out=target,
            dry_run=dry_run,
            progress=progress,
        )
    if exported.moved_aside:
        complain(f"planner_dataset_v1 was a directory of something else: it is now {exported.moved_aside}")
    if mismatched := exported.document["input_hashes"].get("mismatch", 0):
        complain(
            f"{mismatched} rows hold an input that does not have the hash recorded with it: their archives "
            "were altered; `collectord runs --hash mismatch` names them"
        )
    if found := exported.document.get("credentials"):
        complain(
            f"something looks like a credential in {credentials_text(found)}: `collectord audit` names the "
            "issues, `collectord export --redact` replaces it"
        )
    if as_json:
        path = str(exported.path) if exported.path else None
        members = {key: exported.document[key] for key in _DOCUMENTED}
        split = exported.document["options"]["split_by"]
        chosen_runs = {key: exported.document["options"][key] for key in ("epoch", "environment")}
        document = {**exported.meta, **members, **chosen_runs, "path": path, "is_new": exported.is_new}
        document["split_by"] = split
        for key in ("credentials", "redaction"):
            document |= {key: exported.document[key]} if key in exported.document else {}
        emit_json({**document, "schema": "collectord.export.v1"})
    else:
        _print(exported)


def _universe(given: str | None) -> str | None:
    if given is None:
        return None
    if not given or not given.isprintable():
        raise UsageError(
            f"--universe '{given}': not a name; leave the option out for the repo's own universe"
        )
    return given


def _target(out: Path | None, archives: Path) -> Path | None:
    """The directory to make; never in the archives folder, where it would be taken for an archive."""
    if out is None:
        return None
    target = Path(os.path.normpath(out.absolute()))
    if target.parent.resolve().is_relative_to(archives.resolve()):
        raise UsageError(f"--out {out}: lies inside the archives folder {archives}; choose another place")
    return target


def _epoch(options: dict[str, Any]) -> str:
    if options["environment"]:
        return f"every one with the environment {options['environment'][:12]}"
    return str(options["epoch"] or "all")


def _print(exported: Exported) -> None:
    rows, reused = exported.rows_computed, exported.rows_reused
    computed = ("computed", f"{rows} rows, {reused} reused from the last export")
    pairs([*document_rows(exported.document), computed, *_parquet()])
    if exported.path is None:
        line("dry run: nothing was written")
    elif exported.is_new:
        line(f"published {exported.path}")
        _explain_twin(exported.path)
    else:
        line(f"nothing new: {exported.path} holds the same dataset")


def _parquet() -> list[tuple[str, str]]:
    from collectord.dataset.parquet import pyarrow_version

    return [] if pyarrow_version() else [("Parquet", _NO_PARQUET)]


def _explain_twin(published: Path) -> None:
    from collectord.dataset.publish import twin_of

    if twin := twin_of(published):
        name, reasons = twin
        why = ", and ".join(reasons) or "it is another place"
        line(f"the rows are those of {name}; published again because {why}")


def document_rows(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What a snapshot.json says, for a person."""
    from collectord.dataset.columns import SPLIT_NAMES

    counts = document["split_counts"]
    splits = ", ".join(f"{name} {counts[name]}" for name in SPLIT_NAMES if name in counts)
    return [
        ("profile", document["profile"]),
        ("epoch", _epoch(document["options"])),
        ("rows", f"{document['example_count']} ({splits})"),
        *_split_by(document),
        *_redacted(document),
        ("left out", _counts(document["left_out"]) or "none"),
        ("not selected", _counts(document["not_selected"]) or "none"),
        ("recorded inputs", _counts(document["input_hashes"]) or "none taken verbatim"),
        ("dataset_hash", document["dataset_hash"]),
    ]


def _split_by(document: dict[str, Any]) -> list[tuple[str, str]]:
    if document["options"]["split_by"] == "time":
        return []
    return [("split by", "issue: not the kernel's split by time, so the dataset_hash is another one")]


def _redacted(document: dict[str, Any]) -> list[tuple[str, str]]:
    from collectord.dataset.card import credentials_text

    redaction = document.get("redaction")
    return [("redacted", credentials_text(redaction))] if redaction else []


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


@click.command(short_help="Check a published dataset directory.")
@click.argument("directory")
@click.option("--fast", is_flag=True, help="Only sums and documents; the rows are not read.")
@click.option("--rebuild", is_flag=True, help="Also make everything again from the index and compare.")
@json_option
@click.pass_obj
def verify(invocation: Invocation, directory: str, fast: bool, rebuild: bool, as_json: bool) -> None:
    """Check a dataset directory: sums, documents, schema, counts, dataset_hash, Parquet against the rows.

    DIRECTORY is a path, the name of a snapshot, or `latest`. --rebuild makes each row again from the index,
    which finds what hides behind recomputed sums.
    """
    from collectord.dataset.verify import verify as verify_dataset

    if fast and rebuild:
        raise UsageError("--fast and --rebuild ask for opposite things; give one of them")
    settings = invocation.settings() if rebuild else None
    folder = dataset_folder(invocation, directory)
    verified = verify_dataset(settings, folder, fast=fast)
    print_verified(verified, directory, verified_json("collectord.verify.v1", str(folder), verified), as_json)


def print_verified(verified: Verified, where: str, document: dict[str, Any], as_json: bool) -> None:
    """What a check found, in words or as its document; raises VerificationFailed where it found something."""
    if as_json:
        emit_json(document)
    else:
        for finding in verified.findings:
            line(finding)
    for skipped in verified.skipped:
        complain(skipped)
    if verified.findings:
        raise VerificationFailed(f"{where}: is not what was published: {len(verified.findings)} findings")
    if not as_json:
        rows, digest = verified.rows, verified.dataset_hash
        line(f"{where}: {rows} rows, dataset_hash {digest}: verified ({', '.join(verified.checked)})")


def dataset_folder(invocation: Invocation, given: str) -> Path:
    """A dataset directory by its path, or by the name of a snapshot of the repo; `latest` is the newest."""
    path = Path(given)
    if path.is_dir():
        return path
    if "/" in given:
        raise CollectordError(f"{given}: does not exist")
    from collectord.dataset.publish import find_snapshot

    return find_snapshot(invocation.settings().benches_dir, given)


def verified_json(schema: str, path: str, verified: Verified) -> dict[str, Any]:
    """What a check found, as a document."""
    return {
        "schema": schema,
        "path": path,
        "verified": not verified.findings,
        "rows": verified.rows,
        "dataset_hash": verified.dataset_hash,
        "checked": list(verified.checked),
        "skipped": list(verified.skipped),
        "rebuilt": verified.rebuilt,
        "findings": list(verified.findings),
    }

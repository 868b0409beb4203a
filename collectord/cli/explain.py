"""`collectord explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from collectord.cli.invocation import Invocation
from collectord.cli.output import emit_json, json_option, line, seconds_text, size_text, time_text
from collectord.errors import CollectordError, UsageError

_SOURCES = {
    "planner_input": "the recorded planner input",
    "proof": "proof.json",
    "workcell": ".workcell",
    "workcell_id": "the archive's name",
    "manifest": "manifest.json",
    "mtime": "the directory's time of change, as nothing in it says",
}


def complete_archive(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Archives whose names begin so, for the shell; nothing where anything is in the way."""
    from collectord.index.opening import reader_for

    given = context.find_root().params
    try:
        settings = Invocation(given.get("repo"), given.get("config")).settings(as_owner=False)
        with reader_for(settings) as reader:
            return sorted(known.name for known in reader.known() if known.name.startswith(begun))
    except (CollectordError, OSError):
        return []


@click.command(short_help="Say what became of one archive, and why.")
@click.argument("workcell_id", shell_complete=complete_archive)
@json_option
@click.pass_obj
def explain(invocation: Invocation, workcell_id: str, as_json: bool) -> None:
    """Say what was read of one archive, what became of it, and why it is or is not in a dataset.

    Takes the name of the archive's directory or its beginning, a path to it, a run id, or an issue id for the
    newest run of that issue.
    """
    from collectord.status.explain import explain as explain_archive

    name = Path(workcell_id).name
    if not name:
        raise UsageError(f"'{workcell_id}' is no name of an archive")
    found = explain_archive(invocation.settings(), name)
    if as_json:
        emit_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    archive = found["archive"]
    line(f"{archive['name']}: {archive['state']}" + (f": {archive['reason']}" if archive["reason"] else ""))
    if found["advice"]:
        line(f"  {found['advice']}")
    changed = time_text(archive["changed_ms"])
    line(f"  first seen {time_text(archive['first_seen_ms'])}, last changed {changed}")
    if archive["gone_ms"] is not None:
        line(f"  gone from disk since {time_text(archive['gone_ms'])}; its run and artifacts are kept")
    for revision in found["revisions"]:
        _print_revision(revision, revision["number"] == archive["revision"])
    if label := found["label"]:
        bins = ", ".join(f"{name.removesuffix('_bin')} {bin_}" for name, bin_ in label["budgets"].items())
        line(f"  label: {label['swarm_id']}; bins: {bins}")
    if found["same_run_id"]:
        line(f"  the same run id is also in {', '.join(found['same_run_id'])}")
    if epoch := found["epoch"]:
        line(
            f"  epoch {epoch['number']}{_current_text(epoch)}, environment {epoch['fingerprint'][:12] or '-'}"
        )
        _print_reasons(epoch["reasons"])
    for profile, verdict in found["datasets"].items():
        line(f"  {profile} dataset: {verdict['text']}")


_KNOWN_BY = {
    "process": "one kernel ran at its dispatch, and that had read this",
    "evidence": "its manifest and its action agree with this",
    "manifest": "its manifest agrees with this, its action does not",
    "nothing": "no policy file that was seen explains it",
}


def _kernel_text(reasons: dict[str, Any]) -> str:
    kernel = reasons["kernel"]
    if kernel is not None:
        return f" (process {kernel['pid']}, started {time_text(kernel['started_ms'])}: {kernel['command']})"
    return f" ({reasons['kernels']} kernels ran at once)" if reasons["kernels"] else ""


def _print_reasons(reasons: dict[str, Any] | None) -> None:
    """How the environment is known."""
    if reasons is None:
        return
    line(f"    how that is known: {_KNOWN_BY[reasons['known_by']]}{_kernel_text(reasons)}")
    if reasons["note"]:
        line(f"    {reasons['note']}")
    for text in reasons["against"]:
        line(f"    against it: {text}")
    for other in reasons["contradicted"]:
        line(f"    not {other['environment'][:12]}: {other['why'][0]}")
    if reasons["possible"]:
        line(f"    as far as it shows it may also have had {', '.join(n[:12] for n in reasons['possible'])}")


def _current_text(epoch: dict[str, Any]) -> str:
    """Without options an export takes the current epoch alone."""
    if epoch["is_current"]:
        return " (current)"
    return f" (an export takes epoch {epoch['current']}; `export --epoch {epoch['number']}` takes this one)"


def _print_revision(revision: dict[str, Any], current: bool) -> None:
    mark = "current" if current else "superseded"
    line(f"  revision {revision['number']} ({mark}), read {time_text(revision['seen_ms'])}")
    if revision["partial"]:
        line(f"    partial: {revision['partial']}")
    for file in revision["files"]:
        size = size_text(file["size"]) if file["size"] is not None else "-"
        line(f"    {file['name']:<14} {file['state']} {size:>10}  {file['sha256'] or file['reason']}")
    if revision["run"] is None:
        line("    no run can be made of it")
    else:
        _print_run(revision["run"], revision["label"])


def _print_run(run: dict[str, Any], label: dict[str, Any] | None) -> None:
    source = _SOURCES.get(run["started_source"], run["started_source"])
    lasted = f", lasted {seconds_text(run['duration_ms'] // 1000)}" if run["duration_ms"] > 0 else ""
    line(f"    run {run['run_id']}: {run['status']}{lasted}")
    line(f"    dispatched {time_text(run['started_ms'])}, known from {source}")
    line(f"    recorded input: {run['input_state']}, its hash: {run['hash_state']}")
    if not label or not label["explicit"]:
        line("    no executed plan was recorded")
        return
    candidates = "?" if label["max_candidates"] is None else label["max_candidates"]
    seconds = seconds_text(label["timeout_seconds"])
    line(f"    executed plan: {label['swarm_id']}, candidates {candidates}, timeout {seconds}")

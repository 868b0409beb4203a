"""A made run → the files that the kernel leaves of it, in the shape of one real archive."""

from __future__ import annotations

import copy
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.made_planner import planner_text
from tests.support.made_text import dump, iso, put_in
from tests.support.made_values import Issue, MadeRun

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
_MODEL_ARCHIVE = ".cyntra/archives/wc-123-20261123T181349Z"
_PROMPT_ARCHIVE = ".cyntra/archives/wc-145-20261123T181401Z"


@dataclass(frozen=True)
class Model:
    """A real archive whose documents are filled with the values of a run; from the `kernel-run` corpus."""

    manifest: dict[str, Any]
    proof: dict[str, Any]
    rollout: dict[str, Any]
    prompt: str
    telemetry: str
    config: str


def load_model() -> Model:
    """The model from the corpus."""
    with tarfile.open(GOLDEN / "kernel-run.tar.gz") as tar:
        texts = {m.name.removeprefix("./"): _text(tar, m) for m in tar.getmembers() if m.isfile()}
    return Model(
        manifest=json.loads(texts[f"{_MODEL_ARCHIVE}/manifest.json"]),
        proof=json.loads(texts[f"{_MODEL_ARCHIVE}/proof.json"]),
        rollout=json.loads(texts[f"{_MODEL_ARCHIVE}/rollout.json"]),
        prompt=texts[f"{_PROMPT_ARCHIVE}/prompt.md"],
        telemetry=texts[f"{_PROMPT_ARCHIVE}/telemetry.jsonl"],
        config=texts[".cyntra/config.yaml"],
    )


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    assert file is not None
    return file.read().decode("utf-8")


def files_of(run: MadeRun, model: Model, *, recorded: bool) -> dict[str, str]:
    """Name → text of every file of an archive; without `recorded`, as a kernel without a planner's log."""
    planner = planner_text(run, model.manifest["planner"], recorded=recorded)
    files = {f"logs/{name}": text for name, text in _logs(run).items()}
    if run.status != "timeout":
        files["proof.json"] = dump(_proof(run, model))
    files["manifest.json"] = _with_planner(_manifest(run, model), planner)
    if run.number % 7:
        files["telemetry.jsonl"] = _named(model.telemetry, run)
    if run.status in ("success", "failed"):
        files["rollout.json"] = _with_planner(_rollout(run, model), planner)
    files["prompt.md"] = _named(model.prompt, run)
    files[".workcell"] = dump(_marker(run, model))
    return files


def beads_line(issue: Issue) -> str:
    """The record of an issue."""
    record = {
        "id": issue.id,
        "title": issue.title,
        "status": issue.status,
        "created": iso(issue.created_ms),
        "updated": iso(issue.updated_ms or issue.created_ms),
        "tags": list(issue.tags),
        "dk_priority": issue.priority,
        "dk_risk": issue.risk,
        "dk_size": issue.size,
        "description": issue.description,
    }
    attempts = {"dk_attempts": issue.attempts} if issue.attempts else {}
    return json.dumps({**record, **attempts}) + "\n"


def event_lines(run: MadeRun) -> str:
    """What the event log says of a run: its start and its end."""
    said = {"toolchain": run.toolchain, "error": None, "attempt": run.issue.attempts + 1}
    end, error = "workcell.completed", None
    if run.status != "success":
        end, error = "workcell.failed", "timed out" if run.status == "timeout" else "gates failed"
    about = {"issue_id": run.issue.id, "workcell_id": run.workcell_id}
    events = [
        {"type": "workcell.started", "timestamp": iso(run.started_ms), **about, "data": said},
        {
            "type": end,
            "timestamp": iso(run.finished_ms),
            **about,
            "data": {**said, "error": error, "duration_ms": run.duration_ms},
        },
    ]
    return "".join(json.dumps(event) + "\n" for event in events)


def _with_planner(document: dict[str, Any], planner: str) -> str:
    return put_in(dump({**document, "planner": "@"}), planner, 1)


def _manifest(run: MadeRun, model: Model) -> dict[str, Any]:
    name, issue = run.workcell_id, run.issue
    about = {"id": issue.id, "title": issue.title, "description": issue.description}
    return {
        **model.manifest,
        "workcell_id": name,
        "branch_name": f"wc/{issue.id}/{name}",
        "issue": {**model.manifest["issue"], **about, "tags": list(issue.tags)},
        "toolchain": run.toolchain,
        "toolchain_config": {"model": run.route.model},
        "quality_gates": dict(run.route.gates),
        "speculate_mode": run.width > 1,
        "speculate_tag": f"spec-{run.toolchain}" if run.width > 1 else None,
    }


def _proof(run: MadeRun, model: Model) -> dict[str, Any]:
    proof = copy.deepcopy(model.proof)
    branch = f"wc/{run.issue.id}/{run.workcell_id}"
    took = run.duration_ms - 3
    proof.update(workcell_id=run.workcell_id, issue_id=run.issue.id, commands_executed=_commands(run))
    proof["status"] = "success" if run.status == "success" else "failed"
    proof["patch"]["branch"] = branch
    proof["verification"] = _verification(run, proof["verification"]["gates"])
    proof["metadata"].update(
        toolchain=run.toolchain,
        model=run.route.model,
        started_at=iso(run.started_ms + 3, 492),
        completed_at=iso(run.finished_ms, 313),
        duration_ms=took,
        exit_code=int(run.status == "crashed"),
    )
    return proof


def _verification(run: MadeRun, gates: dict[str, Any]) -> dict[str, Any]:
    if run.status == "crashed":
        return {"gates": {}, "all_passed": False, "blocking_failures": []}
    gates = {name: gates.get(name, gates["test"]) for name, _ in run.route.gates}
    if run.failed_gate:
        told = {"passed": False, "exit_code": 1, "fail_codes": [run.failed_gate]}
        gates[run.failed_gate] = {**gates[run.failed_gate], **told}
    failures = [run.failed_gate] if run.failed_gate else []
    return {"gates": gates, "all_passed": not failures, "blocking_failures": failures}


def _rollout(run: MadeRun, model: Model) -> dict[str, Any]:
    rollout = copy.deepcopy({key: value for key, value in model.rollout.items() if key != "planner"})
    failures = [run.failed_gate] if run.failed_gate else []
    name = run.workcell_id
    rollout.update(rollout_id=f"ro_{name}", workcell_id=name, issue_id=run.issue.id)
    rollout["policy"].update(toolchain=run.toolchain, model=run.route.model)
    rollout["trajectory"]["commands_executed"] = _commands(run)
    rollout["outcomes"]["verification"] = {"all_passed": not failures, "blocking_failures": failures}
    rollout["scores"]["duration_ms"] = run.duration_ms - 3
    rollout["generated_at"] = iso(run.finished_ms + 12, 755)
    return rollout


def _commands(run: MadeRun) -> list[dict[str, Any]]:
    logs = f"/srv/demo/.workcells/{run.workcell_id}/logs/{run.toolchain}"
    return [
        {
            "command": f"{run.toolchain} run",
            "exit_code": int(run.status == "crashed"),
            "duration_ms": run.duration_ms - 3,
            "stdout_path": f"{logs}-stdout.log",
            "stderr_path": f"{logs}-stderr.log",
        }
    ]


def _marker(run: MadeRun, model: Model) -> dict[str, Any]:
    return {
        "id": run.workcell_id,
        "issue_id": run.issue.id,
        "created": run.stamp,
        "parent_commit": model.proof["patch"]["base_commit"],
        "speculate_tag": f"spec-{run.toolchain}" if run.width > 1 else None,
        "branch_name": f"wc/{run.issue.id}/{run.stamp}",
    }


def _logs(run: MadeRun) -> dict[str, str]:
    names = () if run.status in ("crashed", "timeout") else [name for name, _ in run.route.gates]
    gates = dict.fromkeys(names, "passed")
    if run.failed_gate:
        gates[run.failed_gate] = "failed"
    told = {f"{name}.log": f"== STDOUT ==\n{end}\n\n== STDERR ==\n" for name, end in gates.items()}
    return {f"{run.toolchain}-stdout.log": f"working on {run.issue.title}\n", **told}


def _named(text: str, run: MadeRun) -> str:
    return (
        text.replace("wc-145-20261123T181401Z", run.workcell_id)
        .replace("Frontier policy bench genome", run.issue.title)
        .replace("claude-opus-4-5-20251101", run.route.model)
    )

"""Core files → the run they describe. Pure: the same bytes give the same run, whenever they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from collectord.archive import CORE_FILES, glance_of
from collectord.kernel import dispatch
from collectord.kernel.artifact_facts import artifact_facts_json, artifact_facts_of
from collectord.kernel.dispatch import RecordedInput
from collectord.kernel.evidence import (
    evidence_of,
    executed_json,
    executed_of,
    issue_text_json,
    issue_text_of,
    situation_of,
)
from collectord.kernel.jsonio import (
    JsonObject,
    Unparsable,
    drop_non_finite,
    has_escapes,
    is_encodable,
    parse_alike,
    parse_object,
)
from collectord.kernel.planner_input import recorded_input, swarm_ids_of
from collectord.kernel.rows import verbatim_key, verbatim_row
from collectord.kernel.summary import archive_summary, world_summary
from collectord.kernel.values import finite, is_int, is_writable_ms, member, text_or_none, to_float
from collectord.model import (
    WORLD,
    Artifacts,
    CoreFile,
    FileState,
    KeptRow,
    Label,
    Observation,
    Reading,
    Run,
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The parsed core files; one that is absent or does not parse is an empty object.

    `has_escapes`: some text in them was written with `\\u`, which alone can give a lone surrogate.
    """

    documents: dict[str, JsonObject]
    unparsable: tuple[str, ...]
    has_escapes: bool

    def get(self, name: str) -> JsonObject:
        """The object of a file."""
        return self.documents.get(name, {})


# The kernel writes what it planned into both, as the last member and in the same layout: half of either.
_TWICE = ("manifest.json", "rollout.json", b',\n  "planner": {')


def parse(artifacts: Artifacts) -> Parsed:
    """Parse every core file that was read; `unparsable` has `name: reason`, in file order."""
    texts = {file.name: file.data for file in artifacts.files if file.state is FileState.READ}
    documents, unparsable = _parsed_alike(texts), []
    for name, text in texts.items():
        if name in documents:
            continue
        try:
            documents[name] = parse_object(text)
        except Unparsable as error:
            unparsable.append(f"{name}: {error}")
    return Parsed(documents, tuple(unparsable), any(map(has_escapes, texts.values())))


def _parsed_alike(texts: Mapping[str, bytes]) -> dict[str, JsonObject]:
    manifest, rollout, planned = _TWICE
    if manifest not in texts or rollout not in texts:
        return {}
    found = parse_alike(texts[manifest], texts[rollout], planned)
    return {} if found is None else dict(zip((manifest, rollout), found, strict=True))


def digest_of(files: tuple[CoreFile, ...]) -> str:
    """The digest of a revision: over the names, states and digests of its core files."""
    lines = (f"{f.name}\0{f.state}\0{f.sha256 or f.reason or ''}\n" for f in files)
    return sha256("".join(lines).encode("utf-8")).hexdigest()


def refused(artifacts: Artifacts) -> str | None:
    """`file: reason` for the first core file that was not taken, else None."""
    found = (f for f in artifacts.files if f.state is FileState.REFUSED)
    return next((f"{f.name}: {f.reason}" for f in found), None)


def interpret(kind: str, observation: Observation, artifacts: Artifacts) -> Reading:
    """One reading of a directory: its revision, and the run in it where there is one."""
    parsed = parse(artifacts)
    run = _run(kind, observation, parsed, artifacts) if _has_core(kind, artifacts) else None
    return Reading(
        kind=kind,
        name=observation.name,
        signature=observation.signature,
        digest=digest_of(artifacts.files),
        partial=_partial(kind, artifacts, parsed, run),
        dir_mtime_ns=observation.dir_mtime_ns,
        files=artifacts.files,
        run=run,
        whole="manifest.json" in parsed.documents and not parsed.unparsable,
        glance=glance_of(observation, CORE_FILES[kind]),
    )


def _has_core(kind: str, artifacts: Artifacts) -> bool:
    return any(f.state is FileState.READ and f.name != ".workcell" for f in artifacts.files)


def _partial(kind: str, artifacts: Artifacts, parsed: Parsed, run: Run | None) -> str | None:
    if parsed.unparsable:
        return ", ".join(parsed.unparsable)
    if not _has_core(kind, artifacts):
        return "no core files"
    if "manifest.json" not in parsed.documents:
        return "manifest.json: missing"
    return None if run is not None else "no run can be made of it"


def _run(kind: str, observation: Observation, parsed: Parsed, artifacts: Artifacts) -> Run | None:
    if kind == WORLD:
        return _world_run(observation, parsed)
    return _archive_run(observation, parsed, artifacts)


def _world_run(observation: Observation, parsed: Parsed) -> Run | None:
    context = parsed.documents.get("context.json")
    manifest = parsed.get("manifest.json")
    made = partial(world_summary, observation.name, manifest, dir_mtime_ns=observation.dir_mtime_ns)
    built, summary = made(context), made(drop_non_finite(context))
    if built is None or summary is None or not is_writable_ms(summary["started_ms"]):
        return None
    started, duration = summary["started_ms"], summary["runtime"]["duration_ms"]
    return Run(
        run_id=summary["run_id"],
        issue_id=None,
        job_type=summary["job_type"],
        domain=summary["domain"],
        status=summary["outcome"]["status"],
        toolchain=None,
        model=None,
        prompt_genome_id=None,
        started_ms=started,
        started_source="manifest",
        finished_ms=dispatch.finished_ms({}, started, duration),
        duration_ms=duration,
        cost_usd=None,
        tokens_used=None,
        has_proof=False,
        has_rollout=False,
        ends_in_event_log=False,
        input_state=dispatch.InputState.ABSENT,
        hash_state=dispatch.HashState.ABSENT,
        encodable=is_encodable([summary, built]),
        summary=summary,
        builder_summary=built,
        label=None,
    )


def _archive_run(observation: Observation, parsed: Parsed, artifacts: Artifacts) -> Run | None:
    name, mtime_ns = observation.name, observation.dir_mtime_ns
    manifest, proof, rollout = (parsed.get(n) for n in ("manifest.json", "proof.json", "rollout.json"))
    started, source = dispatch.started_ms(name, manifest, proof, parsed.get(".workcell"), mtime_ns)
    if not is_writable_ms(started):
        return None
    summary = dispatch.run_summary(name, manifest, proof, rollout, started)
    built = archive_summary(name, manifest, proof, rollout, mtime_ns)
    recorded = dispatch.judge_recorded_input(manifest)
    config = member(manifest, "toolchain_config")
    tokens = member(proof, "metadata", "tokens_used")
    shown = [summary, built, member(manifest, "issue")]
    run = Run(
        run_id=summary["run_id"],
        issue_id=summary.get("issue_id"),
        job_type=summary["job_type"],
        domain=summary["domain"],
        status=summary["outcome"]["status"],
        toolchain=text_or_none(manifest.get("toolchain")),
        model=text_or_none(member(config, "model")),
        prompt_genome_id=text_or_none(member(config, "prompt_genome_id")),
        started_ms=started,
        started_source=source,
        finished_ms=dispatch.finished_ms(proof, started, summary["runtime"]["duration_ms"]),
        duration_ms=summary["runtime"]["duration_ms"],
        cost_usd=finite(to_float(summary.get("cost_usd_est"))),
        tokens_used=tokens if is_int(tokens) else None,
        has_proof=bool(proof),
        has_rollout=bool(rollout),
        ends_in_event_log=dispatch.ends_in_event_log(proof, rollout),
        input_state=recorded.state,
        hash_state=recorded.hash_state,
        encodable=recorded.encodable and (not parsed.has_escapes or is_encodable(shown)),
        summary=summary,
        builder_summary=built if built is None or is_writable_ms(built["started_ms"]) else None,
        label=_label(manifest),
        evidence=evidence_of(manifest, summary["domain"]),
        situation=situation_of(manifest) if manifest else None,
        executed=executed_json(executed_of(manifest)),
        issue_text=issue_text_json(issue_text_of(manifest)),
        time_conflict=dispatch.time_conflict(
            dispatch.completed_ms(proof), started, summary["runtime"]["duration_ms"]
        ),
        artifact_facts=artifact_facts_json(artifact_facts_of(manifest, proof)),
    )
    return run._replace(row=_row(parsed, artifacts, recorded, run)) if run.encodable else run


def _row(parsed: Parsed, artifacts: Artifacts, recorded: RecordedInput, run: Run) -> KeptRow | None:
    """The row of an input that is taken as it is: everything that it is made of is at hand here."""
    manifest, label = artifacts.get("manifest.json"), run.label
    offered = label is not None and label.explicit and label.swarm_id in (label.recorded_swarms or ())
    if manifest is None or manifest.sha256 is None or recorded.encoded is None or not offered:
        return None
    planner_input, action = recorded_input(parsed.get("manifest.json")), run.summary["action_executed"]
    row = verbatim_row(run.run_id, run.started_ms, planner_input, action, recorded.encoded)
    return KeptRow(verbatim_key(manifest.sha256, run.run_id, run.started_ms), row.as_bytes())


def _label(manifest: JsonObject) -> Label | None:
    plan = dispatch.explicit_plan(manifest)
    swarms = swarm_ids_of(recorded_input(manifest))
    recorded = None if swarms is None else tuple(swarms)
    if plan is None:
        return Label(False, None, None, None, None, recorded)
    return Label(
        True, plan.swarm_id, plan.max_candidates, plan.timeout_seconds, plan.max_iterations, recorded
    )

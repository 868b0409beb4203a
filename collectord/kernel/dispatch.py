"""What a run was when it was dispatched: time, plan, recorded input (CONTRACT.md section 7). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from collectord.kernel.jsonio import (
    EncodedInput,
    JsonObject,
    canonical,
    encode_input,
    finite_members,
    is_encodable,
    is_finite,
)
from collectord.kernel.planner_input import INPUT_SCHEMA, recorded_input
from collectord.kernel.summary import (
    ROLLOUT_SCHEMA,
    no_proof_summary,
    proof_summary,
    rollout_summary,
    without_non_finite,
)
from collectord.kernel.values import is_int, member, mtime_ms, parse_ms, stamp_ms, text_or_none


class InputState(StrEnum):
    """Whether the recorded planner_input can be taken verbatim, and why not."""

    VERBATIM = "verbatim"
    ABSENT = "absent"
    OTHER_SCHEMA = "other_schema"
    NOT_FINITE = "not_finite"


class HashState(StrEnum):
    """The recorded input_hash against the recorded input."""

    VERIFIED = "verified"
    MISMATCH = "mismatch"
    ABSENT = "absent"


# How times contradict each other: a clock that stepped back, or a time without its zone.
COMPLETED_BEFORE_START, SHORTER_THAN_DURATION = "completed_before_start", "shorter_than_duration"
TOLERANCE_MS = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """An explicit executed plan; `None` members were not given as integers."""

    swarm_id: str
    timeout_seconds: int
    max_candidates: int | None
    max_iterations: int | None


def started_ms(
    name: str, manifest: JsonObject, proof: JsonObject, marker: JsonObject, dir_mtime_ns: int
) -> tuple[int, str]:
    """When the run was dispatched, and where that is known from, best source first."""
    sources = (
        ("planner_input", parse_ms, recorded_input(manifest).get("created_at")),
        ("proof", parse_ms, member(proof, "metadata", "started_at")),
        ("workcell", stamp_ms, marker.get("created")),
        ("workcell_id", stamp_ms, name),
    )
    for source, parse, text in sources:
        value = parse(text)
        if value is not None:
            return value, source
    return mtime_ms(dir_mtime_ns), "mtime"


def finished_ms(proof: JsonObject, started: int, duration_ms: int) -> int | None:
    """When the run ended, by the later of its proof and its duration; None where only the arrival tells.

    That is so where neither is known, and where they say an end before the start.
    """
    completed = completed_ms(proof)
    ends = [] if completed is None else [completed]
    ends += [started + duration_ms] if duration_ms > 0 else []
    found = max(ends, default=None)
    return None if found is not None and found < started else found


def completed_ms(proof: JsonObject) -> int | None:
    """When its proof says that the run was completed."""
    return parse_ms(member(proof, "metadata", "completed_at"))


def time_conflict(completed: int | None, started: int, duration_ms: int) -> str | None:
    """How the times of a run contradict each other; None where they do not, or too few are known.

    A proof is written at the end of a run, so it can be later than dispatch and duration together, by what
    the kernel did before and after, and never earlier.
    """
    if completed is None:
        return None
    if completed < started:
        return COMPLETED_BEFORE_START
    if completed + TOLERANCE_MS < started + max(0, duration_ms):
        return SHORTER_THAN_DURATION
    return None


def visible_from_ms(started: int, finished: int | None, complete: int) -> int:
    """From when on a run can stand in histories: it started before, and was finished.

    `complete` is when its archive was first seen complete, which counts where nothing tells the end.
    """
    return max(complete if finished is None else finished, started + 1)


def explicit_plan(manifest: JsonObject) -> Plan | None:
    """The executed plan, if it names a swarm and a whole timeout of a second or more."""
    plan = member(manifest, "planner", "executed_plan")
    swarm = text_or_none(member(plan, "swarm_id_executed"))
    timeout = member(plan, "timeout_seconds_executed")
    if swarm is None or not is_int(timeout) or isinstance(timeout, bool) or timeout < 1:
        return None
    return Plan(
        swarm,
        timeout,
        _int_or_none(member(plan, "max_candidates_executed")),
        _int_or_none(member(plan, "max_iterations_executed")),
    )


def _int_or_none(value: object) -> int | None:
    return int(value) if is_int(value) else None


def run_summary(
    name: str, manifest: JsonObject, proof: JsonObject, rollout: JsonObject, started: int
) -> JsonObject:
    """The run as it stands in rebuilt histories; without proof and rollout the event log is joined later."""
    if proof:
        summary = proof_summary(name, manifest, proof, started)
    elif rollout.get("schema_version") == ROLLOUT_SCHEMA:
        summary = rollout_summary(name, manifest, rollout, started)
    else:
        summary = no_proof_summary(name, manifest, started, timed_out=False, duration_ms=0)
    return without_non_finite(summary)


def with_workcell_end(summary: JsonObject, *, timed_out: bool, duration_ms: int) -> JsonObject:
    """A proofless run's summary, completed by what the event log says."""
    status = "timeout" if timed_out else "failed"
    return {
        **summary,
        "outcome": {**summary["outcome"], "status": status},
        "runtime": {"duration_ms": duration_ms},
    }


def ends_in_event_log(proof: JsonObject, rollout: JsonObject) -> bool:
    """Whether only the event log says how the run ended."""
    return not proof and rollout.get("schema_version") != ROLLOUT_SCHEMA


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """What is known of a recorded planner_input after encoding it once.

    `encoded` is None where it cannot be taken as it is.
    """

    state: InputState
    hash_state: HashState
    encodable: bool
    encoded: EncodedInput | None = None


def judge_recorded_input(manifest: JsonObject) -> RecordedInput:
    """Whether the recorded input can be taken as it is, and whether the kernel's own hash agrees with it."""
    recorded = member(manifest, "planner", "planner_input")
    if not isinstance(recorded, dict):
        return RecordedInput(InputState.ABSENT, HashState.ABSENT, True)
    try:
        finite, encoded = _encoded(recorded)
    except UnicodeEncodeError:
        return RecordedInput(_state(recorded, is_finite(recorded)), HashState.ABSENT, False)
    state, encodable = _state(recorded, finite), is_encodable(recorded.get("created_at"))
    said = member(manifest, "planner", "planner_action", "input_hash")
    agrees = HashState.VERIFIED if encoded.input_hash == said else HashState.MISMATCH
    return RecordedInput(
        state,
        agrees if isinstance(said, str) and recorded else HashState.ABSENT,
        encodable,
        encoded if encodable and state is InputState.VERBATIM else None,
    )


def _encoded(recorded: JsonObject) -> tuple[bool, EncodedInput]:
    """Whether all numbers are finite, and the input encoded; raises UnicodeEncodeError."""
    try:
        return True, encode_input(recorded, members_of=finite_members)
    except UnicodeEncodeError:
        raise
    except ValueError:
        return False, encode_input(recorded)


def _state(recorded: JsonObject, finite: bool) -> InputState:
    if recorded.get("schema_version") != INPUT_SCHEMA:
        return InputState.OTHER_SCHEMA
    return InputState.VERBATIM if finite else InputState.NOT_FINITE


def _hashed(planner_input: JsonObject) -> JsonObject:
    return {k: v for k, v in planner_input.items() if k != "created_at"}


def input_hash(planner_input: JsonObject) -> str:
    """The hash of a planner input, its creation time left out; the input must be encodable."""
    return sha256(canonical(_hashed(planner_input)).encode("utf-8")).hexdigest()

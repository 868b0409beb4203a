"""What a person should know about the environment: causes of alerts, from what is known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from collectord.epochs.assign import Assignment
from collectord.epochs.contradictions import Contradiction, Policy, contradictions
from collectord.epochs.reasons import fact_words
from collectord.epochs.survey import Survey
from collectord.epochs.timeline import DAEMON, NOWHERE, READS_AFTER_MS, Standing, Tenure, changes
from collectord.epochs.unexplained import Facts, facts_of, facts_shown
from collectord.index.alerts import Cause
from collectord.index.rows import text_digest
from collectord.index.runs import DispatchedRun
from collectord.kernel.evidence import evidence_from, situation_json
from collectord.model import GIT, EnvironmentChange, Epoch, KernelSession, Situation


@dataclass(frozen=True, slots=True)
class KernelState:
    """A running kernel: the environment that its next run has, and the one that it would have if it were
    started again now; None where nothing says it. `changed_ms` is when the files began to differ.

    `is_stale` where a restart would change the environment as far as that ends an epoch.
    """

    session: KernelSession
    has: str | None
    files: str | None
    changed_ms: int
    is_stale: bool
    epoch: int | None

    def document(self) -> dict[str, Any]:
        """As it is kept and shown."""
        return {
            "pid": self.session.pid,
            "started_ms": self.session.started_ms,
            "command": self.session.launch.command,
            "max_concurrent": self.session.max_concurrent,
            "environment": self.has,
            "files": self.files,
            "epoch": self.epoch,
            "wants_restart": self.is_stale,
            "changed_ms": self.changed_ms if self.is_stale else None,
        }


def kernel_states_of(survey: Survey) -> list[KernelState]:
    """Every kernel that ran at the last look."""
    running = [t for t in survey.standing.sessions.tenures if t.ended_ms is None]
    return [_state(survey, tenure) for tenure in running]


def _state(survey: Survey, tenure: Tenure) -> KernelState:
    standing, session = survey.standing, tenure.session
    launch = standing.launch_of(session, session.started_ms + READS_AFTER_MS)
    now_ms = max([session.started_ms, *(s.since_ms for s in standing.stretches)])
    latest = standing.position_at(launch, now_ms)
    had = standing.of_session(tenure, now_ms)
    if latest == NOWHERE or had is None:
        return KernelState(session, None, None, 0, False, None)
    files = standing.stretches[latest].fingerprint
    return KernelState(
        session=session,
        has=had.fingerprint,
        files=files,
        changed_ms=_began_to_differ(standing, had.position, latest),
        is_stale=not survey.is_same(had.fingerprint, files),
        epoch=_epoch_of(survey, session, had.fingerprint),
    )


def _began_to_differ(standing: Standing, position: int, latest: int) -> int:
    """Since when the files say something else than the kernel has read; genomes it reads anew."""
    began = latest
    while began - 1 > position and _differs(standing, position, began - 1):
        began -= 1
    return standing.stretches[began].since_ms


def _differs(standing: Standing, position: int, live: int) -> bool:
    has = standing.joined(position, live, standing.stretches[position].since_ms)
    return has.fingerprint != standing.stretches[live].fingerprint


def _epoch_of(survey: Survey, session: KernelSession, fingerprint: str) -> int | None:
    """The epoch that its next run would be of; None where it would be a new one."""
    mine = [
        e for e in survey.folded.epochs if e.ended_ms is None and survey.is_same(e.fingerprint, fingerprint)
    ]
    return max((e.number for e in mine), default=None)


DRIFT = "environment.drift"
STALE = "environment.stale_kernel"
UNEXPLAINED = "environment.unexplained"
CONTRADICTION = "labels.contradiction"
SEVERAL = "kernel.several"
LASTING = (DRIFT, STALE, SEVERAL, UNEXPLAINED, CONTRADICTION)
MAX_RUNS = 20

FieldsOf = Callable[[EnvironmentChange], dict[str, Any]]


def causes(survey: Survey, fields_of: FieldsOf) -> Iterator[Cause]:
    """Everything that is so now, with the fields to tell; `told` says what a change is and does."""
    yield from _drifts(survey, fields_of)
    yield from _kernels_with_older_files(survey, fields_of)
    yield from _stale_kernels(survey)
    yield from _several_kernels(survey)
    yield from _unexplained(survey)
    yield from _contradictions(survey)


def _drifts(survey: Survey, fields_of: FieldsOf) -> Iterator[Cause]:
    """Each change that was seen; it is over when the environment before it stands again."""
    for change in changes(survey.stretches):
        if change.source != GIT:
            later = (s for s in survey.stretches if s.since_ms > change.at_ms)
            undone = any(stretch.fingerprint == change.before for stretch in later)
            key = f"{change.before}→{change.after}@{change.at_ms}"
            yield Cause(DRIFT, key, fields_of(change), is_over=undone)


def _kernels_with_older_files(survey: Survey, fields_of: FieldsOf) -> Iterator[Cause]:
    """Each running kernel that has read something else than what the files say now."""
    for state in kernel_states_of(survey):
        if state.is_stale and state.has is not None and state.files is not None:
            yield Cause(
                STALE,
                f"process {state.session.pid}@{state.session.started_ms}",
                _stale(survey, state, fields_of),
            )


def _stale(survey: Survey, state: KernelState, fields_of: FieldsOf) -> dict[str, Any]:
    assert state.has is not None
    assert state.files is not None
    change = fields_of(EnvironmentChange(state.changed_ms, state.has, state.files, DAEMON))
    runs = [
        a for a in survey.assigned.runs if a.session == state.session and a.run.started_ms >= state.changed_ms
    ]
    return {
        "pid": state.session.pid,
        "kernel_started_ms": state.session.started_ms,
        "command": state.session.launch.command,
        "kernel_has": state.has,
        "repo_has": state.files,
        "changed_ms": state.changed_ms,
        "affected": change["affected"],
        "changes": change["changes"],
        "runs": len(runs),
        "advice": "restart `cyntra run`: nothing of the edit is in effect until then",
    }


def _several_kernels(survey: Survey) -> Iterator[Cause]:
    """Kernels that run at once on the repo: which of them dispatched a run only its evidence tells."""
    running = [session for session in survey.sessions if session.gone_ms is None]
    if len(running) > 1:
        listed = [f"process {s.pid}: {s.launch.command}" for s in running]
        key = " ".join(f"{s.pid}@{s.started_ms}" for s in running)
        advice = "stop all but one: they take issues from each other, and what a run had is less certain"
        yield Cause(SEVERAL, key, {"kernels": listed, "advice": advice})


def _stale_kernels(survey: Survey) -> Iterator[Cause]:
    """A kernel that nobody saw and that was not started again; over when a later run shows that it was."""
    found: dict[tuple[int, int], list[Assignment]] = {}
    for assignment in survey.assigned.runs:
        if assignment.is_stale and _is_watched(survey, assignment):
            found.setdefault((assignment.position, assignment.newest), []).append(assignment)
    for (had, newest), runs in found.items():
        stretch, older = survey.stretches[newest], survey.stretches[had]
        since = "" if older.commit is None else f" (commit {older.commit[:12]})"
        fields = {
            "kernel_has": older.fingerprint,
            "repo_has": stretch.fingerprint,
            "changed_ms": stretch.since_ms,
            "shown": _against(survey, runs[-1], stretch.fingerprint),
            **_runs(runs),
            "advice": "restart `cyntra run`: it still has the configuration from before the change" + since,
        }
        key = f"{older.fingerprint}<{stretch.fingerprint}@{stretch.since_ms}"
        yield Cause(STALE, key, fields, is_over=_started_again(survey, runs[-1]))


def _is_watched(survey: Survey, assignment: Assignment) -> bool:
    first = survey.first_look_ms
    return first is not None and assignment.run.started_ms >= first


def _started_again(survey: Survey, last: Assignment) -> bool:
    """Whether a run after the last stale one cannot have had the older environment."""
    facts = facts_of(survey.environments[last.fingerprint].components)
    after = (a for a in survey.assigned.runs if a.run.started_ms > last.run.started_ms)
    return any(
        a.position >= last.newest and not facts.agrees(_shown(a)) for a in after if a.position != NOWHERE
    )


def _unexplained(survey: Survey) -> Iterator[Cause]:
    """Runs that show an environment which was never seen, by environment."""
    found: dict[str, list[Assignment]] = {}
    for assignment in survey.assigned.runs:
        if assignment.position == NOWHERE and survey.stretches:
            found.setdefault(assignment.fingerprint, []).append(assignment)
    for fingerprint, runs in found.items():
        nearest = survey.stretches[max(0, runs[0].newest)].fingerprint
        fields = {
            "environment": fingerprint,
            "compared_with": nearest,
            "shown": _against(survey, runs[0], nearest),
            **_runs(runs),
            "advice": "a kernel started with other options, a file that was edited and put back between two "
            "looks, or archives from before: `collectord environment backfill` reads the repo's history",
        }
        yield Cause(UNEXPLAINED, fingerprint, fields)


def _contradictions(survey: Survey) -> Iterator[Cause]:
    """Issue keys with several labels, a few of each epoch, in an order that new runs do not change."""
    for epoch in survey.folded.epochs:
        first = partial(_first_contradictions, survey.policy(epoch), survey.memory.issue)
        what = "contradictions", epoch.fingerprint, survey.memory.issues_changed
        for contradiction in survey.derived(what, epoch.number, first):
            yield _contradiction(epoch, contradiction)


def _first_contradictions(
    policy: Policy, issue: Callable[[str], Situation], runs: Sequence[DispatchedRun]
) -> Sequence[Contradiction]:
    with policy.searching():
        return sorted(contradictions(runs, policy, issue), key=_first_seen)[:MAX_RUNS]


def _first_seen(found: Contradiction) -> tuple[int, str]:
    """When the second label showed, then the issue key: a cap after it does not let alerts come and go."""
    firsts = sorted(min(run.started_ms for run in runs) for runs in found.by_label.values())
    return firsts[1], text_digest(situation_json(found.issue))


def _contradiction(epoch: Epoch, found: Contradiction) -> Cause:
    issue = found.issue
    fields = {
        "epoch": epoch.number,
        "job_type": issue.job_type,
        "risk": issue.risk,
        "size": issue.size,
        "tool_hint": issue.tool_hint,
        "tags": list(issue.tags),
        "labels": {text: [run.name for run in runs[:MAX_RUNS]] for (_, text), runs in found.by_label.items()},
        "likely": list(found.likely)
        or ["nothing that was checked: toolchains, control mode, overrides, the policy"],
    }
    return Cause(
        CONTRADICTION, f"{epoch.fingerprint}@{epoch.since_ms} {text_digest(situation_json(issue))}", fields
    )


def _against(survey: Survey, assignment: Assignment, fingerprint: str) -> list[str]:
    """What a run shows that cannot be in an environment, in words."""
    facts, shown = facts_of(survey.environments[fingerprint].components), _shown(assignment)
    return [fact_words(fact, shown, facts) for fact in facts.contradicts(shown)]


def _shown(assignment: Assignment) -> Facts:
    return facts_shown(evidence_from(assignment.run.evidence))


def _runs(found: Sequence[Assignment]) -> dict[str, Any]:
    names = [a.run.name for a in found]
    return {"runs": len(names), "first": names[0], "last": names[-1], "names": names[:MAX_RUNS]}

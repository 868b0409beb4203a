"""What the kernels that run have read, against what the files say now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from collectord.environment.sessions import Tenure
from collectord.environment.standing import NOWHERE, READS_AFTER_MS, Standing
from collectord.environment.survey import Survey
from collectord.model import KernelSession


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

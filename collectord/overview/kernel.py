"""The kernels of a repo as `status` and `doctor` show them: what runs now, and what is known of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collectord.model import KernelSession
from collectord.sources.kernel_processes import KernelLook

# As in `index.kernels`: the start of one process can come out a little differently.
SAME_START_MS = 2000


def kernel_document(look: KernelLook, known: Sequence[Mapping[str, Any]], in_flight: int) -> dict[str, Any]:
    """`running` are the kernels that a look saw now, with what the index knows of their configuration
    (`known`: null fields where it does not yet); `hidden` those whose folder may not be read; `in_flight`
    counts workcells that are running."""
    return {
        "running": [_running(session, known) for session in look.kernels],
        "hidden": [{"pid": kernel.pid, "user": kernel.user} for kernel in look.hidden],
        "in_flight": in_flight,
    }


def _running(session: KernelSession, known: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shown = {
        "pid": session.pid,
        "started_ms": session.started_ms,
        "command": session.launch.command,
        "max_concurrent": session.max_concurrent,
        "environment": None,
        "files": None,
        "epoch": None,
        "wants_restart": None,
        "changed_ms": None,
    }
    mine = (state for state in known if _is_same(state, session))
    return {**shown, **next(mine, {}), "started_ms": session.started_ms}


def _is_same(state: Mapping[str, Any], session: KernelSession) -> bool:
    near = abs(int(state["started_ms"]) - session.started_ms) <= SAME_START_MS
    return bool(state["pid"] == session.pid and near)


def hidden_words(hidden: Sequence[Mapping[str, Any]]) -> str:
    """`process 7 of alice, process 9`."""
    return ", ".join(f"process {h['pid']}" + (f" of {h['user']}" if h["user"] else "") for h in hidden)

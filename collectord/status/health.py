"""How a collection is: facts become checks, each with a state and what to do. Pure.

Everything that says how collectord is (status, doctor, `status --check`, metrics) says what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from collectord.model import OutcomeKind
from collectord.status.status import Life, hidden_words
from collectord.system.mounts import DiskRules

QUARANTINED = str(OutcomeKind.QUARANTINED)
MANY_MISSING = 20
OFF = "off"


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """One folder: whether it is there, may be read and written, how full its disk is, where it lies."""

    path: str
    exists: bool
    is_folder: bool
    readable: bool
    writable: bool
    network: bool
    free_bytes: int | None = None
    total_bytes: int | None = None
    free_inodes: int | None = None
    mode: int | None = None
    owned: bool = True


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """Everything that is judged. `status` is the status document, None where the index cannot be read.

    `watch_limits` are max_user_watches and max_user_instances, where the system has them; `stale_workcells`
    names in .workcells older than a day, `usage` bytes on disk by part; `newest_ms` is the youngest archive's
    time of change, `schema` the version of the index file, `kernel` the document of its processes (see
    `status.kernel_document`); `known` archives the index holds to be there, of which `missing` are not;
    `foreign` are paths in the state folder that belong to another than the `owner` of the repo;
    `without_effect` are rules and paths of the configuration that match nothing of the environment;
    `backup_at` is when a daemon copies the index each day (UTC), or `off`; `pushes` is
    whether the index is to be pushed to a fleet, which was done last at `pushed_ms`.
    """

    archives: FolderFacts
    state: FolderFacts
    benches: FolderFacts
    sqlite: str
    watch_limits: Mapping[str, int]
    clock_ms: int
    newest_ms: int | None
    schema: str | None
    index_error: str | None
    log_lost: int
    status: Mapping[str, Any] | None
    stale_workcells: tuple[str, ...]
    usage: Mapping[str, int]
    backups: int
    newest_backup_ms: int | None
    kernel: Mapping[str, Any]
    disk: DiskRules = field(default_factory=DiskRules)
    known: int | None = None
    missing: int | None = None
    owner: str = ""
    foreign: tuple[str, ...] = ()
    without_effect: tuple[str, ...] = ()
    backup_at: str = OFF
    pushes: bool = False
    pushed_ms: int | None = None


class State(StrEnum):
    """GOOD: nothing to do. WATCH: it may need somebody. ACT: it does, and now."""

    GOOD = "good"
    WATCH = "watch"
    ACT = "act"


# https://sqlite.org/wal.html#walresetbug: concurrent checkpoints can corrupt the log before this version.
WAL_FIXED = (3, 51, 3)
LEAST_WATCHES, LEAST_INODES = 8192, 10_000
DAY_MS = 86_400_000
BACKUP_AGE_MS = 3 * DAY_MS
FUTURE_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` is what to do, None where all is well."""

    check: str
    state: State
    said: str
    advice: str | None = None


def checks(facts: HealthFacts) -> list[Check]:
    """Everything that was looked at, good and bad, in a fixed order; one that fails costs no other."""
    return [check for part in _PARTS for check in _survived(part, facts)]


def _survived(part: Callable[[HealthFacts], Iterable[Check]], facts: HealthFacts) -> list[Check]:
    try:
        return list(part(facts))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name, said = part.__name__.strip("_"), f"could not be judged: {error!r}"
        return [Check(name, State.WATCH, said, "run `collectord doctor --traceback` and report it")]


def worst(found: Iterable[Check]) -> State:
    """The state of all together."""
    order = list(State)
    return max((check.state for check in found), key=order.index, default=State.GOOD)


def in_a_line(found: Sequence[Check]) -> str:
    """One line: the state, and what is not good, the worst first."""
    order = list(State)
    bad = sorted((c for c in found if c.state is not State.GOOD), key=lambda c: -order.index(c.state))
    if not bad:
        return f"{State.GOOD}: {len(found)} checks"
    shown = "; ".join(f"{check.check}: {check.said}" for check in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{worst(bad)}: {shown}{more}"


def _folders(facts: HealthFacts) -> Iterator[Check]:
    archives, state = facts.archives, facts.state
    if not archives.exists:
        yield Check("archives folder", State.WATCH, f"{archives.path} is not there", _ARCHIVES_MISSING)
    elif not archives.is_folder or not archives.readable:
        yield Check("archives folder", State.ACT, f"{archives.path} cannot be read", "check its rights")
    else:
        yield Check("archives folder", State.GOOD, archives.path)
    if not state.writable:
        advice = "run as the user who owns it, or let that user write (ReadWritePaths= in a unit)"
        yield Check("state folder", State.ACT, f"{state.path} cannot be written", advice)
    elif state.network:
        advice = "put it on a local disk (paths.state): locks and the log of SQLite do not hold there"
        yield Check("state folder", State.ACT, f"{state.path} lies on a network file system", advice)
    elif state.mode is not None and state.mode & 0o077:
        yield Check("state folder", State.WATCH, f"others can enter {state.path}", f"chmod 700 {state.path}")
    else:
        yield Check("state folder", State.GOOD, state.path)


_ARCHIVES_MISSING = "is --repo a Cyntra repo, did a run ever finish? A daemon waits for it by itself"


def _disk(facts: HealthFacts) -> Iterator[Check]:
    for name, folder in (("state", facts.state), ("benches", facts.benches)):
        yield _room(name, folder, facts.disk)


def _room(name: str, folder: FolderFacts, rules: DiskRules) -> Check:
    check = f"disk of {name}"
    free, total, inodes = folder.free_bytes, folder.total_bytes, folder.free_inodes
    if free is None or total is None:
        return Check(
            check, State.WATCH, f"{folder.path}: its disk does not tell its size", "look at it with df"
        )
    if free < rules.floor(total):
        return Check(
            check, State.ACT, f"{free >> 20} MiB free: writing pauses", "`collectord prune` makes room"
        )
    if inodes is not None and inodes < LEAST_INODES:
        return Check(check, State.ACT, f"{inodes} inodes free", "remove files; `collectord prune` helps")
    return Check(check, State.GOOD, f"{free >> 20} MiB free")


def _watch(facts: HealthFacts) -> Iterator[Check]:
    watches = facts.watch_limits.get("max_user_watches")
    if facts.archives.network:
        yield Check("watching", State.GOOD, "the archives lie on a network file system and are polled")
    elif watches is not None and watches < LEAST_WATCHES:
        advice = "sysctl fs.inotify.max_user_watches=65536; until then the daemon may have to poll"
        yield Check("watching", State.WATCH, f"only {watches} watches for each user", advice)
    else:
        yield Check("watching", State.GOOD, f"{watches or 'unknown'} watches for each user")


def _sqlite(facts: HealthFacts) -> Iterator[Check]:
    version = tuple(int(part) for part in facts.sqlite.split(".") if part.isdigit())
    if version >= WAL_FIXED:
        yield Check("SQLite", State.GOOD, facts.sqlite)
        return
    said = (
        f"{facts.sqlite}, fine here: only before 3.51.3 and with several writers can checkpoints damage the "
        "log, and collectord has one writer"
    )
    yield Check("SQLite", State.GOOD, said)


def _index(facts: HealthFacts) -> Iterator[Check]:
    if facts.log_lost > 1:
        said = f"{facts.log_lost} transactions come after a damaged part of the log"
        yield Check("index", State.ACT, said, "stop the daemon and run `collectord db recover`")
    elif facts.index_error is not None:
        yield Check("index", State.ACT, facts.index_error, "where it is damaged, `collectord db recover`")
    elif facts.status is None:
        yield Check("index", State.WATCH, "there is none yet", "run `collectord ingest` or start the daemon")
    else:
        yield Check("index", State.GOOD, f"schema {facts.schema}; `collectord db check` looks closer")


def _backups(facts: HealthFacts) -> Iterator[Check]:
    if facts.status is None:
        return
    if facts.newest_backup_ms is None and _is_first_backup_to_come(facts, facts.status):
        said = f"none yet: the daemon makes the first at {facts.backup_at} UTC"
        yield Check("backups", State.GOOD, said)
    elif facts.newest_backup_ms is None:
        advice = "run `collectord db backup`: a pruned archive is only in the index"
        yield Check("backups", State.WATCH, "there is none", advice)
    elif facts.clock_ms - facts.newest_backup_ms > BACKUP_AGE_MS:
        days = (facts.clock_ms - facts.newest_backup_ms) // DAY_MS
        yield Check("backups", State.WATCH, f"the newest is {days} days old", "run `collectord db backup`")
    else:
        yield Check("backups", State.GOOD, f"{facts.backups}, the newest less than three days old")


def _is_first_backup_to_come(facts: HealthFacts, status: Mapping[str, Any]) -> bool:
    """Whether the index is younger than the first night in which a daemon could have copied it."""
    first_ms, life = status.get("first_ingest_ms"), (status.get("daemon") or {}).get("life")
    is_young = first_ms is not None and facts.clock_ms - first_ms < DAY_MS
    return bool(is_young and life == Life.ALIVE and facts.backup_at != OFF)


def _fleet(facts: HealthFacts) -> Iterator[Check]:
    if not facts.pushes or facts.status is None:
        return
    advice = "run `collectord fleet push`: it says what is in its way"
    if facts.pushed_ms is None:
        yield Check("fleet", State.WATCH, "the index was never pushed", advice)
    elif facts.clock_ms - facts.pushed_ms > BACKUP_AGE_MS:
        days = (facts.clock_ms - facts.pushed_ms) // DAY_MS
        yield Check("fleet", State.WATCH, f"the index was pushed {days} days ago", advice)
    else:
        yield Check("fleet", State.GOOD, "the index was pushed within three days")


def _clock(facts: HealthFacts) -> Iterator[Check]:
    if facts.newest_ms is not None and facts.newest_ms - facts.clock_ms > FUTURE_MS:
        advice = "set the clock (timedatectl); nothing waits for it, but runs are dated by it"
        yield Check("clock", State.WATCH, "an archive was modified more than an hour in the future", advice)
    else:
        yield Check("clock", State.GOOD, "no archive is from the future")


_INSTALL = "`collectord service install` makes it start by itself; `collectord run` starts it here"
_LIVES = {
    Life.ALIVE: (State.GOOD, "alive", None),
    Life.STARTING: (State.GOOD, "starting", None),
    Life.NEVER: (State.WATCH, "never ran on this index", _INSTALL),
    Life.STOPPED: (State.WATCH, "stopped", _INSTALL),
    Life.SILENT: (State.ACT, "runs, but has given no sign for too long", "look at its log, then restart it"),
    Life.DEAD: (
        State.ACT,
        "dead: it went without a word",
        "look at its log (journalctl), then start it again",
    ),
}


def _daemon(facts: HealthFacts) -> Iterator[Check]:
    if facts.status is None:
        return
    daemon = facts.status.get("daemon") or {}
    life = Life(str(daemon.get("life", Life.NEVER)))
    if life is not Life.ALIVE or not daemon.get("paused"):
        yield Check("daemon", *_LIVES[life])
    if life in (Life.ALIVE, Life.SILENT):
        yield from of_daemon(daemon)
    holder = facts.status.get("lock")
    if holder:
        yield Check(
            "lock", State.GOOD, f"held by process {holder.get('pid', '?')} ({holder.get('command', '?')})"
        )


def of_daemon(state: Mapping[str, Any]) -> Iterator[Check]:
    """What a daemon that runs says of itself at a heartbeat, where that is not good."""
    if state.get("paused"):
        advice = "make room (`collectord prune`, or lower disk.*): nothing is indexed until then"
        yield Check("daemon", State.ACT, f"alive and paused: {state['paused']}", advice)
    yield from _degraded(state.get("degraded") or ())
    yield from _waiting(state)


_JOBS = ("the job ", "the chore ")


def _degraded(reasons: Iterable[str]) -> Iterator[Check]:
    """What the daemon says of itself at its last heartbeat."""
    for reason in reasons:
        if reason.startswith(_JOBS):
            yield Check("jobs", State.ACT, reason, "its log says why; it is tried again by itself")
        elif "archives are missing" in reason:
            yield Check("absence", State.ACT, reason, _MISSING)
        else:
            yield Check("events", State.WATCH, reason, "archives are still found by scans; its log says why")


_MISSING = (
    "is the disk of the archives mounted? If they were removed on purpose: stop the daemon, "
    "`collectord ingest --accept-gone`"
)


def _ownership(facts: HealthFacts) -> Iterator[Check]:
    """What root or another user left behind, which the service cannot use."""
    if facts.foreign:
        said = f"{facts.foreign[0]} and {len(facts.foreign) - 1} more do not belong to {facts.owner}"
        if len(facts.foreign) == 1:
            said = f"{facts.foreign[0]} does not belong to {facts.owner}"
        advice = f"sudo chown -R {facts.owner} {facts.state.path}"
        yield Check("ownership", State.ACT, said, advice)


def _overrides(facts: HealthFacts) -> Iterator[Check]:
    """Severities and ignored paths that somebody wrote down in vain."""
    if facts.without_effect:
        said = without_effect_words(facts.without_effect)
        yield Check("severities", State.WATCH, said, WITHOUT_EFFECT_ADVICE)


WITHOUT_EFFECT_ADVICE = (
    "`collectord environment show --json` has the paths, below `components`; `collectord drift show` and "
    "`environment diff` name the rule of each change"
)


def without_effect_words(entries: Sequence[str]) -> str:
    """What is said of entries of the configuration that match nothing."""
    return f"in environment.severity or .ignore, but nothing in the environment matches: {', '.join(entries)}"


def _missing(facts: HealthFacts) -> Iterator[Check]:
    """Archives that the index holds to be there and that are not: told where no daemon weighs them."""
    daemon = (facts.status or {}).get("daemon") or {}
    if facts.known is None or facts.missing is None or daemon.get("life") == Life.ALIVE:
        return
    if facts.missing > MANY_MISSING and facts.missing > facts.known // 5:
        said = f"{facts.missing} of {facts.known} known archives are missing"
        yield Check("absence", State.ACT, said, _MISSING)
    elif facts.missing:
        said = f"{facts.missing} of {facts.known} known archives are missing"
        yield Check("absence", State.WATCH, said, "the next `collectord ingest` or the daemon weighs that")
    else:
        yield Check("absence", State.GOOD, "every known archive is there")


def _waiting(state: Mapping[str, Any]) -> Iterator[Check]:
    """Archives that stand still and cannot be taken."""
    stalled = [one for one in state.get("waiting") or () if one["stalled"]]
    if stalled:
        named = ", ".join(f"{one['name']} (waits for {one['waits_for']})" for one in stalled[:3])
        count = state.get("stalled") or len(stalled)
        said = f"{count} stand still: {named}"
        yield Check("archives", State.WATCH, said, "`collectord explain NAME` says what each waits for")


def _issues(facts: HealthFacts) -> Iterator[Check]:
    """Lines of Beads that no kernel reads: their issues are dispatched by nobody."""
    dropped = (facts.status or {}).get("issue_lines_dropped") or []
    if dropped:
        shown = ", ".join(map(str, dropped[:5])) + (", …" if len(dropped) > 5 else "")
        said = f"{len(dropped)} lines of .beads/issues.jsonl are read by no kernel: line {shown}"
        advice = "mend or remove them: marks of a merge conflict, torn records, numbers that are none"
        yield Check("issues", State.WATCH, said, advice)


def _quarantine(facts: HealthFacts) -> Iterator[Check]:
    if facts.status is None:
        return
    held = [one["name"] for one in facts.status.get("attention") or () if one["state"] == QUARANTINED]
    if held:
        more = ", …" if len(held) > 3 else ""
        said = f"{len(held)} archives were not taken: {', '.join(held[:3])}{more}"
        yield Check("quarantine", State.WATCH, said, "`collectord quarantine list` says why and what helps")


def _alerts(facts: HealthFacts) -> Iterator[Check]:
    """Open alerts; a kernel that wants a restart stands under `kernel`."""
    environment = (facts.status or {}).get("environment") or {}
    found = {k: n for k, n in (environment.get("alerts") or {}).items() if not k.startswith("epoch.")}
    if found:
        said = ", ".join(f"{count} {event}" for event, count in found.items())
        yield Check(
            "alerts", State.WATCH, said, "`collectord drift list`, then `collectord drift ack ID` or `--all`"
        )


_SEE_IT = (
    "run collectord as the user who runs the kernel, on the same machine; /proc must not be mounted with "
    "hidepid, and a unit must not have PrivateUsers=, PrivatePIDs= or ProcSubset=pid. Until then the "
    "environment of runs is told by what they show"
)


def _kernel(facts: HealthFacts) -> Iterator[Check]:
    """Whether the kernel's process can be seen, and whether it has read what the files say."""
    running, hidden = facts.kernel["running"], facts.kernel["hidden"]
    for one in running:
        yield _process(one)
    if len(running) > 1:
        advice = "stop all but one: they take issues from each other, and what a run had is less certain"
        yield Check("kernel", State.WATCH, f"{len(running)} run at once on this repo", advice)
    if hidden:
        said = f"not visible: {hidden_words(hidden)} runs a kernel, and its folder may not be read"
        yield Check("kernel", State.WATCH, said, _SEE_IT)
    elif not running and facts.kernel["in_flight"] > len(facts.stale_workcells):
        said = f"not visible: {facts.kernel['in_flight']} in .workcells, and no process of a kernel is seen"
        yield Check("kernel", State.WATCH, said, _SEE_IT)
    elif not running:
        yield Check("kernel", State.GOOD, "none runs")


def _process(one: Mapping[str, Any]) -> Check:
    said = f"process {one['pid']}: {one['command']}"
    if one["wants_restart"]:
        advice = "restart `cyntra run`: the files were edited since, and nothing of it is in effect"
        return Check("kernel", State.WATCH, f"{said}, with an older configuration", advice)
    return Check("kernel", State.GOOD, said)


def _labels(facts: HealthFacts) -> Iterator[Check]:
    if facts.status is None or not facts.status["runs"]:
        return
    runs, plans = facts.status["runs"], facts.status["plans"]
    if not plans:
        advice = "manifests without planner.executed_plan give no labels: set planner.mode to log"
        yield Check("labels", State.ACT, f"none of {runs} runs has an executed plan", advice)
    elif plans < runs // 2:
        advice = "`collectord explain` says of each run why; was planner.mode off for a while?"
        yield Check("labels", State.WATCH, f"only {plans} of {runs} runs have an executed plan", advice)
    else:
        yield Check("labels", State.GOOD, f"{plans} of {runs} runs have an executed plan")


_CONFLICTS = {
    "completed_before_start": "were completed before they were dispatched",
    "shorter_than_duration": "were completed before their duration was over",
}


def _times(facts: HealthFacts) -> Iterator[Check]:
    """Runs whose times contradict each other; a rebuilt history shows them from the later time on."""
    found = (facts.status or {}).get("time_conflicts", {})
    if found:
        said = ", ".join(f"{count} runs {_CONFLICTS.get(how, how)}" for how, count in found.items())
        advice = "a clock that was set, or times without a zone; histories may miss these runs, no more"
        yield Check("times", State.WATCH, said, advice)
    elif facts.status is not None and facts.status["runs"]:
        yield Check("times", State.GOOD, "of no run contradict each other")


def _workcells(facts: HealthFacts) -> Iterator[Check]:
    if facts.stale_workcells:
        shown = ", ".join(facts.stale_workcells[:5])
        advice = "if no kernel works on them, `cyntra` or you may remove them; collectord never does"
        said = f"{len(facts.stale_workcells)} in .workcells unchanged for a day: {shown}"
        yield Check("workcells", State.WATCH, said, advice)
    else:
        yield Check("workcells", State.GOOD, "none is stale")


_PARTS: tuple[Callable[[HealthFacts], Iterable[Check]], ...] = (
    *(_folders, _ownership, _overrides, _disk, _watch, _sqlite, _index, _backups, _fleet, _clock, _daemon),
    *(_missing, _issues, _quarantine, _alerts, _kernel, _labels, _times, _workcells),
)

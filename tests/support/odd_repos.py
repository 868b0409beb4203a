"""Small repos of every odd shape that CONTRACT.md speaks of, drawn by hypothesis and written as files.

Few values for everything, so that runs share times, ids, tags and issues and ties are common.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
START_MS = 1_765_353_660_000
DAY_MS = 86_400_000
NAN, INF = float("nan"), float("inf")
OFFSETS_MS = [
    0,
    1,
    999,
    60_000,
    3_600_000,
    DAY_MS - 1,
    DAY_MS,
    6 * DAY_MS,
    7 * DAY_MS,
    29 * DAY_MS,
    31 * DAY_MS,
]


def _forms(ms: int) -> list[str]:
    when = datetime.fromtimestamp(ms / 1000, UTC)
    return [
        when.isoformat().replace("+00:00", "Z"),
        f" {when.isoformat()} ",
        when.replace(tzinfo=None).isoformat(),
        when.strftime("%Y%m%dT%H%M%SZ"),
    ]


def _mixed(*parts: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of the strategies, as often as its number says."""
    return st.sampled_from([one for weight, one in parts for _ in range(weight)]).flatmap(lambda one: one)


def _mostly(usual: st.SearchStrategy[Any], *odd: Any) -> st.SearchStrategy[Any]:
    """The usual value nine times of ten, else one that does not belong there."""
    return _mixed((9, usual), (1, st.sampled_from(odd)))


_MISSING = object()


def _some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """An object with most of the members."""
    given = {name: _mostly(value, _MISSING) for name, value in members.items()}
    return st.fixed_dictionaries(given).map(lambda m: {k: v for k, v in m.items() if v is not _MISSING})


TIMES = st.sampled_from(OFFSETS_MS).flatmap(lambda offset: st.sampled_from(_forms(START_MS + offset)))
TIME = _mostly(TIMES, "soon", None, 5, "", [1])
WORDS = st.sampled_from(["cache", "index", "Fix the cache", "retry_policy index", "été cache", "x\u2028y"])
TAG_LIST = st.lists(st.sampled_from(["a", "b", "c", "d", "asset:x"]), max_size=4)
TAGS = _mostly(TAG_LIST, ["a", "", 5, None], "a", None, ["b", " ", "b"])
IDS = st.sampled_from(["1", "2", "3", "9"])
RUN_ID = _mostly(st.sampled_from(["wc-a", "wc-b", "wc-c"]), "", None, 7, ["x"], "é")
JOB = _mixed((8, st.just("code")), (3, st.just("fab-world")), (1, st.sampled_from(["", None, 5, ["code"]])))
SWARM = st.sampled_from(["serial_handoff", "speculate_vote", "relay_chain"])
COUNT = _mostly(st.integers(-1, 5), None, True, "2", 2.0, 10**20)
MONEY = _mostly(st.sampled_from([0, 1, 0.25, 1e16, 1e-7]), NAN, INF, "1", None, True)
LENGTH = _mostly(st.sampled_from([0, 1, 999, 1000, 30_000, 299_999, 1_800_000]), -1, 1.5, True, None, "5")
PASSED = st.sampled_from([True, False, True, False, None, 1, "no"])
CODES = _mostly(st.lists(st.sampled_from(["tests", "lint", "types", "oom"]), max_size=10), None, ["", 5, "x"])
GATE = _some(passed=PASSED, score=MONEY, fail_codes=CODES, exit_code=COUNT)
GATES = _mostly(st.dictionaries(st.sampled_from(["g1", "g2", "g3"]), _mostly(GATE, 5, []), max_size=3), [])
VERIFICATION = _mostly(_some(gates=GATES, all_passed=PASSED, blocking_failures=CODES), None, [])
LEVELS = {
    "priority": st.sampled_from(["P0", "P3", "P9", "", None]),
    "risk": st.sampled_from(["low", "critical", "grave", 5]),
    "size": st.sampled_from(["XS", "XL", "XXL", []]),
    "tool_hint": st.sampled_from(["codex", "", None, 5, NAN]),
}
DK = {f"dk_{name}": values for name, values in LEVELS.items()} | LEVELS
ISSUE = _some(
    id=_mostly(IDS, "", 5, None),
    title=WORDS,
    description=_mostly(WORDS, None),
    tags=TAGS,
    dk_attempts=_mostly(st.integers(0, 3), True, "2", None, NAN),
    **DK,
)
PLAN = _some(
    swarm_id_executed=_mostly(SWARM, None, "", 5, "nope"),
    max_candidates_executed=COUNT,
    timeout_seconds_executed=_mostly(st.sampled_from([1, 60, 1350, 1800, 2250, 9000]), 0, True, 60.0, None),
    max_iterations_executed=COUNT,
)
GOOD_PLAN = st.builds(
    lambda swarm, seconds, width: {
        "swarm_id_executed": swarm,
        "timeout_seconds_executed": seconds,
        "max_candidates_executed": width,
    },
    SWARM,
    st.sampled_from([60, 1350, 1800, 2250]),
    st.integers(1, 4),
)
SHOWN_RUN = _some(
    run_id=RUN_ID,
    outcome=_mostly(_some(status=st.sampled_from(["success", "", None]), fail_codes=CODES), None),
    action_executed=_mostly(_some(swarm_id=SWARM), 5),
    runtime=_some(duration_ms=LENGTH),
)
STATE = _some(
    active_workcells_bin=st.sampled_from(["0", "1_2", None, 3]),
    queue_depth_bin=st.sampled_from(["LOW", " "]),
    hour_bucket=st.integers(0, 23),
    available_toolchains=_mostly(st.lists(st.sampled_from(["codex", "claude"]), max_size=3), None),
    spare=MONEY,
)
RECORDED = _some(
    created_at=TIME,
    universe_id=_mostly(st.just("rec"), 5, ""),
    job_type=JOB,
    universe_defaults=_mostly(_some(swarm_id=SWARM, objective_id=WORDS), None, []),
    issue=_mostly(
        _some(issue_id=IDS, tags=TAGS, title=WORDS, keywords=_mostly(TAG_LIST, None), dk_risk=WORDS), None
    ),
    history=_mostly(_some(last_n_similar_runs=st.lists(_mostly(SHOWN_RUN, 5), max_size=3)), None),
    system_state=_mostly(STATE, None, []),
    newer=MONEY,
)


def _recorded(members: Json, swarms: list[str] | None, schema: str | None) -> Json:
    made = {"schema_version": schema, **members}
    return made if swarms is None else {**made, "action_space": {"swarm_ids": swarms}}


INPUT = st.builds(
    _recorded,
    RECORDED,
    st.sampled_from([["relay_chain", "serial_handoff", "speculate_vote"]] * 5 + [["serial_handoff"], None]),
    st.sampled_from(["cyntra.planner_input.v1"] * 4 + ["cyntra.planner_input.v2", None]),
)
PLANNER = _some(
    executed_plan=_mixed((6, GOOD_PLAN), (2, PLAN), (1, st.none())),
    planner_input=_mixed((3, INPUT), (1, st.none())),
)
MANIFEST = _some(
    workcell_id=RUN_ID,
    job_type=JOB,
    issue=_mostly(ISSUE, None, [], {}),
    planner=_mostly(PLANNER, None, 5),
    speculate_mode=PASSED,
    control=_mostly(_some(speculate_parallelism=COUNT), None),
)
META = _some(
    started_at=TIME, completed_at=TIME, duration_ms=LENGTH, cost_usd=MONEY, tokens_used=_mostly(COUNT, None)
)
PROOF = _some(
    workcell_id=RUN_ID,
    status=st.sampled_from(["success", "partial", "SUCCESS", "failed", "Timeout", "error", None, 5]),
    verification=VERIFICATION,
    metadata=_mostly(META, None, []),
)
ROLLOUT = _some(
    schema_version=st.sampled_from(["cyntra.rollout.v1"] * 3 + ["cyntra.rollout.v2", None]),
    workcell_id=RUN_ID,
    job_type=JOB,
    issue_id=_mostly(IDS, "", 5),
    outcomes=_mostly(_some(verification=VERIFICATION), None),
    scores=_mostly(_some(duration_ms=LENGTH, cost_usd=MONEY), None),
    metadata=_some(started_at=TIME),
)
MARKER = _some(created=_mostly(st.sampled_from(_forms(START_MS + 5000)), None, 5), id=RUN_ID)
RECORD = _some(
    id=_mostly(IDS, 1, "", None),
    title=WORDS,
    description=_mostly(WORDS, None),
    tags=TAGS,
    dk_attempts=_mostly(st.integers(0, 3), "2", "many", None, 1.5, True, INF),
    dk_estimated_tokens=_mostly(st.just(5), "x"),
    spare=MONEY,
    **DK,
)
EVENT = _some(
    type=st.sampled_from(["workcell.failed", "workcell.timeout", "workcell.completed"]),
    duration_ms=LENGTH,
    data=_mostly(_some(error=st.sampled_from(["boom", "It Timed Out", "timeout", 5]), duration_ms=LENGTH), 5),
)
STAGE = _some(
    id=st.sampled_from(["s1", "", 5]), status=st.sampled_from(["success", "x", None]), duration_ms=LENGTH
)
WORLD = st.tuples(
    _some(run_id=RUN_ID, created_at=TIME, stages=_mostly(st.lists(_mostly(STAGE, 5), max_size=3), None)),
    _mostly(
        _some(
            universe_id=st.sampled_from(["lab", "", None, "other", 5]),
            world_id=_mostly(st.sampled_from(["forest", "cave"]), None, NAN, 5),
            objective_id=st.sampled_from(["fast", None]),
            swarm_id=_mostly(SWARM, None, 5, NAN),
        ),
        [],
    ),
)


@dataclass(frozen=True)
class OddRepo:
    """A repo before it is written: archives and world runs as (mtime, file → content)."""

    archives: dict[str, tuple[int, dict[str, str]]]
    worlds: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    beads: str = ""
    events: str = ""
    universe: bool = True

    def write(self, repo: Path) -> Path:
        """The files, with the directories' times."""
        (repo / ".beads").mkdir(parents=True)
        (repo / ".beads/issues.jsonl").write_text(self.beads, encoding="utf-8")
        (repo / ".cyntra/logs").mkdir(parents=True)
        (repo / ".cyntra/logs/events.jsonl").write_text(self.events, encoding="utf-8")
        (repo / ".cyntra/archives").mkdir()
        (repo / ".cyntra/runs").mkdir()
        for place, found in ((".cyntra/archives", self.archives), (".cyntra/runs", self.worlds)):
            for name, (mtime_ns, files) in found.items():
                _write_folder(repo / place / name, mtime_ns, files)
        if self.universe:
            _write_universe(repo)
        return repo


def _write_folder(folder: Path, mtime_ns: int, files: dict[str, str]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    os.utime(folder, ns=(mtime_ns, mtime_ns))


def _write_universe(repo: Path) -> None:
    folder = repo / "universes/lab"
    folder.mkdir(parents=True)
    (repo / "src").mkdir()
    swarms = {"speculate_vote": {"population_size": 3}, "relay_chain": {}, "serial_handoff": {}}
    world = {"world_id": "main", "world_kind": "codebase", "path": "src"}
    defaults = {"swarm_id": "speculate_vote", "objective_id": "fast_v1"}
    documents: dict[str, dict[str, Any]] = {
        "universe": {"universe_id": "lab", "worlds": [world], "defaults": defaults},
        "swarms": {"swarms": swarms},
    }
    for name, document in documents.items():
        # JSON is YAML.
        (folder / f"{name}.yaml").write_text(json.dumps({"schema_version": "1.0", **document}))


FILES = st.builds(
    lambda manifest, proof, rollout, marker: {
        name: json.dumps(content)
        for name, content in zip(
            ("manifest.json", "proof.json", "rollout.json", ".workcell"),
            (manifest, proof, rollout, marker),
            strict=True,
        )
        if content is not None
    },
    MANIFEST,
    _mixed((2, st.none()), (6, PROOF), (1, st.just({}))),
    _mixed((2, st.none()), (1, ROLLOUT)),
    _mixed((1, st.none()), (1, MARKER)),
)
MTIMES_NS = st.sampled_from(OFFSETS_MS).map(lambda offset: (START_MS + offset) * 1_000_000 + 456_789)
NAMES = st.sampled_from(
    ["wc-{}", "wc-{}-20251210T080200Z", "wc-{}-20251216T080100Z-spec-codex-a1b2c3", "x{}"]
)


@st.composite
def odd_repos(draw: st.DrawFn, worlds: bool = False) -> OddRepo:
    """A repo of two to twelve archives, with what stands beside them."""
    found = draw(st.lists(st.tuples(NAMES, MTIMES_NS, FILES), min_size=2, max_size=12))
    archives = {name.format(i): (mtime, files) for i, (name, mtime, files) in enumerate(found)}
    beside = draw(st.lists(st.tuples(MTIMES_NS, WORLD), max_size=4)) if worlds else []
    runs = {
        f"w{i}": (mtime, {"manifest.json": json.dumps(manifest), "context.json": json.dumps(context)})
        for i, (mtime, (manifest, context)) in enumerate(beside)
    }
    records = draw(st.lists(_mostly(RECORD.map(json.dumps), "not json", "[1]", "   "), max_size=5))
    ends = draw(st.lists(st.tuples(st.sampled_from(sorted(archives)), EVENT), max_size=4))
    events = [json.dumps({"workcell_id": name, **event}) for name, event in ends]
    breaks = draw(st.sampled_from(["\n", "\r\n", "\u2028", "\x85"]))
    return OddRepo(
        archives,
        runs,
        breaks.join(records),
        "".join(f"{e}\n" for e in events),
        draw(st.sampled_from([True, True, False])),
    )

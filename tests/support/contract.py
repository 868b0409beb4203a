"""CONTRACT.md sections 4, 6 and 7 once more, sentence by sentence and pair by pair, without collectord.

Slow and plain on purpose: every row looks at every run, every row is encoded whole. It reads a repo's files
as they are, so it tells what an index should give that saw all of them in its first ingest.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
DAY_MS = 86_400_000
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "the and for with from into over under then than this that these those your you our are was were has "
        "have had not but can may must should will would fix add update create make",
    )
)
RULES = json.loads(
    """[
    {"description": "If swarm_id=serial_handoff, then max_candidates_bin=1.",
     "if": {"swarm_id": "serial_handoff"}, "then": {"max_candidates_bin": 1}},
    {"description": "If job_type=\\"code\\", then max_iterations_bin=\\"NA\\".",
     "if": {"job_type": "code"}, "then": {"max_iterations_bin": "NA"}},
    {"description": "If job_type=\\"fab-world\\", then max_candidates_bin!=\\"NA\\".",
     "if": {"job_type": "fab-world"}, "then": {"max_candidates_bin_not": "NA"}}]"""
)


# Files and times


def load(path: Path) -> Json:
    try:
        value = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def obj(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def strings(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str) and v] if isinstance(value, list) else []


def text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def time_of(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    value = value.strip()
    try:
        when = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
    except ValueError:
        return None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def time_text(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def stamp_time(value: Any) -> int | None:
    found = re.search(r"\d{8}T\d{6}Z", value) if isinstance(value, str) else None
    try:
        return time_of(found[0]) if found else None
    except ValueError:
        return None


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(finite(v) for v in value.values())
    return all(finite(v) for v in value) if isinstance(value, list) else True


# Section 4


def beads(repo: Path) -> dict[str, Json]:
    try:
        lines = (repo / ".beads/issues.jsonl").read_bytes().decode("utf-8").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                continue
            for name in ("dk_attempts", "dk_max_attempts", "dk_required_reviewers", "dk_estimated_tokens"):
                int(record.get(name, 0))
        except (ValueError, TypeError, OverflowError):
            continue
        key = record.get("id")
        if key is not None and str(key):
            found[str(key)] = record
    return found


# Section 6.1 and the summaries of section 7


def domain(job_type: str, tags: list[str]) -> str:
    if job_type == "fab-world":
        return "fab_world"
    return "fab_asset" if any(tag.startswith("asset:") for tag in tags) else "code"


def action(manifest: Json) -> Json:
    plan = obj(manifest.get("planner")).get("executed_plan")
    names = ("swarm_id", "max_candidates", "max_minutes", "max_iterations")
    if isinstance(plan, dict) and plan:
        swarm, seconds = plan.get("swarm_id_executed"), plan.get("timeout_seconds_executed")
        counts = [plan.get("max_candidates_executed"), plan.get("max_iterations_executed")]
        candidates, iterations = (int(c) if isinstance(c, int) else None for c in counts)
        minutes = int(seconds / 60) if isinstance(seconds, int) else None
        return dict(
            zip(
                names,
                (None if swarm is None else str(swarm), candidates, minutes, iterations),
                strict=True,
            )
        )
    if not manifest.get("speculate_mode"):
        return dict(zip(names, ("serial_handoff", 1, None, None), strict=True))
    width = obj(manifest.get("control")).get("speculate_parallelism")
    width = width if isinstance(width, int) and width > 0 else None
    return dict(zip(names, ("speculate_vote", width, None, None), strict=True))


def summary(
    run_id: str, ms: int, job_type: str, manifest: Json, outcome: Json, duration: int, issue: str | None
) -> Json:
    tags = strings(obj(manifest.get("issue")).get("tags"))
    made = {
        "run_id": run_id,
        "started_ms": ms,
        "job_type": job_type,
        "domain": domain(job_type, tags),
        "action_executed": action(manifest),
        "outcome": outcome,
        "runtime": {"duration_ms": duration},
    }
    return {**made, **({"tags": tags} if tags else {}), **({"issue_id": issue} if issue else {})}


def from_rollout(name: str, manifest: Json, rollout: Json, ms: int) -> Json:
    verification = obj(obj(rollout.get("outcomes")).get("verification"))
    scores = obj(rollout.get("scores"))
    duration = scores.get("duration_ms")
    status = "success" if verification.get("all_passed") else "failed"
    outcome = {"status": status, "fail_codes": strings(verification.get("blocking_failures")), "gates": []}
    run_id, job_type = str(rollout.get("workcell_id") or name), str(rollout.get("job_type") or "code")
    length = int(duration) if isinstance(duration, int) else 0
    made = summary(run_id, ms, job_type, manifest, outcome, length, text(rollout.get("issue_id")))
    if isinstance(scores.get("cost_usd"), int | float):
        made["cost_usd_est"] = float(scores["cost_usd"])
    return made


def from_proof(name: str, manifest: Json, proof: Json, ms: int) -> Json:
    meta, verification = obj(proof.get("metadata")), obj(proof.get("verification"))
    gates = [(n, g) for n, g in obj(verification.get("gates")).items() if isinstance(g, dict)]
    codes = [code for _, gate in gates for code in strings(gate.get("fail_codes"))]
    codes += strings(verification.get("blocking_failures"))
    said = str(proof.get("status")).lower()
    passed = said in ("success", "partial") and verification.get("all_passed")
    outcome = {
        "status": "timeout" if said == "timeout" else "success" if passed else "failed",
        "fail_codes": list(dict.fromkeys(codes)),
        "gates": [
            {
                "name": n,
                "passed": bool(g.get("passed")),
                "score": float(g["score"]) if isinstance(g.get("score"), int | float) else None,
            }
            for n, g in gates
        ],
    }
    run_id = str(proof.get("workcell_id") or manifest.get("workcell_id") or name)
    length = meta.get("duration_ms")
    length = int(length) if isinstance(length, int | float) and finite(length) else 0
    issue = text(obj(manifest.get("issue")).get("id"))
    made = summary(run_id, ms, str(manifest.get("job_type") or "code"), manifest, outcome, length, issue)
    if isinstance(meta.get("cost_usd"), int | float):
        made["cost_usd_est"] = float(meta["cost_usd"])
    if isinstance(meta.get("tokens_used"), int):
        made |= {"tokens_in": meta["tokens_used"], "tokens_out": None}
    return made


def builder_summary(folder: Path) -> Json | None:
    manifest, proof, rollout = (load(folder / f"{n}.json") for n in ("manifest", "proof", "rollout"))
    mtime = int(folder.stat().st_mtime * 1000)
    if rollout:
        if rollout.get("schema_version") != "cyntra.rollout.v1":
            return None
        ms = time_of(obj(rollout.get("metadata")).get("started_at"))
        return from_rollout(folder.name, manifest, rollout, mtime if ms is None else ms)
    if proof:
        meta = obj(proof.get("metadata"))
        times = [time_of(str(meta.get(key))) for key in ("started_at", "completed_at")]
        return from_proof(folder.name, manifest, proof, next((t for t in times if t is not None), mtime))
    return None


def world_run(repo: Path, folder: Path, seen: Callable[[Json], Json] = lambda c: c) -> Json | None:
    """The summary of a world run; `seen` is what is taken of its context."""
    manifest = load(folder / "manifest.json")
    try:
        context = json.loads((folder / "context.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not manifest or not isinstance(context, dict):
        return None
    context = seen(context)
    stages = manifest.get("stages")
    stages = [s for s in stages if isinstance(s, dict)] if isinstance(stages, list) else []
    failed = [s for s in stages if s.get("status") != "success"]
    ms = time_of(manifest.get("created_at"))
    universe_id = context.get("universe_id")
    universe_id = "" if universe_id is None else str(universe_id)
    swarm = context.get("swarm_id")
    size = None
    if isinstance(swarm, str) and universe_id:
        size = obj(universe(repo, universe_id)["swarms"].get(swarm)).get("population_size")
    size = size if isinstance(size, int) and size > 0 else None
    durations = [s["duration_ms"] for s in stages if isinstance(s.get("duration_ms"), int)]
    return {
        "run_id": str(manifest.get("run_id") or folder.name),
        "started_ms": int(folder.stat().st_mtime * 1000) if ms is None else ms,
        "job_type": "fab-world",
        "domain": "fab_world",
        "action_executed": {
            "swarm_id": swarm,
            "max_candidates": size,
            "max_minutes": None,
            "max_iterations": None,
        },
        "outcome": {
            "status": "failed" if failed else "success",
            "fail_codes": [f"stage_failed:{s['id']}" for s in failed if text(s.get("id"))],
            "gates": [],
        },
        "runtime": {"duration_ms": sum(int(d) for d in durations)},
        "universe_id": universe_id,
        "world_id": context.get("world_id"),
        "objective_id": context.get("objective_id"),
    }


# Section 6.3


def universe(repo: Path, wanted: str | None) -> Json:
    made = [d.name for d in (repo / ".cyntra/universes").glob("*") if d.is_dir()]
    listed = [f.parent.name for f in (repo / "universes").glob("*/universe.yaml")]
    own = made[0] if len(made) == 1 else listed[0] if len(listed) == 1 else "unknown"
    name = wanted or own
    found = {"id": name, "swarm_ids": ["serial_handoff", "speculate_vote"], "swarms": {}}
    found["defaults"] = {"swarm_id": None, "objective_id": None}
    folder = repo / "universes" / name
    if not (folder / "universe.yaml").is_file():
        return found
    document = yaml.safe_load((folder / "universe.yaml").read_text())
    if not universe_is_valid(repo, name, document):
        return found
    swarms = yaml.safe_load((folder / "swarms.yaml").read_text())["swarms"]
    defaults = obj(document.get("defaults"))
    chosen = {key: text(defaults.get(key)) for key in ("swarm_id", "objective_id")}
    return {"id": name, "swarm_ids": sorted(swarms), "swarms": swarms, "defaults": chosen}


def universe_is_valid(repo: Path, name: str, document: Any) -> bool:
    known = {"schema_version", "universe_id", "name", "description", "worlds", "policies", "defaults"}
    if not isinstance(document, dict) or not set(document) <= known:
        return False
    worlds = document.get("worlds")
    if (document.get("schema_version"), document.get("universe_id")) != ("1.0", name):
        return False
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or not isinstance(worlds, list) or not worlds:
        return False
    for world in worlds:
        kind, path = world.get("world_kind"), (repo / world.get("path")).resolve()
        if set(world) != {"world_id", "world_kind", "path"} or not path.exists():
            return False
        if kind not in ("fab_world", "codebase", "dataset", "simulation"):
            return False
        if not path.is_relative_to(repo.resolve()):
            return False
    return True


# Section 6.4


def keywords(title: Any, description: Any) -> list[str]:
    words = re.findall(r"[A-Za-z0-9_]{3,}", str(title) + "\n" + (description or ""))
    counts = Counter(w.lower() for w in words if w.lower() not in STOP_WORDS)
    return sorted(counts, key=lambda w: (-counts[w], w))[:16]


def issue_of(issue_id: str, record: Json | None, tags: list[str]) -> Json:
    known = record or {}

    def pick(names: tuple[str, str], allowed: str, default: str) -> str:
        value = known.get(names[0]) or known.get(names[1]) or default
        return value if isinstance(value, str) and value in allowed.split() else default

    given: Any = known.get("tags") if isinstance(known.get("tags"), list) else []
    own = [t for t in given if isinstance(t, str) and t.strip()]
    made = {
        "issue_id": issue_id,
        "dk_priority": pick(("dk_priority", "priority"), "P0 P1 P2 P3", "P2"),
        "dk_risk": pick(("dk_risk", "risk"), "low medium high critical", "medium"),
        "dk_size": pick(("dk_size", "size"), "XS S M L XL", "M"),
        "dk_tool_hint": known.get("dk_tool_hint") or known.get("tool_hint") or None,
        "dk_attempts": int(known.get("dk_attempts", 0)),
        "tags": own or tags,
    }
    if record is not None:
        title, description = record.get("title"), record.get("description")
        made |= {"title": title, "description": description, "keywords": keywords(title, description)}
    return made


def action_space(swarm_ids: list[str]) -> Json:
    return {
        "swarm_ids": swarm_ids,
        "max_minutes_bins": [15, 30, 45, 60, 120, "NA"],
        "max_candidates_bins": [1, 2, 3, "NA"],
        "max_iterations_bins": [1, 2, 3, 5, "NA"],
        "validity_rules": RULES,
    }


# Section 6.5


def score(tags: list[str], now_ms: int, candidate: Json) -> float:
    mine, theirs = set(tags), set(strings(candidate.get("tags")))
    jaccard = len(mine & theirs) / len(mine | theirs) if mine | theirs else 0.0
    days = (now_ms - candidate["started_ms"]) / DAY_MS
    return 0.6 * jaccard + 0.1 / (1 + (0 if days < 1 else 1 if days < 7 else 2 if days < 30 else 3))


def similar(tags: list[str], row: Json, candidates: list[Json], n: int) -> list[Json]:
    same = [c for c in candidates if c["job_type"] == row["job_type"]]
    if row["job_type"] == "fab-world":
        for key in ("world_id", "objective_id"):
            same = [c for c in same if row.get(key) is None or c.get(key) == row[key]]
    now = row["started_ms"]
    best = sorted(same, key=lambda c: (-score(tags, now, c), -c["started_ms"], c["run_id"]))[:n]
    return sorted(best, key=lambda c: (-c["started_ms"], c["run_id"]))


# Section 6.6


def bucket(salt: str, value: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{salt}:{value}".encode()).digest()[:8], "big") % 1024


def hashes(name: str, salt: str, values: list[str]) -> list[str]:
    return sorted({f"[{name}_HASH_{bucket(salt, value)}]" for value in values})


def triple(key: str, namespace: str, value: Any) -> list[str]:
    shown = "NONE" if value is None or not str(value).strip() else str(value)
    return [f"[KEY:{key}]", "[=]", f"[VAL:{namespace}:{shown}]"]


def several(key: str, tokens: list[str]) -> list[str]:
    return [f"[KEY:{key}]", "[=]", *tokens] if tokens else []


DURATIONS = [
    (1, "LT_1S"),
    (10, "1_10S"),
    (30, "10_30S"),
    (60, "30_60S"),
    (300, "1_5M"),
    (1800, "5_30M"),
]


def run_tokens(run: Json) -> list[str]:
    outcome = obj(run.get("outcome"))
    out = triple("OUTCOME_STATUS", "STATUS", outcome.get("status"))
    out += triple("EXEC_SWARM_ID", "SWARM_ID", obj(run.get("action_executed")).get("swarm_id"))
    duration = obj(run.get("runtime")).get("duration_ms")
    if isinstance(duration, int) and duration >= 0:
        name = next((n for limit, n in DURATIONS if duration < limit * 1000), "GE_30M")
        out += triple("DURATION_BIN", "DURATION_BIN", name)
    out += several("FAIL_CODES", hashes("FAIL", "fail", strings(outcome.get("fail_codes"))[:8]))
    gates: Any = outcome.get("gates") if isinstance(outcome.get("gates"), list) else []
    failed = [g.get("name") for g in gates if isinstance(g, dict) and g.get("passed") is False]
    return out + several("FAIL_GATES", hashes("GATE", "gate", strings(failed)[:8]))


def tokens(given: Json) -> list[str]:
    defaults, issue, state = (obj(given.get(k)) for k in ("universe_defaults", "issue", "system_state"))
    out = ["[BOS]", *triple("UNIVERSE_ID", "UNIVERSE_ID", given.get("universe_id"))]
    out += triple("JOB_TYPE", "JOB_TYPE", given.get("job_type"))
    out += triple("DEFAULT_SWARM_ID", "SWARM_ID", defaults.get("swarm_id"))
    if text(defaults.get("objective_id")):
        out += several("DEFAULT_OBJECTIVE", hashes("KW", "kw", [defaults["objective_id"]]))
    out.append("[SEP]")
    for key, namespace in (
        ("DK_PRIORITY",) * 2,
        ("DK_RISK",) * 2,
        ("DK_SIZE",) * 2,
        ("DK_TOOL_HINT", "TOOLCHAIN"),
    ):
        out += triple(key, namespace, issue.get(key.lower()))
    out += several("TAGS", hashes("TAG", "tag", strings(issue.get("tags"))))
    words = issue.get("keywords")
    if not isinstance(words, list):
        words = keywords(issue.get("title") or "", issue.get("description"))
    out += [*several("KEYWORDS", hashes("KW", "kw", strings(words))), "[SEP]"]
    if isinstance(given.get("system_state"), dict):
        for key, namespace in (
            ("ACTIVE_WORKCELLS_BIN", "BIN"),
            ("QUEUE_DEPTH_BIN", "BIN"),
            ("HOUR_BUCKET", "HOUR"),
            ("BUDGET_REMAINING_BIN", "BIN"),
        ):
            out += triple(key, namespace, state.get(key.lower()))
        ready = sorted({f"[VAL:TOOLCHAIN:{t}]" for t in strings(state.get("available_toolchains"))})
        out += several("AVAILABLE_TOOLCHAINS", ready)
    out.append("[SEP]")
    shown = obj(given.get("history")).get("last_n_similar_runs")
    for i, run in enumerate(r for r in (shown if isinstance(shown, list) else []) if isinstance(r, dict)):
        out += [*[f"[RUN_{i}]", *run_tokens(run)][:64], "[SEP]"]
        if len(out) >= 1024:
            out = out[:1024]
            break
    if out[-1] == "[SEP]":
        out.pop()
    return [*out, "[EOS]"][:1024]


def nearest(value: int | None, bins: list[Any]) -> Any:
    numbers = [b for b in bins if b != "NA"]
    return "NA" if value is None else sorted(numbers, key=lambda b: (abs(b - value), b))[0]


def label(executed: Json, given: Json, created_at: str) -> Json:
    space = action_space(given["action_space"]["swarm_ids"])
    swarm = executed["swarm_id"] or "serial_handoff"
    kept = {k: v for k, v in given.items() if k != "created_at"}
    return {
        "schema_version": "cyntra.planner_action.v1",
        "created_at": created_at,
        "swarm_id": swarm if swarm in space["swarm_ids"] else space["swarm_ids"][0],
        "budgets": {
            f"max_{name}_bin": nearest(executed[f"max_{name}"], space[f"max_{name}_bins"])
            for name in ("candidates", "minutes", "iterations")
        },
        "model": {"checkpoint_id": "executed_plan"},
        "confidence": 1.0,
        "abstain_to_default": False,
        "reason": None,
        "input_hash": hashlib.sha256(canonical(kept).encode()).hexdigest(),
    }


# Section 6.7


def with_splits(rows: list[Json]) -> list[Json]:
    train, val = int(0.8 * len(rows)), int(0.1 * len(rows))
    names = ["train"] * train + ["val"] * val + ["test"] * (len(rows) - train - val)
    return [{**row, "split": name} for row, name in zip(rows, names, strict=True)]


def dataset_hash(rows: list[Json]) -> str:
    return hashlib.sha256("".join(canonical(row) + "\n" for row in rows).encode()).hexdigest()


def dataset_text(rows: list[Json]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)


def folders(repo: Path, place: str) -> list[Path]:
    return sorted((d for d in (repo / place).glob("*") if d.is_dir()), key=lambda d: d.name)


def builder_rows(repo: Path, n: int = 8, wanted: str | None = None, worlds: bool = False) -> list[Json]:
    """Section 6."""
    found = [builder_summary(folder) for folder in folders(repo, ".cyntra/archives")]
    if worlds:
        found += [world_run(repo, folder) for folder in folders(repo, ".cyntra/runs")]
    runs = sorted((s for s in found if s is not None), key=lambda s: (s["started_ms"], s["run_id"]))
    chosen, issues, rows = universe(repo, wanted), beads(repo), []
    for run in runs:
        if run["job_type"] == "fab-world" and not worlds:
            continue
        issue_id = run.get("issue_id") or run["run_id"] or "unknown"
        issue = issue_of(issue_id, issues.get(issue_id), run.get("tags", []))
        earlier = [r for r in runs if r["started_ms"] < run["started_ms"]]
        made = time_text(run["started_ms"])
        given = {
            "schema_version": "cyntra.planner_input.v1",
            "created_at": made,
            "universe_id": chosen["id"],
            "job_type": run["job_type"],
            "universe_defaults": chosen["defaults"],
            "issue": issue,
            "history": {"last_n_similar_runs": similar(issue["tags"], run, earlier, n)},
            "action_space": action_space(chosen["swarm_ids"]),
            "system_state": None,
        }
        rows.append(row_of(run, given, made))
    return with_splits(rows)


def row_of(run: Json, given: Json, made: str) -> Json:
    return {
        "run_id": run["run_id"],
        "started_ms": run["started_ms"],
        "planner_input": given,
        "tokens": tokens(given),
        "label_action": label(run["action_executed"], given, made),
    }


# Section 7


def timeouts(repo: Path) -> dict[str, int]:
    """Workcell → duration of its first event that tells of a timeout."""
    found: dict[str, int] = {}
    try:
        lines = (repo / ".cyntra/logs/events.jsonl").read_bytes().split(b"\n")
    except OSError:
        return found
    for line in lines:
        try:
            event = obj(json.loads(line))
        except ValueError:
            continue
        if event.get("type") not in ("workcell.failed", "workcell.timeout"):
            continue
        data = obj(event.get("data"))
        said = f"{event['type']} {data.get('error')}".lower()
        if "timeout" in said or "timed out" in said:
            lengths = [v for v in (event.get("duration_ms"), data.get("duration_ms")) if isinstance(v, int)]
            # Section 6.1: true counts as 1, as the golden corpora show for the plan's integers.
            found.setdefault(event["workcell_id"], int(lengths[0]) if lengths else 0)
    return found


def no_nan(made: Json) -> Json:
    if not finite(made.get("cost_usd_est")):
        made.pop("cost_usd_est")
    for gate in made["outcome"]["gates"]:
        gate["score"] = gate["score"] if finite(gate["score"]) else None
    return made


def dispatched(repo: Path, folder: Path, ends: dict[str, int]) -> Json:
    """What is known of one archive: its summary, its end, its recorded input and whether it has a plan."""
    manifest, proof, rollout, marker = (
        load(folder / n) for n in ("manifest.json", "proof.json", "rollout.json", ".workcell")
    )
    recorded = obj(obj(manifest.get("planner")).get("planner_input"))
    times = [
        time_of(recorded.get("created_at")),
        time_of(obj(proof.get("metadata")).get("started_at")),
        stamp_time(marker.get("created")),
        stamp_time(folder.name),
        int(folder.stat().st_mtime * 1000),
    ]
    ms = next(t for t in times if t is not None)
    if proof:
        made = from_proof(folder.name, manifest, proof, ms)
    elif rollout.get("schema_version") == "cyntra.rollout.v1":
        made = from_rollout(folder.name, manifest, rollout, ms)
    else:
        status = "timeout" if folder.name in ends else "failed"
        outcome = {"status": status, "fail_codes": ["no_proof"], "gates": []}
        run_id, job_type = str(manifest.get("workcell_id") or folder.name), manifest.get("job_type") or "code"
        issue = text(obj(manifest.get("issue")).get("id"))
        made = summary(run_id, ms, str(job_type), manifest, outcome, ends.get(folder.name, 0), issue)
    made = no_nan(made)
    plan = obj(obj(manifest.get("planner")).get("executed_plan"))
    seconds = plan.get("timeout_seconds_executed")
    whole = isinstance(seconds, int) and not isinstance(seconds, bool) and seconds >= 1
    completed = time_of(obj(proof.get("metadata")).get("completed_at"))
    length = made["runtime"]["duration_ms"]
    arrived = folder.stat().st_mtime_ns // 1_000_000
    told = [at for at in (completed, ms + length if length > 0 else None) if at is not None]
    ended = max(told) if told and max(told) >= ms else max(arrived, ms)
    usable = recorded.get("schema_version") == "cyntra.planner_input.v1" and finite(recorded)
    return {
        "summary": made,
        "manifest": manifest,
        "recorded": recorded,
        "verbatim": usable,
        "finished_ms": ended,
        "planned": bool(text(plan.get("swarm_id_executed"))) and whole,
    }


def without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items() if not isinstance(v, float) or finite(v)}
    if isinstance(value, list):
        return [without_nan(v) if not isinstance(v, float) or finite(v) else None for v in value]
    return value


def rebuilt(repo: Path, run: Json, runs: list[Json], n: int, wanted: str | None) -> Json:
    """planner_input where the recorded one is not taken."""
    made, manifest, recorded = run["summary"], run["manifest"], without_nan(run["recorded"])
    chosen = universe(repo, wanted)
    issue_id = text(obj(manifest.get("issue")).get("id")) or made["run_id"]
    record = beads(repo).get(issue_id)
    if record is None and obj(manifest.get("issue")):
        record = dict(obj(manifest.get("issue")))
        record["dk_attempts"] = record["dk_attempts"] if isinstance(record.get("dk_attempts"), int) else 0
    record = None if record is None else without_nan(record)
    built = {
        "universe_id": (str, chosen["id"]),
        "universe_defaults": (dict, chosen["defaults"]),
        "issue": (dict, issue_of(issue_id, record, made.get("tags", []))),
        "action_space": (dict, action_space(chosen["swarm_ids"])),
        "system_state": (dict, None),
    }
    given = {
        key: recorded[key] if isinstance(recorded.get(key), kind) else value
        for key, (kind, value) in built.items()
    }
    now = made["started_ms"]
    finished = [
        r for r in runs if r is not run and r["finished_ms"] <= now and r["summary"]["started_ms"] < now
    ]
    tags = strings(given["issue"].get("tags"))
    shown = similar(tags, made, [r["summary"] for r in finished], n)
    return {
        **given,
        "schema_version": "cyntra.planner_input.v1",
        "created_at": time_text(made["started_ms"]),
        "job_type": str(manifest.get("job_type") or "code"),
        "history": {"last_n_similar_runs": shown},
    }


def copied(standing: list[Path], ids: list[str]) -> dict[str, str]:
    """Name of each copy (same run id, same core files) and of its original; not in the contract."""
    groups: dict[Any, list[Path]] = {}
    for folder, run_id in zip(standing, ids, strict=True):
        core = [folder / name for name in ("manifest.json", "proof.json", "rollout.json", ".workcell")]
        content = tuple(path.read_bytes() if path.is_file() else None for path in core)
        groups.setdefault((run_id, content), []).append(folder)
    found = {}
    for (run_id, _), group in groups.items():
        first, *others = sorted(group, key=partial(_age, run_id))
        found.update({path.name: first.name for path in others})
    return found


def _age(run_id: str, folder: Path) -> tuple[bool, int, str]:
    return folder.name != run_id, folder.stat().st_mtime_ns, folder.name


def dispatch_rows(
    repo: Path, n: int = 8, wanted: str | None = None, worlds: bool = False
) -> tuple[list[Json], dict[str, int]]:
    """Section 7: the rows, and how many runs were left out by reason."""
    ends = timeouts(repo)
    standing = [
        folder
        for folder in folders(repo, ".cyntra/archives")
        if any((folder / f"{n}.json").is_file() for n in ("manifest", "proof", "rollout"))
    ]
    copies = copied(standing, [dispatched(repo, folder, ends)["summary"]["run_id"] for folder in standing])
    found = [dispatched(repo, folder, ends) for folder in standing if folder.name not in copies]
    for folder in folders(repo, ".cyntra/runs") if worlds else []:
        made = world_run(repo, folder, without_nan)
        if made is not None:
            length = made["runtime"]["duration_ms"]
            arrived = folder.stat().st_mtime_ns // 1_000_000
            ended = made["started_ms"] + length if length > 0 else max(arrived, made["started_ms"])
            found.append({"summary": made, "finished_ms": ended, "planned": False})
    runs = sorted(found, key=lambda r: (r["summary"]["started_ms"], r["summary"]["run_id"]))
    rows, left_out = [], Counter[str](f"copy_of {name}" for name in copies.values())
    for run in runs:
        made = run["summary"]
        if made["job_type"] == "fab-world" and not worlds:
            continue
        if not run["planned"]:
            left_out["no_executed_plan"] += 1
            continue
        taken = run["verbatim"] and n == 8
        given = run["recorded"] if taken else rebuilt(repo, run, runs, n, wanted)
        if made["action_executed"]["swarm_id"] not in strings(
            obj(given.get("action_space")).get("swarm_ids")
        ):
            left_out["swarm_not_in_action_space"] += 1
            continue
        created = given.get("created_at")
        stamp = created if isinstance(created, str) else time_text(made["started_ms"])
        rows.append(row_of(made, given, stamp))
    return with_splits(rows), dict(sorted(left_out.items()))

"""The four audit pages that people look at and that tests hold to what a page must be.

The golden run and the empty repo are real, from archives to the page; the large collection and the one with
everything wrong are planted, with texts as people write them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from collectord.audit.document import document_of, plain
from collectord.audit.facts import (
    Action,
    Agreement,
    AuditFacts,
    AuditRun,
    BacklogIssue,
    Epoch,
    Health,
    LabelVariety,
    OpenAlert,
    SnapshotFact,
)
from collectord.audit.findings import DAY_MS, WEEK_MS
from collectord.audit.page import page
from collectord.audit.report import answer, audit, write_page
from collectord.config import load
from tests.conftest import unpack
from tests.support.cli import Cli
from tests.support.planted import DOUBLE, NOW_MS, SERIAL, TRIPLE, facts, issue, run, surface_of

LARGE = 20_000
_SHORT = Action("serial_handoff", 1, 45)


def golden(folder: Path) -> Path:
    """Of the golden run, as of the day after it: collected, published, audited."""
    cli = Cli(unpack("kernel-run", folder / "repo"), folder)
    cli.ok("ingest")
    cli.ok("export")
    return _audited(cli, folder / "golden.html")


def empty(folder: Path) -> Path:
    """Of a repo in which nothing ran yet."""
    cli = Cli(folder / "repo", folder)
    cli.archives.mkdir(parents=True)
    cli.ok("ingest")
    return _audited(cli, folder / "empty.html")


def _audited(cli: Cli, target: Path) -> Path:
    settings = load(repo=cli.repo, config=None, overrides={}, environ={"HOME": str(cli.home)}, cwd=cli.repo)
    write_page(audit(settings, clock_ms=lambda: NOW_MS), target)
    return target


def large(folder: Path) -> Path:
    """Of 20,000 runs over ten weeks with two epochs, beside an audit of the week before."""
    found = large_facts()
    earlier = replace(
        found,
        now_ms=NOW_MS - WEEK_MS,
        runs=tuple(one for one in found.runs if one.started_ms <= NOW_MS - WEEK_MS),
    )
    return _planted(found, folder / "large.html", earlier)


def wrong(folder: Path) -> Path:
    """Of a collection in which everything that an audit looks for is wrong."""
    return _planted(wrong_facts(), folder / "wrong.html")


PAGES: dict[str, Callable[[Path], Path]] = {"golden": golden, "large": large, "empty": empty, "wrong": wrong}


def _planted(found: AuditFacts, target: Path, earlier: AuditFacts | None = None) -> Path:
    surface = surface_of(target.parent / "policy")
    before = plain(document_of(earlier, answer(earlier, surface))) if earlier else None
    target.write_text(page(document_of(found, answer(found, surface), before=before)), encoding="utf-8")
    return target


_AREAS = ("area:index", "area:export", "area:watch", "area:cli", "docs", "tests", "perf", "refactor")
_TOOLS = (("codex", "gpt-5"), ("claude", "opus"), ("opencode", "qwen"))


def large_facts(runs: int = LARGE) -> AuditFacts:
    """Lane C is short since a rule was changed four weeks ago; the network failed on two days."""
    dice = random.Random(7)
    middle = NOW_MS - 4 * WEEK_MS
    found = [_ordinary(dice, k, NOW_MS - round((1 - k / runs) * 10 * WEEK_MS), middle) for k in range(runs)]
    backlog = [
        *(issue(k, risk=("low", "low", "medium", "high", "high")[k % 5]) for k in range(40)),
        issue(90, risk="critical"),
        *(issue(100 + k, status="done", risk="low") for k in range(40)),
    ]
    epochs = (
        Epoch(
            1, found[0].started_ms, middle, "3f" * 32, "12,000 runs, policy 3f3f3f3f3f3f, ended by routing"
        ),
        Epoch(2, middle, None, "b7" * 32, "8,000 runs, policy b7b7b7b7b7b7"),
    )
    agreement = tuple(Agreement(f"wc-{k}", "verified", True) for k in range(200))
    path = "/srv/kernel/.cyntra/benches/planner_dataset_v1_2026-11-23"
    snapshot = SnapshotFact(path, "9c" * 32, 19_624, NOW_MS - DAY_MS, True, True)
    return facts(
        found,
        backlog,
        repo="/srv/kernel",
        epochs=epochs,
        agreement=agreement,
        health=Health({"indexed": runs, "gone": 312}, last_ingest_ms=NOW_MS - 60_000, snapshot=snapshot),
    )


def _ordinary(dice: random.Random, number: int, started: int, middle: int) -> AuditRun:
    label = dice.choices((SERIAL, _SHORT, DOUBLE, TRIPLE), (42, 20, 30, 8))[0]
    if started >= middle:
        label = dice.choices((SERIAL, _SHORT, DOUBLE, TRIPLE), (52, 14, 31, 3))[0]
    toolchain, model = dice.choice(_TOOLS)
    passed = dice.random() < {SERIAL: 0.83, _SHORT: 0.88, DOUBLE: 0.74, TRIPLE: 0.66}[label]
    offline = not passed and (NOW_MS - started) // DAY_MS in (2, 3) and dice.random() < 0.2
    made = run(
        number,
        label,
        issue_id=str(number // 2),
        size=dice.choice(("XS", "S", "M", "L")),
        tags=(dice.choice(_AREAS),),
        k1=f"situation {number // 2 if dice.random() < 0.01 else -number}",
        requested=label,
        diff_lines=dice.randrange(1, 400),
        status="success" if passed else dice.choice(("failed", "failed", "timeout")),
        cause="network" if offline else None,
        evidence="test: Could not resolve host: pypi.org" if offline else None,
        toolchain=toolchain,
        model=model,
    )
    epoch = 2 if started >= middle else 1
    finished, seen = started + 60_000, started + 63_000
    return replace(made, started_ms=started, finished_ms=finished, seen_ms=seen, epoch=epoch)


def wrong_facts() -> AuditFacts:
    """Every finding of an audit at once."""
    day_of_all = NOW_MS - 2 * DAY_MS
    found = [*_weeks_before(), *_this_week()]
    middle = NOW_MS - 3 * WEEK_MS
    found = [replace(one, epoch=1 if one.started_ms < middle else 2) for one in found]
    epochs = (
        Epoch(
            1, NOW_MS - 8 * WEEK_MS, middle, "5d" * 32, "212 runs, policy 5d5d5d5d5d5d, ended by toolchains"
        ),
        Epoch(2, middle, None, "e1" * 32, "171 runs, policy e1e1e1e1e1e1"),
    )
    return facts(
        found,
        _bad_backlog(),
        repo="/srv/kernel",
        concurrent=6,
        epochs=epochs,
        agreement=tuple(
            Agreement(f"wc-{k}", "verified", k % 2 == 0, (f"wc-{k - 1}",), (), ("dk_risk",))
            for k in range(40)
        ),
        varieties=(
            LabelVariety(2, 1, (SERIAL.words, DOUBLE.words), 31, 12, "dk_speculate on all or on none"),
        ),
        credentials={"412": ("AWS Access Key",), "433": ("Basic Auth Credentials", "Private Key")},
        health=_bad_health(day_of_all),
    )


def _weeks_before() -> Iterator[AuditRun]:
    dice = random.Random(3)
    for k in range(260):
        yield run(
            k,
            dice.choices((SERIAL, DOUBLE), (6, 4))[0],
            days_ago=8 + dice.random() * 45,
            issue_id=str(k // 3),
            status=dice.choices(("success", "failed"), (8, 2))[0],
            requested=SERIAL,
            diff_lines=20,
            tags=(dice.choice(_AREAS),),
        )


def _this_week() -> Iterator[AuditRun]:
    """Nearly all of one day and many of one issue; a module and the network are missing."""
    causes = (
        ("missing module", "test: ModuleNotFoundError: No module named 'pytest_asyncio'"),
        ("network", "lint: ECONNREFUSED 10.0.0.7:3128 while fetching https://registry.npmjs.org/eslint"),
        ("no disk space", "test: OSError: [Errno 28] No space left on device: '/var/tmp/cargo'"),
    )
    for k in range(96):
        cause, evidence = causes[k % 3 if k < 36 else 0]
        yield run(
            1000 + k,
            SERIAL if k % 8 else DOUBLE,
            days_ago=2 + k / 300,
            issue_id="433" if k % 4 == 0 else str(400 + k),
            status="failed" if k < 41 else "timeout" if k < 48 else "success",
            cause=cause if k < 41 else None,
            evidence=evidence if k < 41 else None,
            diff_lines=0 if k > 70 else 31,
            gates=2,
            empty_gates=("lint", "test"),
            failed_gates=("test",) if k < 41 else (),
        )
    for k in range(21):
        yield run(
            2000 + k,
            DOUBLE if k % 3 == 0 else SERIAL,
            days_ago=1.9,
            k1="cache",
            risk="medium",
            tags=("area:index", "cache"),
            hash_state="mismatch" if k < 4 else "verified",
            issue_id=str(600 + k),
            empty_gates=("test",),
        )
    for k in range(6):
        yield run(3000 + k, None, days_ago=2.2, has_proof=False, status="failed", has_manifest=k > 2)


def _bad_backlog() -> Sequence[BacklogIssue]:
    return [
        issue(412, title="Upload nightly dumps to the bucket", risk="low"),
        issue(433, title="Log in to the mirror with the shared account", risk="medium"),
        issue(440, title="fix", description="", tags=()),
        issue(441, title="fix", description="", risk=None),
        issue(442, title="update docs", size=None),
        *(issue(450 + k, attempts=3) for k in range(4)),
        *(issue(460 + k, blocked_by=("412",)) for k in range(3)),
    ]


def _bad_health(began: int) -> Health:
    names = [f"wc-20261122-{k:02}" for k in range(1, 6)]
    reasons = (
        (names[0], "quarantined", "manifest.json is a symbolic link, which is never followed"),
        (names[1], "quarantined", "rollout.json: 71,303,168 bytes, at most 67,108,864 are read"),
        *((name, "partial", "no proof.json after 2 days") for name in names[2:]),
    )
    alerts = (
        OpenAlert(
            "environment.stale_kernel",
            began,
            "process 4711 has read what stood before the edit: high issues get speculate_vote×2; restart it",
        ),
        OpenAlert("environment.drift", began, "toolchains: claude has another model"),
        OpenAlert("absence.alarm", began, "48 archives are missing at once: is the disk mounted?"),
        OpenAlert("labels.contradiction", began, "epoch 2, code medium M issues, 2 labels"),
    )
    path = "/srv/kernel/.cyntra/benches/planner_dataset_v1_2026-10-19"
    return Health(
        archives={"indexed": 380, "quarantined": 2, "partial": 3, "gone": 48},
        reasons=reasons,
        unseen=("wc-a1", "wc-a2"),
        last_ingest_ms=NOW_MS - 2 * DAY_MS,
        alerts=alerts,
        snapshot=SnapshotFact(path, "c4" * 32, 171, NOW_MS - 36 * DAY_MS, True, False, ("row 12 differs",)),
        time_conflicts={"finished before it started": 3},
        lines_dropped={".beads/issues.jsonl": (17, 18, 44)},
    )

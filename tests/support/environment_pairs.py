"""Pairs of configuration trees: the same environment or another, in which components, what may move."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.trees import (
    BASE,
    BASE_CONFIG,
    BASE_FRONTIER,
    CONFIG,
    FRONTIER,
    REPORT,
    UNIVERSE,
    UNIVERSE_TEXT,
    report,
    universe,
    with_config,
)

Files = Mapping[str, str]
FULL = ("swarm", "candidates", "minutes", "outcome")


@dataclass(frozen=True)
class Pair:
    """Two trees and what is said of them; without components they are the same environment."""

    name: str
    before: Files
    after: Files
    components: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    severity: str = "epoch"


def config(
    name: str, *changes: tuple[str, str], then: str = "", moves: tuple[str, ...] = (), severity: str = "epoch"
) -> Pair:
    """The base against itself with its configuration changed; `then` names the components that differ."""
    return Pair(name, BASE, with_config(*changes), tuple(then.split()), moves, severity)


def text(name: str, before: str, after: str, then: str = "", moves: tuple[str, ...] = ()) -> Pair:
    """Two configurations written out."""
    return Pair(name, {CONFIG: before}, {CONFIG: after}, tuple(then.split()), moves)


def files(name: str, before: Files, after: Files, then: str = "", moves: tuple[str, ...] = ()) -> Pair:
    """Two trees."""
    return Pair(name, before, after, tuple(then.split()), moves)


def frontier(**changes: object) -> dict[str, str]:
    """The base with members of its frontier replaced."""
    return {**BASE, FRONTIER: json.dumps({**json.loads(BASE_FRONTIER), **changes}, indent=1)}


def reported(*arguments: object, **by_domain: object) -> dict[str, str]:
    return {**BASE, REPORT: report(*arguments, **by_domain)}


CODEX = "codex: {enabled: true, path: /usr/bin/agent, default_model: gpt-5.2, timeout_minutes: 60}"
LAST = "    - match: {}\n      use: [claude]\n"
SECURITY = "    - match: {tags_any: [security]}\n      use: [codex]\n"
OVERRIDE = {"match": {"dk_risk": "low"}, "use": ["codex"]}

SAME = [
    config("comments and blank lines", ("routing:\n", "# a note\n\nrouting:  # another\n")),
    config("minutes and seconds", ("timeout_minutes: 45", "timeout_seconds: 2700")),
    config("seconds before minutes", ("timeout_minutes: 45", "timeout_seconds: 2700, timeout_minutes: 9")),
    config("a timeout that is a text", ("timeout_minutes: 45", 'timeout_minutes: "45"')),
    config("a timeout that is a whole float", ("timeout_minutes: 45", "timeout_seconds: 2700.0")),
    config("no seconds, so the minutes", ("timeout_minutes: 45", "timeout_seconds: 0, timeout_minutes: 45")),
    config("enabled is the default", ("codex: {enabled: true, ", "codex: {")),
    config("a YAML 1.1 yes", ("codex: {enabled: true", "codex: {enabled: yes")),
    config("model and default_model", ("default_model: gpt-5.2", "model: gpt-5.2")),
    config("model in config", ("default_model: gpt-5.2", "config: {model: gpt-5.2}")),
    config("model before default_model", ("default_model: gpt-5.2", "model: gpt-5.2, default_model: old")),
    config(
        "a command and its parts",
        ('command: "/usr/bin/agent --model nano"', "path: /usr/bin/agent, model: nano"),
    ),
    config(
        "a command beside a path",
        (
            "path: /usr/bin/agent, default_model: opus",
            'path: /usr/bin/agent, command: "x --model y", default_model: opus',
        ),
    ),
    config(
        "what a switched off toolchain says",
        (
            "toolchains:\n",
            "toolchains:\n  crush: {enabled: false, timeout_minutes: 5}\n  off: {enabled: no}\n",
        ),
        (
            "toolchains:\n  crush: {enabled: false, timeout_minutes: 5}\n  off: {enabled: no}\n",
            "toolchains:\n",
        ),
    ),
    config("use as text and as list", ("use: opencode", "use: [opencode]")),
    config("a condition as text and as list", ("dk_risk: [critical]", "dk_risk: critical")),
    config("sizes in another order", ("dk_size: [XS, S]", "dk_size: [S, XS, S]")),
    config("a condition that is null", ("match: {dk_risk: high}", "match: {dk_risk: high, dk_size: null}")),
    config(
        "a condition that always holds", ("match: {dk_risk: high}", "match: {dk_risk: high, tags_all: []}")
    ),
    config("a width that is a text", ("parallelism: 3", 'parallelism: "3"')),
    config("a width of a rule that does not speculate", (LAST, LAST + "      parallelism: 3\n")),
    config("speculate is false by default", (LAST, LAST + "      speculate: no\n")),
    config(
        "auto_trigger nested",
        (
            "auto_trigger_risk_levels: [high, critical]",
            "auto_trigger: {risk_levels: [critical, high], on_critical_path: true}",
        ),
    ),
    config(
        "auto_trigger flat before nested",
        ("auto_trigger_risk_levels:", "auto_trigger: {risk_levels: [low]}, auto_trigger_risk_levels:"),
    ),
    config("a section that is null", ("control: {enabled: true}", "control:")),
    config("a section that is a list", ("control: {enabled: true}", "control: [enabled]")),
    config("a section of defaults left out", ("control: {enabled: true}\n", "")),
    config(
        "every default written out",
        (
            "speculation: {enabled: true",
            "planner: {mode: off, confidence_threshold: 0.2}\n"
            "speculation: {max_parallelism: 3, vote_threshold: 0.7, enabled: true",
        ),
    ),
    config("a float that is whole", ("timeout_seconds: 30", "timeout_seconds: 30.0")),
    config("a fallback that is not a list", ("codex: [claude]", "codex: [claude]\n    claude: codex")),
    config("a duplicate key, of which the last counts", ("gates: {", "gates: {test_command: old, ")),
    text("planner enabled", "planner: {enabled: true}", "planner: {mode: enforce}"),
    text("planner off, unquoted", "planner: {mode: off}", "planner: {enabled: false}"),
    text(
        "scheduling at top level", "scheduling: {max_concurrent_workcells: 5}", "max_concurrent_workcells: 5"
    ),
    text(
        "scheduling in its section before one at top level",
        "scheduling: {max_concurrent_workcells: 5}\nmax_concurrent_workcells: 9",
        "scheduling: {max_concurrent_workcells: 5}",
    ),
    text(
        "anchors and merge keys",
        "toolchains: {a: &t {model: m, timeout_minutes: 5}, b: {<<: *t, model: n}}",
        "toolchains: {a: {model: m, timeout_minutes: 5}, b: {model: n, timeout_minutes: 5}}",
    ),
    text(
        "no configuration's defaults", "", "toolchain_priority: [codex, claude, crush]\nrouting: {rules: []}"
    ),
    text("a toolchain of the priority list with defaults", "toolchains: {codex: {}}", ""),
    text(
        "a section that is a duplicate",
        "gates: {lint_command: x}\ngates: {test_command: y}",
        "gates: {test_command: y}",
    ),
    files(
        "an included base",
        BASE,
        {**BASE, CONFIG: "include: parts/base.yaml\n", ".cyntra/parts/base.yaml": BASE_CONFIG},
    ),
    files(
        "a list of includes, later over earlier",
        {CONFIG: "gates: {test_command: b, lint_command: a}"},
        {
            CONFIG: "include: [a.yaml, b.yaml]",
            ".cyntra/a.yaml": "gates: {test_command: a, lint_command: a}",
            ".cyntra/b.yaml": "gates: {test_command: b}",
        },
    ),
    files(
        "an include twice, but no cycle",
        {CONFIG: "gates: {test_command: x}"},
        {
            CONFIG: "include: [a.yaml, b.yaml]",
            ".cyntra/a.yaml": "include: c.yaml",
            ".cyntra/b.yaml": "include: c.yaml",
            ".cyntra/c.yaml": "gates: {test_command: x}",
        },
    ),
    files(
        "a frontier regenerated that selects the same genome",
        BASE,
        frontier(
            items=[
                {"genome_id": "g2", "pass_rate": 0.1, "cost": 2.0},
                {"genome_id": "g1", "pass_rate": 0.95, "cost": 2.0},
            ],
            generated_at="2026-02-01",
        ),
    ),
    files(
        "a genome that is not selected", BASE, {**BASE, "prompts/code/claude/g3.yaml": "system_prompt: new"}
    ),
    files(
        "a selected genome written otherwise",
        BASE,
        {**BASE, "prompts/code/claude/g1.yaml": "# new\nsystem_prompt: 'careful'\ngenome_id: g1\n"},
    ),
    files(
        "genomes of a toolchain that cannot run",
        BASE,
        {**BASE, "prompts/code/crush/g1.yaml": "a: 1", "prompts/art/claude/g1.yaml": "a: 1"},
    ),
    files("no frontier and no genomes", {CONFIG: ""}, {CONFIG: "", "prompts/code/claude/g1.yaml": "a: 1"}),
    files("a report whose numbers change within a mode", reported(0.2, code=0.3), reported(0.4, code=0.31)),
    files(
        "a report that says nothing of a domain",
        reported(0.05),
        reported(0.05, code=0.01, fab_asset=0.09, fab_world="0.02"),
    ),
    files("a report without rates and no report", BASE, reported()),
    files("a universe that caps nothing", universe(budgets={"max_run_minutes": 60}), universe()),
    files("a cap that is no number", universe(budgets={"max_run_minutes": "5"}), universe()),
    files(
        "a universe's override written otherwise",
        universe(routing_overrides=[OVERRIDE]),
        universe(routing_overrides=[{**OVERRIDE, "use": "codex", "speculate": False}]),
    ),
    files(
        "an override and a first rule",
        universe(routing_overrides=[OVERRIDE]),
        {
            **universe(),
            CONFIG: BASE_CONFIG.replace(
                "  rules:\n", "  rules:\n    - {match: {dk_risk: low}, use: codex}\n"
            ),
        },
    ),
    files(
        "a universe's name and description",
        universe(),
        {**BASE, UNIVERSE: UNIVERSE_TEXT + "name: Lab\ndescription: a place\n"},
    ),
    files("two universes are none", BASE, {**universe(), "universes/other/universe.yaml": UNIVERSE_TEXT}),
    text("a byte order mark", "\ufeffgates: {test_command: x}", "gates: {test_command: x}"),
    text("line ends of Windows", "gates:\r\n  test_command: x\r\n", "gates: {test_command: x}"),
    text("numbers no setting has, where nobody reads them", "x: .nan\ny: 0x" + "f" * 6000, "x: 1\ny: 1"),
]

DIFFERENT = [
    config(
        "a narrower width",
        ("parallelism: 3", "parallelism: 2"),
        then="routing",
        moves=("candidates", "minutes", "outcome"),
    ),
    config(
        "a longer timeout",
        ("timeout_minutes: 45", "timeout_minutes: 60"),
        then="toolchains",
        moves=("minutes", "outcome"),
    ),
    config(
        "rules in another order", (SECURITY, ""), (LAST, LAST + SECURITY), then="routing", moves=("outcome",)
    ),
    config(
        "a use list in another order",
        ("use: [codex, claude]\n", "use: [claude, codex]\n"),
        then="routing",
        moves=("outcome",),
    ),
    config(
        "priorities in another order",
        ("[codex, claude, opencode]\ntoolchains", "[claude, codex, opencode]\ntoolchains"),
        then="routing",
        moves=("outcome",),
    ),
    config("another fallback", ("codex: [claude]", "codex: [opencode]"), then="routing"),
    config(
        "a rule for a size more",
        ("dk_size: [XS, S]", "dk_size: [XS, S, M]"),
        then="routing",
        moves=("minutes", "outcome"),
    ),
    config(
        "a rule that speculates now",
        (LAST, LAST + "      speculate: true\n"),
        then="routing",
        moves=FULL,
    ),
    config(
        "a tag that a rule names",
        ("[security]", "[security, legal]"),
        then="routing",
        moves=("outcome",),
    ),
    config(
        "a title pattern",
        ("match: {tags_any: [security]}", "match: {title_pattern: '(?i)cve'}"),
        then="routing",
        moves=("outcome",),
    ),
    config(
        "speculation off",
        ("speculation: {enabled: true", "speculation: {enabled: no"),
        then="speculation",
        moves=FULL,
    ),
    config(
        "a wider default",
        ("default_parallelism: 2", "default_parallelism: 3"),
        then="speculation",
        moves=("candidates", "minutes", "outcome"),
    ),
    config(
        "another vote",
        ("speculation: {", "speculation: {vote_threshold: 0.5, "),
        then="speculation",
        moves=("outcome",),
    ),
    config(
        "critical path no longer",
        ("speculation: {", "speculation: {auto_trigger: {on_critical_path: false}, "),
        then="speculation",
    ),
    config(
        "a model", ("default_model: gpt-5.2", "default_model: gpt-5.3"), then="toolchains", moves=("outcome",)
    ),
    config(
        "the model in a command", ("--model nano", "--model micro"), then="toolchains", moves=("outcome",)
    ),
    config(
        "an environment variable",
        ("env: {API: one}", "env: {API: two}"),
        then="toolchains",
        moves=("outcome",),
    ),
    config(
        "an adapter's setting",
        ("timeout_minutes: 45", "timeout_minutes: 45, skip_permissions: true"),
        then="toolchains",
        moves=("outcome",),
    ),
    config(
        "a toolchain off",
        (CODEX, "codex: {enabled: off}"),
        then="prompts toolchains",
        moves=("candidates", "minutes", "outcome"),
    ),
    config(
        "a negative timeout, which a kernel takes",
        ("timeout_minutes: 45", "timeout_seconds: -5"),
        then="toolchains",
        moves=("minutes", "outcome"),
    ),
    config(
        "a timeout that is a switch, which counts as one",
        ("timeout_minutes: 45", "timeout_seconds: true"),
        then="toolchains",
        moves=("minutes", "outcome"),
    ),
    config(
        "half a minute is none, so the default",
        ("timeout_minutes: 45", "timeout_minutes: 0.5"),
        then="toolchains",
        moves=("minutes", "outcome"),
    ),
    config("a gate", ("pytest -q", "pytest"), then="gates", moves=("outcome",)),
    config("a gate's patience", ("gates: {", "gates: {retry_flaky: 0, "), then="gates", moves=("outcome",)),
    config("control off", ("control: {enabled: true}", "control: {enabled: false}"), then="control"),
    config("control's band without a report", ("control: {", "control: {action_low: 0.2, "), then="control"),
    text("a planner that logs", "", "planner: {mode: log}", then="planner"),
    text(
        "a planner that acts",
        "planner: {bundle_dir: models/a}",
        "planner: {enabled: true, bundle_dir: models/a}",
        then="planner",
        moves=("swarm", "candidates", "minutes"),
    ),
    text(
        "a planner's bundle",
        "planner: {mode: enforce, bundle_dir: models/a}",
        "planner: {mode: enforce, bundle_dir: ./models/b}",
        then="planner",
        moves=("swarm", "candidates", "minutes"),
    ),
    Pair(
        "scheduling is never material",
        BASE,
        with_config(("max_concurrent_workcells: 3", "max_concurrent_workcells: 8")),
        ("scheduling",),
        (),
        "info",
    ),
    files(
        "an included value replaced",
        {CONFIG: "include: a.yaml\ngates: {test_command: y}", ".cyntra/a.yaml": "gates: {test_command: x}"},
        {CONFIG: "include: a.yaml", ".cyntra/a.yaml": "gates: {test_command: x}"},
        "gates",
        ("outcome",),
    ),
    files("a genome promoted", BASE, frontier(objectives={"cost": "min"}), "prompts", ("outcome",)),
    files(
        "the best genome's file arrives",
        BASE,
        {**BASE, "prompts/code/claude/gone.yaml": "system_prompt: best"},
        "prompts",
        ("outcome",),
    ),
    files(
        "the selected genome's file goes",
        BASE,
        {name: body for name, body in BASE.items() if name != "prompts/code/claude/g1.yaml"},
        "prompts",
        ("outcome",),
    ),
    files(
        "ties go to the greater id",
        BASE,
        frontier(
            objectives={"pass_rate": "max"},
            items=[{"genome_id": "g2", "pass_rate": 1}, {"genome_id": "g1", "pass_rate": 1}],
        ),
        "prompts",
        ("outcome",),
    ),
    files(
        "without objectives the first with a file",
        BASE,
        frontier(objectives={}, items=["gone", "g2", "g1"]),
        "prompts",
        ("outcome",),
    ),
    files(
        "a selected genome's text",
        BASE,
        {**BASE, "prompts/code/claude/g1.yaml": "genome_id: g1\nsystem_prompt: bold\n"},
        "prompts",
        ("outcome",),
    ),
    files(
        "a report that opens a trap", BASE, reported(0.05), "control", ("candidates", "minutes", "outcome")
    ),
    files(
        "a report that goes from balanced to chaos",
        reported(code=0.5),
        reported(code=0.51),
        "control",
        ("candidates", "minutes", "outcome"),
    ),
    files(
        "a report by which only worlds change",
        reported(0.2),
        reported(0.2, fab_world=0.9),
        "control",
        ("candidates", "minutes", "outcome"),
    ),
    files("a universe arrives", BASE, universe(), "universe", ("swarm",)),
    files(
        "a universe's default swarm",
        universe(),
        universe(UNIVERSE_TEXT.replace("speculate_vote", "serial_handoff")),
        "universe",
        ("swarm",),
    ),
    files(
        "a universe's swarms",
        universe(),
        {
            **universe(),
            "universes/lab/swarms.yaml": 'schema_version: "1.0"\nswarms: {relay: {population_size: 2}}',
        },
        "universe",
        ("swarm", "candidates"),
    ),
    files(
        "a universe's override",
        universe(),
        universe(routing_overrides=[OVERRIDE]),
        "routing",
        ("minutes", "outcome"),
    ),
    files(
        "overrides in another order",
        universe(routing_overrides=[OVERRIDE, {"match": {}, "use": "claude"}]),
        universe(routing_overrides=[{"match": {}, "use": "claude"}, OVERRIDE]),
        "routing",
        ("outcome",),
    ),
    files(
        "a universe's cap",
        universe(),
        universe(budgets={"max_run_minutes": 50}),
        "toolchains",
        ("minutes", "outcome"),
    ),
    files(
        "a universe that is not valid has no policies",
        universe(budgets={"max_run_minutes": 50}),
        {**universe(UNIVERSE_TEXT.replace("path: src", "path: nowhere"), budgets={"max_run_minutes": 50})},
        "universe toolchains",
        ("swarm", "minutes", "outcome"),
    ),
]


def names(pairs: list[Pair]) -> list[str]:
    """Ids of tests by pair."""
    return [pair.name for pair in pairs]

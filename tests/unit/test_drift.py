"""What is said of a change: pointer, operation, words, severity, and nothing secret."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from collectord.epochs.drift import Change, affected, compare, cuts
from collectord.epochs.effects import Effects, grid_of
from collectord.epochs.fingerprint import HIDDEN, masked
from collectord.epochs.rules import Ignored, Overrides, without_effect
from collectord.kernel.policy import Surface, normalise
from tests.support.environment_pairs import DIFFERENT, Pair, names
from tests.support.trees import BASE, read, universe, with_config

NARROWER = ("parallelism: 3", "parallelism: 2")
LONGER = ("timeout_minutes: 45", "timeout_minutes: 60")
SECURITY = "    - match: {tags_any: [security]}\n      use: [codex]\n"


def changes(*edits: tuple[str, str], **how: object) -> tuple[Change, ...]:
    return compare(read(BASE), read(with_config(*edits)), **how)  # type: ignore[arg-type]


def only(*edits: tuple[str, str], **how: object) -> Change:
    (change,) = changes(*edits, **how)
    return change


def test_each_change_has_its_pointer_and_its_values() -> None:
    narrower, longer = changes(NARROWER, LONGER)
    assert (narrower.pointer, narrower.op) == ("/routing/rules/0/parallelism", "replace")
    assert (narrower.before, narrower.after, narrower.rule_id) == (3, 2, "routing.parallelism")
    assert (longer.pointer, longer.before, longer.after) == (
        "/toolchains/opencode/timeout_seconds",
        2700,
        3600,
    )


def test_a_change_is_told_by_the_issues_that_it_touches_and_alone() -> None:
    narrower, longer = changes(NARROWER, LONGER)
    assert narrower.words == "critical issues: speculate_vote×3 → ×2"
    assert longer.words.startswith("low XS–S: 45 → 60 min; critical issues: 45–60 → 60 min; ")
    assert "medium issues hinted opencode: 45 → 60 min" in longer.words


LOW = "    - match: {dk_risk: [low], dk_size: [XS, S]}\n      use: opencode\n"
WORDS = {
    "low XS–S: opencode → claude, 45 → 60 min": (LOW, ""),
    "low S: opencode → claude, 45 → 60 min; low L: claude → opencode, 60 → 45 min": (
        "dk_size: [XS, S]",
        "dk_size: [XS, L]",
    ),
    "low–medium M/XL: claude → codex": ("match: {}", "match: {dk_size: [XS, S, L]}"),
    "low M–XL, medium issues tagged legal: claude → codex": ("[security]", "[security, legal]"),
    "low M–XL, medium issues tagged net titled like CVE-[0-9]+: claude → codex": (
        SECURITY,
        SECURITY + "    - {match: {title_pattern: 'CVE-[0-9]+', tags_all: [net]}, use: codex}\n",
    ),
    "low–medium issues with dk_speculate: speculate_vote×2 → ×3": (
        "default_parallelism: 2",
        "default_parallelism: 3",
    ),
    "high issues: speculate_vote×2 → serial_handoff": ("dk_risk: high", "dk_risk: urgent"),
    "runs of codex use another model": ("default_model: gpt-5.2", "default_model: gpt-5.3"),
}


@pytest.mark.parametrize("words", WORDS)
def test_words_name_the_issues_and_not_more(words: str) -> None:
    assert words in only(WORDS[words]).words


def test_an_added_a_removed_and_a_moved_rule() -> None:
    added = only((SECURITY, SECURITY + "    - match: {dk_size: XL}\n      use: [codex]\n"))
    assert (added.op, added.pointer, added.before, added.rule_id) == (
        "add",
        "/routing/rules/4",
        None,
        "routing.rule",
    )
    assert added.words == "low–medium XL: claude → codex"
    removed = only((SECURITY, ""))
    assert (removed.op, removed.pointer, removed.after) == ("remove", "/routing/rules/3", None)
    last = "    - match: {}\n      use: [claude]\n"
    moved = only((SECURITY, ""), (last, last + SECURITY))
    assert (moved.op, moved.pointer, moved.rule_id) == ("move", "/routing/rules", "routing.order")
    assert (moved.before, moved.after) == ([0, 1, 2, 3, 4], [0, 1, 2, 4, 3])
    assert moved.words == "low M–XL, medium issues tagged security: codex → claude"


def test_what_two_changes_do_together_is_not_the_sum_of_what_each_does() -> None:
    before = read(BASE)
    swapped = read(with_config((SECURITY, ""), ("match: {dk_risk: [critical]}", "match: {dk_size: L}")))
    assert affected(before, before) == Effects()
    assert affected(before, swapped).moves == ("swarm", "candidates", "minutes", "outcome")


def many_rules(count: int, shift: int) -> Surface:
    rules = [
        {"match": {"tags_any": [f"t{n % 20}"]}, "use": [f"c{(n + shift) % 6}"], "speculate": n % 3 == 0}
        for n in range(count)
    ]
    names = [f"c{n}" for n in range(6)]
    toolchains = {name: {"timeout_minutes": 30 + n} for n, name in enumerate(names)}
    gates = {"retry_flaky": shift}
    return normalise(
        {"toolchain_priority": names, "toolchains": toolchains, "routing": {"rules": rules}, "gates": gates}
    )


def test_a_rewritten_policy_of_many_rules_is_told_as_a_whole_and_briefly() -> None:
    before, after = many_rules(300, 0), many_rules(300, 1)
    assert len(grid_of(before, after).circumstances) <= 200
    *found, gate = sorted(compare(before, after), key=lambda change: change.component != "routing")
    assert len(found) == 300
    assert {change.words for change in found} == {"; ".join(affected(before, after).words)}
    assert (gate.moves, gate.words) == (("outcome",), "gates judge runs differently")


def test_risks_and_sizes_that_no_rule_tells_apart_are_played_once() -> None:
    grid = grid_of(read(BASE))
    assert dict(grid.risks) == {
        "low": ("low",),
        "medium": ("medium",),
        "high": ("high",),
        "critical": ("critical",),
    }
    assert dict(grid.sizes) == {"XS": ("XS", "S"), "M": ("M", "L", "XL")}


def test_a_change_is_of_the_severity_that_the_configuration_gives_it() -> None:
    by_rule = Overrides({"routing.parallelism": "warn"})
    assert [change.severity for change in changes(NARROWER, LONGER, overrides=by_rule)] == ["warn", "epoch"]
    by_path = Overrides({"routing.parallelism": "info", "/routing": "warn", "/routing/rules/*/use": "info"})
    assert only(NARROWER, overrides=by_path).severity == "warn"
    assert only(("use: opencode", "use: codex"), overrides=by_path).severity == "info"
    assert only(LONGER, overrides=Overrides({"/toolchains/open": "info"})).severity == "epoch"
    assert not cuts(changes(NARROWER, overrides=by_rule))


def test_an_ignored_path_counts_again_after_its_last_day() -> None:
    overrides = Overrides(ignored=(Ignored("/gates/*", "a new runner", until_ms=1000),))
    edit = ("pytest -q", "pytest")
    ignored = only(edit, overrides=overrides, at_ms=999)
    assert (ignored.severity, ignored.ignored) == ("info", "a new runner")
    assert (only(edit, overrides=overrides, at_ms=1000).severity) == "epoch"
    assert only(LONGER, overrides=overrides, at_ms=999).severity == "epoch"


def test_scheduling_is_told_and_never_cuts() -> None:
    change = only(("max_concurrent_workcells: 3", "max_concurrent_workcells: 9"))
    assert (change.component, change.severity, change.moves) == ("scheduling", "info", ())


SECRETS = ["hunter2", "sk-abcdefghijklmnop", "ghp_0123456789abcdef", "s3cr3t"]


LEAKS = [
    with_config(("env: {API: one}", "env: {API: hunter2}")),
    with_config(("timeout_minutes: 45", "config: {api_key: hunter2, x: {env: {A: s3cr3t}}}")),
    with_config(("pytest -q", "pytest --token hunter2 --url https://me:s3cr3t@host/")),
    with_config(("pytest -q", "API_KEY=hunter2 pytest ghp_0123456789abcdef")),
    with_config(("toolchains:\n", "toolchains:\n  new: {env: {A: hunter2}, model: sk-abcdefghijklmnop}\n")),
    with_config(("match: {dk_risk: high}", "match: {title_pattern: 'password: hunter2'}")),
    universe(routing_overrides=[{"match": {"tags_any": ["secret=s3cr3t"]}, "use": "codex"}]),
]


@pytest.mark.parametrize("tree", LEAKS)
def test_no_secret_leaves_with_a_change(tree: Mapping[str, str]) -> None:
    found = compare(read(BASE), read(tree))
    text = json.dumps([[c.pointer, c.before, c.after, c.words] for c in found])
    assert HIDDEN in text
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/scheduling", {"max_concurrent_tokens": 200000}),
        ("/gates", {"test_command": "pytest tests/test_token.py -k 'secret or key'", "retry_flaky": 2}),
        ("/toolchains/codex/env", {}),
        ("/toolchains/codex/env/DEBUG", None),
        ("/routing/rules/0/match/title_pattern", "refresh token|secret store"),
        ("/toolchains/claude/model", "claude-opus-4-5-20251101"),
        ("/prompts/code~1claude", {"genome_id": "g1", "content": "ab" * 32}),
    ],
)
def test_what_is_no_secret_stays_readable(pointer: str, value: object) -> None:
    assert masked(pointer, value) == value


def test_a_severity_that_matches_nothing_is_found() -> None:
    written = {
        "/toolchains/claude/model": "warn",
        "/toolchains/*/env": "info",
        "/toolchains/claude/default_model": "warn",  # as the file of the kernel calls it
        "/routing/rules/0/use": "warn",
        "/gates/nonsense": "warn",
        "gates.retry_flaky": "warn",
        "gates.retry": "warn",
        "routing.rules": "warn",
        "control.mode": "info",
        "unrecognised": "info",
    }
    ignored = (Ignored("/gates", "slow", 1), Ignored("/gate", "slow", 1))
    found = without_effect(Overrides(written, ignored), read(BASE))
    assert found == (
        "/toolchains/claude/default_model",
        "/gates/nonsense",
        "gates.retry",
        "routing.rules",
        "/gate",
    )


@pytest.mark.parametrize("pair", DIFFERENT, ids=names(DIFFERENT))
def test_no_path_or_rule_of_a_change_is_said_to_match_nothing(pair: Pair) -> None:
    before, after = read(pair.before), read(pair.after)
    found = compare(before, after)
    written = {**{c.pointer: "warn" for c in found}, **{c.rule_id: "warn" for c in found}}
    unmatched = [{*without_effect(Overrides(written), surface)} for surface in (before, after)]
    assert not set.intersection(*unmatched)

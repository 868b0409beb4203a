"""A table of pairs of configuration trees: the same environment or not, and what is said of the change."""

from __future__ import annotations

import pytest

from collectord.epochs.drift import compare, cuts
from collectord.epochs.fingerprint import component_digests, fingerprint
from collectord.kernel.policy import MATERIAL
from tests.support.environment_pairs import DIFFERENT, SAME, Pair, names
from tests.support.trees import BASE, read, with_config


@pytest.mark.parametrize("pair", SAME, ids=names(SAME))
def test_pairs_that_are_one_environment(pair: Pair) -> None:
    before, after = read(pair.before), read(pair.after)
    assert before.components == after.components
    assert fingerprint(before) == fingerprint(after)
    assert not cuts(compare(before, after))


@pytest.mark.parametrize("pair", DIFFERENT, ids=names(DIFFERENT))
def test_pairs_that_are_two_environments(pair: Pair) -> None:
    before, after = read(pair.before), read(pair.after)
    old, new = component_digests(before), component_digests(after)
    assert {name for name in old if old[name] != new[name]} == set(pair.components)
    changes = compare(before, after)
    assert {change.component for change in changes} == set(pair.components)
    assert {change.severity for change in changes} == {pair.severity}
    assert {part for change in changes for part in change.moves} == set(pair.moves)
    assert all(change.words for change in changes)
    material = bool(set(pair.components) & set(MATERIAL))
    assert material == (fingerprint(before) != fingerprint(after)) == cuts(changes)


@pytest.mark.parametrize("pair", DIFFERENT[::4], ids=names(DIFFERENT[::4]))
def test_a_change_and_its_undo_are_told_by_the_same_rules(pair: Pair) -> None:
    before, after = read(pair.before), read(pair.after)
    there, back = compare(before, after), compare(after, before)
    assert sorted(change.rule_id for change in there) == sorted(change.rule_id for change in back)
    assert {part for change in there for part in change.moves} == {
        part for change in back for part in change.moves
    }


def test_the_table_is_as_large_as_it_should_be() -> None:
    assert len({pair.name for pair in [*SAME, *DIFFERENT]}) >= 90
    assert {name for pair in DIFFERENT for name in pair.components} == {*MATERIAL, "scheduling"}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (("gates: {", "gates: {wibble: 1, "), "/gates/wibble"),
        (("timeout_minutes: 45", "timeout_minutes: 45, priority: 2"), "/toolchains/opencode/priority"),
        (("- match: {}", "- name: last\n      match: {}"), "/routing/rules/4/name"),
        (
            ("match: {dk_risk: high}", "match: {dk_risk: high, dk_owner: me}"),
            "/routing/rules/1/match/dk_owner",
        ),
        (("codex: [claude]", "codex: claude"), "/routing/fallbacks/codex"),
        (("speculation: {", "speculation: {auto_trigger: {when: now}, "), "/speculation/auto_trigger/when"),
        (("control:", "memory/new: {}\ncontrol:"), "/memory~1new"),
        (("control: {enabled: true}", "control: [enabled]"), "/control"),
    ],
)
def test_a_key_that_the_kernel_does_not_read_is_reported_and_not_material(
    change: tuple[str, str], pointer: str
) -> None:
    before, after = read(BASE), read(with_config(change))
    assert after.unrecognised == (pointer,)
    reported = [found for found in compare(before, after) if found.component == "unrecognised"]
    assert [(found.pointer, found.op, found.severity) for found in reported] == [(pointer, "add", "warn")]

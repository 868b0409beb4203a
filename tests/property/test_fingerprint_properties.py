"""Fingerprints do not depend on how a configuration is written; nothing else than a value changes them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from collectord.epochs.drift import compare
from collectord.epochs.effects import effects, grid_of
from collectord.epochs.fingerprint import component_digests, fingerprint
from collectord.kernel.policy import IssueFacts, PolicyUnreadable, Surface, normalise, plan_action
from collectord.kernel.policy.documents import NotADocument, parse_yaml
from tests.support.examples import examples
from tests.support.policies import TAGS, TOOLCHAINS, aliased, configurations, divided, written
from tests.support.trees import CONFIG, read

RISKS = ("low", "medium", "high", "critical")
SIZES = ("XS", "S", "M", "L", "XL")


@settings(max_examples=examples(60), deadline=None)
@given(configurations(), st.data())
def test_the_way_of_writing_changes_no_fingerprint(config: dict[str, Any], data: st.DataObject) -> None:
    plain = read({CONFIG: yaml.safe_dump(config)})
    other = read({CONFIG: written(data.draw, config)})
    assert other.components == plain.components
    assert component_digests(other) == component_digests(plain)


@settings(max_examples=examples(60), deadline=None)
@given(configurations(), st.data())
def test_other_words_for_the_same_change_no_fingerprint(config: dict[str, Any], data: st.DataObject) -> None:
    plain = read({CONFIG: yaml.safe_dump(config)})
    other = read({CONFIG: written(data.draw, aliased(data.draw, config))})
    assert other.components == plain.components
    assert compare(plain, other) == ()


@settings(max_examples=examples(40), deadline=None)
@given(configurations(), st.data())
def test_what_stands_in_an_included_file_changes_no_fingerprint(
    config: dict[str, Any], data: st.DataObject
) -> None:
    base, over = divided(data.draw, config)
    parts = {CONFIG: written(data.draw, {"include": "base.yaml", **over})}
    assert (
        read({**parts, ".cyntra/base.yaml": written(data.draw, base)}).components
        == normalise(config).components
    )


@settings(max_examples=examples(30), deadline=None)
@given(configurations(), configurations())
def test_there_are_changes_exactly_where_environments_differ(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    old, new = normalise(before), normalise(after)
    changes = compare(old, new)
    different = {name for name in old.components if old.components[name] != new.components[name]}
    assert {change.component for change in changes} == different
    assert (fingerprint(old) != fingerprint(new)) == bool(different - {"scheduling"})
    assert compare(new, new) == ()


@settings(max_examples=examples(30), deadline=None)
@given(configurations(), configurations())
def test_what_the_grid_says_moves_is_what_actions_do(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The other way round: no issue of the grid moves in a way that is not told."""
    old, new = normalise(before), normalise(after)
    grid = grid_of(old, new)
    found = effects(grid, old, new)
    pairs = [(action, grid.play(new)[cell]) for cell, action in grid.play(old).items()]
    assert ("swarm" in found.moves) == any(a.swarm_id != b.swarm_id for a, b in pairs)
    assert ("candidates" in found.moves) == any(a.candidates != b.candidates for a, b in pairs)
    assert ("minutes" in found.moves) == any(set(a.timeouts) != set(b.timeouts) for a, b in pairs)
    assert bool(found.words) == bool(found.moves)


issues = st.builds(
    IssueFacts,
    st.sampled_from(RISKS),
    st.sampled_from(SIZES),
    st.sampled_from([None, *TOOLCHAINS, "other"]),
    st.lists(st.sampled_from([*TAGS, "asset:world"])).map(tuple),
    st.sampled_from(["", "fix it", "b"]),
    st.just(""),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=examples(80), deadline=None)
@given(configurations(), issues, st.none() | st.frozensets(st.sampled_from(TOOLCHAINS)))
def test_an_action_keeps_to_its_width_and_to_what_is_available(
    config: dict[str, Any], issue: IssueFacts, available: frozenset[str] | None
) -> None:
    surface: Surface = normalise(config)
    action = plan_action(surface, issue, available)
    assert action.candidates == len(action.toolchains) == len(action.timeouts)
    if action.swarm_id == "serial_handoff":
        assert action.candidates == 1
    else:
        assert surface.components["speculation"]["enabled"]
        assert available is None or set(action.toolchains) <= available
        assert len(set(action.toolchains)) == action.candidates


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.dates()
_KEYS = st.sampled_from(
    [
        *("toolchains", "routing", "speculation", "control", "gates", "planner", "scheduling", "include"),
        *("rules", "match", "use", "timeout_minutes", "env", "codex", "tags_any", "enabled", "parallelism"),
        *("toolchain_priority", "auto_trigger", "fallbacks", "title_pattern", "dk_risk", "mode", "command"),
    ]
)
_ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4)
)


@settings(max_examples=examples(150), deadline=None)
@given(st.dictionaries(_KEYS, _ANYTHING, max_size=5))
def test_whatever_is_written_is_an_environment_or_unknown(config: dict[str, Any]) -> None:
    text = yaml.safe_dump(config, allow_unicode=True)
    try:
        surface = read({CONFIG: text})
    except PolicyUnreadable:
        return
    assert fingerprint(surface) == fingerprint(read({CONFIG: text}))
    plan_action(surface, IssueFacts("high", "M", "codex", ("asset:x",), speculate=True))


@settings(max_examples=examples(150), deadline=None)
@given(st.text(alphabet="a:-[]{}&*!<>'\"#\n\t ,?%@|1.", max_size=60) | st.binary(max_size=40))
def test_any_bytes_are_a_document_or_none(data: str | bytes) -> None:
    with suppress(NotADocument):
        parse_yaml(data.encode() if isinstance(data, str) else data)

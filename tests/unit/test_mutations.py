"""The places that `./dev mutate` changes are there, so that a rename is noticed at once."""

from __future__ import annotations

import pytest

from tests.mutations.__main__ import MUTATIONS, ROOT, Mutation, mutated, source_of


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_finds_its_place_and_gives_a_module_that_compiles(mutation: Mutation) -> None:
    place = source_of(ROOT, mutation)
    text = place.read_text(encoding="utf-8")
    changed = mutated(text, mutation)
    assert changed != text
    compile(changed, str(place), "exec")

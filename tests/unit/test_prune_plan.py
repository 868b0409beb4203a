"""What may be pruned is decided from values alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collectord.retention.plan import Ages, Due, Facts, due, objection

DAY = 86_400.0
CORE = frozenset({"manifest.json", "proof.json"})
FACTS = Facts("indexed", True, True, CORE, CORE | {"logs", "telemetry.jsonl"})
ENTRIES = ["logs", "manifest.json", "output", "renders"]


@pytest.mark.parametrize(
    ("ages", "age_s", "wanted"),
    [
        (Ages(), 1e12, None),
        (Ages(logs_s=DAY), DAY, None),
        (Ages(logs_s=DAY), DAY + 1, Due(("logs",))),
        (Ages(renders_s=DAY), DAY + 1, Due(("renders", "output"))),
        (Ages(logs_s=DAY, renders_s=2 * DAY), 1.5 * DAY, Due(("logs",))),
        (Ages(logs_s=DAY, archives_s=2 * DAY), 3 * DAY, Due((), whole=True)),
        (Ages(logs_s=0), -5.0, None),
    ],
)
def test_parts_are_due_by_age_and_a_time_in_the_future_is_never_old(
    ages: Ages, age_s: float, wanted: Due | None
) -> None:
    assert due(ENTRIES, age_s, ages) == wanted


def test_an_archive_without_the_part_has_nothing_due() -> None:
    assert due(["manifest.json"], 9 * DAY, Ages(logs_s=DAY)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "partial"}, "partial"),
        ({"state": "quarantined"}, "quarantined"),
        ({"unchanged": False}, "changed"),
        ({"stored": False}, "does not hold"),
    ],
)
@pytest.mark.parametrize("wanted", [Due(("logs",)), Due((), whole=True)])
def test_whatever_is_due_stays_unless_it_is_safe(changes: dict[str, object], said: str, wanted: Due) -> None:
    assert objection(FACTS, wanted) is None
    assert said in str(objection(replace(FACTS, **changes), wanted))  # type: ignore[arg-type]


def test_only_a_whole_archive_stays_for_what_no_kernel_writes() -> None:
    own = replace(FACTS, entries=FACTS.entries | {"notes.txt"})
    assert objection(own, Due(("logs",))) is None
    assert "notes.txt" in str(objection(own, Due((), whole=True)))

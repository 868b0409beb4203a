"""Rows are taken from the file of the last export: whole blocks, or one by one where something moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from collectord.dataset.row_plan import LazyRow
from collectord.dataset.rowcache import BLOCK_ROWS, RowCache
from collectord.kernel.jsonio import ITEM, KEY, marked
from collectord.kernel.rows import RowPieces

BUDGETS = {"max_candidates_bin": 1, "max_minutes_bin": 60, "max_iterations_bin": "NA"}


class Made:
    """Rows by number, and the numbers of those that had to be made."""

    def __init__(self, filling: str = "") -> None:
        self.numbers: list[int] = []
        self._filling = filling

    def rows(self, numbers: Sequence[int]) -> list[LazyRow]:
        return [LazyRow(sha256(str(number).encode()).digest(), self._make(number)) for number in numbers]

    def _make(self, number: int) -> Callable[[], RowPieces]:
        def make() -> RowPieces:
            self.numbers.append(number)
            label = marked({"swarm_id": f"s{number % 3}", "budgets": BUDGETS})
            before = f'{{"label_action"{KEY}{label}{ITEM}"planner_input"{KEY}{{}}{ITEM}'
            return RowPieces(before, f'{ITEM}"x"{KEY}"{number}{self._filling}"}}')

        return make


def _number(row: bytes) -> int:
    return int(row.split(b'"')[-2].strip(b"x"))


def _export(
    path: Path | None, numbers: Sequence[int], filling: str = ""
) -> tuple[list[bytes], list[int], int]:
    """The rows of one export, which of them had to be made, and how many blocks they came in."""
    made = Made(filling)
    with RowCache(path, lambda row: ("odd",) if row.endswith('1"}') else ()) as cache:
        blocks = list(cache.blocks(made.rows(numbers)))
    assert (cache.computed, cache.computed + cache.reused) == (len(made.numbers), len(numbers))
    for block in blocks:
        assert [mark.label[0] for mark in block.marks] == [f"s{_number(row) % 3}" for row in block.rows]
        assert [bool(mark.credentials) for mark in block.marks] == [r.endswith(b'1"}') for r in block.rows]
    return [row for block in blocks for row in block.rows], made.numbers, len(blocks)


NUMBERS = range(5 * BLOCK_ROWS + 7)
INSERTED = [*range(100), 999, *range(100, len(NUMBERS))]


@pytest.mark.parametrize(
    ("numbers", "made"),
    [
        (NUMBERS, []),
        ([*NUMBERS, 999], [999]),
        (INSERTED, [999]),
        ([*range(70, len(NUMBERS))], []),
        ([*range(3), *range(130, 200), *range(5)], []),
        ([*reversed(NUMBERS)], []),
        ([], []),
    ],
    ids=["the same", "one more", "one between", "without the first", "other order", "reversed", "none"],
)
def test_only_rows_that_were_not_there_are_made(
    tmp_path: Path, numbers: Sequence[int], made: list[int]
) -> None:
    path = tmp_path / "rows.pack"
    _export(path, NUMBERS)
    found, anew, _ = _export(path, numbers)
    assert anew == made
    assert found == _export(None, numbers)[0]
    again, anew, _ = _export(path, numbers)
    assert (again, anew) == (found, [])


def test_blocks_behind_a_row_that_came_between_are_taken_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.pack"
    _export(path, NUMBERS)
    for more in range(3):
        _, _, blocks = _export(path, [*INSERTED, *range(1000, 1000 + more)])
        # The one that was broken up is one and a bit, and the last one grows.
        assert blocks == 7


def test_a_bit_that_flips_anywhere_or_a_torn_end_costs_rows_and_changes_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.pack"
    rows, _, _ = _export(path, NUMBERS)
    data = path.read_bytes()
    for place in range(0, len(data), 61):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        assert _export(path, NUMBERS)[0] == rows
    for end in range(0, len(data), 997):
        path.write_bytes(data[:end])
        assert _export(path, NUMBERS)[0] == rows


def test_rows_with_megabytes_do_not_share_a_block_with_sixty_others(tmp_path: Path) -> None:
    path = tmp_path / "rows.pack"
    for made in (list(range(20)), []):
        _, anew, blocks = _export(path, range(20), "x" * 2**20)
        assert anew == made
        assert blocks == 5

"""The pictures in docs/ are of the page as it is: they are drawn again, and what is where is compared."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import layout_facts, opened
from tests.support.pictures import DOCS, PICTURES, golden_page, pictures

pytest.importorskip("vl_convert", reason="the extra `report` is not installed")
pytestmark = pytest.mark.slow
MOST_BYTES = 400_000


def size_of(picture: Path) -> tuple[int, int]:
    """(width, height) from the header of a PNG."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    return width, height


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden_page(tmp_path_factory.mktemp("golden"))


def test_drawn_again_they_are_as_large_as_those_in_docs(browser: Any, page: Path, tmp_path: Path) -> None:
    pictures(browser, page, tmp_path)
    for name in PICTURES:
        drawn, kept = size_of(tmp_path / f"{name}.png"), size_of(DOCS / f"{name}.png")
        assert drawn[0] == kept[0], name
        # Another set of fonts breaks some lines elsewhere.
        assert drawn[1] == pytest.approx(kept[1], rel=0.03), name


def test_what_they_show_is_above_the_fold_whole_and_readable(browser: Any, page: Path) -> None:
    for name, (window, _) in PICTURES.items():
        opened(browser, page, **window)
        facts = layout_facts(browser)
        assert len(facts["tiles"]) == 8, name
        assert max(*facts["tiles"], facts["todo"]) <= window["height"], name
        assert (facts["overflow"], facts["cut"]) == (0, []), name
        assert facts["smallest"] >= 12, name


def test_they_are_small_and_used() -> None:
    told = "".join((DOCS.parent / name).read_text() for name in ("README.md", "docs/operations.md"))
    used = set(re.findall(r"\((?:docs/)?([\w-]+)\.png\)", told))
    assert set(PICTURES) == used
    assert {picture.stem for picture in DOCS.glob("**/*.png")} == set(PICTURES)
    assert max((DOCS / f"{name}.png").stat().st_size for name in PICTURES) < MOST_BYTES

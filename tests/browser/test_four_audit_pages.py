"""What every audit page keeps to: the golden run, 20,000 runs, an empty repo, everything wrong."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit_pages import PAGES
from tests.support.chromium import layout_facts, opened, printed

pytest.importorskip("vl_convert", reason="the extra `report` is not installed")

SHAPES = {"good": ["solid", "4px"], "watch": ["dashed", "4px"], "act": ["solid", "8px"]}
OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"


@pytest.fixture(scope="module", params=list(PAGES))
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PAGES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_axe_finds_nothing_of_any_level_also_in_what_is_folded(
    browser: Any, page: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_selenium_python", reason="axe-selenium-python is not installed")
    opened(browser, page, width=width, scheme=scheme)
    browser.execute_script(OPEN_ALL)
    checker = axe.Axe(browser)
    checker.inject()
    found = checker.run()["violations"]
    assert [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found] == []


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_first_screen_answers_and_nothing_is_tiny_or_cut_off(
    browser: Any, page: Path, width: int, height: int
) -> None:
    opened(browser, page, width=width, height=height)
    facts = layout_facts(browser)
    assert len(facts["tiles"]) == 8
    assert max(facts["tiles"]) <= height
    assert facts["todo"] <= height
    assert facts["overflow"] == 0
    assert facts["cut"] == []
    assert facts["smallest"] >= 12
    assert facts["longest_line"] <= 75


@pytest.mark.parametrize("width", [360, 720])
def test_nothing_scrolls_sideways_on_a_phone_and_at_twice_the_size(
    browser: Any, page: Path, width: int
) -> None:
    opened(browser, page, width=width)
    browser.execute_script(OPEN_ALL)
    assert layout_facts(browser)["overflow"] == 0


def test_everything_is_reached_by_tab_in_reading_order_and_seen(browser: Any, page: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    opened(browser, page)
    places = browser.execute_script(
        """window.stops = [...document.querySelectorAll('a, summary, .scroll')].filter(
             e => e.checkVisibility())
           return stops.map(e => e.getBoundingClientRect()).map(box => [box.bottom + scrollY, box.left])"""
    )
    reached = []
    for _ in places:
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.append(
            browser.execute_script(
                """const at = document.activeElement, style = getComputedStyle(at)
                   const box = at.getBoundingClientRect()
                   return [stops.indexOf(at), style.outlineStyle, parseFloat(style.outlineWidth),
                           box.bottom > 0 && box.top < innerHeight]"""
            )
        )
    assert reached == [[place, "solid", 3, True] for place in range(len(places))]
    # Down the page; within a row of tiles from left to right.
    assert places == sorted(places)


def test_a_tile_leads_to_a_section_that_is_there(browser: Any, page: Path) -> None:
    opened(browser, page)
    leads = "return [...document.querySelectorAll('.tile a')].map(a => !!document.querySelector(a.hash))"
    assert browser.execute_script(leads) == [True] * 8


@pytest.mark.parametrize("forced", ["none", "active"])
def test_states_are_told_by_word_sign_and_shape_whatever_the_colours(
    browser: Any, page: Path, forced: str
) -> None:
    opened(browser, page, forced_colors=forced)
    tiles = browser.execute_script(
        """return [...document.querySelectorAll('.tile')].map(tile => {
             const state = tile.querySelector('.state'), style = getComputedStyle(tile)
             return [state.textContent, getComputedStyle(state, '::before').content.slice(1, 2),
                     style.borderTopStyle, style.borderTopWidth]})"""
    )
    signs = {"good": "✓", "watch": "◐", "act": "▲"}
    assert tiles == [[state, signs[state], *SHAPES[state]] for state, *_ in tiles]
    if forced == "active":
        assert browser.execute_script("return matchMedia('(forced-colors: active)').matches")
        bars = browser.execute_script(
            """const colour = e => getComputedStyle(e).backgroundColor
               return [...document.querySelectorAll('.bar')].map(
                 bar => [colour(bar), colour(bar.querySelector('.share'))])"""
        )
        assert all(bar != share for bar, share in bars)


def test_first_screen_and_lanes_have_a_page_of_paper_each(browser: Any, page: Path) -> None:
    pdf = pytest.importorskip("pypdfium2", reason="pypdfium2 is not installed")
    opened(browser, page)
    sentence = browser.execute_script("return document.querySelector('h1').textContent")
    todo = browser.execute_script(
        "return [...document.querySelector('ol.todo').querySelectorAll('strong')].map(e => e.textContent)"
    )
    document = pdf.PdfDocument(io.BytesIO(printed(browser)))
    sheets = [_squeezed(sheet.get_textpage().get_text_range()) for sheet in document]
    document.close()
    for text in (sentence, "Rows", "Collected", *todo):
        assert _squeezed(text) in sheets[0]
    lanes = [k for k, sheet in enumerate(sheets) if _squeezed("Share of each lane, against") in sheet]
    if page.stem == "empty":
        assert lanes == []
        return
    [at] = lanes
    assert at > 0
    assert sheets[at].startswith("Lanes")
    assert "Trend" in sheets[at]
    assert sheets[at + 1].startswith("Coverage")


def _squeezed(text: str) -> str:
    """Without what depends on where lines break; PDFium reads a hyphen as U+FFFE."""
    return "".join(text.replace("\ufffe", "-").split())


def test_a_page_of_twenty_thousand_runs_is_small(page: Path) -> None:
    assert page.stat().st_size < 400_000

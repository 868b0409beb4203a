"""The HTML page in a real Chromium: it draws, asks for nothing, fits, and can be read by everybody.

Skipped, loudly, where there is no Chromium: `apt-get install chromium chromium-driver` brings it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectord.audit.charts import CHARTS
from collectord.audit.document import document_of
from collectord.audit.facts import Agreement, AuditFacts, Epoch, Health, OpenAlert
from collectord.audit.findings import DAY_MS
from collectord.audit.page import page
from collectord.audit.report import answer
from tests.support.chromium import opened
from tests.support.planted import DOUBLE, NOW_MS, SERIAL, TRIPLE, facts, issue, run, runs, surface_of

HOSTILE = (
    "</script></style><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&\x1b[31m\u202e"
)
pytest.importorskip("vl_convert", reason="the extra `report` is not installed")


def hostile_facts() -> AuditFacts:
    """A collection in which every text that is not ours is hostile, and every chart has something to show."""
    weeks = [
        one
        for back in range(7)
        for one in runs({SERIAL: 30, DOUBLE: 15, TRIPLE: 5}, first=1000 * back, days=7 * (back + 1))
    ]
    hostile: dict[str, Any] = {"toolchain": HOSTILE, "model": HOSTILE, "genome": HOSTILE, "tags": (HOSTILE,)}
    odd = [
        run(
            90_000 + k,
            (SERIAL, DOUBLE)[k % 2],
            k1="same",
            name=HOSTILE,
            issue_id=HOSTILE,
            status="failed",
            cause="network",
            evidence=HOSTILE,
            fallback=HOSTILE,
            failed_gates=(HOSTILE,),
            **hostile,
        )
        for k in range(6)
    ]
    odd = [replace(one, epoch=2) if one.started_ms > NOW_MS - 7 * DAY_MS else one for one in odd]
    middle = NOW_MS - 20 * DAY_MS
    alerts = (OpenAlert(HOSTILE, NOW_MS, HOSTILE),)
    return facts(
        [*weeks, *odd],
        [issue(1, title=HOSTILE, issue_id=HOSTILE, tags=(HOSTILE,), description="")],
        repo=HOSTILE,
        epochs=(
            Epoch(1, NOW_MS - 60 * DAY_MS, middle, "ab", HOSTILE),
            Epoch(2, middle, None, "cd", HOSTILE),
        ),
        agreement=(Agreement(HOSTILE, "verified", False, (HOSTILE,), (), (HOSTILE,)),),
        health=Health({"indexed": 300}, ((HOSTILE, "partial", HOSTILE),), (HOSTILE,), alerts=alerts),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    found = hostile_facts()
    text = page(document_of(found, answer(found, surface_of(folder)), epoch=None))
    target = folder / "audit.html"
    target.write_text(text, encoding="utf-8")
    return target


def test_the_page_runs_nothing_that_archives_say(made: Path) -> None:
    text = made.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;/script&gt;" in text
    assert "default-src 'none'" in text
    assert len(text.encode()) < 3 * 2**20


def test_nothing_is_asked_for_and_nothing_complains(browser: Any, made: Path) -> None:
    opened(browser, made)  # the browser's own first page asks for its parts until it is left
    for log in ("performance", "browser"):
        browser.get_log(log)
    opened(browser, made)
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
    assert urls == [made.as_uri()]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert browser.title == "Audit 2026-11-24"


@pytest.mark.parametrize("width", [360, 1440])
def test_every_chart_has_marks_and_fits(browser: Any, made: Path, width: int) -> None:
    opened(browser, made, width=width)
    shown = browser.execute_script(
        """return [...document.querySelectorAll('figure')].map(figure => {
            const svg = [...figure.querySelectorAll('svg')].filter(s => s.getClientRects().length)
            const box = svg.length ? svg[0].getBoundingClientRect() : {width: 0, right: 0}
            const marks = svg.length ? svg[0].querySelectorAll('[class*=role-mark] *') : []
            const seen = [...marks].filter(m => m.getBoundingClientRect().width > 0
                || m.getBoundingClientRect().height > 0)
            return {title: figure.querySelector('figcaption strong').textContent, charts: svg.length,
                    marks: seen.length, width: box.width, right: box.right}})"""
    )
    assert [one["title"] for one in shown] == [chart.title for chart in _in_page_order()]
    for one in shown:
        assert one["charts"] == 1, one
        assert one["marks"] >= 2, one
        assert one["width"] > 200, one
        assert one["right"] <= width, one


@pytest.mark.parametrize("width", [360, 1440])
def test_no_label_of_a_chart_is_cut_off(browser: Any, made: Path, width: int) -> None:
    opened(browser, made, width=width)
    cut = browser.execute_script(
        """return [...document.querySelectorAll('figure svg')].flatMap(svg => {
            const box = svg.getBoundingClientRect()
            return [...svg.querySelectorAll('text')].filter(text => {
                const own = text.getBoundingClientRect()
                return own.width && (own.left < box.left - 1 || own.right > box.right + 1
                    || own.top < box.top - 1 || own.bottom > box.bottom + 1)
            }).map(text => text.textContent)})"""
    )
    assert cut == []


def _in_page_order() -> list[Any]:
    from collectord.audit.sections import SECTIONS

    order = [section.key for section in SECTIONS]
    return sorted(CHARTS, key=lambda chart: order.index(chart.section))


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_does_not_scroll_sideways(browser: Any, made: Path, width: int) -> None:
    opened(browser, made, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_dark_mode_is_dark_and_charts_follow(browser: Any, made: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        opened(browser, made, scheme=scheme)
        colours[scheme] = browser.execute_script(
            """const label = document.querySelector('.wide svg .role-axis-label text')
            return [getComputedStyle(document.body).backgroundColor, getComputedStyle(label).fill]"""
        )
    assert colours == {
        "light": ["rgb(255, 255, 255)", "rgb(22, 25, 29)"],
        "dark": ["rgb(20, 23, 26)", "rgb(232, 234, 237)"],
    }

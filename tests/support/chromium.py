"""A headless Chromium that opens one file in a size and colours, and makes pictures and PDFs of it."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # Whatever the page asked for would end here, and be seen.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A driver with a profile of its own; it ends with the block."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    assert BROWSER, "Chromium is not installed: `apt-get install chromium chromium-driver`"
    assert DRIVER, "chromedriver is not installed: `apt-get install chromium-driver`"
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def opened(
    driver: Any,
    page: Path,
    *,
    width: int = 1440,
    height: int = 900,
    scheme: str = "light",
    forced_colors: str = "none",
) -> Any:
    """The page in a window of so many CSS pixels; below 500 it is a phone."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "forced-colors", "value": forced_colors},
    ]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get(page.as_uri())
    return driver


_FACTS = """
const shown = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility()
    && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
const scale = e => {
    const svg = e.closest('svg')
    return svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1
}
// Characters on each line of an element, by where each of them is drawn.
const lines = e => {
    const counts = {}, range = document.createRange()
    const walker = document.createTreeWalker(e, NodeFilter.SHOW_TEXT)
    for (let node; node = walker.nextNode();)
        for (let k = 0; k < node.length; k++) {
            range.setStart(node, k)
            range.setEnd(node, k + 1)
            const box = range.getBoundingClientRect()
            if (box.width) counts[Math.round(box.bottom / 8)] = (counts[Math.round(box.bottom / 8)] || 0) + 1
        }
    return Object.values(counts)
}
const running = [...document.querySelectorAll('main p, main li:not(:has(p)), main dd, figcaption')]
const bottom = e => e.getBoundingClientRect().bottom + scrollY
return {
    tiles: [...document.querySelectorAll('.tile')].map(bottom),
    todo: document.querySelector('.todo li').getBoundingClientRect().top + scrollY,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    smallest: Math.min(...shown.map(e => parseFloat(getComputedStyle(e).fontSize) * scale(e))),
    cut: shown.filter(e => !e.closest('svg, .unseen, caption') && e.scrollWidth > e.clientWidth + 1
        && getComputedStyle(e).display !== 'inline').map(e => e.textContent.slice(0, 80)),
    longest_line: Math.max(...running.filter(e => e.checkVisibility() && !e.closest('.tile')).flatMap(lines)),
}
"""


def layout_facts(driver: Any) -> dict[str, Any]:
    """What is where on an opened page, in CSS pixels.

    `tiles` are where the tiles end and `todo` where the first thing to do begins; `smallest` is the smallest
    text, also in charts as they are shown; `cut` are texts that stick out of their box; `longest_line` is in
    characters, of running text.
    """
    facts: dict[str, Any] = driver.execute_script(_FACTS)
    return facts


def photograph(driver: Any, target: Path, *, whole: bool = False) -> None:
    """What is on the screen as a PNG, or the `whole` page."""
    shot = {"format": "png", "captureBeyondViewport": whole}
    if whole:
        size = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        shot["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    target.write_bytes(base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", shot)["data"]))


def printed(driver: Any) -> bytes:
    """The page as a PDF on A4, as a browser prints it without backgrounds."""
    paper = {"printBackground": False, "paperWidth": 8.27, "paperHeight": 11.69}
    return base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", paper)["data"])

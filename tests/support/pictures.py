"""The pictures in docs/: `python -m tests.support.pictures` draws them anew; it needs Chromium.

The golden run is collected and audited; its page is photographed, the terminal is drawn.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.text import Text

from collectord.audit.layout import day
from collectord.index.opening import now_ms
from tests.conftest import unpack
from tests.support.audit_pages import golden
from tests.support.chromium import chromium, opened, photograph
from tests.support.planted import NOW_MS

DOCS = Path(__file__).resolve().parents[2] / "docs"
SHOWN = (("status",), ("runs", "--limit", "4"), ("epoch", "list"), ("export",))
# How the page is opened, and whether all of it is shown.
PICTURES: dict[str, tuple[dict[str, Any], bool]] = {
    "audit-first": ({"width": 1440, "height": 900}, False),
    "audit-narrow": ({"width": 390, "height": 844}, False),
    "audit-dark": ({"width": 1440, "height": 900, "scheme": "dark"}, False),
    "audit-whole": ({"width": 1440, "height": 900}, True),
}


def said(folder: Path, *arguments: str) -> str:
    """What a command prints in a terminal of no colour."""
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "TZ": "UTC", "COLUMNS": "100"}
    command = [sys.executable, "-m", "collectord", "--repo", str(folder / "kernel"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, check=True)
    return done.stdout.replace(str(folder / "kernel"), "/srv/kernel").replace(str(folder), "/srv")


def terminal(folder: Path) -> None:
    """The commands of a first day, as an SVG."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=104, file=nowhere, highlight=False)
        for arguments in SHOWN:
            console.print(Text.assemble(("$ ", "bold green"), f"collectord {' '.join(arguments)}"))
            for line in said(folder, *arguments).rstrip().splitlines():
                console.print(Text(line.replace("\t", "  ")), overflow="ellipsis", no_wrap=True)
            console.print()
        console.save_svg(str(DOCS / "images/terminal.svg"), title="collectord")


def golden_page(folder: Path) -> Path:
    """The page of the golden run as if it were in /srv/kernel, and collected on the day of the audit."""
    page = golden(folder)
    text = page.read_text(encoding="utf-8").replace(str(folder / "repo"), "/srv/kernel")
    today, then = day(now_ms()), day(NOW_MS)
    for written in (str, _squeezed):
        text = text.replace(written(today), written(then))
    page.write_text(text, encoding="utf-8")
    return page


def _squeezed(date: str) -> str:
    """As the name of a dataset has it."""
    return date.replace("-", "")


def pictures(driver: Any, page: Path, target: Path) -> None:
    """Every picture of the page, as small as can be."""
    for name, (window, whole) in PICTURES.items():
        opened(driver, page, **window)
        photograph(driver, target / f"{name}.png", whole=whole)
        _reduce(target / f"{name}.png")


def _reduce(picture: Path) -> None:
    """To 256 colours."""
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)


def main() -> None:
    """Draw all of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack("kernel-run", folder / "kernel")
        said(folder, "ingest")
        terminal(folder)
        (folder / "page").mkdir()
        with chromium(folder / "profile") as driver:
            pictures(driver, golden_page(folder / "page"), DOCS)


if __name__ == "__main__":
    main()

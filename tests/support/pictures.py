"""The pictures of the README: `python -m tests.support.pictures` draws them anew; it needs Chromium.

The golden repo is collected and audited; the page is photographed in two widths, the terminal is drawn.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.conftest import unpack

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
SHOWN = (("status",), ("runs", "--limit", "4"), ("epoch", "list"), ("export",))
SIZES = {"audit": (1440, 900), "audit-narrow": (390, 844)}


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
        console.save_svg(str(IMAGES / "terminal.svg"), title="collectord")


def photograph(page: Path, name: str, size: tuple[int, int]) -> None:
    """The first screen of a page."""
    browser = shutil.which("chromium")
    assert browser, "Chromium is not installed"
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    target = f"--screenshot={IMAGES / name}.png"
    window = f"--window-size={size[0]},{size[1]}"
    subprocess.run([browser, *flags, window, target, page.as_uri()], check=True, capture_output=True)


def main() -> None:
    """Draw all of them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack("kernel-run", folder / "kernel")
        said(folder, "ingest")
        terminal(folder)
        page = folder / "audit.html"
        said(folder, "audit", "--html", str(page))
        page.write_text(page.read_text().replace(str(folder), "/srv"))
        for picture, size in SIZES.items():
            photograph(page, picture, size)


if __name__ == "__main__":
    main()

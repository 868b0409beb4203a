"""What is running shows by its marker; the folder is not trusted."""

from __future__ import annotations

import os
from pathlib import Path

from collectord.repo.files import InFlight, in_flight

STAMP, STAMP_MS = "20261124T080000Z", 1795507200000


def _workcell(repo: Path, name: str, marker: str | None) -> Path:
    folder = repo / ".workcells" / name
    folder.mkdir(parents=True)
    if marker is not None:
        (folder / ".workcell").write_text(marker)
    return folder


def test_a_workcell_is_in_flight_while_it_has_a_marker(tmp_path: Path) -> None:
    _workcell(tmp_path, "wc-1", f'{{"created": "{STAMP}"}}')
    _workcell(tmp_path, "wc-2", None)
    assert in_flight(tmp_path) == [InFlight("wc-1", STAMP_MS)]


def test_without_a_readable_marker_the_name_tells_when_and_else_nothing_does(tmp_path: Path) -> None:
    _workcell(tmp_path, f"wc-1-{STAMP}", "not JSON")
    _workcell(tmp_path, "wc-2", '{"created": 7}')
    assert in_flight(tmp_path) == [InFlight(f"wc-1-{STAMP}", STAMP_MS), InFlight("wc-2", None)]


def test_no_folder_and_a_file_in_its_place_mean_that_nothing_is_in_flight(tmp_path: Path) -> None:
    assert in_flight(tmp_path) == []
    (tmp_path / ".workcells").write_text("")
    assert in_flight(tmp_path) == []


def test_links_and_fifos_are_not_followed_and_hold_nothing_up(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f'{{"created": "{STAMP}"}}')
    (_workcell(tmp_path, "wc-link", None) / ".workcell").symlink_to(secret)
    os.mkfifo(_workcell(tmp_path, "wc-fifo", None) / ".workcell")
    (tmp_path / "elsewhere/wc-far").mkdir(parents=True)
    (tmp_path / "elsewhere/wc-far/.workcell").write_text("{}")
    (tmp_path / ".workcells/wc-far").symlink_to(tmp_path / "elsewhere/wc-far")
    assert in_flight(tmp_path) == [InFlight("wc-fifo", None), InFlight("wc-link", None)]

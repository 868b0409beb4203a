"""What the command line does with streams that are closed, full, narrow, gone, or a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collectord.system.lock import holder
from tests.support.cli import Cli

FULL = Path("/dev/full")


def shell(cli: Cli, line: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A line for sh in which "$@" is collectord."""
    return subprocess.run(
        ["sh", "-c", line, "sh", *cli.argv()],
        capture_output=True,
        text=True,
        errors="replace",
        env=cli.environ(env),
        timeout=60,
        check=False,
    )


def on_a_terminal(cli: Cli, *args: str) -> str:
    """All that a person sees of a command in a terminal."""
    leader, follower = pty.openpty()
    env = cli.environ({"TERM": "xterm-256color", "COLUMNS": "60"})
    with subprocess.Popen(
        cli.argv(*args), stdin=follower, stdout=follower, stderr=follower, env=env
    ) as child:
        os.close(follower)
        seen = b""
        with contextlib.suppress(OSError):  # Linux ends a terminal whose last user is gone with EIO
            while chunk := os.read(leader, 65536):
                seen += chunk
        assert child.wait(60) == 0
    os.close(leader)
    return seen.decode()


def test_a_reader_that_leaves_early_is_no_trouble(ingested: Cli) -> None:
    done = shell(ingested, '"$@" runs --limit 200 --json | head -n 1')
    assert done.stdout == "{\n"
    assert done.stderr == ""


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_told_in_one_line(ingested: Cli) -> None:
    done = shell(ingested, '"$@" status >/dev/full')
    assert done.returncode == 1
    assert done.stderr == "collectord: No space left on device\n"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_nothing_hangs_where_nothing_can_be_said(ingested: Cli) -> None:
    assert shell(ingested, '"$@" explain wc-nope >/dev/full 2>/dev/full').returncode == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_neither_the_command_nor_the_index(cli: Cli, closed: str) -> None:
    done = shell(cli, f'"$@" ingest {closed}')
    dropped = ".beads/issues.jsonl: 6 lines that no kernel reads (line 6, 7, 8, 9, 12, …)"
    said = "" if "2>&-" in closed else f"collectord: {dropped}\n"
    assert (done.returncode, done.stderr) == (0, said)
    assert "fine" in cli.ok("db", "check")


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8"])
def test_any_encoding_of_standard_output_can_be_written_to(ingested: Cli, encoding: str) -> None:
    env = {"PYTHONIOENCODING": encoding}
    done = shell(ingested, '"$@" runs --limit 3', env)
    assert (done.returncode, done.stdout.count("\n")) == (0, 3)
    assert json.loads(shell(ingested, '"$@" explain wc-e001 --json', env).stdout)["archive"]


def test_a_stopped_ingest_ends_with_130_and_can_be_run_again(cli: Cli) -> None:
    # An archive that is always young keeps the first command waiting while it holds the lock.
    (cli.archives / "wc-young").mkdir()
    env = cli.environ({"COLLECTORD_SETTLE_MIN_AGE": "1h"})
    with subprocess.Popen(cli.argv("ingest"), env=env, stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 60
        while holder(cli.index.parent / "lock") is None and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
        assert child.returncode == 130
    assert said.strip() == "collectord: stopped"
    assert "106 indexed" in cli.ok("status") or "106 indexed" in cli.ok("ingest")


def test_a_terminal_shows_whole_names_and_no_control_of_others(ingested: Cli) -> None:
    name = "wc-" + "long-" * 30 + "\x9b31m[red]\x1b[2J"
    (ingested.archives / name).mkdir()
    (ingested.archives / name / "proof.json").symlink_to("/etc/hostname")
    shown = on_a_terminal(ingested, "ingest")
    shown += on_a_terminal(ingested, "quarantine", "list")
    assert shown.count("long-" * 30 + r"\x9b31m[red]\x1b[2J") == 2
    assert "\x9b" not in shown
    assert "\x1b[2J" not in shown


def test_a_terminal_gets_a_header_and_a_pipe_gets_none(ingested: Cli) -> None:
    assert "dispatched" in on_a_terminal(ingested, "runs", "--limit", "1")
    assert "dispatched" not in ingested.ok("runs", "--limit", "1")


def test_an_export_on_a_terminal_shows_how_far_it_is(ingested: Cli) -> None:
    assert "93/93" in on_a_terminal(ingested, "export", "--dry-run")


def test_completion_knows_the_commands(ingested: Cli) -> None:
    env = {"_COLLECTORD_COMPLETE": "bash_complete", "COMP_WORDS": "collectord ex", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "collectord"],
        env=ingested.environ(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert {line.split(",")[1] for line in done.stdout.splitlines()} == {"export", "explain"}

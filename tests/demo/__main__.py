"""The main job, live: `python -m tests.demo FOLDER`, which must be empty."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.demo.replay import Replay, dispatched
from tests.support.cli import Cli
from tests.support.daemon import Daemon

GOLDEN = Path(__file__).parents[1] / "golden"
FASTER = 2.5
OLD, NEW = "claude-opus-4-5-20251101", "claude-opus-5"
QUICK = """\
settle: {min_age: 200ms, short: 200ms, long: 1s}     # the defaults are ten times as long
environment: {debounce: 500ms}
daemon: {heartbeat_interval: 500ms}
watch: {poll_interval: 1s}
disk: {min_free_percent: 0, min_free_bytes: 0}
log: {format: json}
"""
NEWS = ("environment.drift", "epoch.closing", "epoch.sealed", "epoch.published")
END = """
Kept: {folder}
  {page}   the page that the daemon writes every Monday
  {repo}   look around: `{program} --repo {repo} status`

In your own repo, the one that holds .cyntra/ (the README installs `collectord`; until then it is {program}):
  collectord run                 in the foreground, beside `cyntra run --watch`; ctrl-C ends it
  collectord service install     as a service, when you have seen enough"""


class Show:
    """The terminal: each line with the seconds since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._told = 0

    def say(self, text: str) -> None:
        """One line, at once."""
        print(f"{time.monotonic() - self._begun:5.1f} s  {text}", flush=True)

    def news(self, daemon: Daemon) -> None:
        """What the daemon has logged since, of what matters here."""
        lines = list(daemon.lines)
        for line in lines[self._told :]:
            if line["event"] in NEWS:
                said = line.get("said") or f"{line['rows']} rows in {line['path']}"
                self.say(f"  its log: {line['level']} {line['event']}: {said}")
        self._told = len(lines)


def main(folder: Path, repo: Path = GOLDEN / "kernel-run.tar.gz") -> int:
    """The whole demo, in an empty folder; 1 where something is not as it must be."""
    show = Show()
    cli = Cli(folder / "repo", folder)
    with tarfile.open(repo) as tar:
        tar.extractall(cli.repo, filter="tar")
    if not _same_as_the_kernel(cli, show):
        return 1
    cli.archives.rename(folder / "finished")
    cli.archives.mkdir()
    shutil.rmtree(cli.index.parent)
    (cli.repo / ".cyntra/collectord.yaml").write_text(QUICK)
    _live(cli, sorted((folder / "finished").iterdir(), key=dispatched), show)
    page = folder / "audit.html"
    code = _afterwards(cli, page, show)
    print(END.format(folder=folder, page=page, repo=cli.repo, program=_program()))
    return code


def _program() -> str:
    """The command of this environment, from the working directory where it lies below it."""
    path = Path(sys.executable).with_name("collectord")
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _same_as_the_kernel(cli: Cli, show: Show) -> bool:
    """What a kernel left, in one pass by hand: the bytes of the kernel's own builder."""
    show.say("66 archives that a real kernel left; read them once, by hand:")
    show.say("$ collectord ingest && collectord export --profile builder")
    cli.ok("ingest")
    done = json.loads(cli.ok("export", "--profile", "builder", "--dry-run", "--json"))
    expected = json.loads((GOLDEN / "kernel-run.expected.json").read_text())[0]["meta"]["dataset_hash"]
    same = bool(done["dataset_hash"] == expected)
    verdict = "the same as the kernel's builder makes" if same else f"NOT {expected}, which the kernel makes"
    show.say(f"  dataset_hash {done['dataset_hash']}: {verdict}")
    return same


def _live(cli: Cli, archives: list[Path], show: Show) -> None:
    """The same runs end again, in fast motion, beside the daemon; in the middle somebody edits a file."""
    replay, half = Replay(FASTER), len(archives) // 2
    show.say("The same 66 runs end again, in fast motion and now, beside the daemon:")
    show.say("$ collectord run")
    with Daemon(cli).started() as daemon:
        _let_land(cli, archives[:half], replay, {})
        daemon.wait_for("archive.indexed", half)
        show.say(f"  its log: {_last_indexed(daemon)}")
        show.say(f"  `collectord status` after {half} of them: {_daemon_text(cli)}")
        show.say(f"Somebody edits .cyntra/config.yaml: claude is to use the model {NEW}")
        config = cli.repo / ".cyntra/config.yaml"
        config.write_text(config.read_text().replace(OLD, NEW))
        daemon.wait_for("environment.drift")
        show.news(daemon)
        _let_land(cli, archives[half:], replay, {"claude": NEW})
        daemon.wait_for("archive.indexed", len(archives))
        daemon.wait_for("epoch.published")
        show.news(daemon)
        daemon.stop()


def _let_land(cli: Cli, archives: list[Path], replay: Replay, models: dict[str, str]) -> None:
    replay.go_on(dispatched(archives[0]), datetime.now(UTC))
    for archive in archives:
        wait_s = (replay.moved(dispatched(archive)) - datetime.now(UTC)).total_seconds()
        time.sleep(max(0.0, wait_s))
        replay.land(archive, cli.archives / archive.name, models)


def _last_indexed(daemon: Daemon) -> str:
    last = daemon.events("archive.indexed")[-1]
    fields = [f"{key} {last[key]}" for key in ("issue", "toolchain", "plan", "status") if key in last]
    return f"archive.indexed {last['archive']}: {', '.join(fields)}"


def _daemon_text(cli: Cli) -> str:
    lines = cli.ok("status").splitlines()
    return next(line.removeprefix("daemon").strip() for line in lines if line.startswith("daemon"))


def _afterwards(cli: Cli, page: Path, show: Show) -> int:
    """What a person types afterwards."""
    for command, least in (
        (("epoch", "list"), 9),
        (("export",), 9),
        (("verify", "latest", "--rebuild"), 1),
        (("audit", "--html", str(page)), 8),
    ):
        show.say(f"$ collectord {' '.join(command)}")
        done = cli(*command)
        for line in done.stdout.expandtabs(2).splitlines()[:least]:
            print(f"           {line}")
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

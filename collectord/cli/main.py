"""The top of the command line. Commands are imported when they are called: `--help` must feel instant."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from collectord.cli.examples import examples_of
from collectord.cli.invocation import Invocation
from collectord.cli.output import complain, flush_or_discard, prepare_streams
from collectord.errors import CollectordError

# Command → (module, attribute, help line); a test holds the help lines against the commands' own.
COMMANDS = {
    "run": ("collectord.cli.run", "run", "Stand beside a kernel and index every run as it ends."),
    "ingest": ("collectord.cli.ingest", "ingest", "Bring the index up to date with the archives."),
    "export": ("collectord.cli.export", "export", "Publish the dataset of the index."),
    "verify": ("collectord.cli.export", "verify", "Check a published dataset directory."),
    "diff": ("collectord.cli.diff", "diff", "Compare two dataset directories."),
    "snapshot": ("collectord.cli.snapshot", "snapshot", "Dataset directories that were published."),
    "status": ("collectord.cli.status", "status", "Show what the index holds and how it is."),
    "runs": ("collectord.cli.runs", "runs", "List runs, the newest first."),
    "explain": ("collectord.cli.explain", "explain", "Say what became of one archive, and why."),
    "audit": (
        "collectord.cli.audit",
        "audit",
        "Say whether the dataset is worth training on, and what to add.",
    ),
    "environment": (
        "collectord.cli.environment",
        "environment",
        "What decides labels: shown, compared, over time.",
    ),
    "epoch": ("collectord.cli.epoch", "epoch", "Stretches of runs under one environment."),
    "drift": ("collectord.cli.drift", "drift", "Alerts about the environment and labels."),
    "quarantine": ("collectord.cli.quarantine", "quarantine", "Archives that were not taken."),
    "config": ("collectord.cli.config", "config", "Show or check the configuration."),
    "db": ("collectord.cli.db", "db", "Upgrade, check, back up, rebuild or recover the index."),
    "doctor": (
        "collectord.cli.doctor",
        "doctor",
        "Check what breaks such a service, and say what to do.",
    ),
    "metrics": ("collectord.cli.metrics", "metrics", "Print the status as OpenMetrics."),
    "prune": ("collectord.cli.prune", "prune", "Remove heavy parts of old archives."),
    "restore": ("collectord.cli.prune", "restore", "Write core files of archives back from the index."),
    "service": ("collectord.cli.service", "service", "Install collectord as a service."),
    "fleet": ("collectord.cli.fleet", "fleet", "Many indexes on one storage, one dataset of them."),
}
EPILOG = """Exit codes: 0 fine, 1 failed, 2 usage, 3 verification found a difference, 75 another instance \
holds the lock, 78 bad configuration.

Completion in bash: eval "$(_COLLECTORD_COMPLETE=bash_source collectord)"; zsh and fish likewise."""
_TRACEBACK = "--traceback"
# In the order in which a person meets them.
GROUPS = {
    "Collect": ("run", "ingest", "service"),
    "Look": ("status", "runs", "explain", "quarantine", "doctor", "metrics", "audit"),
    "Dataset": ("export", "verify", "diff", "snapshot"),
    "Environment": ("environment", "epoch", "drift"),
    "Fleet": ("fleet",),
    "Maintain": ("config", "db", "prune", "restore"),
}
# Other names of commands, which `--help` does not list: `db rebuild`, `status --stats`.
ALIASES = {
    "env": ("collectord.cli.environment", "environment"),
    "rebuild": ("collectord.cli.rebuild", "rebuild"),
    "stats": ("collectord.cli.status", "stats"),
}
# They stand before a command, and people type them after it.
_EVERYWHERE = {"--repo": 2, "--config": 2, "-q": 1, "--quiet": 1, "-v": 1, "--verbose": 1}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called, and listed without that."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = ALIASES.get(cmd_name) or COMMANDS.get(cmd_name)
        if found is None:
            return None
        module, attribute, *_ = found
        command: click.Command = getattr(import_module(module), attribute)
        command.epilog = command.epilog or examples_of(command.name or cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, 1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{close[0]}'?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][2]) for name in names])


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"collectord {version('collectord')}")
        ctx.exit()


@click.group(cls=_LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--repo", type=click.Path(path_type=Path), help="The Cyntra repo; else the nearest parent with .cyntra/."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file; else $COLLECTORD_CONFIG, else .cyntra/collectord.yaml.",
)
@click.option("-q", "--quiet", is_flag=True, help="No notes and no progress on stderr, only errors.")
@click.option("-v", "--verbose", is_flag=True, help="`run` logs at debug; `ingest` prints every archive.")
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Print the version.",
)
@click.option(_TRACEBACK, is_flag=True, expose_value=False, hidden=True)
@click.pass_context
def collectord(
    ctx: click.Context, repo: Path | None, config: Path | None, quiet: bool, verbose: bool
) -> None:
    """Index the archives of a Cyntra kernel and export the executed-plan dataset."""
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose ask for opposite things; give one of them")
    ctx.obj = Invocation(repo, config, quiet, verbose)


def main() -> NoReturn:
    """Run one command; every error ends as a sentence on stderr and an exit code."""
    sys.exit(_run(sys.argv[1:]))


def to_the_front(arguments: list[str]) -> list[str]:
    """`status --repo X` as `--repo X status`; what follows `--` stays where it is. Pure."""
    moved, rest = [], list(arguments)
    end = rest.index("--") if "--" in rest else len(rest)
    place = 0
    while place < end:
        name, is_joined, _ = rest[place].partition("=")
        if name in _EVERYWHERE:
            count = 1 if is_joined else _EVERYWHERE[name]
            moved += rest[place : place + count]
            del rest[place : place + count]
            end -= count
        else:
            place += 1
    return [*moved, *rest]


def _run(given: list[str]) -> int:
    arguments = to_the_front(given)
    prepare_streams()
    try:
        code = collectord.main(arguments, prog_name="collectord", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as error:
        flush_or_discard()
        if _TRACEBACK in arguments:
            from traceback import print_exc

            print_exc()
        with suppress(OSError):  # there may be no standard error to say it on
            _explain(error)
        flush_or_discard()
        return _exit_code(error)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, (click.exceptions.Exit, click.ClickException, CollectordError)):
        return error.exit_code
    return 130 if isinstance(error, (KeyboardInterrupt, click.Abort)) else 1


def _explain(error: BaseException) -> None:
    """Say what ended the command."""
    match error:
        case click.exceptions.Exit() | BrokenPipeError():
            pass
        case click.ClickException():
            error.show()
        case KeyboardInterrupt() | click.Abort():
            complain("stopped")
        case CollectordError():
            complain(str(error))
        case OSError():
            complain(_sentence(error))
        case MemoryError():
            complain("out of memory; nothing is half written: run the command again where there is more")
        case _:
            complain(f"unexpected {type(error).__name__}: {error}; please report it with {_TRACEBACK}")


def _sentence(error: OSError) -> str:
    if error.filename is None:
        return f"{error.strerror or error}"
    return f"{os.fsdecode(error.filename)}: {error.strerror}; check that it exists, its rights and its disk"

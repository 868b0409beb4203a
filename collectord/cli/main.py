"""The top of the command line. Commands are imported when they are called: `--help` must feel instant."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, NoReturn

import click

from collectord.cli.invocation import Invocation
from collectord.errors import CollectordError

# Command → (module, attribute, help line); a test holds the help lines against the commands' own.
COMMANDS = {
    "ingest": ("collectord.cli.ingesting", "ingest", "Bring the index up to date with the archives."),
    "export": ("collectord.cli.datasets", "export", "Publish the dataset of the index."),
    "verify": ("collectord.cli.datasets", "verify", "Check a published dataset directory."),
    "status": ("collectord.cli.views", "status", "Show what the index holds and how it is."),
    "runs": ("collectord.cli.views", "runs", "List runs, the newest first."),
    "explain": ("collectord.cli.views", "explain", "Say what became of one archive, and why."),
    "stats": ("collectord.cli.views", "stats", "Count run summaries as the kernel's planner does."),
    "quarantine": ("collectord.cli.admin", "quarantine", "Archives that were not taken."),
    "config": ("collectord.cli.admin", "config", "Show or check the configuration."),
    "db": ("collectord.cli.admin", "db", "Upgrade or check the index."),
}
EPILOG = """Exit codes: 0 fine, 1 failed, 2 usage, 3 verification found a difference, 75 another instance \
holds the lock, 78 bad configuration."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called, and listed without that."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"collectord {installed_version('collectord')}")
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
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version)
@click.pass_context
def collectord(ctx: click.Context, repo: Path | None, config: Path | None) -> None:
    """Index the archives of a Cyntra kernel and export the executed-plan dataset."""
    ctx.obj = Invocation(repo, config)


def main() -> NoReturn:
    """Run one command; every error ends as a sentence on stderr and an exit code."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code: Any = collectord.main(arguments, prog_name="collectord", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _say("stopped", 130)
    except CollectordError as error:
        return _say(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output is gone; the interpreter must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        return _say(f"{named}{error.strerror or error}; check that it exists, its rights and its disk", 1)
    except Exception as error:
        return _say(
            f"unexpected {type(error).__name__}: {error}; this is a mistake in collectord, tell us", 1
        )


def _say(sentence: str, code: int) -> int:
    from collectord.cli.output import printable

    for line in sentence.split("\n"):
        click.echo(f"collectord: {printable(line)}", err=True)
    return code

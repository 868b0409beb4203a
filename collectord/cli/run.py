"""`collectord run`."""

from __future__ import annotations

import os
import sys

import click

from collectord.cli.invocation import Invocation
from collectord.errors import CollectordError, ConfigError


@click.command(short_help="Stand beside a kernel and index every run as it ends.")
@click.pass_obj
def run(invocation: Invocation) -> None:
    """Stand beside a kernel and index every archive once it is whole, until a signal ends it.

    SIGTERM and SIGINT stop it, a second SIGINT at once; SIGHUP reads the configuration again.
    """
    from collectord.config.schema import Log
    from collectord.daemon.run import run as run_daemon
    from collectord.system.log import to_stderr

    said = Log()  # the defaults, until the configuration is read
    try:
        settings = invocation.settings()
        said = settings.config.log
        run_daemon(settings, invocation.settings, os.environ)
    except (CollectordError, OSError) as error:
        if isinstance(error, ConfigError) and sys.stderr.isatty():
            raise  # a person reads one finding a line better than a line of the log
        # Through the log, with the priority of an error: `journalctl -p err` says why it ended.
        log = to_stderr(level=said.level, form=said.format)
        log.error("daemon.failed", reason=str(error), exit_code=getattr(error, "exit_code", 1))
        raise click.exceptions.Exit(getattr(error, "exit_code", 1)) from error

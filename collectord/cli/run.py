"""`collectord run`."""

from __future__ import annotations

import os

import click

from collectord.cli.invocation import Invocation


@click.command(short_help="Stand beside a kernel and index every run as it ends.")
@click.pass_obj
def run(invocation: Invocation) -> None:
    """Stand beside a kernel and index every archive once it is whole, until a signal ends it.

    SIGTERM and SIGINT stop it, a second SIGINT at once; SIGHUP reads the configuration again.
    """
    from collectord.daemon.run import run as run_daemon

    run_daemon(invocation.settings(), invocation.settings, os.environ)

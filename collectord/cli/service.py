"""`collectord service`: files for systemd and launchd. Nothing here talks to a service manager."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import line, note
from collectord.errors import UsageError

if TYPE_CHECKING:
    from collectord.service import ServiceFile


@click.group(cls=Group, short_help="Install collectord as a service.")
def service() -> None:
    """Install collectord as a service."""


def _which(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say whose service it is."""
    system = click.option(
        "--system/--user",
        "system",
        default=None,
        help="Of the machine, or of you; default: --system as root, else --user.",
    )
    run_as = click.option("--run-as", metavar="USER", help="With --system; default: who owns the repo.")
    return system(run_as(function))


def _where(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say where files go and what may be replaced."""
    root = click.option(
        "--root", type=click.Path(path_type=Path), help="Write only the file, and below this folder, not /."
    )
    force = click.option("--force", is_flag=True, help="Also a file that is not ours or was changed by hand.")
    return root(force(function))


def _file(invocation: Invocation, system: bool | None, run_as: str | None, root: Path | None) -> ServiceFile:
    from collectord.service import service_file

    wanted = os.geteuid() == 0 if system is None else system
    if run_as is not None and not wanted:
        raise UsageError("--run-as goes with --system: a service of yours runs as you")
    root = root.absolute() if root else None
    settings = invocation.settings(as_owner=False)  # root writes for the machine, and gives folders away
    return service_file(settings, system=wanted, run_as=run_as, environ=os.environ, root=root)


@service.command("print")
@_which
@click.pass_obj
def service_print(invocation: Invocation, system: bool | None, run_as: str | None) -> None:
    """Print the service file for this interpreter, repo and configuration."""
    click.echo(_file(invocation, system, run_as, None).text, nl=False)


@service.command("install")
@_which
@_where
@click.pass_obj
def service_install(
    invocation: Invocation, system: bool | None, run_as: str | None, root: Path | None, force: bool
) -> None:
    """Write the service file and say what to run next; again without a change it does nothing."""
    from collectord.service import install, make_folders
    from collectord.system.owner import foreign_in, name_of, owner_of

    settings = invocation.settings(as_owner=False)
    file = _file(invocation, system, run_as, root)
    done = install(file.path, file.text, force=force)
    line(f"{done} {file.path}: {file.whose}")
    if file.is_user_unknown:
        note(f"there is no user {run_as} on this machine: the service cannot start until there is one")
    if root is None:  # for another machine nothing is made in the repo of this one
        for folder in make_folders(file.folders, settings.repo):
            line(f"made {folder}")
    owner = owner_of(settings.repo)
    if foreign := foreign_in(settings.state_dir, owner):
        note(
            f"{foreign[0]} does not belong to {name_of(owner)}, who owns the repo: "
            f"sudo chown -R {name_of(owner)} {settings.state_dir}"
        )
    if file.unheard:
        note(
            f"the environment of this shell sets {', '.join(file.unheard)}, and the service will not see it: "
            "write it into the configuration file"
        )
    _say_next("start it" if done == "created" else "start it again", file.next)


@service.command("uninstall")
@_which
@_where
@click.pass_obj
def service_uninstall(
    invocation: Invocation, system: bool | None, run_as: str | None, root: Path | None, force: bool
) -> None:
    """Remove the service file and what enabled it; the index and the datasets stay."""
    from collectord.service import uninstall

    file = _file(invocation, system, run_as, root)
    done = uninstall(file.path, force=force)
    if done == "absent":
        line(f"nothing to do: there is no {file.path}")
        return
    line(f"removed {file.path}")
    _say_next("stop it", file.after_uninstall)


def _say_next(what: str, commands: tuple[str, ...]) -> None:
    line(f"to {what}:")
    for command in commands:
        line(f"  {command}")

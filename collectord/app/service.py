"""The service of one repo: which file, what is in it, where it goes and what to type afterwards."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from collectord.config import Settings
from collectord.config.loading import DEFAULT_FILE
from collectord.errors import UsageError
from collectord.service import units


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """`path` is where it goes (below `--root`), `next` and `after_uninstall` are shell commands.

    `unheard` are keys that this shell's environment sets and the service will not see.
    """

    kind: units.ServiceKind
    path: Path
    text: str
    next: tuple[str, ...]
    after_uninstall: tuple[str, ...]
    unheard: tuple[str, ...]


def service_file(
    settings: Settings,
    *,
    system: bool,
    run_as: str | None,
    environ: Mapping[str, str],
    root: Path | None = None,
    platform: str = sys.platform,
) -> ServiceFile:
    """The file for this interpreter, repo and configuration; nothing is written. Raises UsageError."""
    kind = _kind(system, platform)
    home = Path(environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    config_home = Path(environ["XDG_CONFIG_HOME"]) if environ.get("XDG_CONFIG_HOME") else None
    user = (run_as or _owner(settings.repo)) if kind == "system" else None
    folders = _written_folders(settings)
    final = units.service_path(kind, settings.repo, home=home, config_home=config_home)
    text = units.render(
        kind,
        python=Path(os.path.abspath(sys.executable)),  # noqa: PTH100 (a resolved one leaves its environment)
        repo=settings.repo,
        config=_named_file(settings),
        read_write=folders,
        user=user,
        log=units.log_path(settings.repo, home=home),
    )
    return ServiceFile(
        kind,
        root / final.relative_to("/") if root else final,
        text,
        units.after_install(kind, settings.repo, path=final, read_write=folders, user=user),
        units.after_uninstall(kind, settings.repo),
        tuple(
            k for k, source in settings.sources.items() if k != "repo" and source.startswith("COLLECTORD_")
        ),
    )


def _unheard(sources: Mapping[str, str]) -> tuple[str, ...]:
    """Keys set by this environment; the repo is named on the command line in any case."""
    return tuple(key for key, source in sources.items() if source.startswith("COLLECTORD_") and key != "repo")


def _kind(system: bool, platform: str) -> units.ServiceKind:
    if platform == "darwin":
        if system:
            raise UsageError("--system is for systemd; on macOS collectord runs as the agent of a user")
        return "launchd"
    return "system" if system else "user"


def _owner(repo: Path) -> str:
    """The user who owns the repo: the kernel writes it, so collectord can read and write there."""
    uid = repo.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _written_folders(settings: Settings) -> list[Path]:
    """The state folder first: it must exist before the start. Archives only where the daemon prunes."""
    archives = [settings.archives_dir] if settings.config.retention.removes_anything else []
    return [settings.state_dir, settings.benches_dir, settings.repo / ".cyntra/reports", *archives]


def _named_file(settings: Settings) -> Path | None:
    """The configuration file to name on the command line; the default one is found without that."""
    if settings.file is None or settings.file == settings.repo / DEFAULT_FILE:
        return None
    return settings.file.absolute()

"""The service of one repo: its unit file for systemd or launchd, and what to type afterwards."""

from __future__ import annotations

import hashlib
import os
import plistlib
import pwd
import re
import shlex
import stat
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collectord.config import Settings
from collectord.config.settings import DEFAULT_FILE
from collectord.errors import CollectordError, UsageError
from collectord.system.durable import atomic_write, fsync_dir
from collectord.system.owner import name_of

_PACKAGE = Path(__file__).resolve().parent
# In the wheel, in a checkout. In this order: beside an installed package there may be another `systemd`.
_FOLDERS = (_PACKAGE / "_systemd", _PACKAGE.parent / "systemd")
_BORDER = "# ==== Nothing below names a path or a user. ====\n"


def template(name: str) -> Path:
    """Where the shipped file of this name is. Raises FileNotFoundError: the installation is incomplete."""
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{name} is missing from {_FOLDERS[0]}; install collectord again")


def common_part(name: str) -> str:
    """What a shipped systemd unit says below its border: all that names neither a path nor a user."""
    _, border, common = template(name).read_text("utf-8").partition(_BORDER)
    if not border:
        raise ValueError(f"{template(name)} has no line {_BORDER!r}; install collectord again")
    return common


_PLAIN = re.compile(r"[A-Za-z0-9/._+,=:@-]+")
_USER = re.compile(r"[^\s/:%$\"'\\\x00-\x1f\x7f-][^\s/:%$\"'\\\x00-\x1f\x7f]*")
# systemd takes no program whose path has one of these, however it is written; as an argument they are fine.
_NEVER_IN_A_PROGRAM = frozenset("'\"\\")


def word(text: str) -> str:
    """One word of a command line or of a list."""
    return text if _PLAIN.fullmatch(text) else f'"{_escaped(text)}"'


def sentence(text: str) -> str:
    """Free text such as a description; a full stop keeps a final backslash from joining the next line."""
    return text.replace("%", "%%") + ("." if text.endswith("\\") else "")


def command(argv: Sequence[str]) -> str:
    """The value of ExecStart= that starts exactly this program with exactly these arguments."""
    if _NEVER_IN_A_PROGRAM & set(argv[0]):
        argv = ["/bin/sh", "-c", 'exec "$0" "$@"', *argv]
    # A colon switches $VARIABLES off; a dollar doubled instead would stay doubled in the program's own path.
    literally = ":" if any("$" in argument for argument in argv) else ""
    return literally + " ".join(map(word, argv))


def user_name(name: str) -> str:
    """The value of User=. Raises UsageError for what cannot be a user."""
    if not _USER.fullmatch(name):
        raise UsageError(f"{name!r} is not a user name; name the user who owns the repo")
    return name


def writable(path: Path) -> Path:
    """The path again, if it can stand in a unit. Raises UsageError."""
    if not path.is_absolute() or ".." in path.parts:
        raise UsageError(f"{path} is not an absolute path; a service has no working directory of yours")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in str(path)):
        raise UsageError(f"{str(path)!r} holds characters that no service file can name; rename the folder")
    return path


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


ServiceKind = Literal["system", "user", "launchd"]

_SYSTEM_FOLDER = Path("/etc/systemd/system")
_TEMPORARY_FOLDERS = (Path("/tmp"), Path("/var/tmp"))


def service_name(kind: ServiceKind, repo: Path) -> str:
    """`collectord-<folder>-<6 hex of the path>.service`; for launchd the label, without a suffix."""
    folder = re.sub(r"[^A-Za-z0-9_.]+", "-", repo.name).strip("-.")[:40] or "repo"
    name = f"{folder}-{hashlib.sha256(os.fsencode(repo)).hexdigest()[:6]}"
    return f"com.cyntra.collectord.{name}" if kind == "launchd" else f"collectord-{name}.service"


def service_path(kind: ServiceKind, repo: Path, *, home: Path, config_home: Path | None) -> Path:
    """Where the service manager looks for it; `config_home` is $XDG_CONFIG_HOME, if set."""
    name = service_name(kind, repo)
    match kind:
        case "system":
            return _SYSTEM_FOLDER / name
        case "user":
            return (config_home or home / ".config") / "systemd" / "user" / name
        case "launchd":
            return home / "Library" / "LaunchAgents" / f"{name}.plist"


def log_path(repo: Path, *, home: Path) -> Path:
    """Where the log goes under launchd, which has no journal."""
    return home / "Library" / "Logs" / f"{service_name('launchd', repo)}.log"


def render(
    kind: ServiceKind,
    *,
    python: Path,
    repo: Path,
    config: Path | None,
    read_write: Sequence[Path],
    user: str | None,
    log: Path | None = None,
) -> str:
    """The sealed text of a service file; all paths absolute, `python` not resolved out of its environment.

    `read_write` matters to a system unit: folders that it makes where they are missing, the state folder
    first. `user` owns the repo and is needed there too.
    `log` matters to launchd. Raises UsageError for what cannot be written down.
    """
    argv = [str(writable(python)), "-m", "collectord", "--repo", str(writable(repo))]
    argv += ["--config", str(writable(config))] if config else []
    argv += ["run"]
    match kind:
        case "system":
            paths = [python, repo, *([config] if config else []), *map(writable, read_write)]
            top = _system_part(repo, argv, read_write, user, private_tmp=not any(map(_is_temporary, paths)))
            return seal(f"{_heading(kind, repo)}{top}{common_part('collectord.service')}")
        case "user":
            top = f"{_unit_section(repo)}\n[Service]\nExecStart={command(argv)}\n"
            return seal(f"{_heading(kind, repo)}{top}{common_part('collectord-user.service')}")
        case "launchd":
            return seal(_property_list(service_name(kind, repo), argv, writable(log) if log else None))


def after_install(kind: ServiceKind, repo: Path, *, path: Path) -> tuple[str, ...]:
    """Shell commands that start the installed service, or start it again after an update."""
    name = service_name(kind, repo)
    match kind:
        case "system":
            return _systemctl("sudo systemctl", "daemon-reload", f"enable {name}", f"restart {name}")
        case "user":
            run = _systemctl("systemctl --user", "daemon-reload", f"enable {name}", f"restart {name}")
            return (*run, "loginctl enable-linger  # so that it runs while you are not logged in")
        case "launchd":
            load = f"launchctl bootstrap gui/$(id -u) {shlex.quote(str(path))}"
            return (f"launchctl bootout gui/$(id -u)/{name} 2>/dev/null; {load}",)


def after_uninstall(kind: ServiceKind, repo: Path) -> tuple[str, ...]:
    """Shell commands that stop the service whose file was removed."""
    name = service_name(kind, repo)
    match kind:
        case "system":
            return _systemctl("sudo systemctl", f"stop {name}", "daemon-reload")
        case "user":
            return _systemctl("systemctl --user", f"stop {name}", "daemon-reload")
        case "launchd":
            return (f"launchctl bootout gui/$(id -u)/{name}",)


def _heading(kind: ServiceKind, repo: Path) -> str:
    edit = "systemctl edit" if kind == "system" else "systemctl --user edit"
    return (
        "# Written by `collectord service install`, which will not replace it once it was changed by hand.\n"
        f"# Put changes of your own into a drop-in: {edit} {service_name(kind, repo)}\n\n"
    )


def _unit_section(repo: Path) -> str:
    return f"[Unit]\nDescription={sentence(f'collectord for {repo}')}\n"


def _system_part(
    repo: Path, argv: Sequence[str], read_write: Sequence[Path], user: str | None, *, private_tmp: bool
) -> str:
    if user is None:
        raise UsageError("a system service needs a user to run as; name the one who owns the repo")
    # Out of the sandbox ("+"), as its user. ReadWritePaths= holds for it even so: without a "-" before them,
    # systemd would not start it while a folder is missing, which is what it is for.
    make = [*_AS_USER, f"--reuid={user}", f"--regid={_group_of(user)}", *_MKDIR, *map(str, read_write)]
    lines = (
        f"{_unit_section(repo)}RequiresMountsFor={word(str(repo))}",
        "",
        "[Service]",
        f"User={user_name(user)}",
        f"ExecStart={command(argv)}",
        f"ExecStartPre=-+{command(make)}",
        '# The first holds the index; "-": what is to make a missing folder could not start without it.',
        *(f"ReadWritePaths={word(f'-{path}')}" for path in read_write),
        "ProtectHome=read-only",
        f"PrivateTmp={'yes' if private_tmp else 'no'}",
    )
    return "\n".join(lines) + "\n"


_AS_USER, _MKDIR = ("/usr/bin/setpriv", "--clear-groups"), ("/usr/bin/mkdir", "-p")


def _group_of(user: str) -> str:
    """The number of a user's own group; that of the user where the machine does not know it."""
    try:
        return str(pwd.getpwnam(user).pw_gid)
    except KeyError:
        return user


def _is_known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return user.isdecimal()
    return True


def _is_temporary(path: Path) -> bool:
    """Whether a service with a /tmp of its own would not find the path."""
    return any(path.is_relative_to(folder) for folder in _TEMPORARY_FOLDERS)


def _property_list(label: str, argv: Sequence[str], log: Path | None) -> str:
    values = plistlib.loads(template("com.cyntra.collectord.plist").read_bytes())
    del values["StandardErrorPath"]
    values |= {"Label": label, "ProgramArguments": list(argv)}
    values |= {"StandardErrorPath": str(log)} if log else {}
    return plistlib.dumps(values, sort_keys=False).decode()


def _systemctl(tool: str, *actions: str) -> tuple[str, ...]:
    return tuple(f"{tool} {action}" for action in actions)


_MARK = "collectord-digest: sha256:"
_MARKED_LINE = re.compile(rb"^(?:# |<!-- )" + _MARK.encode() + rb"([0-9a-f]{64})(?: -->)?\n", re.MULTILINE)

Installed = Literal["created", "updated", "unchanged"]
Uninstalled = Literal["removed", "absent"]


def seal(body: str) -> str:
    """The text with its digest in a comment: the first line, or the one after an XML declaration."""
    digest = f"{_MARK}{hashlib.sha256(body.encode()).hexdigest()}"
    if body.startswith("<?xml"):
        declaration, _, rest = body.partition("\n")
        return f"{declaration}\n<!-- {digest} -->\n{rest}"
    return f"# {digest}\n{body}"


def install(path: Path, text: str, *, force: bool = False) -> Installed:
    """Makes the file hold this sealed text, in one step.

    What is not ours, or was changed by hand, is replaced with `force` only. Raises CollectordError.
    """
    try:
        present = _content(path)
        if present == text.encode():
            return "unchanged"
        if os.path.lexists(path) and not force:
            _refuse_unless_ours(path, present, "replace")
        created = not os.path.lexists(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode(), 0o644)
    except OSError as error:
        raise CollectordError(_cannot("write", path, error)) from error
    return "created" if created else "updated"


def uninstall(path: Path, *, force: bool = False) -> Uninstalled:
    """Removes the file and the links that enabled it, under the same terms as `install`."""
    try:
        if not os.path.lexists(path):
            return "absent"
        if not force:
            _refuse_unless_ours(path, _content(path), "remove")
        for link in _enabling_links(path):
            link.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        fsync_dir(path.parent)
    except OSError as error:
        raise CollectordError(_cannot("remove", path, error)) from error
    return "removed"


def _content(path: Path) -> bytes | None:
    """The bytes of a regular file, None for anything else: a link is how systemd masks or aliases a unit."""
    try:
        return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _refuse_unless_ours(path: Path, content: bytes | None, verb: str) -> None:
    mark = _MARKED_LINE.search(content) if content is not None else None
    if content is None or mark is None:
        raise CollectordError(f"{path} was not written by collectord; --force to {verb} it all the same")
    rest = content[: mark.start()] + content[mark.end() :]
    if hashlib.sha256(rest).hexdigest().encode() != mark[1]:
        raise CollectordError(
            f"{path} was changed by hand since collectord wrote it; move the changes to a drop-in "
            f"(systemctl edit {path.name}), then --force to {verb} it"
        )


def _enabling_links(path: Path) -> list[Path]:
    """What `systemctl enable` made; it would stay and dangle, as a unit without a file cannot be disabled."""
    links = (folder / path.name for folder in sorted(path.parent.glob("*.wants")))
    return [link for link in links if link.is_symlink()]


def _cannot(verb: str, path: Path, error: OSError) -> str:
    advice = " (with sudo?)" if isinstance(error, PermissionError) else ""
    return f"cannot {verb} {path}: {error.strerror or error}{advice}"


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """`path` is where it goes (below `--root`), `next` and `after_uninstall` are shell commands.

    `unheard` are keys that this shell's environment sets and the service will not see; `user` is who a
    system service runs as, None for a service of the user who installs it.
    """

    kind: ServiceKind
    path: Path
    text: str
    next: tuple[str, ...]
    after_uninstall: tuple[str, ...]
    unheard: tuple[str, ...]
    folders: tuple[Path, ...]
    user: str | None

    @property
    def whose(self) -> str:
        """Whose service it is, in words."""
        return f"a service of the machine, run as {self.user}" if self.user else "a service of yours"

    @property
    def is_user_unknown(self) -> bool:
        """Whether this machine has no user of that name."""
        return self.user is not None and not _is_known(self.user)


def make_folders(folders: Iterable[Path], repo: Path) -> list[Path]:
    """Make what the service writes to, as the owner of the repo would have; returns those that were made."""
    own, made = repo.stat(), []
    for folder in folders:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(0o700 if path == folder else 0o755)
            if os.geteuid() == 0:
                os.chown(path, own.st_uid, own.st_gid)
            made.append(path)
    return made


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
    final = service_path(kind, settings.repo, home=home, config_home=config_home)
    text = render(
        kind,
        python=Path(os.path.abspath(sys.executable)),  # noqa: PTH100 (a resolved one leaves its environment)
        repo=settings.repo,
        config=_named_file(settings),
        read_write=folders,
        user=user,
        log=log_path(settings.repo, home=home),
    )
    return ServiceFile(
        kind,
        root / final.relative_to("/") if root else final,
        text,
        after_install(kind, settings.repo, path=final),
        after_uninstall(kind, settings.repo),
        _unheard(settings.sources),
        tuple(folders),
        user,
    )


def _unheard(sources: Mapping[str, str]) -> tuple[str, ...]:
    """Keys set by this environment; the repo is named on the command line in any case."""
    return tuple(key for key, source in sources.items() if source.startswith("COLLECTORD_") and key != "repo")


def _kind(system: bool, platform: str) -> ServiceKind:
    if platform == "darwin":
        if system:
            raise UsageError("--system is for systemd; on macOS collectord runs as the agent of a user")
        return "launchd"
    return "system" if system else "user"


def _owner(repo: Path) -> str:
    """The user who owns the repo: the kernel writes it, so collectord can read and write there."""
    return name_of(repo.stat().st_uid)


def _written_folders(settings: Settings) -> list[Path]:
    """The state folder first. Archives only where the daemon prunes."""
    archives = [settings.archives_dir] if settings.config.retention.removes_anything else []
    return [settings.state_dir, settings.benches_dir, settings.repo / ".cyntra/reports", *archives]


def _named_file(settings: Settings) -> Path | None:
    """The configuration file to name on the command line; the default one is found without that."""
    if settings.file is None or settings.file == settings.repo / DEFAULT_FILE:
        return None
    return settings.file.absolute()

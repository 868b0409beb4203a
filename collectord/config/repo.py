"""Which repo is meant, and what the environment and the flags say of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from collectord.config.document import Finding, Given, Layer, Place, unknown
from collectord.config.schema import dotted_keys, is_file_only, is_list
from collectord.errors import ConfigError

PREFIX = "COLLECTORD_"
REPO = "COLLECTORD_REPO"
CONFIG = "COLLECTORD_CONFIG"
COMMAND_LINE = "command line"

_ONLY_IN_THE_FILE = "can only be set in the configuration file"


def from_environment(environ: Mapping[str, str]) -> Layer:
    """`COLLECTORD_<SECTION>_<KEY>`; any other name with that prefix is a finding."""
    names = {variable(key): key for key in dotted_keys()}
    given: dict[str, Given] = {}
    findings = []
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if name in names and is_file_only(names[name]):
            findings.append(Finding(name, _ONLY_IN_THE_FILE))
        elif name in names:
            given[names[name]] = Given(_value(names[name], environ[name]), name, Place(name))
        elif name not in {REPO, CONFIG}:
            message = unknown(name, (*names, REPO, CONFIG)).replace("unknown key", "unknown variable")
            findings.append(Finding(name, message))
    return Layer(given, tuple(findings))


def from_command_line(overrides: Mapping[str, object]) -> Layer:
    """Dotted key → value; None stands for an option that was not given."""
    given: dict[str, Given] = {}
    findings = []
    for key, value in overrides.items():
        if key not in dotted_keys():
            findings.append(Finding(f"{COMMAND_LINE}: {key}", unknown(key, dotted_keys())))
        elif value is not None and is_file_only(key):
            findings.append(Finding(f"{COMMAND_LINE}: {key}", _ONLY_IN_THE_FILE))
        elif value is not None:
            given[key] = Given(_value(key, value), COMMAND_LINE, Place(f"{COMMAND_LINE}: {key}"))
    return Layer(given, tuple(findings))


def variable(key: str) -> str:
    """The environment variable of a dotted key."""
    return PREFIX + key.replace(".", "_").upper()


def _value(key: str, value: object) -> object:
    if isinstance(value, str) and is_list(key):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def find_repo(given: Path | None, environ: Mapping[str, str], cwd: Path) -> tuple[Path, str]:
    """(absolute repo, where it came from): `--repo`, `COLLECTORD_REPO`, or found from the working directory.

    Found is the nearest parent that holds `.cyntra/`. A repo that was named only has to
    be a directory: its archives may appear later. Raises ConfigError.
    """
    if given is not None:
        return _named(cwd / given, f"--repo {given}"), COMMAND_LINE
    if environ.get(REPO):
        return _named(cwd / environ[REPO], f"{REPO}={environ[REPO]}"), REPO
    for candidate in (cwd, *cwd.parents):
        if _is_directory(candidate / ".cyntra"):
            return candidate, "working directory"
    raise ConfigError(
        f"no Cyntra repo: neither {cwd} nor any folder above it holds a .cyntra folder; "
        f"go into the repo, or name it with --repo DIR or {REPO}"
    )


def _named(path: Path, given: str) -> Path:
    if _is_directory(path):
        return path.resolve() if ".." in path.parts else path
    trouble = "is not a directory" if path.exists() else "does not exist"
    raise ConfigError(f"{given}: {path} {trouble}; name the folder that holds .cyntra")


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False

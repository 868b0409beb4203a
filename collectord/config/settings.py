"""The configuration as loaded from its sources: flags, environment, file, defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from collectord.config.layers import MAX_BYTES, Finding, Given, Layer, Place, unknown
from collectord.config.schema import (
    DEFAULTS,
    Config,
    IgnoredPath,
    dotted_keys,
    has_unit,
    in_units,
    is_file_only,
    is_list,
    shown,
)
from collectord.errors import ConfigError
from collectord.system.mounts import SMALL_DISK_SHARE, DiskRules

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


DEFAULT = "default"


@dataclass(frozen=True)
class Settings:
    """`repo` is absolute; `sources` names where `repo` and each dotted key came from.

    `written` has the texts by which durations and sizes were given, such as `90m`.
    """

    repo: Path
    config: Config
    sources: Mapping[str, str]
    file: Path | None = None
    written: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def archives_dir(self) -> Path:
        """Where the kernel puts finished runs; may not exist yet."""
        return self._absolute(self.config.paths.archives)

    @cached_property
    def state_dir(self) -> Path:
        """Where collectord keeps what is its own."""
        return self._absolute(self.config.paths.state)

    @cached_property
    def benches_dir(self) -> Path:
        """Where datasets are published."""
        return self._absolute(self.config.paths.benches)

    @cached_property
    def index_path(self) -> Path:
        """The SQLite index."""
        return self.state_dir / "index.sqlite3"

    @cached_property
    def lock_path(self) -> Path:
        """Held exclusively by whoever writes the index."""
        return self.state_dir / "lock"

    @property
    def fleet_folder(self) -> Path | None:
        """Where the index is pushed to, if that is a folder of this machine."""
        url = self.config.fleet.url
        path = url.removeprefix("file://") if url.startswith("file:///") else url
        return Path(os.path.normpath(path)) if path.startswith("/") else None

    @property
    def disk_rules(self) -> DiskRules:
        """How much room is to be left on the disk."""
        disk = self.config.disk
        # What somebody wrote down counts as it is; the default would be most of a small disk.
        is_default = self.sources["disk.min_free_bytes"] == "default"
        share = SMALL_DISK_SHARE if is_default else float("inf")
        return DiskRules(disk.min_free_percent, disk.min_free_bytes, share)

    def rows(self) -> list[tuple[str, object, str]]:
        """(key, plain JSON value, source) of the repo and every key, in the order of the model."""
        keys = [(key, _plain(value_of(self.config, key)), self.sources[key]) for key in dotted_keys()]
        return [("repo", str(self.repo), self.sources["repo"]), *keys]

    def value_text(self, key: str, value: object) -> str:
        """A value of `rows` for a person: durations and sizes as they were written, else in whole units."""
        return self.written.get(key) or (key != "repo" and in_units(key, value)) or _text(value)

    def _absolute(self, path: str) -> Path:
        return Path(os.path.normpath(self.repo / path))


def value_of(config: Config, dotted: str) -> object:
    """The value of one dotted key."""
    section, _, key = dotted.partition(".")
    value: object = getattr(getattr(config, section), key)
    return value


def _text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return ", ".join(f"{key}: {inner}" for key, inner in value.items())
        case list():
            return ", ".join(map(_text, value))
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, IgnoredPath):
        return {key: _plain(inner) for key, inner in asdict(value).items()}
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


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


DEFAULT_FILE = Path(".cyntra/collectord.yaml")


def load(
    *,
    repo: Path | None,
    config: Path | None,
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: Path,
) -> Settings:
    """The settings for one command; `overrides` are dotted keys from its options, None meaning not given.

    Raises ConfigError with every finding of every source, one a line.
    """
    found, repo_source = find_repo(repo, environ, cwd)
    file, from_file = _read_file(config, environ, found, cwd)
    layers = [from_file, from_environment(environ), from_command_line(overrides)]
    home = environ.get("HOME")
    findings = [finding for layer in layers for finding in _check(layer, home)]
    if findings:
        raise ConfigError("\n".join(map(str, findings)))
    given = {key: value for layer in layers for key, value in layer.given.items()}
    sources = {key: given[key].source if key in given else DEFAULT for key in dotted_keys()}
    written = {key: one.value for key, one in given.items() if isinstance(one.value, str) and has_unit(key)}
    settings = Settings(
        found,
        _build(given, home),
        MappingProxyType({"repo": repo_source, **sources}),
        file,
        MappingProxyType(written),
    )
    _refuse_writing_into_archives(settings, given)
    return settings


def _read_file(
    config: Path | None, environ: Mapping[str, str], repo: Path, cwd: Path
) -> tuple[Path | None, Layer]:
    """The file that counts and what it says; only the default file may be missing."""
    named = config or (Path(environ[CONFIG]) if environ.get(CONFIG) else None)
    path = cwd / (named or repo / DEFAULT_FILE)
    label = str(named) if named else _near(path, cwd)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if named is None and not path.is_symlink():
            return None, Layer({})
        return path, Layer({}, (Finding(label, f"cannot be read: {_reason(error)}"),))
    except (OSError, ValueError) as error:
        return path, Layer({}, (Finding(label, f"cannot be read: {_reason(error)}"),))
    from collectord.config.document import parse

    return path, parse(data, label)


def _check(layer: Layer, home: str | None) -> Iterable[Finding]:
    """Every finding of one source, in its order; each source is checked on its own, shadowed or not."""
    findings = list(layer.findings)
    if not layer.given:
        return findings
    from pydantic import ValidationError

    try:
        _build(layer.given, home)
    except ValidationError as error:
        for details in error.errors():
            given = layer.given[".".join(map(str, details["loc"][:2]))]
            place = given.place_of(details["loc"][2:])
            findings.append(Finding(place.where, _message(details), place.line, place.column))
    return sorted(findings, key=lambda finding: (finding.line, finding.column))


def _build(given: Mapping[str, Given], home: str | None) -> Config:
    if not given:
        return DEFAULTS
    from pydantic import TypeAdapter

    sections: dict[str, dict[str, object]] = {}
    for dotted, value in given.items():
        section, _, key = dotted.partition(".")
        sections.setdefault(section, {})[key] = value.value
    return TypeAdapter(Config).validate_python(sections, context={"home": home})


def _message(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"{shown(details['input'])} is not {context['expected']}"
        case "missing":
            return f"has no {details['loc'][-1]}; write one"
        case "unexpected_keyword_argument":
            return unknown(str(details["loc"][-1]), [one.name for one in fields(IgnoredPath)])
        case "tuple_type":
            return f"{shown(details['input'])} is not a list; begin each entry with a dash"
        case "dict_type" | "mapping_type" | "dataclass_type":
            return f"{shown(details['input'])} is not a mapping; indent its keys below it"
    return f"{shown(details['input'])}: {details['msg']}"


def _refuse_writing_into_archives(settings: Settings, given: Mapping[str, Given]) -> None:
    """Our own files in the archives folder would be taken for archives, and pruned with them by others."""
    ours = {"paths.state": settings.state_dir, "paths.benches": settings.benches_dir}
    if settings.fleet_folder is not None:
        ours["fleet.url"] = settings.fleet_folder
    inside = [key for key, folder in ours.items() if folder.is_relative_to(settings.archives_dir)]
    if inside:
        message = f"lies inside the archives folder {settings.archives_dir}; choose a folder beside it"
        raise ConfigError("\n".join(f"{_where(key, given)}: {ours[key]} {message}" for key in inside))


def _where(key: str, given: Mapping[str, Given]) -> str:
    """The place to change: of the key itself, or of the archives folder where the key has its default."""
    value = given.get(key) or given.get("paths.archives")
    return value.place.where if value else key


def _near(path: Path, cwd: Path) -> str:
    """How a file that was found is named: from the working directory where it lies below it."""
    below = path.is_relative_to(cwd) and cwd != Path("/")  # where services work
    return str(path.relative_to(cwd)) if below else str(path)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

"""Puts the sources of configuration together: command line, environment, file, defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from collectord.config import document
from collectord.config.document import Finding, Given, Layer, unknown
from collectord.config.repo import CONFIG, find_repo, from_command_line, from_environment
from collectord.config.schema import Config, IgnoredPath, dotted_keys, shown
from collectord.config.settings import DEFAULT, Settings
from collectord.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

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
    settings = Settings(found, _build(given, home), MappingProxyType({"repo": repo_source, **sources}), file)
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
            data = stream.read(document.MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if named is None and not path.is_symlink():
            return None, Layer({})
        return path, Layer({}, (Finding(label, f"cannot be read: {_reason(error)}"),))
    except (OSError, ValueError) as error:
        return path, Layer({}, (Finding(label, f"cannot be read: {_reason(error)}"),))
    return path, document.parse(data, label)


def _check(layer: Layer, home: str | None) -> Iterable[Finding]:
    """Every finding of one source, in its order; each source is checked on its own, shadowed or not."""
    findings = list(layer.findings)
    try:
        _build(layer.given, home)
    except ValidationError as error:
        for details in error.errors():
            given = layer.given[".".join(map(str, details["loc"][:2]))]
            place = given.place_of(details["loc"][2:])
            findings.append(Finding(place.where, _message(details), place.line, place.column))
    return sorted(findings, key=lambda finding: (finding.line, finding.column))


def _build(given: Mapping[str, Given], home: str | None) -> Config:
    sections: dict[str, dict[str, object]] = {}
    for dotted, value in given.items():
        section, _, key = dotted.partition(".")
        sections.setdefault(section, {})[key] = value.value
    return Config.model_validate(sections, context={"home": home})


def _message(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"{shown(details['input'])} is not {context['expected']}"
        case "greater_than_equal":
            return f"{shown(details['input'])} is too small; write {context['ge']} or more"
        case "less_than_equal":
            return f"{shown(details['input'])} is too large; write {context['le']} or less"
        case "missing":
            return f"has no {details['loc'][-1]}; write one"
        case "extra_forbidden":
            return unknown(str(details["loc"][-1]), IgnoredPath.model_fields)
        case "tuple_type":
            return f"{shown(details['input'])} is not a list; begin each entry with a dash"
        case "dict_type" | "mapping_type" | "model_type" | "model_attributes_type":
            return f"{shown(details['input'])} is not a mapping; indent its keys below it"
    return f"{shown(details['input'])}: {details['msg']}"


def _refuse_writing_into_archives(settings: Settings, given: Mapping[str, Given]) -> None:
    """Our own files in the archives folder would be taken for archives, and pruned with them by others."""
    ours = {"paths.state": settings.state_dir, "paths.benches": settings.benches_dir}
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
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

"""The command line of a process → what of a kernel's changes labels (CONTRACT.md section 5). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

CONFIG_PATH = ".cyntra/config.yaml"  # what a kernel reads that is started without `-c`
# `python -m cyntra.cli run …`, and the script `cyntra`, started by itself or by an interpreter.
_MODULES = ("cyntra", "cyntra.cli")
_SCRIPTS = ("cyntra", "cyntra.exe")
_INTERPRETER = re.compile(r"(?:python|pypy)[0-9.]*[a-z]*|sh|bash|dash|zsh|ksh")
# Options of an interpreter that take the word after them.
_WITH_VALUE = ("-X", "-W", "--check-hash-based-pycs")

_CONFIG = {"-c": "config", "--config": "config"}
_OPTIONS = {**_CONFIG, "--universe": "universe", "--max-concurrent": "max_concurrent", "--issue": "issue"}


@dataclass(frozen=True, slots=True)
class KernelCommand:
    """`cyntra run` as it was typed, as far as it changes labels; `config` is a path as it was given."""

    config: str | None = None
    universe: str | None = None
    speculate: bool = False
    max_concurrent: int | None = None


def kernel_command(arguments: Sequence[str]) -> KernelCommand | None:
    """The command of a kernel, None for any other process; a dry run dispatches nothing and is none."""
    rest = _after_the_program(arguments)
    if rest is None:
        return None
    position = _position_of_command(rest)
    if position is None or rest[position] != "run":
        return None
    given = rest[position + 1 :]
    if "--dry-run" in given or "--help" in given:
        return None
    values = {**_values(rest[:position], _CONFIG), **_values(given, _OPTIONS)}
    return KernelCommand(
        values.get("config"),
        values.get("universe"),
        "--speculate" in given,
        _whole(values.get("max_concurrent")),
    )


def _after_the_program(arguments: Sequence[str]) -> Sequence[str] | None:
    """The words after `cyntra`, None where something else runs."""
    if not arguments:
        return None
    if PurePath(arguments[0]).name in _SCRIPTS:
        return arguments[1:]
    if not _INTERPRETER.fullmatch(PurePath(arguments[0]).name):
        return None
    return _after_the_interpreter(arguments[1:])


def _after_the_interpreter(words: Sequence[str]) -> Sequence[str] | None:
    position = 0
    while position < len(words):
        word = words[position]
        if word == "-m":
            return words[position + 2 :] if _is_any(words, position + 1, _MODULES) else None
        if not word.startswith("-"):
            return words[position + 1 :] if PurePath(word).name in _SCRIPTS else None
        if word == "-c":
            return None
        position += 2 if word in _WITH_VALUE else 1
    return None


def _is_any(words: Sequence[str], position: int, names: Sequence[str]) -> bool:
    return position < len(words) and words[position] in names


def _position_of_command(words: Sequence[str]) -> int | None:
    """Where the sub-command stands, behind the options of the group."""
    position = 0
    while position < len(words):
        if not words[position].startswith("-"):
            return position
        position += 2 if words[position] in _CONFIG else 1
    return None


def _values(words: Sequence[str], options: Mapping[str, str]) -> dict[str, str]:
    """Option name → its value, the last one given: `--name value`, `--name=value`, `-cvalue`."""
    return dict(_pairs(words, options))


def _pairs(words: Sequence[str], options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    following = iter(words)
    for word in following:
        name, has_value, value = word.partition("=")
        if word in options:
            if (after := next(following, None)) is not None:
                yield options[word], after
        elif name.startswith("--") and name in options and has_value:
            yield options[name], value
        elif word.startswith("-c") and "-c" in options:
            yield "config", word[2:].removeprefix("=")


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else None

"""Every key of the configuration with its default, its unit and its limits.

Plain dataclasses: pydantic reads values into them, and is imported only where a value was given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_type_hints

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, ValidationInfo
    from pydantic_core import CoreSchema

_AMOUNT = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", re.ASCII)
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SWITCH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_RULE = re.compile(
    r"(universe|prompts|routing|speculation|control|toolchains|gates|planner|scheduling)\.[a-z_]+|unrecognised"
)
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
OFF = "off"
_SHOWN_CHARACTERS = 60
_LONGEST_SECONDS = 3650 * 86400.0


def shown(value: object) -> str:
    """The value as a finding quotes it: one line, cut where it is long."""
    if isinstance(value, dict):
        return "a mapping"
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits has no decimal form
        return "a huge number"
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def duration(value: object) -> float:
    """Seconds, from a number of seconds or text such as `500ms`, `30s`, `5m`, `2h`, `14d`."""
    amount = _amount(value, _SECONDS)
    if amount is None or amount < 0:
        raise ValueError(f"{shown(value)} is not a duration; write seconds or 30s, 5m, 14d")
    if amount > _LONGEST_SECONDS:
        raise ValueError(f"{shown(value)} is longer than ten years; write seconds or 30s, 5m, 14d")
    return amount


def duration_with_unit(value: object) -> float:
    """A duration by which data is removed for good: a number alone does not say of what."""
    seconds = duration(value)
    text = str(value).strip()
    if seconds != 0 and text.replace(".", "", 1).isdigit():
        raise ValueError(f"{text} has no unit: write {text}d for days, or h, m, s")
    return seconds


def age(value: object) -> float | str:
    """A duration of more than nothing, with its unit, or `off`."""
    if is_off(value):
        return OFF
    seconds = duration_with_unit(value)
    if seconds == 0:
        raise ValueError("0 would mean everything at once; write off, or an age such as 14d")
    return seconds


def time_of_day(value: object) -> str:
    """A time such as 03:00 (which YAML reads as minutes where it begins with another digit), or `off`."""
    if is_off(value):
        return OFF
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if found:
        return f"{int(found[1]):02}:{found[2]}"
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    raise ValueError(f"{shown(value)} is not a time of the day; write 03:00, or off")


def is_off(value: object) -> bool:
    """Whether something is switched off: YAML reads the bare word as false."""
    return value is False or (isinstance(value, str) and value.strip().lower() == OFF)


def word(value: object) -> object:
    """One of some words, of which YAML may have read `off` as false."""
    return OFF if is_off(value) else value


def size(value: object) -> int:
    """Bytes, from a number of bytes or text such as `64KiB`, `8MiB`, `1GB`."""
    amount = _amount(value, _BYTES)
    if amount is None or not 0 <= amount < 2**63 or amount != int(amount):
        raise ValueError(f"{shown(value)} is not a size; write bytes or 64KiB, 8MiB, 1GiB")
    return int(amount)


def count(value: object) -> int:
    """A whole number; a switch is not one, although Python counts it as 1."""
    amount = _amount(value, {"": 1})
    if amount is None or amount != int(amount):
        raise ValueError(f"{shown(value)} is not a whole number")
    return int(amount)


def percent(value: object) -> float:
    """A share of a hundred, from a number or text such as `1%`."""
    text = value.strip().removesuffix("%") if isinstance(value, str) else value
    amount = _amount(text, {"": 1.0})
    if amount is None or not 0 <= amount <= 100:
        raise ValueError(f"{shown(value)} is not a percentage; write a number from 0 to 100")
    return float(amount)


def switch(value: object) -> bool:
    """True or false, as YAML or as the words people write in an environment."""
    if isinstance(value, bool):
        return value
    answer = _SWITCH.get(value.strip().lower()) if isinstance(value, str) else None
    if answer is None:
        raise ValueError(f"{shown(value)} is not a switch; write true or false")
    return answer


def directory_names(value: object) -> tuple[str, ...]:
    """Names of directories without any path in them."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list; write [name, other]")
    for name in value:
        if not isinstance(name, str) or not name or name in {".", ".."} or "/" in name or "\0" in name:
            raise ValueError(f"{shown(name)} is not the name of a directory; write a name without slashes")
    return tuple(value)


def text(value: object) -> str:
    """Some words."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{shown(value)} says nothing; write a few words")
    return value


def day(value: object) -> date:
    """A day such as 2026-12-31, as YAML reads it or as text."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"{shown(value)} is not a day; write 2026-12-31") from None


def environment_path(value: object) -> str:
    """A JSON pointer into the environment; `*` in it stands for any one part."""
    if not isinstance(value, str) or not re.fullmatch(r"(/[^/]+)+", value):
        raise ValueError(f"{shown(value)} is not a path; write /gates/test_command or /toolchains/*/env")
    return value


def rule_or_path(value: object) -> str:
    """The id of a rule, as `drift` shows it, or a path."""
    if isinstance(value, str) and (value.startswith("/") or _RULE.fullmatch(value)):
        return environment_path(value) if value.startswith("/") else value
    raise ValueError(f"{shown(value)} is neither a rule such as gates.test_command nor a path")


def folder(value: object, home: str | None) -> str:
    """A path as text with a leading `~` replaced by `home`; not yet made absolute."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"{shown(value)} is not a path")
    if not value.startswith("~"):
        return value
    if home and (value == "~" or value.startswith("~/")):
        return home + value[1:]
    raise ValueError(f"{shown(value)} names a home directory that is not known here; write the full path")


def _amount(value: object, factors: dict[str, float] | dict[str, int]) -> float | int | None:
    """The number times its unit, or None where it is neither a number nor text that reads as one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, unit = match.groups()
    factor = factors.get(unit.lower())
    if factor is None:
        return None
    return (float(number) if "." in number else int(number)) * factor


def textfile(value: object) -> str:
    """An absolute path that ends in .prom, as node_exporter wants it, or `off`."""
    if is_off(value):
        return OFF
    if isinstance(value, str) and value.startswith("/") and value.endswith(".prom"):
        return value
    raise ValueError(f"{shown(value)} is no such file; write /var/lib/node_exporter/collectord.prom, or off")


def address(value: object) -> str:
    """`127.0.0.1:9464`, or `off`."""
    if is_off(value):
        return OFF
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if host and port.isdigit() and 0 < int(port) < 65536:
        return f"{host}:{port}"
    raise ValueError(f"{shown(value)} is no address; write 127.0.0.1:9464, or off")


_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,3}", re.ASCII)


def source_name(value: object) -> str:
    """The name of this index among others, such as `build-7/kernel`, or `off`."""
    if is_off(value):
        return OFF
    if isinstance(value, str) and is_source_name(value):
        return value
    raise ValueError(
        f"{shown(value)} is not the name of a source; write host/repo, such as build-7/kernel: up to four "
        "parts of letters, digits, dots, dashes and underscores"
    )


def is_source_name(text: str) -> bool:
    """Whether a text can name a source: it becomes folders of a storage."""
    parts = text.split("/")
    return _SOURCE.fullmatch(text) is not None and not any(part.endswith((".json", ".zst")) for part in parts)


def storage_url(value: object) -> str:
    """Where a fleet lies: an absolute path or a URL of a storage library, without credentials; or `off`."""
    if is_off(value):
        return OFF
    if not isinstance(value, str) or not _URL.fullmatch(value):
        # Not quoted: what was meant as one may hold a password.
        raise ValueError("is no storage; write an absolute path, file:///srv/fleet or s3://bucket/prefix")
    if not value.startswith("/") and re.search(r"//[^/]*:[^/]*@|[?#]|//[^/]*@.*@", value):
        raise ValueError(
            "holds credentials or options; those come from the storage library's own places "
            "(environment, ~/.aws, ~/.config/fsspec), never from here"
        )
    return value


_URL = re.compile(r"/[^\0\s]*|[a-z][a-z0-9+.-]*://[^\0\s]+")


def _folder(value: object, info: ValidationInfo) -> str:
    return folder(value, (info.context or {}).get("home"))


@dataclass(frozen=True, slots=True)
class Read:
    """Turns a given value into the key's, between limits where it has some; raises ValueError."""

    by: Callable[..., Any]
    least: float | None = None
    most: float | None = None

    def __call__(self, value: object) -> object:
        """The value that was read."""
        found = self.by(value)
        if self.least is not None and found < self.least:
            raise ValueError(f"{shown(found)} is too small; write {self.least} or more")
        if self.most is not None and found > self.most:
            raise ValueError(f"{shown(found)} is too large; write {self.most} or less")
        return found

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        if self.by is _folder:
            return core_schema.with_info_before_validator_function(_folder, handler(source))
        return core_schema.no_info_before_validator_function(self, handler(source))


Duration = Annotated[float, Read(duration)]
Age = Annotated[float | str, Read(age)]
TimeOfDay = Annotated[str, Read(time_of_day)]
Size = Annotated[int, Read(size)]
Count = Annotated[int, Read(count)]
TextFile = Annotated[str, Read(textfile)]
Address = Annotated[str, Read(address)]
StorageUrl = Annotated[str, Read(storage_url)]
SourceName = Annotated[str, Read(source_name)]
Percent = Annotated[float, Read(percent)]
Switch = Annotated[bool, Read(switch)]
Names = Annotated[tuple[str, ...], Read(directory_names)]
Folder = Annotated[str, Read(_folder)]
Day = Annotated[date, Read(day)]
Text = Annotated[str, Read(text)]
Path = Annotated[str, Read(environment_path)]
RuleOrPath = Annotated[str, Read(rule_or_path)]
Weekday = Annotated[
    Literal["off", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    Read(word),
]
Severity = Literal["epoch", "warn", "info"]

# Marks a key whose value is a mapping or holds mappings: a variable or an option cannot give it.
FILE_ONLY = object()


@dataclass(frozen=True, slots=True)
class Paths:
    """Folders, relative to the repo or absolute."""

    archives: Folder = ".cyntra/archives"
    state: Folder = ".cyntra/state/collectord"
    benches: Folder = ".cyntra/benches"


@dataclass(frozen=True, slots=True)
class Watch:
    """How new archives are noticed."""

    mode: Literal["auto", "events", "poll"] = "auto"
    poll_interval: Annotated[float, Read(duration, 0.05)] = 30
    gone_after: Duration = 60
    mass_gone_after: Duration = 86_400
    ignore: Names = ("orphaned-workcells",)


@dataclass(frozen=True, slots=True)
class Settle:
    """When an archive counts as whole."""

    min_age: Duration = 2
    short: Duration = 2
    long: Duration = 30
    stalled_after: Duration = 3600


@dataclass(frozen=True, slots=True)
class Limits:
    """What one archive may make collectord read."""

    json_bytes: Annotated[int, Read(size, 1024, 2**30)] = 8 * 2**20
    entries: Annotated[int, Read(count, 1, 1_000_000)] = 10_000


@dataclass(frozen=True, slots=True)
class Ingest:
    """How archives go into the index."""

    batch: Annotated[int, Read(count, 1, 10_000)] = 200
    quarantine_after: Annotated[int, Read(count, 1, 1000)] = 3


@dataclass(frozen=True, slots=True)
class Export:
    """What a dataset holds where the command does not say otherwise."""

    profile: Literal["dispatch", "builder"] = "dispatch"
    n_similar: Annotated[int, Read(count, 0, 10_000)] = 8
    include_world: Switch = False


@dataclass(frozen=True, slots=True)
class Audit:
    """What `collectord audit` looks at, and when the daemon runs it."""

    window: Annotated[float, Read(duration, 3600)] = 7 * 86400
    weekly: Weekday = "monday"
    hour: Annotated[int, Read(count, 0, 23)] = 4


@dataclass(frozen=True, slots=True)
class Disk:
    """When writing pauses because the disk is nearly full: below the larger of the two."""

    min_free_percent: Percent = 1
    min_free_bytes: Size = 512 * 2**20


@dataclass(frozen=True, slots=True)
class IgnoredPath:
    """A place in the environment whose changes do not count until a day is over, and why."""

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    path: Path
    reason: Text
    until: Day


@dataclass(frozen=True, slots=True)
class Environment:
    """What collectord makes of changes in the configuration of the kernel."""

    debounce: Duration = 30
    seal_after: Duration = 0
    severity: Annotated[Mapping[RuleOrPath, Severity], FILE_ONLY] = field(default_factory=dict)
    ignore: Annotated[tuple[IgnoredPath, ...], FILE_ONLY] = ()


@dataclass(frozen=True, slots=True)
class Backup:
    """Copies of the index in the state folder, and when the daemon makes one (UTC)."""

    at: TimeOfDay = "03:00"
    keep: Annotated[int, Read(count, 1, 10_000)] = 7


@dataclass(frozen=True, slots=True)
class Retention:
    """What the daemon prunes, and when it does (UTC)."""

    at: TimeOfDay = "04:30"
    logs_older_than: Age = OFF
    renders_older_than: Age = OFF
    archives_older_than: Age = OFF

    @property
    def removes_anything(self) -> bool:
        """Whether any age is given, at a time at which it counts."""
        ages = (self.logs_older_than, self.renders_older_than, self.archives_older_than)
        return self.at != OFF and any(age != OFF for age in ages)


@dataclass(frozen=True, slots=True)
class Log:
    """What is said on stderr, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


@dataclass(frozen=True, slots=True)
class Daemon:
    """Timers of the always-on loop."""

    heartbeat_interval: Annotated[float, Read(duration, 0.05)] = 10
    shutdown_timeout: Annotated[float, Read(duration, 0.05)] = 10


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where the daemon puts what `collectord metrics` prints."""

    textfile: TextFile = OFF
    listen: Address = OFF


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where the index is pushed to, under which name, and when the daemon does it (UTC)."""

    url: StorageUrl = OFF
    source: SourceName = OFF
    at: TimeOfDay = "03:30"
    keep: Annotated[int, Read(count, 1, 10_000)] = 7


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; every section and key has a default."""

    paths: Paths = Paths()
    watch: Watch = Watch()
    settle: Settle = Settle()
    limits: Limits = Limits()
    ingest: Ingest = Ingest()
    export: Export = Export()
    audit: Audit = Audit()
    disk: Disk = Disk()
    environment: Environment = Environment()
    backup: Backup = Backup()
    retention: Retention = Retention()
    log: Log = Log()
    daemon: Daemon = Daemon()
    metrics: Metrics = Metrics()
    fleet: Fleet = Fleet()


DEFAULTS = Config()


def section_names() -> tuple[str, ...]:
    """Every section, in the order of the file."""
    return tuple(section.name for section in fields(Config))


@cache
def dotted_keys() -> tuple[str, ...]:
    """Every key as `section.key`, in the order of the file."""
    return tuple(
        f"{section}.{key.name}" for section in section_names() for key in fields(getattr(DEFAULTS, section))
    )


def is_file_only(dotted: str) -> bool:
    """Whether only a file can give the key: its value has parts of its own."""
    return FILE_ONLY in _marks(dotted)


def has_unit(dotted: str) -> bool:
    """Whether the key holds a duration or a size."""
    return bool(_units_of(dotted))


def in_units(dotted: str, value: object) -> str | None:
    """A duration or a size in the largest unit of which it is a whole number; None for any other value."""
    units = _units_of(dotted)
    if not units or not isinstance(value, int | float):
        return None
    if value == 0:
        return "0"
    for unit, factor in reversed(units):
        amount = value / factor
        if amount >= 1 and amount == int(amount):
            return f"{int(amount)}{unit}"
    return str(value)


def _units_of(dotted: str) -> list[tuple[str, float]]:
    readers = {mark.by for mark in _marks(dotted) if isinstance(mark, Read)}
    if readers & {duration, age}:
        return [(unit, factor) for unit, factor in _SECONDS.items() if unit]
    return [("B", 1), ("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30)] if size in readers else []


def is_list(dotted: str) -> bool:
    """Whether the key holds a list, which text gives separated by commas."""
    section, _, key = dotted.partition(".")
    return isinstance(getattr(getattr(DEFAULTS, section), key), tuple)


def _marks(dotted: str) -> tuple[object, ...]:
    """What stands beside the type of a key."""
    section, _, key = dotted.partition(".")
    hints = get_type_hints(type(getattr(DEFAULTS, section)), include_extras=True)
    return get_args(hints[key])[1:]

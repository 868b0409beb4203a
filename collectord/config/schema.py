"""Every key of the configuration with its type, range and default; `config.example.yaml` says why.

Durations are seconds, sizes are bytes. The model is frozen and knows no other keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from collectord.config import types


def _folder(value: object, info: ValidationInfo) -> str:
    return types.folder(value, (info.context or {}).get("home"))


Duration = Annotated[float, BeforeValidator(types.duration)]
Age = Annotated[float | str, BeforeValidator(types.age)]
TimeOfDay = Annotated[str, BeforeValidator(types.time_of_day)]
Size = Annotated[int, BeforeValidator(types.size)]
Count = Annotated[int, BeforeValidator(types.count)]
Percent = Annotated[float, BeforeValidator(types.percent)]
Switch = Annotated[bool, BeforeValidator(types.switch)]
Names = Annotated[tuple[str, ...], BeforeValidator(types.directory_names)]
Folder = Annotated[str, BeforeValidator(_folder)]
Day = Annotated[date, BeforeValidator(types.day)]
Text = Annotated[str, BeforeValidator(types.text)]
Path = Annotated[str, BeforeValidator(types.environment_path)]
RuleOrPath = Annotated[str, BeforeValidator(types.rule_or_path)]
Weekday = Annotated[
    Literal["off", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    BeforeValidator(types.word),
]
Severity = Literal["epoch", "warn", "info"]

# Marks a key whose value is a mapping or holds mappings: a variable or an option cannot give it.
FILE_ONLY = object()


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Paths(_Section):
    """Folders, relative to the repo or absolute."""

    archives: Folder = ".cyntra/archives"
    state: Folder = ".cyntra/state/collectord"
    benches: Folder = ".cyntra/benches"


class Watch(_Section):
    """How new archives are noticed."""

    mode: Literal["auto", "events", "poll"] = "auto"
    poll_interval: Duration = Field(default=30, ge=0.05)
    gone_after: Duration = 60
    mass_gone_after: Duration = 86_400
    ignore: Names = ("orphaned-workcells",)


class Settle(_Section):
    """When an archive counts as whole."""

    min_age: Duration = 2
    short: Duration = 2
    long: Duration = 30
    stalled_after: Duration = 3600


class Limits(_Section):
    """What one archive may make collectord read."""

    json_bytes: Size = Field(default=8 * 2**20, ge=1024, le=2**30)
    entries: Count = Field(default=10_000, ge=1, le=1_000_000)


class Ingest(_Section):
    """How archives go into the index."""

    batch: Count = Field(default=200, ge=1, le=10_000)
    quarantine_after: Count = Field(default=3, ge=1, le=1000)


class Export(_Section):
    """What a dataset holds where the command does not say otherwise."""

    profile: Literal["dispatch", "builder"] = "dispatch"
    n_similar: Count = Field(default=8, ge=0, le=10_000)
    include_world: Switch = False


class Audit(_Section):
    """What `collectord audit` looks at, and when the daemon runs it."""

    window: Duration = Field(default=7 * 86400, ge=3600)
    weekly: Weekday = "monday"
    hour: Count = Field(default=4, ge=0, le=23)


class Disk(_Section):
    """When writing pauses because the disk is nearly full: below the larger of the two."""

    min_free_percent: Percent = 1
    min_free_bytes: Size = 512 * 2**20


class IgnoredPath(_Section):
    """A place in the environment whose changes do not count until a day is over, and why."""

    path: Path
    reason: Text
    until: Day


class Environment(_Section):
    """What collectord makes of changes in the configuration of the kernel."""

    debounce: Duration = 30
    seal_after: Duration = 0
    severity: Annotated[Mapping[RuleOrPath, Severity], FILE_ONLY] = {}
    ignore: Annotated[tuple[IgnoredPath, ...], FILE_ONLY] = ()


class Backup(_Section):
    """Copies of the index in the state folder, and when the daemon makes one (UTC)."""

    at: TimeOfDay = "03:00"
    keep: Count = Field(default=7, ge=1, le=10_000)


class Retention(_Section):
    """What the daemon prunes, and when it does (UTC)."""

    at: TimeOfDay = "04:30"
    logs_older_than: Age = types.OFF
    renders_older_than: Age = types.OFF
    archives_older_than: Age = types.OFF

    @property
    def removes_anything(self) -> bool:
        """Whether any age is given, at a time at which it counts."""
        ages = (self.logs_older_than, self.renders_older_than, self.archives_older_than)
        return self.at != types.OFF and any(age != types.OFF for age in ages)


class Log(_Section):
    """What is said on stderr, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Daemon(_Section):
    """Timers of the always-on loop."""

    heartbeat_interval: Duration = Field(default=10, ge=0.05)
    shutdown_timeout: Duration = Field(default=10, ge=0.05)


class Config(_Section):
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


def dotted_keys() -> tuple[str, ...]:
    """Every key as `section.key`, in the order of the model."""
    return tuple(
        f"{section}.{key}"
        for section, field in Config.model_fields.items()
        for key in _section_type(field.annotation).model_fields
    )


def is_file_only(dotted: str) -> bool:
    """Whether only a file can give the key: its value has parts of its own."""
    section, _, key = dotted.partition(".")
    field = _section_type(Config.model_fields[section].annotation).model_fields[key]
    return any(mark is FILE_ONLY for mark in field.metadata)


def is_list(dotted: str) -> bool:
    """Whether the key holds a list, which text gives separated by commas."""
    section, _, key = dotted.partition(".")
    return isinstance(getattr(getattr(Config(), section), key), tuple)


def _section_type(annotation: object) -> type[_Section]:
    if not (isinstance(annotation, type) and issubclass(annotation, _Section)):
        raise TypeError(f"{annotation} is not a section")
    return annotation

"""What a dataset of a fleet is asked for, and the key under which the work for one source is kept."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from collectord.dataset.columns import ROW_COLUMNS, TEXT, Column
from collectord.dataset.credentials import detector_version
from collectord.dataset.parquet import pyarrow_version
from collectord.dataset.row_plan import BY_ISSUE, BY_TIME, ExportOptions
from collectord.fleet.manifest import Push
from collectord.kernel.jsonio import canonical
from collectord.system.own_code import code_stamp

BY_SOURCE = "source"
SHARD_ROWS = 10_000
# Raise it whenever what is kept for a source has another form.
_FORMAT = 1
SOURCE_COLUMN = Column("source", TEXT, "The index that the row is from: run ids of two can be the same.")
FLEET_COLUMNS = (SOURCE_COLUMN, *ROW_COLUMNS)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """`environments` are fingerprints, None for all runs; rows of other environments are left out.

    `split_by` is BY_TIME over all sources, BY_ISSUE or BY_SOURCE. `shard_rows` is how many rows a file has,
    and `jsonl` whether there are files of JSON lines too. The profile is always `dispatch`: the other one
    needs what no index holds.
    """

    environments: tuple[str, ...] | None = None
    split_by: str = BY_TIME
    redact: bool = False
    shard_rows: int = SHARD_ROWS
    jsonl: bool = False

    def as_json(self) -> dict[str, Any]:
        """The options as they stand in fleet.json."""
        return {
            "profile": "dispatch",
            "environments": None if self.environments is None else list(self.environments),
            "split_by": self.split_by,
            "redact": self.redact,
            "shard_rows": self.shard_rows,
            "jsonl": self.jsonl,
        }

    def of_source(self) -> ExportOptions:
        """What the source's own machine would be asked for."""
        one = self.environments[0] if self.environments and len(self.environments) == 1 else None
        by = self.split_by if self.split_by == BY_ISSUE else BY_TIME
        return ExportOptions(environment=one, split_by=by, redact=self.redact)


def options_from_json(value: dict[str, Any]) -> FleetOptions:
    """The options in a fleet.json; raises KeyError or TypeError where there are none."""
    chosen = value["environments"]
    return FleetOptions(
        None if chosen is None else tuple(map(str, chosen)),
        str(value["split_by"]),
        bool(value["redact"]),
        int(value["shard_rows"]),
        bool(value["jsonl"]),
    )


def render_key(push: Push, options: FleetOptions) -> str:
    """A digest of all that the rows of one source depend on, our own code and its libraries included.

    How rows are split later, and into how many files, is not in it: only what the source itself gives.
    """
    parts = [
        _FORMAT,
        push.source,
        push.index_sha256,
        push.universe.model_dump(mode="json"),
        None if options.environments is None else sorted(options.environments),
        options.of_source().as_json(),
        version("collectord"),
        platform.python_version(),
        pyarrow_version(),
        detector_version(),
        code_stamp(),
    ]
    return sha256(canonical(parts).encode("utf-8", "surrogatepass")).hexdigest()

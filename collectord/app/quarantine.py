"""Archives that were not taken: looked at one by one, and given another chance."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.app import quarantined, reader_for, writer_for
from collectord.errors import CollectordError, LockHeld
from collectord.model import OutcomeKind
from collectord.names import readable_name

if TYPE_CHECKING:
    from collectord.config import Settings


def in_quarantine(settings: Settings, wanted: str) -> list[dict[str, Any]]:
    """What is known of a directory in quarantine, by its name or path, with what helps.

    An archive and a world run may share a name. Raises CollectordError for one that is not there.
    """
    name = readable_name(Path(wanted).name)
    found = [row for row in quarantined(settings) if row["name"] == name]
    if not found:
        raise _not_there([name])
    return [{**row, "advice": _advice(settings, row)} for row in found]


def _advice(settings: Settings, row: dict[str, Any]) -> str | None:
    from collectord.index.queries import directory
    from collectord.overview.explain import advice_for

    with reader_for(settings) as reader:
        known = directory(reader, row["kind"], row["name"]) or {}
    has_revision = known.get("revision") is not None
    return advice_for(OutcomeKind.QUARANTINED, row["reason"], has_revision=has_revision)


def requeue(settings: Settings, wanted: Collection[str] | None) -> list[str]:
    """Have directories in quarantine read again at the next pass, all of them for None; returns their names.

    Raises LockHeld while another process writes, CollectordError for a name that is not in quarantine.
    """
    from collectord.index.queries import requeue as forget
    from collectord.index.schema import require_exists

    require_exists(settings.index_path)
    names = None if wanted is None else {readable_name(Path(given).name) for given in wanted}
    try:
        with writer_for(settings, "collectord quarantine requeue") as writer:
            held = [k for k, known in writer.known.items() if known.state == OutcomeKind.QUARANTINED]
            chosen = [key for key in held if names is None or key[1] in names]
            if missing := (names or set()) - {name for _, name in chosen}:
                raise _not_there(sorted(missing))
            forget(writer, chosen)
    except LockHeld as error:
        raise LockHeld(
            f"{error} A running collectord tries an archive in quarantine again by itself as soon as "
            "anything in it changes; only for one that did not change it has to be stopped first."
        ) from error
    return sorted(name for _, name in chosen)


def _not_there(names: list[str]) -> CollectordError:
    listed, last = ", ".join(names), names[-1]
    verb = "is" if len(names) == 1 else "are"
    return CollectordError(
        f"{listed}: {verb} not in quarantine; `collectord explain {last}` says what became of an archive"
    )

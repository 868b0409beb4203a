"""What to do about an archive that was not taken, or not as a whole. Pure."""

from __future__ import annotations

from collectord import archive
from collectord.model import OutcomeKind

# The constant behind the last colon of a reason → what helps.
_QUARANTINED = {
    archive.SYMLINK: "links are never followed; put the file itself in its place",
    archive.NOT_REGULAR: "something stands where a file should; put the file itself in its place",
    archive.HARD_LINK: "the file has a second name elsewhere; copy it, so that it has one",
    archive.OTHER_DEVICE: "something is mounted there; put the files themselves in its place",
    archive.TOO_LARGE: "if it is meant to be that large, raise limits.json_bytes",
    archive.PERMISSION: "let the user that runs collectord read it",
    archive.TooManyEntries.reason: "if it is meant to hold that many, raise limits.entries",
    "not UTF-8": "rename the directory",
}
_PARTIAL = {
    "no core files": "nothing in it says what ran",
    "missing": "without a manifest there is no plan",
    "no run can be made of it": "its time lies outside of what a calendar can hold",
}


def advice_for(state: str, reason: str | None, *, has_revision: bool) -> str | None:
    """A sentence for a person; None where nothing is to be done."""
    what = (reason or "").rpartition(": ")[2]
    if state == OutcomeKind.QUARANTINED:
        kept = ", and until then its last good revision counts" if has_revision else ""
        help_ = _QUARANTINED.get(what, "its disk may be failing")
        return f"{help_}; the archive is tried again when it changes{kept}"
    if state == OutcomeKind.PARTIAL:
        help_ = _PARTIAL.get(what, "a file that does not parse counts as missing")
        return f"{help_}; the archive is read again when it changes"
    return None

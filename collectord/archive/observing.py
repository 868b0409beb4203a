"""One look at an archive without opening any file in it, and the signature of what was seen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence

from collectord.archive.kinds import DIRECTORY, kind_of
from collectord.archive.opening import demand_same, open_archive
from collectord.archive.refusals import TooManyEntries, raise_for
from collectord.archive.root import ArchiveRoot
from collectord.model import Entry, Observation

_NO_FILE: tuple[int, ...] = ()


def observe(root: ArchiveRoot, name: str, *, max_entries: int) -> Observation:
    """One look at the archive's top level: an lstat of each entry, nothing opened, nothing followed.

    Raises Vanished, ArchiveRefused (TooManyEntries beyond `max_entries`, the listing then stops), and
    ValueError for a name that is not a single path component.
    """
    fd, own = open_archive(root, name)
    try:
        entries, lost = _entries(fd, name, max_entries)
    finally:
        os.close(fd)
    if lost or not entries:
        demand_same(root, name, own)
    return Observation(
        name=name,
        dir_mtime_ns=own.st_mtime_ns,
        dir_ctime_ns=own.st_ctime_ns,
        device=own.st_dev,
        inode=own.st_ino,
        entries=entries,
        signature=signature_of(own.st_ino, own.st_mtime_ns, own.st_ctime_ns, entries),
    )


def glance(root: ArchiveRoot, name: str, files: Iterable[str]) -> int:
    """A number for what these entries of an archive are: another one as soon as any was replaced or edited.

    Costs a quarter of `observe`, and means something only in this process. Raises what `observe` raises.
    """
    fd, _ = open_archive(root, name)
    try:
        return hash(tuple(_stamp_at(fd, file) for file in files))
    except OSError as error:
        raise_for(name, error)
    finally:
        os.close(fd)


def glance_of(seen: Observation, files: Iterable[str]) -> int:
    """What `glance` gave at the time of that look."""
    found = {entry.name: (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode) for entry in seen.entries}
    return hash(tuple(found.get(file, _NO_FILE) for file in files))


def _stamp_at(fd: int, file: str) -> tuple[int, ...]:
    try:
        own = os.stat(file, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return _NO_FILE
    return own.st_size, own.st_mtime_ns, own.st_ctime_ns, own.st_ino


def signature_of(inode: int, mtime_ns: int, ctime_ns: int, entries: Sequence[Entry]) -> str:
    """sha256 hex over the directory's own inode and times and its entries sorted by name.

    The directory's times are in because pruning `logs/` must make it dirty; its ctime also tells a
    directory that was swapped away and back. Its device is not: device numbers move at a reboot and would
    make every archive dirty. The size of a sub-directory is left out: it is the file system's own affair.
    """
    # No name holds a NUL and each entry has six fields, so no two lists of entries give the same text.
    fields = [f"{inode}\0{mtime_ns}\0{ctime_ns}"]
    fields += [
        f"{e.name}\0{e.kind}\0{0 if e.kind == DIRECTORY else e.size}\0{e.mtime_ns}\0{e.ctime_ns}\0{e.inode}"
        for e in sorted(entries, key=_by_name)
    ]
    return hashlib.sha256(os.fsencode("\0".join(fields))).hexdigest()


def _by_name(entry: Entry) -> str:
    return entry.name


def _entries(fd: int, name: str, max_entries: int) -> tuple[tuple[Entry, ...], bool]:
    """The entries sorted by name, and whether one went away between its listing and its lstat."""
    entries: list[Entry] = []
    lost = False
    try:
        with os.scandir(fd) as listing:
            for count, item in enumerate(listing):
                if count >= max_entries:
                    raise TooManyEntries(name)
                try:
                    entries.append(_entry(item.name, item.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    lost = True
    except OSError as error:
        raise_for(name, error)
    entries.sort(key=_by_name)
    return tuple(entries), lost


def _entry(name: str, own: os.stat_result) -> Entry:
    return Entry(name, kind_of(own.st_mode), own.st_size, own.st_mtime_ns, own.st_ctime_ns, own.st_ino)

"""What a path lies on: how much room there is, and whether other machines write there too."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "virtiofs", "vboxsf"),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "gfs2", "ocfs2"),
        *("fuse.sshfs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.vmhgfs-fuse"),
    }
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo, its escapes undone."""

    mount_point: str
    fs_type: str
    source: str


def free_space(path: Path) -> tuple[int, int]:
    """(bytes an ordinary process may still write, bytes in all) of the file system the path lies on."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def is_network_filesystem(path: Path, *, mountinfo: Path = _MOUNTINFO) -> bool:
    """Whether file events of other machines go unseen there and locks may not hold.

    False where the system does not tell (no /proc). The path need not exist yet.
    """
    try:
        text = os.fsdecode(mountinfo.read_bytes())
    except OSError:
        return False
    mount = mount_of(text, os.path.realpath(path))
    return mount is not None and mount.fs_type in _NETWORK


def mount_of(mountinfo_text: str, path: str | Path) -> Mount | None:
    """The mount an absolute path without links lies on: the deepest, and of equally deep ones the last.

    Lines that are not in mountinfo's form are passed over; None if no mount point leads to the path.
    """
    best: Mount | None = None
    for line in mountinfo_text.split("\n"):  # splitlines would also split at what names may contain
        mount = _parsed(line)
        if mount is None or not _leads_to(mount.mount_point, str(path)):
            continue
        if best is None or len(mount.mount_point) >= len(best.mount_point):
            best = mount
    return best


def _parsed(line: str) -> Mount | None:
    # ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [TAG ...] - TYPE SOURCE SUPER_OPTIONS
    fields = line.split(" ")
    try:
        dash = fields.index("-", 6)
        return Mount(_unescaped(fields[4]), _unescaped(fields[dash + 1]), _unescaped(fields[dash + 2]))
    except (ValueError, IndexError):
        return None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def _leads_to(mount_point: str, path: str) -> bool:
    return mount_point in ("/", path) or path.startswith(f"{mount_point}/")

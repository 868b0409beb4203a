"""What a path lies on: how much room there is, and whether other machines write there too."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "virtiofs", "vboxsf"),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "gfs2", "ocfs2"),
        *("fuse.sshfs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.vmhgfs-fuse"),
    }
)


SMALL_DISK_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class DiskRules:
    """Writing pauses below the larger of the two; `largest_share` of a disk is all that is kept free.

    The share is for a default of bytes that would be most of a small disk.
    """

    min_free_percent: float = 1.0
    min_free_bytes: int = 512 * 2**20
    largest_share: float = SMALL_DISK_SHARE

    def floor(self, total_bytes: int) -> int:
        """Bytes that must stay free on a disk of that size."""
        fixed = min(self.min_free_bytes, total_bytes * self.largest_share)
        return int(max(fixed, total_bytes * self.min_free_percent / 100))


def free_space(path: Path) -> tuple[int, int]:
    """(bytes an ordinary process may still write, bytes in all) of the file system the path lies on."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def is_network_filesystem(path: Path) -> bool:
    """Whether file events of other machines go unseen there and locks may not hold.

    False where the system does not tell. The path need not exist yet.
    """
    import psutil

    try:
        mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    except (OSError, psutil.Error):
        return False
    return type_at(mounts, os.path.realpath(path)) in _NETWORK


def type_at(mounts: Iterable[tuple[str, str]], path: str) -> str | None:
    """The type of the file system that an absolute path without links lies on.

    `mounts` are (mount point, type) in the order in which they were mounted: the deepest one that leads to
    the path counts, and of equally deep ones the last. None if none does.
    """
    leading = [
        (len(point), number, kind) for number, (point, kind) in enumerate(mounts) if _leads(point, path)
    ]
    return max(leading)[2] if leading else None


def _leads(mount_point: str, path: str) -> bool:
    return mount_point in ("/", path) or path.startswith(f"{mount_point}/")

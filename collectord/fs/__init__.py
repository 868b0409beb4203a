"""The file system as a place for our own files: durable writes, the state lock, what lies where."""

from collectord.fs.durable import NO_ROOM as NO_ROOM
from collectord.fs.durable import atomic_write as atomic_write
from collectord.fs.durable import ensure_private_dir as ensure_private_dir
from collectord.fs.durable import fsync_dir as fsync_dir
from collectord.fs.durable import publish_directory as publish_directory
from collectord.fs.durable import replace_symlink as replace_symlink
from collectord.fs.lock import Holder as Holder
from collectord.fs.lock import LockUnavailable as LockUnavailable
from collectord.fs.lock import StateLock as StateLock
from collectord.fs.lock import holder as holder
from collectord.fs.mounts import Mount as Mount
from collectord.fs.mounts import free_space as free_space
from collectord.fs.mounts import is_network_filesystem as is_network_filesystem
from collectord.fs.mounts import mount_of as mount_of

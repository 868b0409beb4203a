"""Opens an untrusted archive directory safely and gives back what lstat saw, bytes and digests.

Everything is opened relative to a directory handle, follows no link and waits for nothing. What an
archive holds never raises: a core file that is not taken is a value with a constant reason. Only the
directory itself raises, `Vanished` or one of the `ArchiveRefused`. A lack of descriptors or of memory
is this process's trouble and no archive's: those errors pass through as they are.
"""

from collectord.archive.corefiles import read_core as read_core
from collectord.archive.kinds import DEVICE as DEVICE
from collectord.archive.kinds import DIRECTORY as DIRECTORY
from collectord.archive.kinds import FIFO as FIFO
from collectord.archive.kinds import FILE as FILE
from collectord.archive.kinds import SOCKET as SOCKET
from collectord.archive.kinds import SYMLINK as SYMLINK
from collectord.archive.observing import glance as glance
from collectord.archive.observing import glance_of as glance_of
from collectord.archive.observing import observe as observe
from collectord.archive.observing import signature_of as signature_of
from collectord.archive.refusals import HARD_LINK as HARD_LINK
from collectord.archive.refusals import IO_ERROR as IO_ERROR
from collectord.archive.refusals import NOT_REGULAR as NOT_REGULAR
from collectord.archive.refusals import OTHER_DEVICE as OTHER_DEVICE
from collectord.archive.refusals import PERMISSION as PERMISSION
from collectord.archive.refusals import TOO_LARGE as TOO_LARGE
from collectord.archive.refusals import ArchiveRefused as ArchiveRefused
from collectord.archive.refusals import IsSymlink as IsSymlink
from collectord.archive.refusals import NotADirectory as NotADirectory
from collectord.archive.refusals import OtherDevice as OtherDevice
from collectord.archive.refusals import RootUnusable as RootUnusable
from collectord.archive.refusals import TooManyEntries as TooManyEntries
from collectord.archive.refusals import Unreadable as Unreadable
from collectord.archive.refusals import Vanished as Vanished
from collectord.archive.root import ArchiveRoot as ArchiveRoot
from collectord.archive.root import DirStat as DirStat
from collectord.archive.root import names as names
from collectord.archive.root import scan as scan

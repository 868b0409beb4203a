"""Where a fleet lies: a folder, or whatever the library fsspec knows. Names in it are relative paths.

A file appears whole or not at all, wherever the storage can do that; who reads must bear that it cannot.
Everything that a storage says, sizes and listings included, may be late or wrong.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from collectord.epochs.fingerprint import masked_text
from collectord.errors import CollectordError, ExtraMissing, extra_missing
from collectord.repo.files import open_regular
from collectord.system.durable import (
    SUFFIX,
    atomic_write,
    fsync_dir,
    own_prefix,
    permitted,
    publish_directory,
)

CHUNK = 2**20
# Of the object stores a put is atomic by itself. Anywhere else a file gets its name when it is whole.
_ATOMIC = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory"})
_WAITS_S = (0.2, 1.0, 3.0)
# Trying again changes neither.
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
T = TypeVar("T")


class StorageError(CollectordError):
    """The storage failed, or gave something else than it was asked for."""


class TooLarge(StorageError):
    """A file has more bytes than anything that we write there."""


class Storage(Protocol):
    """One place with files in it, by name; every method raises StorageError where the storage fails."""

    url: str

    def read(self, name: str, limit: int) -> bytes | None:
        """The bytes of a small file, None where there is none; TooLarge beyond the limit."""

    def open(self, name: str) -> BinaryIO:
        """A file for reading at any position; the caller closes it."""

    def files(self, folder: str) -> dict[str, int]:
        """Name → size of every file below a folder, which may be missing."""

    def size(self, name: str) -> int | None:
        """The size of a file as the storage says it, None where there is none."""

    def create(self, name: str, data: bytes) -> None:
        """Write a new file; FileExistsError where there is one."""

    def replace(self, name: str, data: bytes) -> None:
        """Write a file over the one that may be there."""

    def put(self, local: Path, name: str) -> None:
        """Copy a file of this machine there, over one that may be there."""

    def move(self, name: str, to: str) -> None:
        """Give a file another name, over one that may be there."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def remove_all(self, folder: str) -> None:
        """Remove every file below a folder."""

    def publish(self, folder: str, files: Sequence[str], name: str) -> None:
        """Give a finished folder its name, never over anything; FileExistsError where that is taken.

        `files` are all that is in it. Where a folder cannot get another name as a whole, the last of them
        comes last: without it the folder is none.
        """


def open_storage(url: str) -> Storage:
    """The storage at an absolute path or a URL; raises StorageError where no library for it is installed.

    Raises ExtraMissing without what all of the fleet is built on.
    """
    if not all(map(find_spec, ("fsspec", "zstandard", "pyarrow"))):
        raise ExtraMissing("a fleet wants", "fleet")
    path = url.removeprefix("file://") if url.startswith("file:///") else url
    if path.startswith("/"):
        return Folder(Path(os.path.normpath(path)))
    return Remote(url)


@contextmanager
def as_storage_error(where: str, doing: str) -> Iterator[None]:
    """Whatever a storage library raises, as one sentence; a name that is taken is for the caller."""
    try:
        yield
    except (CollectordError, FileExistsError):
        raise
    except Exception as error:  # libraries of storages raise what theirs raise: botocore's are no OSError
        said = masked_text(f"{type(error).__name__}: {error}")
        raise StorageError(
            f"{where}: {doing} failed ({said}); check that it can be reached and its rights"
        ) from error


def too_large(where: str, limit: int) -> TooLarge:
    """The sentence for a file beyond a limit."""
    return TooLarge(f"{where}: has more than {limit} bytes; it is none of ours and is not read")


class Folder:
    """A folder of this machine, a mounted one included. Links and pipes in it are nobody's files."""

    def __init__(self, root: Path) -> None:
        self.root, self.url = root, str(root)

    def read(self, name: str, limit: int) -> bytes | None:
        """See Storage."""
        with as_storage_error(self._said(name), "reading"):
            try:
                with open_regular(self.root / name) as file:
                    data = file.read(limit + 1)
            except (FileNotFoundError, NotADirectoryError):
                return None
        if len(data) > limit:
            raise too_large(self._said(name), limit)
        return data

    def open(self, name: str) -> BinaryIO:
        """See Storage."""
        with as_storage_error(self._said(name), "reading"):
            return open_regular(self.root / name)

    def files(self, folder: str) -> dict[str, int]:
        """See Storage; links are not followed."""
        with as_storage_error(self._said(folder), "listing"):
            return dict(self._walk(self.root / folder))

    def _walk(self, folder: Path) -> Iterator[tuple[str, int]]:
        try:
            listing = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):  # another one removes or renames it
                    size = entry.stat(follow_symlinks=False).st_size
                    yield Path(entry.path).relative_to(self.root).as_posix(), size

    def size(self, name: str) -> int | None:
        """See Storage."""
        with as_storage_error(self._said(name), "looking"):
            try:
                return (self.root / name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def create(self, name: str, data: bytes) -> None:
        """See Storage."""
        with self._beside(name) as partial:
            atomic_write(partial, data, permitted(0o644))
            _name_exclusively(partial, self.root / name)
            fsync_dir(partial.parent)

    def replace(self, name: str, data: bytes) -> None:
        """See Storage."""
        with self._beside(name):
            atomic_write(self.root / name, data, permitted(0o644))

    def put(self, local: Path, name: str) -> None:
        """See Storage."""
        with self._beside(name) as partial:
            shutil.copyfile(local, partial)
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.chmod(permitted(0o644))
            partial.replace(self.root / name)
            fsync_dir(partial.parent)

    @contextmanager
    def _beside(self, name: str) -> Iterator[Path]:
        """A temporary name beside a file, and its folder made; nothing stays under the temporary name."""
        folder = (self.root / name).parent
        partial = folder / f"{own_prefix()}{secrets.token_hex(8)}{SUFFIX}"
        with as_storage_error(self._said(name), "writing"):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                yield partial
            finally:
                partial.unlink(missing_ok=True)

    def move(self, name: str, to: str) -> None:
        """See Storage."""
        with as_storage_error(self._said(name), "moving"):
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).replace(self.root / to)
            fsync_dir((self.root / to).parent)

    def remove(self, name: str) -> None:
        """See Storage."""
        with as_storage_error(self._said(name), "removing"):
            (self.root / name).unlink(missing_ok=True)

    def remove_all(self, folder: str) -> None:
        """See Storage."""
        with as_storage_error(self._said(folder), "removing"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.root / folder)

    def publish(self, folder: str, files: Sequence[str], name: str) -> None:
        """See Storage; the files are read-only from then on."""
        with as_storage_error(self._said(name), "publishing"):
            for file in files:
                (self.root / folder / file).chmod(permitted(0o444))
            publish_directory(self.root / folder, self.root / name)

    def _said(self, name: str) -> str:
        return str(self.root / name)


def _name_exclusively(partial: Path, path: Path) -> None:
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:
        # Some mounted storages have no second names; the look and the rename are two steps then.
        if os.path.lexists(path):
            raise FileExistsError(str(path)) from None
        partial.rename(path)


class Remote:
    """A storage of fsspec. What fails is tried again a few times, unless it cannot be otherwise."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with as_storage_error(self.url, "opening"):
            try:
                from fsspec.core import url_to_fs

                # A listing that was remembered would be late by our own doing.
                self._fs, root = url_to_fs(self.url, use_listings_cache=False)
            except ImportError as error:
                raise StorageError(
                    f"{self.url}: {error}; {extra_missing('an S3 storage wants', 'fleet-s3')}"
                ) from error
            except ValueError as error:
                raise StorageError(
                    f"{self.url}: {error}; write s3://…, gs://…, sftp://… or a path"
                ) from error
        self._root = str(root).rstrip("/")
        protocols = self._fs.protocol
        self._is_atomic = bool(
            _ATOMIC & {protocols} if isinstance(protocols, str) else _ATOMIC & {*protocols}
        )

    def read(self, name: str, limit: int) -> bytes | None:
        """See Storage."""
        try:
            data = self._tried(name, "reading", lambda path: self._read(path, limit + 1))
        except StorageError as error:
            if isinstance(error.__cause__, (FileNotFoundError, IsADirectoryError)):
                return None
            raise
        if len(data) > limit:
            raise too_large(self._said(name), limit)
        return data

    def _read(self, path: str, size: int) -> bytes:
        with self._fs.open(path, "rb", block_size=min(size, CHUNK)) as file:
            return bytes(file.read(size))

    def open(self, name: str) -> BinaryIO:
        """See Storage."""
        file: BinaryIO = self._tried(name, "reading", lambda path: self._fs.open(path, "rb"))
        return file

    def files(self, folder: str) -> dict[str, int]:
        """See Storage."""
        found = self._tried(folder, "listing", self._find)
        start = len(self._root) + 1
        below = f"{self._root}/{folder}/" if folder else f"{self._root}/"
        return {
            path[start:]: int(info.get("size") or 0)
            for path, info in sorted(found.items())
            if path.startswith(below) and info.get("type", "file") == "file"
        }

    def _find(self, path: str) -> dict[str, dict[str, Any]]:
        self._fs.invalidate_cache()
        try:
            return dict(self._fs.find(path, detail=True))
        except FileNotFoundError:
            return {}

    def size(self, name: str) -> int | None:
        """See Storage."""
        try:
            return int(self._tried(name, "looking", self._info).get("size") or 0)
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def _info(self, path: str) -> dict[str, Any]:
        self._fs.invalidate_cache()
        return dict(self._fs.info(path))

    def create(self, name: str, data: bytes) -> None:
        """See Storage; two that create at one instant are told apart where the storage can."""
        self._tried(name, "writing", lambda path: self._write(path, data, exclusive=True))

    def replace(self, name: str, data: bytes) -> None:
        """See Storage."""
        self._tried(name, "writing", lambda path: self._write(path, data, exclusive=False))

    def _write(self, path: str, data: bytes, *, exclusive: bool) -> None:
        if self._is_atomic:
            try:
                self._fs.pipe_file(path, data, **({"mode": "create"} if exclusive else {}))
            except Exception as error:
                if exclusive and _says_taken(error):
                    raise FileExistsError(path) from error
                raise
            return
        if exclusive and self._fs.exists(path):
            raise FileExistsError(path)
        with self._beside(path) as partial:
            self._fs.pipe_file(partial, data)

    def put(self, local: Path, name: str) -> None:
        """See Storage; the size that is there afterwards must be the one that was sent."""
        self._tried(name, "writing", lambda path: self._put(local, path))

    def _put(self, local: Path, path: str) -> None:
        if self._is_atomic:
            self._fs.put_file(str(local), path)
        else:
            with self._beside(path) as partial:
                self._fs.put_file(str(local), partial)
        if (there := int(self._info(path).get("size") or 0)) != (sent := local.stat().st_size):
            raise OSError(f"{there} bytes are there of {sent} that were sent")

    @contextmanager
    def _beside(self, path: str) -> Iterator[str]:
        folder = path.rpartition("/")[0]
        partial = f"{folder}/{own_prefix()}{secrets.token_hex(8)}{SUFFIX}"
        self._fs.makedirs(folder, exist_ok=True)
        try:
            yield partial
            self._rename(partial, path)
        except BaseException:
            with contextlib.suppress(Exception):
                self._fs.rm_file(partial)
            raise

    def _rename(self, path: str, to: str) -> None:
        try:
            self._fs.mv(path, to)
        except OSError:
            # Some do not rename over a file; for a moment there is none.
            if not self._fs.exists(to):
                raise
            self._fs.rm_file(to)
            self._fs.mv(path, to)

    def move(self, name: str, to: str) -> None:
        """See Storage."""
        self._tried(name, "moving", lambda path: self._move(path, f"{self._root}/{to}"))

    def _move(self, path: str, to: str) -> None:
        if not self._is_atomic:
            self._fs.makedirs(to.rpartition("/")[0], exist_ok=True)
            self._rename(path, to)
            return
        # A move that failed half way has the file under both names, or under the new one alone.
        if self._fs.exists(path) or not self._fs.exists(to):
            self._fs.copy(path, to)
            self._fs.rm_file(path)

    def remove(self, name: str) -> None:
        """See Storage."""
        self._tried(name, "removing", self._remove)

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(path)

    def remove_all(self, folder: str) -> None:
        """See Storage."""
        for name in self.files(folder):
            self.remove(name)

    def publish(self, folder: str, files: Sequence[str], name: str) -> None:
        """See Storage. Whoever claims the name first has it, also where nothing became of it."""
        self.create(f"claims/{name}", folder.encode())
        for file in files:
            self.move(f"{folder}/{file}", f"{name}/{file}")

    def _tried(self, name: str, doing: str, work: Callable[[str], T]) -> T:
        with as_storage_error(self._said(name), doing):
            for wait_s in (*_WAITS_S, None):
                try:
                    return work(f"{self._root}/{name}" if name else self._root)
                except _FINAL:
                    raise
                except Exception:
                    if wait_s is None:
                        raise
                    time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _said(self, name: str) -> str:
        return f"{self.url}/{name}"


def _says_taken(error: Exception) -> bool:
    """Whether a conditional put says that something is there: S3 has its own words for it."""
    words = f"{type(error).__name__} {error} {getattr(error, 'args', '')}"
    return (
        isinstance(error, FileExistsError)
        or "PreconditionFailed" in words
        or "At least one of the pre-conditions" in words
    )

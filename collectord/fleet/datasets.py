"""Published datasets of a fleet: their names, the pointer to the newest, and their documents read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from collectord.dataset.layout import SUMS_FILE
from collectord.dataset.publish import age_key, dated_names
from collectord.dataset.snapshot import pretty
from collectord.errors import CollectordError
from collectord.fleet.documents import FLEET_FILE, same_content
from collectord.fleet.storage import Folder, Storage, StorageError, open_storage
from collectord.system.durable import replace_symlink

LINK = "planner_fleet_v1"
LATEST = "latest.json"
LATEST_SCHEMA = "collectord.fleet_latest.v1"
MAX_DOCUMENT = 64 * 2**20


def publish(storage: Storage, folder: str, files: Sequence[str], now_ms: int) -> str:
    """Give a finished folder the first dated name that is free; gives that name."""
    for name in dated_names(LINK, now_ms):
        with suppress(FileExistsError):
            storage.publish(folder, files, name)
            return name
    raise AssertionError("names are endless")


def point(storage: Storage, name: str, document: Mapping[str, Any]) -> None:
    """Let `latest.json` name a dataset, and in a folder a link too."""
    found = {"schema": LATEST_SCHEMA, "name": name, "dataset_hash": document["dataset_hash"]}
    if storage.read(LATEST, MAX_DOCUMENT) != pretty(found):
        storage.replace(LATEST, pretty(found))
    if isinstance(storage, Folder):
        with suppress(FileExistsError):  # what stands there is not ours
            replace_symlink(storage.root / LINK, name)


def find_same(storage: Storage, document: Mapping[str, Any]) -> str | None:
    """The newest published dataset with the same content."""
    for name in published(storage):
        with suppress(StorageError):
            there = read_document(storage, f"{name}/{FLEET_FILE}")
            if there is not None and same_content(document, there):
                return name
    return None


def published(storage: Storage) -> list[str]:
    """Names of the datasets that are whole, the newest first."""
    sums = [
        name for name in storage.files("") if name.endswith(f"/{SUMS_FILE}") and name.startswith(f"{LINK}_")
    ]
    return sorted((name.removesuffix(f"/{SUMS_FILE}") for name in sums), key=age_key, reverse=True)


def read_document(storage: Storage, name: str) -> dict[str, Any] | None:
    """A JSON object, None where there is none."""
    try:
        value = json.loads(storage.read(name, MAX_DOCUMENT) or b"null")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def find(url: str) -> tuple[Storage, str]:
    """(storage, name) of the dataset at a URL, or of the newest one in what lies there."""
    head, _, name = url.rstrip("/").rpartition("/")
    if head and not head.endswith("/"):
        storage = open_storage(head)
        if storage.size(f"{name}/{FLEET_FILE}") is not None:
            return storage, name
    storage = open_storage(url)
    return storage, newest_of(storage)


def newest_of(storage: Storage) -> str:
    """The dataset that the pointer names; raises CollectordError where it names none."""
    latest = read_document(storage, LATEST) or {}
    name = latest.get("name")
    if not isinstance(name, str) or "/" in name or storage.size(f"{name}/{FLEET_FILE}") is None:
        raise CollectordError(
            f"{storage.url}/{LATEST}: names no dataset; `collectord fleet export` publishes one"
        )
    return name

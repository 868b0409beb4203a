"""What is read of a fleet's storage: names, manifests, and which pushes can go."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectord.config.schema import is_source_name, source_name, storage_url
from collectord.fleet.catalog import Listing, next_sequence
from collectord.fleet.manifest import (
    Unreadable,
    latest_name,
    latest_place,
    manifest_name,
    manifest_place,
    read_manifest,
    shard_place,
)
from collectord.fleet.push import expired

DIGEST = "ab" * 32


def document(**other: object) -> dict[str, Any]:
    members: dict[str, Any] = {
        "schema": "collectord.fleet_push.v1",
        "source": "build-7/kernel",
        "sequence": 3,
        "sha256": DIGEST,
        "size": 100,
        "index_sha256": DIGEST,
        "index_size": 4096,
        "index_schema": "0004",
        "content": DIGEST,
        "identity": "0f" * 16,
        "host": "build-7",
        "repo": "/srv/kernel",
        "collectord": "0.1.0",
        "made_ms": 5,
        "runs": 1,
        "first_ms": 1,
        "last_ms": 2,
        "environments": [
            {"fingerprint": DIGEST, "origin": "policy", "runs": 1, "epochs": [1], "document": DIGEST}
        ],
        "epochs": [],
        "universe": {
            "universe_id": "u",
            "swarm_ids": ["a"],
            "default_swarm": None,
            "default_objective": None,
        },
    }
    return {**members, **other}


def bytes_of(**other: object) -> bytes:
    return json.dumps(document(**other)).encode()


def test_a_manifest_is_read_back_as_it_was_written() -> None:
    push = read_manifest(bytes_of(), "build-7/kernel", 3)
    assert read_manifest(push.as_bytes(), "build-7/kernel", 3) == push
    assert push.shard == f"sources/build-7/kernel/000003-{DIGEST}.sqlite3.zst"
    assert push.manifest == "sources/build-7/kernel/000003.json"


def test_what_a_newer_collectord_adds_is_left_aside() -> None:
    assert read_manifest(bytes_of(more={"than": "known"}), "build-7/kernel").sequence == 3


@pytest.mark.parametrize(
    "other",
    [
        {"source": "another/kernel"},
        {"source": "../../etc"},
        {"sequence": 4},
        {"sequence": "3"},
        {"sequence": True},
        {"sequence": 3.0},
        {"sha256": "../" * 20},
        {"sha256": DIGEST.upper()},
        {"sha256": f"{DIGEST}\n"},
        {"size": -1},
        {"size": 2**70},
        {"index_size": 2**45},
        {"identity": "x"},
        {"schema": "collectord.fleet_push.v2"},
        {"host": "x" * 5000},
        {"environments": [{"fingerprint": "no", "origin": "", "runs": 1, "epochs": [], "document": DIGEST}]},
        {"environments": None},
        {"universe": None},
        {"made_ms": "now"},
        {"first_ms": 2**64},
    ],
)
def test_a_manifest_that_no_push_wrote_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(Unreadable):
        read_manifest(bytes_of(**other), "build-7/kernel", 3)


def test_a_manifest_torn_at_any_byte_is_refused() -> None:
    whole = read_manifest(bytes_of(), "build-7/kernel").as_bytes().rstrip()
    for end in range(len(whole)):
        with pytest.raises(Unreadable):
            read_manifest(whole[:end], "build-7/kernel", 3)


@pytest.mark.parametrize("data", [b"[" * 100_000, b"\xff", b"null", b'{"a": NaN}', b"{}", b"", b"1" * 10_000])
def test_other_documents_are_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read_manifest(data, "build-7/kernel")


@pytest.mark.parametrize("name", ["kernel", "build-7/kernel", "a/b/c/d", "A.b_c-1/x", "0"])
def test_names_of_sources(name: str) -> None:
    assert source_name(name) == name
    assert manifest_place(manifest_name(name, 7)) == (name, 7)
    assert latest_place(latest_name(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "/a", "a/", "a//b", "../a", "a/..", ".a", "a/.b", "a b", "a\n", "ä", "a/b/c/d/e"),
        *("x" * 65, "a.json", "a/000001.json/b", "a.zst", "a\0", "-a"),
    ],
)
def test_what_cannot_name_a_source(name: str) -> None:
    assert not is_source_name(name)
    assert manifest_place(f"sources/{name}/000001.json") is None
    assert shard_place(f"sources/{name}/000001-{DIGEST}.sqlite3.zst") is None
    assert latest_place(f"sources/{name}/latest.json") is None
    with pytest.raises(ValueError, match="not the name of a source"):
        source_name(name)


@pytest.mark.parametrize(
    "url", ["/mnt/fleet", "file:///mnt/fleet", "s3://bucket/prefix", "sftp://user@host/fleet", "gs://b"]
)
def test_storages(url: str) -> None:
    assert storage_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("s3://key:secret@bucket/prefix", "sftp://me:secret@host/x", "https://host/x?sig=secret"),
        *(
            "s3://bucket/x#secret",
            "relative/secret",
            "",
            "secret",
            7,
            None,
            "s3://a b",
            "az://a@b:secret@c/d",
        ),
    ],
)
def test_a_storage_with_credentials_is_refused_without_repeating_them(url: object) -> None:
    with pytest.raises(ValueError, match=r"write an absolute path|never from here") as refused:
        storage_url(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("sequences", "keep", "kept", "gone"),
    [
        ([], 1, (), []),
        ([1, 2, 3], 2, (), [1]),
        ([1, 2, 3], 1, (), [1, 2]),
        ([1, 2, 3], 1, (1,), [2]),
        ([1, 2, 3, 4], 100, (), []),
        ([1, 2, 9], 1, (), [1, 2]),  # another one pushed meanwhile: what is newer is not ours to remove
    ],
)
def test_which_pushes_can_go(sequences: list[int], keep: int, kept: tuple[int, ...], gone: list[int]) -> None:
    assert (
        expired(sequences, keep, 4 if 9 in sequences else max(sequences, default=1), frozenset(kept)) == gone
    )


@given(st.sets(st.integers(1, 50)), st.integers(1, 60), st.sets(st.integers(1, 50)))
def test_neither_the_newest_nor_what_a_dataset_names_ever_goes(
    sequences: set[int], keep: int, kept: set[int]
) -> None:
    newest = max(sequences, default=1)
    gone = set(expired(sequences, keep, newest, frozenset(kept)))
    assert newest not in gone
    assert not gone & kept
    assert len(sequences - gone) >= min(keep, len(sequences))


def test_a_sequence_is_never_given_twice_however_late_the_listing_is() -> None:
    newest = read_manifest(bytes_of(sequence=9), "build-7/kernel")
    assert next_sequence((), None) == 1
    assert next_sequence((7, 8), newest) == 10
    assert next_sequence((11,), newest) == 12


def test_a_listing_knows_a_source_by_any_of_its_files() -> None:
    names = [
        "sources/a/latest.json",
        manifest_name("b", 2),
        f"sources/c/000001-{DIGEST}.sqlite3.zst",
        "x",
        "pins/y",
    ]
    assert Listing(dict.fromkeys(names, 1)).sequences == {"a": (), "b": (2,), "c": ()}

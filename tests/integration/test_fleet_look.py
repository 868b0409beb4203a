"""Who pushed what: sources, what cannot be read of them, and the environments that they share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectord.fleet.catalog import sources_in
from collectord.fleet.look import list_environments, list_sources
from collectord.fleet.manifest import environment_name
from collectord.fleet.push import push
from collectord.fleet.storage import Folder
from tests.support.cli import Cli
from tests.support.fleets import made_source, pushed_source, settings_in

NOW_MS = 4_000_000_000_000


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources in one environment, and one whose configuration was edited; only to be read."""
    folder = tmp_path_factory.mktemp("fleet")
    store = folder / "store"
    pushed_source(folder / "a", store, "a/kernel", part=slice(0, 20))
    pushed_source(folder / "b", store, "b/kernel", part=slice(20, 30))
    pushed_source(folder / "c", store, "c/kernel", part=slice(30, 36), model="claude-opus-5")
    return store


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """collectord where there is no repo."""
    return Cli(tmp_path / "none", tmp_path)


def test_sources_are_listed_with_what_a_person_asks_for(fleet: Path) -> None:
    found = list_sources(Folder(fleet), "*", NOW_MS)["sources"]
    assert [(s["source"], s["runs"], s["epochs"], s["trouble"]) for s in found] == [
        ("a/kernel", 20, 1, None),
        ("b/kernel", 10, 1, None),
        ("c/kernel", 6, 1, None),
    ]
    assert all(s["age_s"] > 0 and s["host"] and s["index_schema"] for s in found)
    assert [s["source"] for s in list_sources(Folder(fleet), "[ab]/*", NOW_MS)["sources"]] == [
        "a/kernel",
        "b/kernel",
    ]


def test_one_that_cannot_be_read_is_named_with_the_reason(fleet: Path, tmp_path: Path) -> None:
    store = Folder(tmp_path / "store")
    for name in Folder(fleet).files("sources"):
        store.put(fleet / name, name)
    by_name = {source.name: source.push for source in sources_in(store)}
    newer, torn = by_name["a/kernel"], by_name["b/kernel"]
    assert newer is not None
    assert torn is not None
    document = {**json.loads(newer.as_bytes()), "index_schema": "0999"}
    for name in (newer.manifest, "sources/a/kernel/latest.json"):
        store.replace(name, json.dumps(document).encode())
    store.remove(torn.shard)
    found = {source["source"]: source for source in list_sources(store, "*", NOW_MS)["sources"]}
    assert "newer" in found["a/kernel"]["trouble"]
    assert "index is not there" in found["b/kernel"]["trouble"]
    assert found["c/kernel"]["trouble"] is None


def test_two_names_of_one_index_are_told(tmp_path: Path) -> None:
    settings = made_source(tmp_path / "repo", tmp_path / "store", "a", part=slice(2))
    push(settings)
    push(settings_in(settings.repo, tmp_path / "store", "b"))
    assert list_sources(Folder(tmp_path / "store"), "*", NOW_MS)["same_index"] == [["a", "b"]]


def test_environments_are_grouped_and_told_apart(fleet: Path) -> None:
    shared, other = list_environments(Folder(fleet), "*")["environments"]
    assert [(s["source"], s["runs"]) for s in shared["sources"]] == [("a/kernel", 20), ("b/kernel", 10)]
    assert (shared["runs"], shared["differs"]) == (30, None)
    assert [s["source"] for s in other["sources"]] == ["c/kernel"]
    assert any("claude-opus-5" in json.dumps(change) for change in other["differs"]["changes"])


def test_an_environment_that_is_not_what_was_pushed_is_not_believed(fleet: Path, tmp_path: Path) -> None:
    store = Folder(tmp_path / "store")
    for name in Folder(fleet).files("sources"):
        store.put(fleet / name, name)
    push_of_c = sources_in(store, "c/*")[0].push
    assert push_of_c is not None
    store.replace(environment_name("c/kernel", push_of_c.environments[0].document), b"{}")
    other = list_environments(store, "*")["environments"][1]
    assert (other["differs"], "not what was pushed" in other["why"]) == (None, True)


def test_the_commands_need_no_repo_where_the_storage_is_named(fleet: Path, cli: Cli) -> None:
    lines = cli("fleet", "list", "--url", str(fleet), repo=False).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["a/kernel", "b/kernel", "c/kernel"]
    shown = cli("fleet", "environments", "--url", f"file://{fleet}", repo=False)
    assert shown.returncode == 0
    assert "30 runs of 2 sources" in shown.stdout
    assert "claude-opus-5" in shown.stdout
    refused = cli("fleet", "list", "--url", "s3://key:hunter2@bucket", repo=False)
    assert (refused.returncode, "hunter2" in refused.stderr) == (2, False)
    empty = cli("fleet", "list", "--url", str(cli.home / "nothing"), repo=False)
    assert (empty.returncode, "no source there" in empty.stderr) == (0, True)

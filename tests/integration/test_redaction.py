"""Credentials in issues: counted, named by issue, and in no byte of a redacted dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collectord.kernel.dispatch import input_hash
from collectord.kernel.tokens import words_of
from tests.conftest import unpack
from tests.support.cli import Cli
from tests.support.planted_credentials import PLANTED


@pytest.fixture
def planted(tmp_path: Path) -> Cli:
    """The golden run; each of its first archives has one kind in title, description, tags and keywords."""
    repo = tmp_path / "repo"
    unpack("kernel-run", repo)
    cli = Cli(repo, tmp_path)
    archives = sorted(cli.archives.iterdir())
    for archive, value in zip(archives, PLANTED.values(), strict=False):
        _plant(archive / "manifest.json", value)
    cli.ok("ingest")
    return cli


def _plant(path: Path, value: str) -> None:
    manifest = json.loads(path.read_text())
    planner_input = manifest["planner"]["planner_input"]
    for issue in (manifest["issue"], planner_input["issue"]):
        issue["title"] = f"Rotate {value} now"
        issue["tags"] = [*issue["tags"], value]
    manifest["issue"]["description"] = f"it is {value}, see the log"
    planner_input["issue"]["keywords"] = [*words_of(value), *planner_input["issue"]["keywords"]][:16]
    manifest["planner"]["planner_action"]["input_hash"] = input_hash(planner_input)
    path.write_text(json.dumps(manifest))


def _plant_beads(cli: Cli) -> None:
    issue = {
        "id": "9001",
        "title": "Rotate",
        "description": f"log in with {PLANTED['slack']}",
        "status": "open",
    }
    with (cli.repo / ".beads/issues.jsonl").open("a") as beads:
        beads.write("\n" + json.dumps(issue) + "\n")


def _exported(cli: Cli, *options: str) -> tuple[dict[str, Any], Path]:
    document = json.loads(cli.ok("export", "--json", *options))
    return document, Path(document["path"])


def _parts(value: str) -> set[str]:
    """The value, and each word of it that says something alone."""
    return {value, *(word for word in words_of(value) if len(word) > 12)}


@pytest.mark.parametrize("histories", ["recorded", "rebuilt"])
def test_no_file_of_a_redacted_dataset_holds_a_credential(planted: Cli, histories: str) -> None:
    import pyarrow.parquet as parquet

    document, folder = _exported(planted, "--redact", "--histories", histories)
    assert document["redaction"]["rows"] >= len(PLANTED)
    assert set(document["redaction"]["by_kind"]) >= set(PLANTED)
    for file in folder.rglob("*"):
        if file.is_file():
            text = file.read_bytes().decode("utf-8", "replace").lower()
            if file.suffix == ".parquet":
                text += str(parquet.read_table(file).to_pylist()).lower()
            for value in PLANTED.values():
                assert not [part for part in _parts(value) if part.lower() in text], (file.name, value)
    assert planted("verify", str(folder), "--rebuild").returncode == 0
    again, _ = _exported(planted, "--redact", "--histories", histories)
    assert (again["is_new"], again["dataset_hash"]) == (False, document["dataset_hash"])


def test_rows_without_any_keep_their_bytes(planted: Cli) -> None:
    _, plain = _exported(planted)
    _, redacted = _exported(planted, "--redact")
    rows = [
        {json.loads(line)["run_id"]: line for line in (folder / "dataset.jsonl").read_text().splitlines()}
        for folder in (plain, redacted)
    ]
    changed = {run for run in rows[0] if rows[0][run] != rows[1][run]}
    assert rows[0].keys() == rows[1].keys()
    assert changed == {run for run, line in rows[1].items() if "[REDACTED:" in line}
    assert len(PLANTED) <= len(changed) < len(rows[0])


def test_an_export_says_how_many_rows_hold_what_looks_like_one(planted: Cli) -> None:
    done = planted("export", "--json")
    document = json.loads(done.stdout)
    assert document["credentials"]["rows"] == len(PLANTED)
    assert document["credentials"]["by_kind"]["github-token"] == 1
    assert f"looks like a credential in {len(PLANTED)} rows" in done.stderr
    card = (Path(document["path"]) / "README.md").read_text()
    assert f"CREDENTIALS: something looks like one in {len(PLANTED)} rows" in card
    assert not any(value in card for value in PLANTED.values())


def test_an_altered_row_of_a_redacted_dataset_is_found(planted: Cli) -> None:
    _, folder = _exported(planted, "--redact")
    rows = folder / "dataset.jsonl"
    rows.chmod(0o644)
    rows.write_text(rows.read_text().replace("[REDACTED:aws]", "[REDACTED:jwt]"))
    assert planted("verify", str(folder), "--rebuild").returncode == 3


def test_the_builder_profile_refuses_redaction(planted: Cli) -> None:
    done = planted("export", "--profile", "builder", "--redact")
    assert done.returncode == 2
    assert "byte for byte" in done.stderr


def test_the_audit_names_the_issue_and_never_the_value(ingested: Cli) -> None:
    assert "credential" not in ingested.ok("audit")
    _plant_beads(ingested)
    said = ingested.ok("audit")
    assert "1 issue with something that looks like one: " in said
    assert "9001 (slack)" in said
    assert PLANTED["slack"] not in said + ingested.ok("audit", "--json")


def test_a_dataset_without_any_says_nothing_of_them(ingested: Cli) -> None:
    done = ingested("export", "--json")
    assert "credential" not in done.stderr
    assert "credentials" not in json.loads(done.stdout)

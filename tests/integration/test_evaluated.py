"""Epochs and alerts are found again where something moved that they follow from, and only there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.support.archives import Maker
from tests.support.cli import Cli

# Every evaluation writes it, and nothing that it is made from is read by one.
KERNELS = "kernels"


def _sql(cli: Cli, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(cli.index)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def _mark(cli: Cli) -> None:
    _sql(cli, "UPDATE index_info SET value = '[\"marked\"]' WHERE key = ?", KERNELS)


def _is_marked(cli: Cli) -> bool:
    return _sql(cli, "SELECT value FROM index_info WHERE key = ?", KERNELS) == [('["marked"]',)]


@pytest.fixture
def collected(bare: Cli) -> tuple[Cli, Maker]:
    maker = Maker(bare.repo)
    maker.add(3)
    bare.ok("ingest")
    return bare, maker


def test_a_pass_that_changes_nothing_evaluates_nothing(collected: tuple[Cli, Maker]) -> None:
    cli, _ = collected
    _mark(cli)
    cli.ok("ingest")
    assert _is_marked(cli)


def _add_issue(cli: Cli, _maker: Maker) -> None:
    with (cli.repo / ".beads/issues.jsonl").open("a") as issues:
        issues.write('{"id": "new"}\n')


def _edit_policy(cli: Cli, _maker: Maker) -> None:
    config = cli.repo / ".cyntra/config.yaml"
    config.write_text(config.read_text() + "\ncontrol: {enabled: false}\n")


CHANGES: dict[str, Callable[[Cli, Maker], object]] = {
    "an archive": lambda _cli, maker: maker.add(1),
    "an issue": _add_issue,
    "the policy": _edit_policy,
    "the configuration": lambda cli, _maker: (cli.repo / ".cyntra/collectord.yaml").write_text(
        "environment: {severity: {gates.test_command: info}}\n"
    ),
    "a cut": lambda cli, _maker: _sql(cli, "INSERT INTO epoch_cuts (at_ms, why) VALUES (1, 'x')"),
    "a lost alert": lambda cli, _maker: _sql(cli, "DELETE FROM alerts"),
    "another rule": lambda cli, _maker: _sql(
        cli, "UPDATE index_info SET value = '0' WHERE key = 'environment_rule'"
    ),
    "an epoch that is closing": lambda cli, _maker: _sql(
        cli, "INSERT INTO sealed_epochs (key, number, closing_ms) VALUES ('k', 1, 1)"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_epochs_follow_from_is_evaluated(collected: tuple[Cli, Maker], change: str) -> None:
    cli, maker = collected
    _mark(cli)
    CHANGES[change](cli, maker)
    cli.ok("ingest")
    assert not _is_marked(cli)

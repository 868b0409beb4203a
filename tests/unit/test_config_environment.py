"""The keys of the configuration that have parts of their own: severities and ignored paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectord.config import Settings, load
from collectord.config.schema import Config, rule_or_path
from collectord.epochs.changes import edits
from collectord.epochs.rules import Ignored, Overrides, overrides_from, rule_of
from collectord.errors import ConfigError
from tests.support.environment_pairs import DIFFERENT
from tests.support.trees import read

GOOD = """\
environment:
  severity:
    gates.retry_flaky: warn
    /toolchains/*/env: info
  ignore:
    - path: /gates/timeout_seconds
      reason: a slow runner
      until: 2026-12-31
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / ".cyntra").mkdir()
    return tmp_path


def settings(repo: Path, text: str, **environ: str) -> Settings:
    (repo / ".cyntra" / "collectord.yaml").write_text(text)
    return load(repo=repo, config=None, overrides={}, environ=environ, cwd=repo)


def findings(repo: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(repo, text, **environ)
    return [line.removeprefix(".cyntra/collectord.yaml:") for line in str(caught.value).split("\n")]


def test_severities_and_ignored_paths_come_from_the_file(repo: Path) -> None:
    loaded = settings(repo, GOOD)
    assert overrides_from(loaded.config.environment) == Overrides(
        {"gates.retry_flaky": "warn", "/toolchains/*/env": "info"},
        (Ignored("/gates/timeout_seconds", "a slow runner", until_ms=1798761600000),),
    )
    rows = {key: (value, source) for key, value, source in loaded.rows()}
    entry = {"path": "/gates/timeout_seconds", "reason": "a slow runner", "until": "2026-12-31"}
    assert rows["environment.ignore"] == ([entry], ".cyntra/collectord.yaml:5")
    assert rows["environment.severity"][0] == {"gates.retry_flaky": "warn", "/toolchains/*/env": "info"}


def test_without_a_word_nothing_is_overridden() -> None:
    assert overrides_from(Config().environment) == Overrides()


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "warn",
            "loud",
            "3:24: environment.severity.gates.retry_flaky: 'loud' is not 'epoch', 'warn' or 'info'",
        ),
        (
            "gates.retry_flaky",
            "gate.retry",
            "3:5: environment.severity.gate.retry: 'gate.retry' is neither a rule such as "
            "gates.test_command nor a path",
        ),
        (
            "/toolchains/*/env:",
            "/toolchains//env:",
            "4:5: environment.severity./toolchains//env: '/toolchains//env' is not a path; "
            "write /gates/test_command or /toolchains/*/env",
        ),
        (
            "    /toolchains/*/env: info",
            "    gates.retry_flaky: info",
            "4:5: environment.severity.gates.retry_flaky: written twice, first in line 3",
        ),
        (
            "2026-12-31",
            "soon",
            "8:14: environment.ignore[0].until: 'soon' is not a day; write 2026-12-31",
        ),
        ("a slow runner", "''", "7:15: environment.ignore[0].reason: '' says nothing; write a few words"),
        ("      reason: a slow runner\n", "", "6:7: environment.ignore[0]: has no reason; write one"),
        (
            "reason",
            "reasn",
            "7:14: environment.ignore[0].reasn: unknown key, did you mean reason?",
        ),
        ("/gates/timeout_seconds", "gates", "6:13: environment.ignore[0].path: 'gates' is not a path; "),
    ],
)
def test_a_wrong_part_is_named_with_its_line_and_column(repo: Path, old: str, new: str, found: str) -> None:
    assert old in GOOD
    lines = findings(repo, GOOD.replace(old, new))
    assert any(line.startswith(found) for line in lines), lines


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{severity: loud}", "1:25: environment.severity: 'loud' is not a mapping; indent its keys below it"),
        (
            "{ignore: /gates}",
            "1:23: environment.ignore: '/gates' is not a list; begin each entry with a dash",
        ),
        ("{ignore: [x]}", "1:24: environment.ignore[0]: 'x' is not a mapping; indent its keys below it"),
    ],
)
def test_a_value_of_the_wrong_shape_is_one_finding(repo: Path, text: str, found: str) -> None:
    assert findings(repo, f"environment: {text}\n") == [found]


def test_variables_cannot_give_what_has_parts(repo: Path) -> None:
    assert findings(repo, "", COLLECTORD_ENVIRONMENT_SEVERITY="gates.retry_flaky=warn") == [
        "COLLECTORD_ENVIRONMENT_SEVERITY: can only be set in the configuration file"
    ]


def test_every_rule_of_a_change_can_be_given_a_severity() -> None:
    rules = set()
    for pair in DIFFERENT:
        before, after = read(pair.before), read(pair.after)
        rules |= {rule_of(edit, before, after).rule_id for edit in edits(before, after)}
    assert len(rules) > 25
    assert [rule_or_path(rule) for rule in rules] == list(rules)

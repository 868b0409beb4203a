from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from collectord.config import Config, Settings, load
from collectord.config.schema import dotted_keys, is_file_only
from collectord.config.settings import variable
from collectord.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.yaml"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "repo" / ".cyntra").mkdir(parents=True)
    return tmp_path / "repo"


def settings(
    repo: Path,
    text: str | bytes | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """What is loaded in the repo with this default file, environment and command line."""
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (repo / ".cyntra" / "collectord.yaml").write_bytes(data)
    return load(repo=None, config=None, overrides=overrides or {}, environ=environ or {}, cwd=repo)


def findings(repo: Path, text: str | bytes | None = None, **sources: Mapping[str, object]) -> list[str]:
    """The lines of the error, without the name of the default file."""
    with pytest.raises(ConfigError) as caught:
        settings(repo, text, **sources)  # type: ignore[arg-type]
    assert caught.value.exit_code == 78
    return [line.removeprefix(".cyntra/collectord.yaml:") for line in str(caught.value).split("\n")]


# The file


def test_no_configuration_at_all_gives_the_defaults(repo: Path) -> None:
    loaded = settings(repo)
    assert loaded.config == Config()
    assert loaded.file is None
    assert set(loaded.sources.values()) == {"default", "working directory"}


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "watch:\nsettle:\n  # min_age: 3\n", "\ufeffwatch: {}\n"]
)
def test_a_file_that_sets_nothing_gives_the_defaults(repo: Path, text: str) -> None:
    assert settings(repo, text).config == Config()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "watch:\n  mode: poll\n  pol_interval: 3\n",
            "3:3: watch.pol_interval: unknown key, did you mean watch.poll_interval?",
        ),
        ("wach:\n  mode: poll\n", "1:1: wach: unknown key, did you mean watch?"),
        ("poll_interval: 3\n", "1:1: poll_interval: unknown key, did you mean watch.poll_interval?"),
        ("watch: {min_age: 3}\n", "1:9: watch.min_age: unknown key, did you mean settle.min_age?"),
        (
            "watch: {Poll_Interval: 3}\n",
            "1:9: watch.Poll_Interval: unknown key, did you mean watch.poll_interval?",
        ),
        ("log: {wibble: 3}\n", "1:7: log.wibble: unknown key"),
        ("[1]: 2\n", "1:1: ?: unknown key"),
        ("<<: {mode: poll}\n", "1:1: <<: unknown key"),
        ('"a\\nb": 1\n', r"1:1: 'a\nb': unknown key"),
        ("watch:\n  mode: auto\nwatch:\n  mode: poll\n", "3:1: watch: written twice, first in line 1"),
        ("watch:\n  mode: auto\n  mode: poll\n", "3:3: watch.mode: written twice, first in line 2"),
        ("watch: poll\n", "1:8: watch: 'poll' is not a mapping; indent its keys below it"),
        ("watch: [mode]\n", "1:8: watch: a list is not a mapping; indent its keys below it"),
        ("watch:\n  mode:\n", "2:3: watch.mode: has no value; write one or remove the key"),
        ("watch:\n  mode: often\n", "2:9: watch.mode: 'often' is not 'auto', 'events' or 'poll'"),
        ("watch: {mode: {a: 1}}\n", "1:15: watch.mode: a mapping is not 'auto', 'events' or 'poll'"),
        ("log:\n  level: off\n", "2:10: log.level: False is not 'debug', 'info', 'warning' or 'error'"),
        (
            "watch: {mode: !!python/name:os.system x}\n",
            "1:15: watch.mode: 'x' cannot be read as a value; put it in quotes",
        ),
        (
            "paths: {state: 2024-13-45}\n",
            "1:16: paths.state: '2024-13-45' cannot be read as a value; put it in quotes",
        ),
        ("paths: {state: 5}\n", "1:16: paths.state: 5 is not a path"),
        ("paths: {state: ' '}\n", "1:16: paths.state: ' ' is not a path"),
        ("paths: {state: ~root/x}\n", "names a home directory that is not known here; write the full path"),
        ("watch: {ignore: orphaned}\n", "1:17: watch.ignore: 'orphaned' is not a list; write [name, other]"),
        ("watch: {ignore: [a/b]}\n", "'a/b' is not the name of a directory; write a name without slashes"),
        ("watch: {ignore: [..]}\n", "'..' is not the name of a directory; write a name without slashes"),
        ("watch: {ignore: [5]}\n", "5 is not the name of a directory; write a name without slashes"),
        ("ingest: {batch: true}\n", "1:17: ingest.batch: True is not a whole number"),
        ("ingest: {batch: 1.5}\n", "1:17: ingest.batch: 1.5 is not a whole number"),
        ("ingest: {batch: 0}\n", "1:17: ingest.batch: 0 is too small; write 1 or more"),
        ("ingest: {batch: 99999}\n", "1:17: ingest.batch: 99999 is too large; write 10000 or less"),
        (
            "export: {include_world: 3}\n",
            "1:25: export.include_world: 3 is not a switch; write true or false",
        ),
        ("disk: {min_free_percent: 101}\n", "101 is not a percentage; write a number from 0 to 100"),
        ("limits: {json_bytes: 8 apples}\n", "'8 apples' is not a size; write bytes or 64KiB, 8MiB, 1GiB"),
        (
            f"limits: {{json_bytes: 0x{'f' * 6000}}}\n",
            "a huge number is not a size; write bytes or 64KiB, 8MiB, 1GiB",
        ),
        (f"limits: {{json_bytes: {'9' * 6000}}}\n", "cannot be read as a value; put it in quotes"),
        ("settle: {long: -1}\n", "1:16: settle.long: -1 is not a duration; write seconds or 30s, 5m, 14d"),
    ],
)
def test_a_wrong_line_is_named_with_its_place_and_its_remedy(repo: Path, text: str, found: str) -> None:
    (line,) = findings(repo, text)
    assert line == found if found[0].isdigit() and found[1] == ":" else line.endswith(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"watch: [\n", "2:1: not valid YAML: while parsing a flow node, expected the node"),
        (b"a: b: c\n", "1:5: not valid YAML: mapping values are not allowed here"),
        (b"a: \tb\n\tc: d\n", "1:4: not valid YAML"),
        (b"watch: {}\n---\nwatch: {}\n", "2:1: not valid YAML: expected a single document in the stream"),
        (b"watch:\n  mode: \xff\n", "2:9: the file is not UTF-8 text"),
        ("watch: {}\n".encode("utf-16"), "1:1: the file is not UTF-8 text"),
        (b"watch:\n  mode: a\x00\n", "2:10: the character U+0000 is not allowed"),
        (b"- watch\n", "1:1: the file must hold sections such as `watch:`, each with its keys"),
        (b"poll\n", "1:1: the file must hold sections such as `watch:`, each with its keys"),
        (
            b"a: &a [x]\nb: [*a, *a]\n",
            "1:4: anchors and aliases (& and *) are not taken; write the value out",
        ),
        (b"a: *b\n", "1:4: anchors and aliases (& and *) are not taken; write the value out"),
        (b"[" * 5000, "1:21: nested too deeply"),
        (b"#" * (2**20 + 1), "1:1: the file is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_one_finding(repo: Path, text: bytes, found: str) -> None:
    (line,) = findings(repo, text)
    assert line.startswith(found)


def test_every_finding_of_every_source_is_told_at_once_in_the_order_of_the_file(repo: Path) -> None:
    text = "watch:\n  mode: often\n  pol: 1\nlog:\n  level: loud\n"
    environ = {"COLLECTORD_WATCH_MODE": "never", "COLLECTORD_LOG_FROMAT": "json"}
    assert findings(repo, text, environ=environ, overrides={"log.level": "x"}) == [
        "2:9: watch.mode: 'often' is not 'auto', 'events' or 'poll'",
        "3:3: watch.pol: unknown key",
        "5:10: log.level: 'loud' is not 'debug', 'info', 'warning' or 'error'",
        "COLLECTORD_LOG_FROMAT: unknown variable, did you mean COLLECTORD_LOG_FORMAT?",
        "COLLECTORD_WATCH_MODE: 'never' is not 'auto', 'events' or 'poll'",
        "command line: log.level: 'x' is not 'debug', 'info', 'warning' or 'error'",
    ]


def test_a_long_value_is_cut_in_its_finding(repo: Path) -> None:
    (line,) = findings(repo, f"watch: {{mode: {'x' * 5000}}}\n")
    assert len(line) < 200


# Values


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("3", 3),
        ("2.5", 2.5),
        ("500ms", 0.5),
        ("30s", 30),
        ("30 s", 30),
        ("5m", 300),
        ("1.5h", 5400),
        ("14d", 1209600),
    ],
)
def test_durations_are_seconds_or_carry_a_unit(repo: Path, written: str, seconds: float) -> None:
    assert settings(repo, f"settle: {{long: {written}}}\n").config.settle.long == seconds
    assert settings(repo, f"settle: {{long: '{written}'}}\n").config.settle.long == seconds
    assert settings(repo, environ={"COLLECTORD_SETTLE_LONG": written}).config.settle.long == seconds


@pytest.mark.parametrize(
    "written", ["often", "5 weeks", "1h30m", "''", "-5s", ".inf", ".nan", "[5]", "true", "1_0s", "٣"]
)
def test_what_is_no_duration_is_refused(repo: Path, written: str) -> None:
    (line,) = findings(repo, f"watch: {{poll_interval: {written}}}\n")
    assert line.endswith("is not a duration; write seconds or 30s, 5m, 14d")


def test_a_duration_of_more_than_ten_years_is_refused(repo: Path) -> None:
    (line,) = findings(repo, "settle: {long: 4000d}\n")
    assert "longer than ten years" in line


@pytest.mark.parametrize(
    ("written", "size"),
    [("4096", 4096), ("8MiB", 2**23), ("512 mib", 2**29), ("1.5KiB", 1536), ("10MB", 10**7), ("2048B", 2048)],
)
def test_sizes_are_bytes_or_carry_a_unit(repo: Path, written: str, size: int) -> None:
    assert settings(repo, f"limits: {{json_bytes: {written}}}\n").config.limits.json_bytes == size
    assert settings(repo, environ={"COLLECTORD_LIMITS_JSON_BYTES": written}).config.limits.json_bytes == size


@pytest.mark.parametrize(
    ("written", "value"),
    [("true", True), ("yes", True), ("1", True), ("Off", False), ("no", False), ("0", False)],
)
def test_switches_take_the_usual_words_from_the_environment(repo: Path, written: str, value: bool) -> None:
    assert (
        settings(repo, environ={"COLLECTORD_EXPORT_INCLUDE_WORLD": written}).config.export.include_world
        is value
    )


@pytest.mark.parametrize(("written", "names"), [("a,b", ("a", "b")), (" a , ", ("a",)), ("", ())])
def test_lists_are_separated_by_commas_in_the_environment(
    repo: Path, written: str, names: tuple[str, ...]
) -> None:
    assert settings(repo, environ={"COLLECTORD_WATCH_IGNORE": written}).config.watch.ignore == names


def test_an_empty_variable_is_a_value_and_a_wrong_one_for_most_keys(repo: Path) -> None:
    assert findings(repo, environ={"COLLECTORD_WATCH_MODE": ""}) == [
        "COLLECTORD_WATCH_MODE: '' is not 'auto', 'events' or 'poll'"
    ]


# Where values come from


def test_command_line_beats_environment_beats_file_beats_default(repo: Path) -> None:
    text = "watch:\n  mode: events\n  poll_interval: 1m\nlog: {level: debug}\n"
    environ = {"COLLECTORD_WATCH_MODE": "poll", "COLLECTORD_LOG_LEVEL": "error", "OTHER": "x"}
    loaded = settings(repo, text, environ=environ, overrides={"log.level": "warning", "log.format": None})
    rows = {key: (value, source) for key, value, source in loaded.rows()}
    assert rows["log.level"] == ("warning", "command line")
    assert rows["watch.mode"] == ("poll", "COLLECTORD_WATCH_MODE")
    assert rows["watch.poll_interval"] == (60, ".cyntra/collectord.yaml:3")
    assert rows["log.format"] == ("auto", "default")
    assert rows["watch.ignore"] == (["orphaned-workcells"], "default")
    assert rows["repo"] == (str(repo), "working directory")


def test_a_wrong_value_in_the_file_is_told_even_where_the_command_line_overrides_it(repo: Path) -> None:
    assert len(findings(repo, "log: {level: loud}\n", overrides={"log.level": "info"})) == 1


def test_a_key_that_does_not_exist_is_refused_on_the_command_line_too(repo: Path) -> None:
    assert findings(repo, overrides={"log.leve": "info"}) == [
        "command line: log.leve: unknown key, did you mean log.level?"
    ]


def test_every_key_can_be_set_by_its_variable(repo: Path) -> None:
    defaults = {key: value for key, value, _ in settings(repo).rows()}
    environ = {
        variable(key): ",".join(value) if isinstance(value, list) else str(value)
        for key, value in defaults.items()
        if key != "repo" and not is_file_only(key)
    }
    loaded = settings(repo, environ=environ)
    assert loaded.config == Config()
    assert {loaded.sources[key] for key in dotted_keys() if not is_file_only(key)} == set(environ)


def test_the_file_of_the_option_beats_the_variable_beats_the_default_file(repo: Path, tmp_path: Path) -> None:
    settings(repo, "log: {level: debug}\n")
    for name in ("option", "variable"):
        (tmp_path / f"{name}.yaml").write_text(f"paths: {{state: {name}}}\n")
    environ = {"COLLECTORD_CONFIG": str(tmp_path / "variable.yaml")}
    by_option = load(repo=repo, config=Path("../option.yaml"), overrides={}, environ=environ, cwd=repo)
    by_variable = load(repo=repo, config=None, overrides={}, environ=environ, cwd=repo)
    assert (by_option.sources["paths.state"], by_option.state_dir) == ("../option.yaml:1", repo / "option")
    assert by_variable.file == tmp_path / "variable.yaml"
    assert by_variable.sources["paths.state"] == f"{tmp_path}/variable.yaml:1"
    assert {by_option.config.log.level, by_variable.config.log.level} == {"info"}


def test_findings_name_the_file_as_it_was_given(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("watch: {pol_interval: 3}\n")
    with pytest.raises(ConfigError, match=r"^\.\./my\.yaml:1:9: watch\.pol_interval: unknown key"):
        load(repo=repo, config=Path("../my.yaml"), overrides={}, environ={}, cwd=repo)


def test_findings_of_a_service_name_the_file_in_full(repo: Path) -> None:
    (repo / ".cyntra/collectord.yaml").write_text("watch: {pol_interval: 3}\n")
    with pytest.raises(ConfigError, match=rf"^{repo}/\.cyntra/collectord\.yaml:1:9: "):
        load(repo=repo, config=None, overrides={}, environ={}, cwd=Path("/"))


@pytest.mark.parametrize(
    ("path", "reason"),
    [("missing.yaml", "No such file or directory"), (".", "Is a directory"), ("a\0b", "embedded null byte")],
)
def test_a_named_file_that_cannot_be_read_is_a_finding(repo: Path, path: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(repo=repo, config=Path(path), overrides={}, environ={}, cwd=repo)
    assert str(caught.value) == f"{path}: cannot be read: {reason}"


def test_a_default_file_that_points_nowhere_is_a_finding_and_not_absent(repo: Path) -> None:
    (repo / ".cyntra" / "collectord.yaml").symlink_to("gone.yaml")
    assert findings(repo) == [" cannot be read: No such file or directory"]


# The repo and its folders


def test_the_repo_is_the_nearest_parent_that_holds_cyntra(repo: Path) -> None:
    (repo / "deep" / "inner" / ".cyntra").mkdir(parents=True)
    (repo / "deep" / "inner" / "src").mkdir()
    (repo / "deep" / "other").mkdir()
    (repo / "deep" / "other" / ".cyntra").write_text("a file is not a repo")

    def found(cwd: Path) -> Path:
        return load(repo=None, config=None, overrides={}, environ={}, cwd=cwd).repo

    assert found(repo / "deep" / "inner" / "src") == repo / "deep" / "inner"
    assert found(repo / "deep" / "other") == repo


def test_a_named_repo_may_still_lack_cyntra(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    environ = {"COLLECTORD_REPO": "b"}
    by_variable = load(repo=None, config=None, overrides={}, environ=environ, cwd=tmp_path)
    by_option = load(repo=Path("b/../a"), config=None, overrides={}, environ=environ, cwd=tmp_path)
    assert (by_variable.repo, by_variable.sources["repo"]) == (tmp_path / "b", "COLLECTORD_REPO")
    assert (by_option.repo, by_option.sources["repo"]) == (tmp_path / "a", "command line")


@pytest.mark.parametrize(("name", "trouble"), [("gone", "does not exist"), ("file", "is not a directory")])
def test_a_named_repo_must_be_a_directory(tmp_path: Path, name: str, trouble: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"^--repo {name}: {tmp_path / name} {trouble}; name the folder"):
        load(repo=Path(name), config=None, overrides={}, environ={}, cwd=tmp_path)


def test_without_a_repo_the_error_says_what_was_looked_for_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(repo=None, config=None, overrides={}, environ={"COLLECTORD_REPO": ""}, cwd=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert ".cyntra" in str(caught.value)
    assert "--repo DIR or COLLECTORD_REPO" in str(caught.value)


def test_folders_are_relative_to_the_repo_absolute_or_in_the_home(repo: Path) -> None:
    text = "paths: {archives: ../a, state: /var/lib/c, benches: ~/b}\n"
    loaded = settings(repo, text, environ={"HOME": "/home/me"})
    assert loaded.archives_dir == repo.parent / "a"
    assert loaded.state_dir == Path("/var/lib/c")
    assert loaded.benches_dir == Path("/home/me/b")
    assert loaded.index_path == Path("/var/lib/c/index.sqlite3")
    assert loaded.lock_path == Path("/var/lib/c/lock")


@pytest.mark.parametrize("state", [".cyntra/archives", ".cyntra/archives/x", ".cyntra/x/../archives"])
def test_our_own_files_never_go_into_the_archives_folder(repo: Path, state: str) -> None:
    (line,) = findings(repo, f"paths: {{state: {state}}}\n")
    assert line.startswith("1:16: paths.state: ")
    assert line.endswith("choose a folder beside it")
    (line,) = findings(repo, "paths: {archives: .cyntra/state}\n")
    assert line.startswith("1:19: paths.archives: ")


def test_settings_cannot_be_changed(repo: Path) -> None:
    loaded = settings(repo)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.repo = Path("/")  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.config.watch.mode = "poll"  # type: ignore[misc]
    with pytest.raises(TypeError):
        loaded.sources["repo"] = "x"  # type: ignore[index]


# The example


def test_the_example_lists_exactly_the_keys_there_are() -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    assert [f"{section}.{key}" for section, keys in example.items() for key in keys] == list(dotted_keys())


def test_loading_the_example_gives_exactly_the_defaults(repo: Path) -> None:
    loaded = load(repo=repo, config=EXAMPLE, overrides={}, environ={}, cwd=repo)
    assert loaded.config == Config()
    assert all(loaded.sources[key].startswith(f"{EXAMPLE}:") for key in dotted_keys())


def test_a_fleet_in_the_archives_folder_is_refused_as_it_would_be_taken_for_archives(repo: Path) -> None:
    place = repo / ".cyntra/archives/fleet"
    for url in (str(place), f"file://{place}"):
        [found] = findings(repo, f"fleet: {{url: {url}, source: a}}\n")
        assert "lies inside the archives folder" in found
    for url in (f"{repo}/fleet", "s3://bucket/archives"):
        assert settings(repo, f"fleet: {{url: {url}, source: a}}\n").config.fleet.url == url

"""The documentation says what is there, and nothing that is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from collectord.cli.examples import EXAMPLES, examples_of
from collectord.cli.main import COMMANDS, collectord
from collectord.config import load
from collectord.config.schema import dotted_keys

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("docs/design.md", "docs/commands.md", "docs/operations.md", "docs/architecture.md", "docs/glossary.md"),
    *("docs/fleet.md", "docs/scale.md"),
]


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(_commands(collectord, "collectord"))


def _section(name: str) -> str:
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    found = re.search(rf"^## `{re.escape(name)}[^\n]*\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"{name} has no section in docs/commands.md"
    return found[1]


@pytest.mark.parametrize("name", ALL)
def test_every_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    options = {
        opt
        for param in ALL[name].params
        if isinstance(param, click.Option)
        for opt in [*param.opts, *param.secondary_opts]
    }
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", _section(name)))
    assert mentioned == options - {"--help"}


def test_no_command_is_documented_that_is_not_there() -> None:
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    headed = re.findall(r"^## `(collectord [a-z]+(?: [a-z-]+)?)", text, re.M)
    assert sorted(headed) == sorted(ALL)


def test_the_help_list_says_what_each_command_says_of_itself() -> None:
    context = click.Context(collectord)
    for name, (_, _, line) in COMMANDS.items():
        command = collectord.get_command(context, name)
        assert command is not None
        assert command.short_help == line


def test_the_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `collectord (\w+)`", text, re.M) == list(COMMANDS)


def test_the_readme_begins_with_the_demo_and_the_test() -> None:
    blocks = re.findall(r"```\n(.*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert blocks[:2] == ["./dev demo", "./dev test"]


def test_every_key_is_in_the_example() -> None:
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    for key in dotted_keys():
        assert re.search(rf"^\s+{key.partition('.')[2]}:", text, re.M), key


@pytest.mark.parametrize(("page", "least"), [("docs/architecture.md", 90), ("docs/glossary.md", 30)])
def test_every_file_that_a_page_names_is_there(page: str, least: int) -> None:
    """A paragraph that begins with a folder in bold names the files of that folder without it."""
    named = []
    for paragraph in (ROOT / page).read_text(encoding="utf-8").split("\n\n"):
        room = re.match(r"\*\*`(\w+/)`\*\*", paragraph)
        folders = [ROOT, ROOT / "collectord", ROOT / "collectord" / (room[1] if room else "")]
        for name in re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.py|(?:[\w-]+/)+)`", paragraph):
            named.append(name)
            assert any((folder / name).exists() for folder in folders), f"{page}: {name}"
    assert len(named) >= least


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        if target.startswith("http"):
            continue
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            assert anchor in {
                re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings
            }


def test_every_room_has_a_paragraph() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = [path.name for path in (ROOT / "collectord").iterdir() if (path / "__init__.py").exists()]
    assert [room for room in rooms if f"`{room}/`" not in text] == []


def _mentioned(page: str) -> set[str]:
    """Every `collectord …` of a page: in backticks, or a line of a block, without its comment."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(collectord [^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return {line for line in [*lines, *inline] if line.startswith("collectord ")}


def test_every_command_has_examples_and_each_of_them_is_there_with_its_options() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
    for name, listed in EXAMPLES.items():
        assert all(line.startswith(f"collectord {name}") for line, _ in listed)
        assert max(map(len, str(examples_of(name)).splitlines())) <= 78
        _all_there(name, {line for line, _ in listed})


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_command_that_a_page_mentions_is_there_with_its_options(page: str) -> None:
    _all_there(page, _mentioned(page))


def _all_there(page: str, commands: set[str]) -> None:
    for mentioned in sorted(commands):
        words = [word for word in mentioned.split()[1:] if not word.startswith("[")]
        named = [name for name in ALL if f"collectord {' '.join(words)} ".startswith(f"{name} ")]
        group = [name for name in COMMANDS if words and words[0] == name]
        assert named or group or words[0].startswith("-"), f"{page}: {mentioned}"
        if named:
            known = {
                opt
                for param in ALL[max(named, key=len)].params
                for opt in (*param.opts, *param.secondary_opts)
            }
            given = {word.partition("=")[0].rstrip(",;.") for word in words if word.startswith("--")}
            assert given <= known | {"--help"}, f"{page}: {mentioned}"


def test_the_configurations_of_the_pages_are_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        (tmp_path / ".cyntra").mkdir(exist_ok=True)
        load(repo=tmp_path, config=file, overrides={}, environ={}, cwd=tmp_path)

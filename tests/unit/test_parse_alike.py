"""Two documents with a common end are parsed as if each were parsed alone, or not at all."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from collectord.intake.interpret import Parsed, parse
from collectord.kernel.jsonio import Unparsable, has_escapes, parse_alike, parse_object
from collectord.model import Artifacts, CoreFile, FileState
from tests.conftest import unpack

MARK = b',\n  "planner": {'
PLANNED = {"planner_input": {"é": [1, 2.5, {"a": None}], "text": ',\n  "planner": {'}, "n": 10**30}


def written(**members: Any) -> bytes:
    """As the kernel writes a file, its plan last."""
    return json.dumps({**members, "planner": PLANNED}, indent=2, ensure_ascii=False).encode()


def test_the_plan_that_both_end_in_is_parsed_once() -> None:
    first, second = written(a=1, b=[2]), written(c={"d": "\n"})
    found = parse_alike(first, second, MARK)
    assert found == (parse_object(first), parse_object(second))
    assert found is not None
    assert found[0]["planner"] is found[1]["planner"]


def test_the_last_of_members_with_one_name_counts_and_stands_where_the_first_stood() -> None:
    text = b'{"planner": 1, "z": 2,\n  "planner": {"a": 1}, "z": 3, "z": 4}'
    found = parse_alike(text, text, MARK)
    assert found is not None
    assert [list(one.items()) for one in found] == [list(parse_object(text).items())] * 2


@pytest.mark.parametrize(
    "first",
    [
        b'{,\n  "planner": {}}',
        b',\n  "planner": {}}',
        b'{"a": 1,,\n  "planner": {}}',
        b'{"a": ",\n  "planner": {}}',
        b'{"a": [1,\n  "planner": {}}',
        b'{"a": {"b": 1,\n  "planner": {}}}',
        b'{"a": 1,\n  "planner": {}}}',
        b'{"a": 1,\n  "planner": {}',
        b'[{"a": 1,\n  "planner": {}}]',
        b'{"a": 1}{"a": 1,\n  "planner": {}}',
        b'\xef\xbb\xbf{"a": 1,\n  "planner": {}}',
        b'{"\xff": 1,\n  "planner": {}}',
        b'{"a": 1,\n  "planner": {"a": "\xff"}}',
        b'{"a": 1,\n  "planner": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"a": 1}',
        b"",
    ],
)
def test_what_is_not_two_objects_with_that_member_is_left_to_others(first: bytes) -> None:
    assert parse_alike(first, first, MARK) is None
    assert parse_alike(written(a=1), first, MARK) is None


def test_any_two_texts_give_nothing_or_what_each_gives_alone() -> None:
    source = random.Random(1)
    words = [b"{", b"}", b"[", b"]", b",", b":", b'"', b'"a"', b'"b": 1', b'"planner": 2', b"NaN", b" ", MARK]
    found_some = 0
    for _ in range(40_000):
        members = [source.choice(words) for _ in range(source.randint(0, 5))]
        end = MARK + b"".join(source.choice(words) for _ in range(source.randint(0, 4))) + b"}}"
        texts = [b'{"a": 1' + b"".join(members) + end, b'{"b": ' + source.choice(words) + end]
        found = parse_alike(texts[0], texts[1], MARK)
        if found is not None:
            found_some += 1
            assert repr(found) == repr(tuple(parse_object(text) for text in texts))
    assert found_some > 50


def alone(artifacts: Artifacts) -> tuple[dict[str, Any], tuple[str, ...]]:
    documents, unparsable = {}, []
    for file in artifacts.files:
        try:
            if file.state is FileState.READ:
                documents[file.name] = parse_object(file.data)
        except Unparsable as error:
            unparsable.append(f"{file.name}: {error}")
    return documents, tuple(unparsable)


@pytest.mark.parametrize("name", ["kernel-run", "awkward", "universe"])
def test_the_files_of_an_archive_are_what_each_of_them_is_alone(name: str, tmp_path: Path) -> None:
    repo = unpack(name, tmp_path / "repo")
    shared = 0
    for archive in sorted((repo / ".cyntra/archives").iterdir()):
        files = [archive / core for core in ("manifest.json", "proof.json", "rollout.json", ".workcell")]
        artifacts = Artifacts(
            tuple(
                CoreFile(file.name, FileState.READ, file.read_bytes())
                if file.is_file()
                else CoreFile(file.name, FileState.MISSING)
                for file in files
            )
        )
        found: Parsed = parse(artifacts)
        documents, unparsable = alone(artifacts)
        assert found.unparsable == unparsable
        assert {name: repr(it) for name, it in found.documents.items()} == {
            name: repr(it) for name, it in documents.items()
        }
        planned = found.get("manifest.json").get("planner")
        shared += planned is not None and planned is found.get("rollout.json").get("planner")
    assert shared > 0 or name != "kernel-run"


@pytest.mark.parametrize(
    ("text", "has"),
    [(b'"\\u0041"', True), (b'"\\\\u"', True), (b'"\\n"', False), (b"u", False), (b"\\", False)],
)
def test_an_escape_is_noticed_wherever_it_may_be_one(text: bytes, has: bool) -> None:
    assert has_escapes(text) is has

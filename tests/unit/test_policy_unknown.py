"""Trees that no kernel could start with, or that nobody can read: unknown, never a guess."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from collectord.kernel.policy import PolicyUnreadable
from tests.support.trees import (
    BASE,
    BASE_CONFIG,
    BASE_FRONTIER,
    CONFIG,
    FRONTIER,
    REPORT,
    UNIVERSE,
    UNIVERSE_TEXT,
    read,
    report,
)

UNKNOWN = [
    ("cut off in a list", {CONFIG: BASE_CONFIG[: BASE_CONFIG.index("codex, claude]")]}, CONFIG),
    ("cut off in its first word", {CONFIG: "versi"}, "looks cut off"),
    ("a list where sections belong", {CONFIG: "- gates"}, "looks cut off"),
    ("not UTF-8", {CONFIG: b"gates: {test_command: \xff}"}, "UTF-8"),
    ("a tab for indentation", {CONFIG: "gates:\n\ttest_command: x"}, "line 2"),
    ("a tag of Python", {CONFIG: "gates: !!python/object/apply:os.system [id]"}, "tag"),
    ("two documents", {CONFIG: "a: 1\n---\nb: 2"}, "document"),
    (
        "a cycle of includes",
        {CONFIG: "include: a.yaml", ".cyntra/a.yaml": "include: config.yaml"},
        "includes itself",
    ),
    ("an include that is not there", {CONFIG: "include: a.yaml"}, "does not exist"),
    ("an include out of the repo", {CONFIG: "include: ../../a.yaml"}, "outside the repo"),
    ("an include by a full path", {CONFIG: "include: /etc/passwd"}, "outside the repo"),
    ("a broken include", {CONFIG: "include: a.yaml", ".cyntra/a.yaml": "["}, ".cyntra/a.yaml"),
    (
        "a chain of more includes than are read",
        {CONFIG: "include: a0.yaml"}
        | {f".cyntra/a{n}.yaml": f"include: a{n + 1}.yaml" for n in range(2000)}
        | {".cyntra/a2000.yaml": "gates: {}"},
        "more than 64 files are included",
    ),
    (
        "a timeout that is a word",
        {CONFIG: "toolchains: {a: {timeout_minutes: soon}}"},
        "/toolchains/a/timeout_minutes",
    ),
    (
        "a timeout that is a list",
        {CONFIG: "toolchains: {a: {timeout_seconds: [1]}}"},
        "/toolchains/a/timeout_seconds",
    ),
    (
        "an endless timeout",
        {CONFIG: "toolchains: {a: {timeout_seconds: .inf}}"},
        "/toolchains/a/timeout_seconds",
    ),
    (
        "a timeout of thousands of digits",
        {CONFIG: "toolchains: {a: {timeout_seconds: 0x" + "f" * 6000 + "}}"},
        "/toolchains/a/timeout_seconds",
    ),
    ("toolchains that are a list", {CONFIG: "toolchains: [codex]"}, "/toolchains"),
    ("scheduling that is a list", {CONFIG: "scheduling: [1]"}, "/scheduling"),
    ("priorities that are a word", {CONFIG: "toolchain_priority: codex"}, "/toolchain_priority"),
    ("an environment that is a list", {CONFIG: "toolchains: {a: {env: [A=1]}}"}, "/toolchains/a/env"),
    (
        "a pattern that does not compile",
        {CONFIG: "routing: {rules: [{match: {title_pattern: '('}}]}"},
        "regular expression",
    ),
    (
        "a default width that is null",
        {CONFIG: "speculation: {default_parallelism: null}"},
        "default_parallelism",
    ),
    ("a planner mode of another name", {CONFIG: "planner: {mode: always}"}, "/planner/mode"),
    ("a frontier cut off", {FRONTIER: BASE_FRONTIER[:40]}, FRONTIER),
    ("a selected genome cut off", {**BASE, "prompts/code/claude/g1.yaml": "system_prompt: ["}, "g1.yaml"),
    ("a report cut off", {REPORT: '{"action_summary": {"glob'}, REPORT),
    ("a report that is a list", {REPORT: "[1]"}, REPORT),
    ("a rate that is a word", {REPORT: report("low")}, REPORT),
    ("a universe cut off", {UNIVERSE: UNIVERSE_TEXT[:60] + "["}, UNIVERSE),
    ("a value that holds itself", {CONFIG: "gates: &g {test_command: *g}"}, "holds itself"),
    ("deep nesting", {CONFIG: "a: " + "[" * 100_000}, "nested deeper"),
    (
        "a laugh of anchors",
        {
            CONFIG: "a0: &a0 [x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
        },
        "aliases",
    ),
    (
        "a laugh of merge keys",
        {
            CONFIG: "a0: &a0 {x: 1}\n"
            + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))
        },
        "aliases",
    ),
]


@pytest.mark.parametrize(("name", "tree", "said"), UNKNOWN, ids=[name for name, _, _ in UNKNOWN])
def test_what_no_kernel_could_start_with_is_unknown(
    name: str, tree: Mapping[str, str | bytes], said: str
) -> None:
    with pytest.raises(PolicyUnreadable) as caught:
        read(tree)
    assert said in str(caught.value)

"""The environment read from real files: which ones, how safely, and how often."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path, PurePosixPath

import pytest

from collectord.epochs.fingerprint import fingerprint
from collectord.kernel.policy import PolicyUnreadable, Surface
from collectord.repo.policy import PolicyReader, WorkingTree, read_policy

LATER_NS = time.time_ns() + 3600 * 10**9
CONFIG = ".cyntra/config.yaml"


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        put(root, {"config": CONFIG, "base": ".cyntra/base.yaml"}[name], text)


def put(root: Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def surface(root: Path) -> Surface:
    return read_policy(WorkingTree(root))


def reason(root: Path) -> str:
    with pytest.raises(PolicyUnreadable) as caught:
        surface(root)
    return str(caught.value)


def test_a_repo_without_any_file_has_the_kernels_defaults(tmp_path: Path) -> None:
    bare = surface(tmp_path)
    assert bare.components["gates"]["test_command"] == "pytest"
    assert bare.components["universe"]["universe_id"] == "unknown"
    write(tmp_path, config="")
    assert fingerprint(surface(tmp_path)) == fingerprint(bare)


def test_the_state_folder_may_be_a_link_and_links_in_it_that_lead_out_stay_refused(tmp_path: Path) -> None:
    repo, disk, secret = tmp_path / "repo", tmp_path / "disk", tmp_path / "secret.yaml"
    for folder in (repo, disk):
        folder.mkdir()
    (repo / ".cyntra").symlink_to(disk)
    (disk / "real.yaml").write_text("toolchains: {codex: {model: m1}}\n")
    (disk / "config.yaml").symlink_to("real.yaml")
    assert surface(repo).components["toolchains"]["codex"]["model"] == "m1"
    secret.write_text("toolchains: {codex: {model: m2}}\n")
    (disk / "config.yaml").unlink()
    (disk / "config.yaml").symlink_to(secret)
    with pytest.raises(PolicyUnreadable, match="leads out of the repo by a link"):
        surface(repo)


def test_a_link_is_followed_inside_the_repo_and_refused_out_of_it(tmp_path: Path) -> None:
    outside, repo = tmp_path / "outside.yaml", tmp_path / "repo"
    outside.write_text("gates: {test_command: secret}")
    put(repo, "real.yaml", "gates: {test_command: inside}")
    (repo / ".cyntra").mkdir()
    (repo / CONFIG).symlink_to("../real.yaml")
    assert surface(repo).components["gates"]["test_command"] == "inside"
    (repo / CONFIG).unlink()
    (repo / CONFIG).symlink_to(outside)
    assert "leads out of the repo" in reason(repo)


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: os.mkfifo(p)])
def test_only_a_regular_file_is_a_configuration(tmp_path: Path, make: object) -> None:
    (tmp_path / ".cyntra").mkdir()
    make(tmp_path / CONFIG)  # type: ignore[operator]
    assert CONFIG in reason(tmp_path)


def test_a_file_that_may_not_be_read_or_is_huge_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, config="x" * (2**20 + 1))
    assert "larger than" in reason(tmp_path)
    with (tmp_path / CONFIG).open("r+b") as file:
        file.truncate(2**40)
    assert "larger than" in reason(tmp_path)


def test_includes_are_read_from_the_folder_of_the_file(tmp_path: Path) -> None:
    put(tmp_path, ".cyntra/parts/base.yaml", "include: [more.yaml]\ngates: {test_command: base}")
    put(tmp_path, ".cyntra/parts/more.yaml", "gates: {test_command: more, lint_command: more}")
    write(tmp_path, config="include: parts/base.yaml\n")
    gates = surface(tmp_path).components["gates"]
    assert (gates["test_command"], gates["lint_command"]) == ("base", "more")


def test_the_reader_reads_again_only_what_changed(tmp_path: Path) -> None:
    write(tmp_path, config="include: base.yaml\n", base="gates: {test_command: one}")
    reader = PolicyReader(WorkingTree(tmp_path))
    first = reader.read(LATER_NS)
    assert reader.read(LATER_NS) is first
    assert PurePosixPath(".cyntra/base.yaml") in reader.paths()
    write(tmp_path, base="gates: {test_command: two}")
    assert reader.read(LATER_NS).components["gates"]["test_command"] == "two"


def test_the_reader_notices_a_genome_and_a_report_that_were_not_there(tmp_path: Path) -> None:
    put(tmp_path, "prompts/frontier.json", json.dumps({"items": ["g2", "g1"]}))
    put(tmp_path, "prompts/code/claude/g1.yaml", "system_prompt: a")
    reader = PolicyReader(WorkingTree(tmp_path))
    assert reader.read(LATER_NS).components["prompts"]["code/claude"]["genome_id"] == "g1"
    put(tmp_path, "prompts/code/claude/g2.yaml", "system_prompt: b")
    assert reader.read(LATER_NS).components["prompts"]["code/claude"]["genome_id"] == "g2"
    put(tmp_path, ".cyntra/dynamics/dynamics_report.json", '{"action_summary": {"global_action_rate": 0.9}}')
    assert reader.read(LATER_NS).components["control"]["modes"]["code"] == "chaos"


def test_a_file_that_changed_a_moment_ago_is_read_again_although_its_times_stand_still(
    tmp_path: Path,
) -> None:
    write(tmp_path, config="gates: {test_command: one}")
    reader = PolicyReader(WorkingTree(tmp_path))
    just_now = (tmp_path / CONFIG).stat().st_mtime_ns
    first = reader.read(just_now)
    assert reader.read(just_now) is not first


def test_after_an_unreadable_file_the_reader_looks_again(tmp_path: Path) -> None:
    write(tmp_path, config="gates: {test_command: [")
    reader = PolicyReader(WorkingTree(tmp_path))
    with pytest.raises(PolicyUnreadable, match="line 2"):
        reader.read(LATER_NS)
    write(tmp_path, config="gates: {test_command: one}")
    assert reader.read(LATER_NS).components["gates"]["test_command"] == "one"


def test_the_age_of_an_environment_is_that_of_its_files_not_of_the_repos_folder(tmp_path: Path) -> None:
    write(tmp_path, config="gates: {}")
    os.utime(tmp_path / CONFIG, ns=(10**18, 10**18))
    reader = PolicyReader(WorkingTree(tmp_path))
    reader.read(LATER_NS)
    assert reader.newest_mtime_ns() == 10**18


def read_until(deadline: float, root: Path, name: str) -> None:
    """Again and again: a single read may fall between two writes."""
    while time.monotonic() < deadline:
        WorkingTree(root).read(PurePosixPath(name))


def test_a_file_that_is_written_while_it_is_read_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * 4 * 2**20)
    done = threading.Event()

    def write_on() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.is_set() and file.tell() < 7 * 2**20:
                file.write(b"#")

    writer = threading.Thread(target=write_on)
    writer.start()
    deadline = time.monotonic() + 20
    try:
        with pytest.raises(PolicyUnreadable, match="was written while it was read"):
            read_until(deadline, tmp_path, "big.yaml")
    finally:
        done.set()
        writer.join()

"""Trees of policy files in memory, with a base to change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from collectord.kernel.policy import Surface
from collectord.repo.policy import read_policy

CONFIG = ".cyntra/config.yaml"
FRONTIER = "prompts/frontier.json"
REPORT = ".cyntra/dynamics/dynamics_report.json"
UNIVERSE = "universes/lab/universe.yaml"

BASE_CONFIG = """\
version: "1.0"
scheduling: {max_concurrent_workcells: 3, max_concurrent_tokens: 300000}
toolchain_priority: [codex, claude, opencode]
toolchains:
  codex: {enabled: true, path: /usr/bin/agent, default_model: gpt-5.2, timeout_minutes: 60}
  claude: {path: /usr/bin/agent, default_model: opus, timeout_minutes: 60, env: {API: one}}
  opencode: {command: "/usr/bin/agent --model nano", timeout_minutes: 45}
routing:
  rules:
    - match: {dk_risk: [critical]}
      speculate: true
      parallelism: 3
      use: [codex, claude, opencode]
    - match: {dk_risk: high}
      speculate: true
      parallelism: 2
      use: [codex, claude]
    - match: {dk_risk: [low], dk_size: [XS, S]}
      use: opencode
    - match: {tags_any: [security]}
      use: [codex]
    - match: {}
      use: [claude]
  fallbacks:
    codex: [claude]
speculation: {enabled: true, default_parallelism: 2, auto_trigger_risk_levels: [high, critical]}
control: {enabled: true}
gates: {test_command: pytest -q, timeout_seconds: 30}
"""

BASE_FRONTIER = json.dumps(
    {
        "objectives": {"pass_rate": "max", "cost": "min"},
        "items": [
            {"genome_id": "g1", "pass_rate": 0.9, "cost": 2.0},
            {"genome_id": "g2", "pass_rate": 0.5, "cost": 2.0},
            {"genome_id": "gone", "pass_rate": 1.0, "cost": 0.1},
        ],
    }
)

BASE: Mapping[str, str] = {
    CONFIG: BASE_CONFIG,
    FRONTIER: BASE_FRONTIER,
    "prompts/code/claude/g1.yaml": "genome_id: g1\nsystem_prompt: careful\n",
    "prompts/code/claude/g2.yaml": "genome_id: g2\nsystem_prompt: quick\n",
    "prompts/code/codex/g2.yaml": "genome_id: g2\nsystem_prompt: quick\n",
    "src/main.py": "",
}

UNIVERSE_TEXT = """\
schema_version: "1.0"
universe_id: lab
worlds: [{world_id: main, world_kind: codebase, path: src}]
policies: {}
defaults: {swarm_id: speculate_vote, objective_id: fast}
"""


class MemoryTree:
    """A tree that is a mapping of paths to texts."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.files = files

    def read(self, path: PurePosixPath) -> bytes | None:
        """The bytes of a file."""
        text = self.files.get(str(path))
        return text.encode() if isinstance(text, str) else text

    def names(self, path: PurePosixPath) -> tuple[str, ...]:
        """The names in a folder."""
        depth = len(path.parts)
        below = [PurePosixPath(name).parts for name in self.files]
        inside = [parts for parts in below if parts[:depth] == path.parts and len(parts) > depth]
        return tuple(sorted({parts[depth] + ("/" if len(parts) > depth + 1 else "") for parts in inside}))


def read(files: Mapping[str, str | bytes]) -> Surface:
    """The environment of a tree in memory."""
    return read_policy(MemoryTree(files))


def with_config(*changes: tuple[str, str], base: Mapping[str, str] = BASE) -> dict[str, str]:
    """The base with texts of its configuration replaced; each must be there."""
    text = base[CONFIG]
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return {**base, CONFIG: text}


def report(rate: object = None, **by_domain: object) -> str:
    """A dynamics report with these action rates."""
    summary = {"by_domain": by_domain, **({} if rate is None else {"global_action_rate": rate})}
    return json.dumps({"action_summary": summary})


def universe(text: str = UNIVERSE_TEXT, **policies: object) -> dict[str, str]:
    """The base with a universe of these policies."""
    return {**BASE, UNIVERSE: text.replace("policies: {}", f"policies: {json.dumps(policies)}")}

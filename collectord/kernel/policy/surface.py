"""The environment of a run as a value: what a kernel would act on, and nothing else; or why it is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collectord.errors import CollectordError


class PolicyUnreadable(CollectordError):
    """The environment cannot be told: a file of it cannot be read, or a kernel could not start with it.

    `path` is the file below the repo, `reason` the rest of the sentence. Never a guess in its place: the
    last good environment stands until the file can be read again.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


FRONTIER_PATH = "prompts/frontier.json"
REPORT_PATH = ".cyntra/dynamics/dynamics_report.json"

SCHEDULING = "scheduling"
MATERIAL = ("universe", "prompts", "routing", "speculation", "control", "toolchains", "gates", "planner")
COMPONENTS = (*MATERIAL, SCHEDULING)

DOMAINS = ("code", "fab_asset", "fab_world")


@dataclass(frozen=True)
class Surface:
    """The normalised environment: defaults filled in, aliases resolved, each value in one form only.

    `components` holds a JSON value for each of COMPONENTS, in that order. `unrecognised` are JSON pointers
    into the configuration (includes merged) of what the kernel that was read does not read; a newer one may.
    """

    components: Mapping[str, Any]
    unrecognised: tuple[str, ...] = ()


ASSET = "asset:"


def domain_of(tags: tuple[str, ...]) -> str:
    """The domain by which the kernel chooses a control mode for an issue."""
    if "asset:world" in tags:
        return "fab_world"
    return "fab_asset" if any(tag.startswith(ASSET) for tag in tags) else "code"

"""Whether the action that was executed can come out of an environment, remembered from run to run. Pure."""

from __future__ import annotations

from collectord.model import Environment


class Actions:
    """Stub until the feasibility module lands."""

    def key(self, executed: str | None) -> str | None:
        return executed

    def agrees(self, executed: str | None, asks: bool | None, environment: Environment) -> bool:
        return True

"""The control component: its settings, and the mode that the dynamics report puts each domain in.

The numbers of the report count only through the mode: a report that was written again and says nothing
new is the same environment (CONTRACT.md section 5).
"""

from __future__ import annotations

from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.policy.fields import number, section, unknown, with_defaults
from collectord.cyntra.policy.surface import DOMAINS, REPORT_PATH, PolicyUnreadable

_CONTROL = {
    "enabled": True,
    "action_low": 0.1,
    "action_high": 0.5,
    "temperature_base": 0.2,
    "temperature_min": 0.1,
    "temperature_max": 0.6,
    "temperature_step": 0.1,
    "parallelism_step": 1,
}


def normalise_control(config: JsonObject, report: Any) -> tuple[JsonObject, list[str]]:
    """(control with `modes` by domain, unrecognised pointers); `report` is None where there is none."""
    value = with_defaults(section(config, "control"), _CONTROL)
    value["enabled"] = bool(value["enabled"])
    value["modes"] = {domain: _mode(value, _rate(report, domain)) for domain in DOMAINS}
    return value, unknown(config.get("control"), _CONTROL, "control")


def _mode(control: JsonObject, rate: float | None) -> str:
    if not control["enabled"] or rate is None:
        return "disabled"
    for key in ("parallelism_step", "temperature_base", "temperature_step"):
        number(control[key], "control", key)
    if rate < number(control["action_low"], "control", "action_low"):
        return "trap"
    return "chaos" if rate > number(control["action_high"], "control", "action_high") else "balanced"


def _rate(report: Any, domain: str) -> float | None:
    """The action rate of a domain, else the global one, None where the report has neither."""
    summary = _mapping(_mapping(report).get("action_summary"))
    by_domain = _mapping(summary.get("by_domain"))
    value: Any = by_domain[domain] if domain in by_domain else summary.get("global_action_rate")
    if value is None and domain not in by_domain:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise PolicyUnreadable(REPORT_PATH, f"the action rate of {domain} is not a number") from None


def _mapping(value: Any) -> JsonObject:
    if not value:
        return {}
    if not isinstance(value, dict):
        raise PolicyUnreadable(REPORT_PATH, "not in the form of a dynamics report")
    return value

"""The sections of both views, in their order. Pure."""

from __future__ import annotations

from collectord.audit import label_sections as labels
from collectord.audit import run_sections as runs
from collectord.audit.layout import Section, no_tables

SECTIONS = (
    Section("lanes", "Lanes", labels.lanes_lines, labels.lanes_tables),
    Section("coverage", "Coverage", labels.coverage_lines, labels.coverage_tables),
    Section("fill", "Targeted fill", labels.fill_lines, no_tables),
    Section("backlog", "Backlog", labels.backlog_lines, labels.backlog_tables),
    Section("consistency", "Label consistency", labels.consistency_lines, labels.consistency_tables),
    Section("agreement", "Train and serve", runs.agreement_lines, no_tables),
    Section("outcomes", "Outcomes", runs.outcomes_lines, runs.outcomes_tables),
    Section("drift", "Drift", runs.drift_lines, runs.drift_tables),
    Section("quality", "Issue quality", runs.quality_lines, runs.quality_tables),
    Section("steadiness", "Steadiness", runs.steadiness_lines, no_tables),
    Section("phase", "Phase", runs.phase_lines, runs.phase_tables),
    Section("health", "Collection", runs.health_lines, runs.health_tables),
)

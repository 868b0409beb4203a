"""Whether what a policy is trained on is what it would be given: recorded against rebuilt inputs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from collectord.audit.facts import AuditFacts
from collectord.audit.findings import Finding, Kind
from collectord.audit.layout import count, listing, percent

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class AgreementAnswer:
    """Hashes of all runs, and the newest recorded inputs against the ones that the index would build."""

    hashes: dict[str, int]
    mismatched: tuple[str, ...]
    inputs: dict[str, int]
    compared: int
    histories_equal: int
    contents_equal: int
    issues_compared: int
    issues_equal: int
    issue_fields: dict[str, int]
    missing: int
    extra: int
    differing: tuple[str, ...]
    findings: tuple[Finding, ...]


def agreement(facts: AuditFacts) -> AgreementAnswer:
    """Hash states over all labelled runs; histories and issue fields over those that were compared."""
    labelled = [run for run in facts.runs if run.label]
    hashes = Counter(run.hash_state for run in labelled)
    mismatched = tuple(run.name for run in labelled if run.hash_state == "mismatch")
    found = facts.agreement
    with_history = [one for one in found if one.history_equal is not None]
    fields = Counter(name for one in found for name in one.issue_differs)
    differing = tuple(one.name for one in with_history if not one.history_equal)
    return AgreementAnswer(
        hashes={state: hashes[state] for state in ("verified", "mismatch", "absent")},
        mismatched=mismatched[:_SHOWN],
        inputs=dict(sorted(Counter(run.input_state for run in labelled).items())),
        compared=len(with_history),
        histories_equal=len(with_history) - len(differing),
        contents_equal=sum(one.contents_equal for one in with_history),
        issues_compared=sum(one.issue_compared for one in found),
        issues_equal=sum(one.issue_compared and not one.issue_differs for one in found),
        issue_fields=dict(fields.most_common()),
        missing=sum(len(one.missing) for one in found),
        extra=sum(len(one.extra) for one in found),
        differing=differing[:_SHOWN],
        findings=tuple(_findings(facts, mismatched, differing, fields, len(with_history))),
    )


def _findings(
    facts: AuditFacts,
    mismatched: tuple[str, ...],
    differing: tuple[str, ...],
    fields: Counter[str],
    compared: int,
) -> Iterator[Finding]:
    if mismatched:
        do = "leave out the runs whose recorded input was altered: `collectord runs --hash mismatch`"
        why = f"{count(len(mismatched), 'input')} without the hash recorded with it: {listing(mismatched, 3)}"
        yield Finding(Kind.DISAGREEMENT, "agreement", do, why)
    if differing:
        why = f"{len(differing)} of {compared} histories hold other runs, such as {listing(differing, 3)}"
        missing = sum(bool(one.missing) for one in facts.agreement)
        extra = sum(bool(one.extra) for one in facts.agreement)
        why += f"; {missing} show a run that had not ended yet or is not in the index, {extra} lack one"
        do = "expect inputs at serving to look unlike the recorded ones; `collectord export --n-similar 7` "
        do += "builds every history again"
        yield Finding(
            Kind.DISAGREEMENT if len(differing) * 5 > compared else Kind.NOTE,
            "agreement",
            do,
            why,
        )
    if fields:
        why = listing(f"{name} in {count(number, 'run')}" for name, number in fields.most_common())
        do = "set issue fields before an issue becomes ready: later edits reach the backlog, not the rows"
        compared_issues = sum(one.issue_compared for one in facts.agreement)
        share = percent(sum(bool(one.issue_differs) for one in facts.agreement) / compared_issues)
        yield Finding(Kind.NOTE, "agreement", do, f"{share} differ from Beads as it was known: {why}")

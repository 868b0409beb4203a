"""The audit use case: gather beside whatever writes, answer, hand the document to a view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord import app
from collectord.errors import UsageError
from collectord.gc_tuning import rare_collections
from collectord.model import ARCHIVE

if TYPE_CHECKING:
    from collectord.audit.facts import AuditFacts, LabelVariety
    from collectord.config import Settings
    from collectord.cyntra.policy import Surface
    from collectord.environment.survey import Survey
    from collectord.index.reader import IndexReader

Document = dict[str, Any]


@rare_collections()
def audit(
    settings: Settings,
    *,
    window_ms: int | None = None,
    epoch: int | None = None,
    rebuild: bool = False,
    clock_ms: Callable[[], int] = app.now_ms,
) -> Document:
    """The audit as one document; `rebuild` also makes the newest dataset again."""
    from collectord.audit.document import document
    from collectord.audit.gather import AuditContext, gather
    from collectord.audit.report import answer
    from collectord.cyntra.policy.bounded_regex import limited_search
    from collectord.overview.train_serve_agreement import compare_inputs

    surface, unknown = policy_of(settings.repo)
    now, rebuilt = clock_ms(), _rebuilt(settings) if rebuild else None
    # Not from before 1970: no run is, and no calendar goes back as far as an age can be written.
    window = min(now, window_ms or int(settings.config.audit.window * 1000))
    with app.reader_for(settings) as reader:
        beside = AuditContext(
            **_environment(settings, reader),
            agreement=compare_inputs(reader, settings.repo, now - window),
            rebuilt=rebuilt,
            concurrent=_concurrent(surface),
            policy_unknown=unknown,
        )
        cache = settings.state_dir / "cache"
        facts = gather(reader, settings.repo, cache, now_ms=now, window_ms=window, beside=beside)
    facts = _only_epoch(facts, epoch)
    with limited_search() as search:
        answers = answer(facts, surface, search, search.given_up)
    return document(facts, answers, epoch=epoch)


def policy_of(repo: Path) -> tuple[Surface | None, str | None]:
    """(the policy of the repo as it is now, why it cannot be told)."""
    from collectord.cyntra.policy import PolicyUnreadable
    from collectord.sources.policy import read_policy
    from collectord.sources.tree import WorkingTree

    try:
        return read_policy(WorkingTree(repo)), None
    except PolicyUnreadable as error:
        return None, str(error)


def _concurrent(surface: Surface | None) -> int | None:
    return surface.components["scheduling"]["max_concurrent_workcells"] if surface else None


def _only_epoch(facts: AuditFacts, epoch: int | None) -> AuditFacts:
    if epoch is None:
        return facts
    numbers = [one.number for one in facts.epochs] or [1]
    if epoch not in numbers:
        raise UsageError(f"--epoch {epoch}: there are {numbers[0]} to {numbers[-1]}; `collectord epoch list`")
    return replace(facts, runs=tuple(run for run in facts.runs if run.epoch == epoch))


def _environment(settings: Settings, reader: IndexReader) -> dict[str, Any]:
    """Epochs, the epoch of each archive, and open alerts, as values of the audit."""
    from collectord.app.environment import survey_of
    from collectord.audit.facts import Epoch, OpenAlert
    from collectord.audit.layout import capped
    from collectord.environment.alert_fields import summary_of
    from collectord.index.alerts import alerts

    survey = survey_of(settings, reader.connection)
    found = survey.folded
    epochs = tuple(
        Epoch(one.number, one.first_ms, one.ended_ms, one.fingerprint, _epoch_words(one))
        for one in found.epochs
    )
    opened = [one for one in alerts(reader.connection) if one.resolved_ms is None and one.acked_ms is None]
    return {
        "epochs": epochs,
        "varieties": tuple(_varieties(survey)),
        "epoch_of": {name: number for (kind, name), number in found.number_of.items() if kind == ARCHIVE},
        "alerts": tuple(
            OpenAlert(one.event, one.opened_ms, capped(summary_of(one.event, one.fields))) for one in opened
        ),
    }


def _varieties(survey: Survey) -> Iterator[LabelVariety]:
    """What each epoch's policy gives several labels for."""
    from collectord.audit.facts import LabelVariety
    from collectord.environment.contradictions import varieties

    for epoch in survey.folded.epochs:
        policy = survey.policy(epoch)
        with policy.searching():
            for one in varieties(survey.by_epoch[epoch.number], policy, survey.memory.issue):
                yield LabelVariety(epoch.number, one.rule, one.labels, one.rows, one.lost, one.remedy)


def _epoch_words(epoch: Any) -> str:
    ended = f", ended by {epoch.why}" if epoch.why else ""
    return f"{epoch.runs:,} runs, {epoch.origin} {epoch.fingerprint[:12]}{ended}"


def _rebuilt(settings: Settings) -> tuple[bool, tuple[str, ...]] | None:
    """Whether the newest published dataset comes out the same again; None where there is none."""
    from collectord.index.snapshots import known_snapshots

    with app.reader_for(settings) as reader:
        known = known_snapshots(reader.connection)
    folder = Path(str(known[0]["path"])) if known else None
    if folder is None or not folder.is_dir():
        return None
    found = app.verify(settings, folder)
    return not found.findings, tuple(found.findings)


def schema() -> str:
    """The JSON Schema of the document, as it is shipped."""
    from importlib.resources import files

    return files("collectord.audit").joinpath("audit.schema.json").read_text(encoding="utf-8")


def require_page(target: Path) -> None:
    """Raise before any work is done where no page can be written: no extra, no folder."""
    from collectord.audit.charts import require_drawing

    require_drawing()
    if not target.absolute().parent.is_dir():
        raise UsageError(f"--html {target}: there is no folder {target.absolute().parent}; make it first")
    if target.is_dir():
        raise UsageError(f"--html {target}: is a folder; name a file in it")


def write_page(document: Document, target: Path) -> None:
    """Write the HTML page, in place of a file that is there."""
    from collectord.audit.page import page
    from collectord.fs import atomic_write

    # A text of the archives may hold a lone surrogate, which UTF-8 cannot.
    atomic_write(target.absolute(), page(document).encode("utf-8", "backslashreplace"), mode=0o644)

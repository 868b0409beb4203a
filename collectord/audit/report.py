"""The audit: facts gathered, all answers, what to do first, as one JSON document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.audit.agreement import agreement, compare_inputs
from collectord.audit.answers import Answers
from collectord.audit.backlog import backlog
from collectord.audit.collection import health, steadiness
from collectord.audit.consistency import consistency
from collectord.audit.coverage import coverage, player_of, reach_of
from collectord.audit.document import AuditDocument, document_of
from collectord.audit.facts import AuditFacts, Epoch, LabelVariety, OpenAlert
from collectord.audit.fill import fill
from collectord.audit.findings import DAY_MS
from collectord.audit.gather import AuditContext, gather
from collectord.audit.lanes import lanes
from collectord.audit.outcomes import outcomes
from collectord.audit.phase import phase
from collectord.audit.quality import quality
from collectord.audit.shift import drift
from collectord.dataset.publish import published
from collectord.dataset.verify import verify
from collectord.epochs.contradictions import varieties
from collectord.epochs.json_views import summary_of
from collectord.epochs.outline import KeptOutline, outline_for, survey_of
from collectord.errors import CollectordError, UsageError
from collectord.index.alerts import alerts
from collectord.index.opening import now_ms, reader_for
from collectord.kernel.jsonio import Unparsable, parse_object
from collectord.kernel.policy import PolicyUnreadable, Search, Surface, search
from collectord.kernel.values import capped, is_int
from collectord.model import ARCHIVE, REPORTS
from collectord.repo.files import open_regular
from collectord.repo.policy import WorkingTree, read_policy
from collectord.system.bounded_regex import limited_search
from collectord.system.cache_files import UNUSABLE, load_cached, save_cached
from collectord.system.durable import atomic_write, permitted
from collectord.system.gc_tuning import rare_collections

if TYPE_CHECKING:
    from collectord.audit.facts import AuditFacts, LabelVariety
    from collectord.config import Settings
    from collectord.epochs.survey import Survey
    from collectord.index.reader import IndexReader
    from collectord.kernel.policy import Surface


def answer(
    facts: AuditFacts, surface: Surface | None, search: Search = search, given_up: Collection[str] = ()
) -> Answers:
    """Every answer from the facts and the policy of now; without one nothing is called unreachable.

    `search` is for the patterns of the policy's rules; `given_up` holds those that it gave up, as it goes.
    """
    play = player_of(surface, search) if surface else None
    reach = reach_of(surface, search) if surface else None
    found, cover, waiting = lanes(facts), coverage(facts, reach), backlog(facts, play, given_up)
    return Answers(
        coverage=cover,
        lanes=found,
        fill=fill(facts, found, cover, reach, waiting),
        backlog=waiting,
        consistency=consistency(facts),
        agreement=agreement(facts),
        outcomes=outcomes(facts),
        drift=drift(facts),
        quality=quality(facts),
        steadiness=steadiness(facts),
        phase=phase(facts),
        health=health(facts),
    )


@rare_collections()
def audit(
    settings: Settings,
    *,
    window_ms: int | None = None,
    epoch: int | None = None,
    rebuild: bool = False,
    against: Path | None = None,
    clock_ms: Callable[[], int] = now_ms,
) -> AuditDocument:
    """The audit; `rebuild` also makes the newest dataset again.

    It is compared with the document in the file `against`, or with the newest weekly report of before today.
    """
    before = _document(against) if against else _last_report(settings.repo, clock_ms())
    surface, unknown = policy_of(settings.repo)
    now, rebuilt = clock_ms(), _rebuilt(settings) if rebuild else None
    # Not from before 1970: no run is, and no calendar goes back as far as an age can be written.
    window = min(now, window_ms or int(settings.config.audit.window * 1000))
    with reader_for(settings) as reader:
        beside = AuditContext(
            **_environment(settings, reader),
            snapshots=tuple(published(reader.connection, settings.benches_dir)),
            agreement=compare_inputs(
                reader, settings.repo, now - window, settings.state_dir / "cache/audit-agreement.json"
            ),
            rebuilt=rebuilt,
            concurrent=_concurrent(surface),
            policy_unknown=unknown,
        )
        facts = gather(reader, settings.repo, now_ms=now, window_ms=window, beside=beside)
    facts = _only_epoch(facts, epoch)
    with limited_search() as search:
        answers = answer(facts, surface, search, search.given_up)
    return document_of(facts, answers, epoch=epoch, before=before)


def _document(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            return parse_object(file.read(MAX_REPORT_BYTES))
    except (OSError, Unparsable) as error:
        raise CollectordError(f"{path}: is no audit that can be read: {error}") from None


def _last_report(repo: Path, now: int) -> dict[str, Any] | None:
    """The newest weekly report that is at least a day old; one that cannot be read is as good as none."""
    for path in sorted((repo / REPORTS).glob("audit-*.json"), reverse=True):
        with suppress(CollectordError):
            found = _document(path)
            if is_int(made_ms := found.get("made_ms")) and made_ms <= now - DAY_MS:
                return found
    return None


MAX_REPORT_BYTES = 64 * 2**20


def policy_of(repo: Path) -> tuple[Surface | None, str | None]:
    """(the policy of the repo as it is now, why it cannot be told)."""
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
    several = _several_labels(settings, reader)
    found = outline_for(settings, reader.connection)
    opened = [one for one in alerts(reader.connection) if one.resolved_ms is None and one.acked_ms is None]
    return {
        "epochs": tuple(
            Epoch(one.number, one.first_ms, one.ended_ms, one.fingerprint, _epoch_words(one))
            for one in found.epochs
        ),
        "epoch_of": {name: place.epoch for (kind, name), place in found.runs() if kind == ARCHIVE},
        "varieties": several,
        "unrun_since_ms": found.unrun_since_ms,
        "alerts": tuple(
            OpenAlert(one.event, one.opened_ms, capped(summary_of(one.event, one.fields))) for one in opened
        ),
    }


def _several_labels(settings: Settings, reader: IndexReader) -> tuple[LabelVariety, ...]:
    """What each epoch's policy gives several labels for: kept, as every run has to be looked at for it."""
    cached, kept = settings.state_dir / "cache/audit-varieties.json", KeptOutline(settings)
    key = kept.key(reader.connection)
    try:
        listed = load_cached(cached, key)["varieties"]
    except UNUSABLE:
        found = survey_of(settings, reader.connection)
        kept.save(key, found)
        listed = [asdict(one) for one in _varieties(found)]
        save_cached(cached, key, {"varieties": listed})
    return tuple(LabelVariety(**{**one, "labels": tuple(one["labels"])}) for one in listed)


def _varieties(survey: Survey) -> Iterator[LabelVariety]:
    """What each epoch's policy gives several labels for."""
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
    with reader_for(settings) as reader:
        known = published(reader.connection, settings.benches_dir)
    folder = Path(str(known[0]["path"])) if known else None
    if folder is None or not folder.is_dir():
        return None
    found = verify(settings, folder)
    return not found.findings, tuple(found.findings)


def require_page(target: Path) -> None:
    """Raise UsageError before any work is done where no page can stand at `target`."""
    if not target.absolute().parent.is_dir():
        raise UsageError(f"--html {target}: there is no folder {target.absolute().parent}; make it first")
    if target.is_dir():
        raise UsageError(f"--html {target}: is a folder; name a file in it")


def write_page(document: AuditDocument, target: Path) -> None:
    """Write the HTML page, in place of a file that is there. Raises ExtraMissing."""
    from collectord.audit.charts import require_drawing
    from collectord.audit.page import page

    require_drawing()
    # A text of the archives may hold a lone surrogate, which UTF-8 cannot.
    atomic_write(target.absolute(), page(document).encode("utf-8", "backslashreplace"), mode=permitted(0o644))

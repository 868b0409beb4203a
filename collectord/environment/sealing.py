"""When the end of an epoch is final. Pure: the time is given.

An epoch that something ended is closing. It is sealed when the kernel has moved on and nothing that may
still belong to it is in flight, or when a limit has passed. Where its kernel was seen, what ended it is that
the process is gone or has been replaced. Elsewhere "moved on" is a run of a later epoch: after an edit the
kernel goes on with its old configuration until it is started again, and no file says whether it was. While
it goes on, the limit counts from the last run that it dispatched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from collectord.environment.epochs import CHANGED, ENOUGH_RUNS, EVIDENCE, Folded, former_keys
from collectord.index.seals import Seal
from collectord.model import Epoch
from collectord.sources.in_flight import InFlight

NOTHING_IN_FLIGHT, LIMIT = "nothing of it is in flight", "the limit has passed"


@dataclass(frozen=True, slots=True)
class Steps:
    """Epochs that begin to close, keys of those whose end was undone, and (epoch, why) of those to seal.

    `former` has, by an epoch's key, the keys under which it was sealed before its end moved.
    """

    close: tuple[Epoch, ...] = ()
    reopen: tuple[str, ...] = ()
    seal: tuple[tuple[Epoch, str], ...] = ()
    former: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def next_steps(
    folded: Folded,
    seals: Mapping[str, Seal],
    in_flight: Sequence[InFlight],
    *,
    first_look_ms: int | None,
    now_ms: int,
    limit_ms: Callable[[Epoch], int],
) -> Steps:
    """What is to be done now. An epoch that ended before anybody looked was never open."""
    ended = [epoch for epoch in folded.epochs if _was_seen_ending(epoch, first_look_ms)]
    closing = [(epoch, seals[epoch.key]) for epoch in ended if epoch.key in seals]
    keys = {epoch.key for epoch in ended}
    return Steps(
        close=tuple(epoch for epoch in ended if epoch.key not in seals),
        reopen=tuple(s.key for s in seals.values() if s.sealed_ms is None and s.key not in keys),
        seal=tuple(
            (epoch, why)
            for epoch, seal in closing
            if seal.sealed_ms is None
            and (why := _final(epoch, seal, folded, in_flight, now_ms, limit_ms(epoch))) is not None
        ),
        former=former_keys(folded, (s.key for s in seals.values() if s.sealed_ms is not None)),
    )


def _was_seen_ending(epoch: Epoch, first_look_ms: int | None) -> bool:
    if epoch.ended_ms is None or (epoch.origin == EVIDENCE and epoch.runs < ENOUGH_RUNS):
        return False
    return first_look_ms is None or epoch.ended_ms >= first_look_ms


def _final(
    epoch: Epoch, seal: Seal, folded: Folded, in_flight: Sequence[InFlight], now_ms: int, limit_ms: int
) -> str | None:
    if now_ms >= max(seal.closing_ms, min(epoch.last_ms, now_ms)) + limit_ms:
        return LIMIT
    assert epoch.ended_ms is not None
    until_ms = epoch.ended_ms
    if epoch.why == CHANGED and epoch.number not in folded.seen:
        later = [start for other in folded.epochs for start in _later_start(other, epoch)]
        if not later:
            return None
        until_ms = max([until_ms, *later])
    waiting = any(f.created_ms is None or f.created_ms <= until_ms for f in in_flight)
    return None if waiting else NOTHING_IN_FLIGHT


def _later_start(other: Epoch, epoch: Epoch) -> Iterator[int]:
    """From when on the runs of another epoch show that the kernel has left this one."""
    if other.number != epoch.number and other.last_ms > epoch.last_ms:
        yield other.first_ms if other.first_ms > epoch.last_ms else epoch.last_ms

"""Who does the tasks of a stage: this process, or workers of Dask. A task is a function and one value."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol, TypeVar

from collectord.dataset.credentials import detector_version
from collectord.dataset.parquet import pyarrow_version
from collectord.errors import CollectordError, ExtraMissing

T = TypeVar("T")
R = TypeVar("R")
# A task whose worker died is given to another one so often: then it is what kills them.
TRIES = 3


class WorkersFailed(CollectordError):
    """A task could not be done by any worker."""


class Runner(Protocol):
    """Does tasks in any order, each at least once."""

    @property
    def dashboard(self) -> str | None:
        """The address at which the workers can be watched."""

    def run(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R | Exception]]:
        """(place among the tasks, result or what it raised), as they come."""


@dataclass(frozen=True, slots=True)
class Here:
    """One task after the other, in this process."""

    dashboard: str | None = None

    def run(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R | Exception]]:
        """See Runner."""
        for number, task in enumerate(tasks):
            try:
                yield number, function(task)
            except Exception as error:
                yield number, error


@dataclass(frozen=True)
class Dask:
    """The workers of a cluster."""

    client: Any
    dashboard: str | None

    def run(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R | Exception]]:
        """See Runner. What is not wanted any more is cancelled."""
        import distributed

        library: Any = distributed
        futures = [self.client.submit(function, task, pure=False) for task in tasks]
        places = {future.key: number for number, future in enumerate(futures)}
        try:
            for future in library.as_completed(futures):
                yield places[future.key], _result(future)
                future.release()
        finally:
            self.client.cancel(futures)


def _result(future: Any) -> Any:
    from distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return WorkersFailed(
            f"{TRIES} workers died over one task: give them more memory (--memory), or fewer of them room"
        )
    except Exception as error:
        return error


@contextmanager
def workers(count: int, memory: int | None, scheduler: str | None) -> Iterator[Runner]:
    """A cluster that exists at an address, one of so many processes of this machine, or for 0 no other.

    `memory` is the limit of each process in bytes; None shares out what the machine has.
    """
    if scheduler is None and count == 0:
        yield Here()
        return
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ExtraMissing("workers of a fleet want", "fleet") from error
    with dask.config.set(_SETTINGS):
        if scheduler is not None:
            with _connected(scheduler) as client:
                yield Dask(client, client.dashboard_link or None)
            return
        library: Any = distributed
        cluster = library.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=memory if memory is not None else "auto",
            dashboard_address=_dashboard(),
            host="127.0.0.1",
            # Without keys whoever has an account here could give our workers tasks of their own.
            security=True,
            silence_logs=50,
        )
        with cluster, library.Client(cluster) as client:
            yield Dask(client, client.dashboard_link if _dashboard() else None)


_SETTINGS = {
    # The workers' own words would stand between ours: what they raise comes back as an error.
    "logging.distributed": "critical",
    # A task that waits at a worker is blamed with the one over which that dies: none waits there.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": TRIES - 1,
}


def _dashboard() -> str | None:
    from importlib.util import find_spec

    return "127.0.0.1:0" if find_spec("bokeh") else None


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    import distributed

    library: Any = distributed
    try:
        client = library.Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise CollectordError(f"--scheduler {scheduler}: cannot be reached ({error})") from error
    with client:
        _require_same(client, scheduler)
        yield client


def software() -> tuple[str | None, ...]:
    """The versions that bytes depend on."""
    return version("collectord"), pyarrow_version(), detector_version(), platform.python_version()


def _require_same(client: Any, scheduler: str) -> None:
    """Refuse a cluster whose workers would write other bytes."""
    where = f"--scheduler {scheduler}"
    try:
        found = set(client.run(software).values())
    except ImportError as error:
        raise CollectordError(f"{where}: a worker there lacks collectord ({error})") from error
    if not found:
        raise CollectordError(f"{where}: has no workers; start some, and export again")
    if other := found - {(own := software())}:
        theirs = ", ".join(map(str, sorted(other, key=str)[0]))
        raise CollectordError(
            f"{where}: a worker there has other versions of collectord, pyarrow, detect-secrets and Python "
            f"({theirs}) than here ({', '.join(map(str, own))}), and so would write other bytes"
        )

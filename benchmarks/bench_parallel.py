"""Rows: many writers at once, as threads of one process and as processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any

from eventsourcing.persistence import OperationalError, StoredEvent

from .events import EventSource
from .measure import percentile, run_in_turn, waits_met
from .rows import Row, Target, compare, faster
from .session import Session
from .stores import Kind, Store, kinds_available
from .workers import Worker

THREADS = 32
PROCESSES = 4
_BARRIER_SECONDS = 0.4
"""Time for every worker to make its events before all start at one moment."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What many writers did at once."""

    rate: float
    writers: list[list[float]]
    """The seconds of each writer's calls, in their order."""
    errors: int

    def p99(self) -> float:
        """The p99 of all calls."""
        return percentile([value for mine in self.writers for value in mine], 99)

    def p99_met(self) -> float:
        """The p99 of what a caller that comes at a random moment waits."""
        return percentile([wait for mine in self.writers for wait in waits_met(mine)], 99)


class ThreadBursts:
    """Bursts of one-event inserts by many threads, sized to last about as long in every store."""

    def __init__(self, store: Store, source: EventSource, burst_seconds: float) -> None:
        self._insert = store.recorder.insert_events
        self._source = source
        self._count = 20
        self._count = max(20, min(2_000, int(self.run(None).rate * burst_seconds / THREADS)))

    def run(self, _: None) -> Burst:
        """One burst: the rate is of all events, from the common start to the last one's end."""
        work = [self._source.singles(self._count) for _ in range(THREADS)]
        seconds: list[list[float]] = [[] for _ in work]
        errors = [0] * THREADS
        starts: list[float] = []
        barrier = threading.Barrier(THREADS, action=lambda: starts.append(perf_counter()))

        def write(number: int) -> None:
            insert, mine = self._insert, seconds[number]
            barrier.wait()
            for events in work[number]:
                errors[number] += not _timed(insert, events, mine)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = perf_counter() - starts[0]
        failed = sum(errors)
        return Burst((THREADS * self._count - failed) / elapsed, seconds, failed)


def _timed(
    insert: Callable[[list[StoredEvent]], object], events: list[StoredEvent], taken: list[float]
) -> bool:
    """Insert, note the seconds, and say whether it succeeded."""
    started = perf_counter()
    try:
        insert(events)
    except OperationalError:  # SQLite, when it waited too long for a lock or a connection.
        return False
    finally:
        taken.append(perf_counter() - started)
    return True


def threads_32(session: Session) -> list[Row]:
    """One-event durable inserts of 32 threads per second."""
    scale = session.scale
    warm = session.warm_set("durable")
    # Every store has its own number of events per burst, so each needs a history of its own.
    parts: dict[str, Callable[[None], Burst]] = {
        kind: ThreadBursts(store, EventSource(100 + number), scale.thread_seconds).run
        for number, (kind, store) in enumerate(warm.stores.items())
    }
    text = f"{THREADS} threads, one-event inserts"
    session.progress.begin(text, scale.parallel_blocks * len(parts))
    blocks = run_in_turn(
        parts, lambda: None, blocks=scale.parallel_blocks, advance=session.progress.advance
    )
    return [
        compare(
            "threads-32",
            f"{text} per second",
            "durable",
            "per_second",
            _rates(blocks),
            target=faster(8),
            details=_details(blocks),
        )
    ]


def _rates(blocks: dict[str, list[Burst]]) -> dict[str, list[float]]:
    return {kind: [burst.rate for burst in bursts] for kind, bursts in blocks.items()}


def _details(blocks: dict[str, list[Burst]]) -> dict[str, Any]:
    """What the row's figure does not say: failures, waits, and how evenly the writers got on."""
    return {
        kind: {
            "errors": [burst.errors for burst in bursts],
            "p99_seconds": [burst.p99() for burst in bursts],
            "seconds_max": [max(map(max, burst.writers)) for burst in bursts],
            "calls_of_writers": [sorted(map(len, burst.writers)) for burst in bursts],
            "p99_seconds_of_writers": [
                sorted(percentile(mine, 99) for mine in burst.writers) for burst in bursts
            ],
        }
        for kind, bursts in blocks.items()
    }


def processes_4(session: Session) -> list[Row]:
    """One-event durable inserts of 4 processes: their rate and their p99."""
    scale = session.scale
    text = f"{PROCESSES} processes, one-event inserts"
    with ExitStack() as stack:
        parts: dict[str, Callable[[None], Burst]] = {
            kind: _process_part(session, stack, kind) for kind in kinds_available(memory=False)
        }
        session.progress.begin(text, scale.parallel_blocks * len(parts))
        blocks = run_in_turn(
            parts, lambda: None, blocks=scale.parallel_blocks, advance=session.progress.advance
        )
    rates = _rates(blocks)
    p99 = {kind: [burst.p99() for burst in bursts] for kind, bursts in blocks.items()}
    met = {kind: [burst.p99_met() for burst in bursts] for kind, bursts in blocks.items()}
    tenth = Target("10 x (a tenth)", 10)
    return [
        compare(
            "processes-4-rate",
            f"{text} per second",
            "durable",
            "per_second",
            rates,
            target=faster(1.1),
            details=_details(blocks),
        ),
        compare("processes-4-p99", f"{text}, p99", "durable", "seconds", p99, target=tenth),
        compare("processes-4-met", "  p99 of waits met at any moment", "durable", "seconds", met),
    ]


def _process_part(session: Session, stack: ExitStack, kind: Kind) -> Callable[[None], Burst]:
    """Fill a store, start the processes that write to it, and return what makes them."""
    path = session.path("processes")
    first = session.open(kind, path, "durable")
    for events in EventSource().singles(session.scale.warm_inserts):
        first.recorder.insert_events(events)
    first.close()
    workers = [
        stack.enter_context(Worker(kind, path, "durable", writer=number + 1))
        for number in range(PROCESSES)
    ]

    def run(_: None) -> Burst:
        start = monotonic() + _BARRIER_SECONDS
        for worker in workers:
            worker.tell(command="insert_for", start=start, seconds=session.scale.process_seconds)
        answers = [worker.answer() for worker in workers]
        writers = [answer["seconds"] for answer in answers]
        errors = sum(answer["errors"] for answer in answers)
        elapsed = max(answer["finished"] for answer in answers) - start
        return Burst((sum(map(len, writers)) - errors) / elapsed, writers, errors)

    return run

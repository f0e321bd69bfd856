"""Another process: opens one store and obeys the commands that ``workers`` sends it."""

from __future__ import annotations

import gc
import json
import random
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter, process_time, sleep
from time import monotonic_ns as now_ns
from typing import Any

from eventsourcing.persistence import OperationalError, StoredEvent

from .events import EventSource, aggregate_id, read_stamp
from .machine import resident_bytes
from .measure import time_calls
from .stores import Store, import_store, open_store

_PREPARED_PER_SECOND = 5_000
"""Events made before a timed run; a store that is faster makes the rest while it runs."""


def _emit(**values: Any) -> None:
    print(json.dumps(values), flush=True)


class Obedience:
    """The commands; every public method is one, and returns its answer."""

    def __init__(self) -> None:
        self._store: Store | None = None
        self._source = EventSource()
        self._resident_before = 0

    @property
    def store(self) -> Store:
        """The opened store."""
        assert self._store is not None, "the first command is open"
        return self._store

    def open(
        self, kind: Any, path: str, sync: Any, writer: int, settings: dict[str, str]
    ) -> dict[str, Any]:
        """Open the store, ask for the head and one event, and say what that took."""
        self._source = EventSource(writer)
        import_store(kind)
        gc.collect()
        self._resident_before = resident_bytes()
        started = perf_counter()
        self._store = open_store(kind, Path(path), sync, settings)
        head = self._store.recorder.max_notification_id()
        self._store.recorder.select_events(aggregate_id(0), desc=True, limit=1)
        seconds = perf_counter() - started
        return {"seconds": seconds, "head": head, **self.resident()}

    def fill(self, first: int, count: int, size: int) -> dict[str, Any]:
        """Write ``count`` commits of ``size`` events, the aggregates numbered from ``first``."""
        insert = self.store.recorder.insert_events
        source = EventSource()
        source.skip_to(first)
        started = perf_counter()
        for _ in range(count):
            insert(source.commit(size))
        return {"seconds": perf_counter() - started}

    def insert_singles(self, count: int) -> dict[str, Any]:
        """The seconds of each of ``count`` one-event inserts."""
        return {
            "seconds": time_calls(self.store.recorder.insert_events, self._source.singles(count))
        }

    def last_events(self, count: int, aggregates: int, seed: int) -> dict[str, Any]:
        """The seconds of each of ``count`` reads of the last event of some aggregate."""
        select = self.store.recorder.select_events
        choose = random.Random(seed).randrange
        ids = [aggregate_id(choose(aggregates)) for _ in range(count)]
        return {"seconds": time_calls(lambda i: select(i, desc=True, limit=1), ids)}

    def pages(self, starts: list[int], size: int) -> dict[str, Any]:
        """The seconds of each page."""
        select = self.store.recorder.select_notifications
        return {"seconds": time_calls(lambda start: select(start, size), starts)}

    def resident(self) -> dict[str, Any]:
        """How much more memory the process holds than before the store was opened."""
        gc.collect()
        return {"resident_bytes": resident_bytes() - self._resident_before}

    def insert_for(self, start: float, seconds: float) -> dict[str, Any]:
        """Insert single events from one moment to another of the clock that all processes share."""
        insert = self.store.recorder.insert_events
        prepared = self._source.singles(int(seconds * _PREPARED_PER_SECOND))
        prepared.reverse()
        taken: list[float] = []
        errors = 0
        gc.collect()
        sleep(max(0.0, start - monotonic()))
        end = start + seconds
        while monotonic() < end:
            events = prepared.pop() if prepared else self._source.singles(1)[0]
            started = perf_counter()
            errors += not _insert_or_fail(insert, events)
            taken.append(perf_counter() - started)
        return {"seconds": taken, "finished": monotonic(), "errors": errors}

    def subscribe(self, gt: int, count: int, limit_seconds: float) -> dict[str, Any]:
        """Say that the subscription stands, then when each of ``count`` events arrived."""
        received: list[tuple[int, int]] = []
        with self.store.recorder.subscribe(gt=gt) as subscription:
            watchdog = threading.Timer(limit_seconds, subscription.stop)
            watchdog.start()
            _emit(ready=True)
            for notification in subscription:
                arrived_ns = now_ns()
                received.append((read_stamp(notification.state), arrived_ns))
                if len(received) == count:
                    break
            watchdog.cancel()
        return {"received": received}

    def idle(self, gt: int, seconds: float) -> dict[str, Any]:
        """The share of a core that a subscription to which nothing happens takes."""
        with self.store.recorder.subscribe(gt=gt) as subscription:
            waiter = threading.Thread(target=lambda: list(subscription), daemon=True)
            waiter.start()
            sleep(0.5)  # Until it has read what there is and sleeps.
            began, cpu = monotonic(), process_time()
            sleep(seconds)
            share = (process_time() - cpu) / (monotonic() - began)
            subscription.stop()
            waiter.join()
        return {"share": share}

    def end(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()


def _insert_or_fail(
    insert: Callable[[list[StoredEvent]], object], events: list[StoredEvent]
) -> bool:
    """Whether it was inserted; SQLite gives up on a database that is locked for too long."""
    try:
        insert(events)
    except OperationalError:
        return False
    return True


def main(commands: type[Obedience] = Obedience) -> None:
    """Obey until stdin ends."""
    obedience = commands()
    try:
        for line in sys.stdin:
            command = json.loads(line)
            try:
                answer = getattr(obedience, command.pop("command"))(**command)
            except Exception as error:  # noqa: BLE001 - goes to the parent
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
            _emit(**answer)
    finally:
        obedience.end()


if __name__ == "__main__":
    main()

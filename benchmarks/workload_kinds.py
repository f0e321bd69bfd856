"""The workloads: what each stores, and what is timed. ``benchmarks.workloads`` runs them.

Theory of operation: the stores get the same history first. Then they work in turn, block by block,
each doing the same as the others in its block; every call is timed by itself. What several threads
or a second process take part in is as close to a program in use as one machine allows: the time of
a command is that of all its tries, and an append that was due while the one before was still under
way has been waiting since then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from eventsourcing.persistence import ApplicationRecorder, IntegrityError, StoredEvent

from .events import aggregate_id
from .measure import run_in_turn, time_calls
from .workload_events import Events, Zipf, history, one_commit_each
from .workload_reader import PAGE, read_pages
from .workload_stores import EventStore

Samples = dict[str, list[float]]  # operation -> seconds of each call
Blocks = dict[str, list[Samples]]  # store -> samples of each block
Stores = Mapping[str, EventStore]

SEED = 8
NEWEST = 20  # events behind a snapshot, and of a page that shows what is new
ZIPF_EXPONENT = 1.1
SIZES = {"100 B": 100, "1 KiB": 1 << 10, "8 KiB": 8 << 10, "64 KiB": 64 << 10}
EVENTS_OF_ONE = 10  # of an aggregate whose events are of one size
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Load:
    """How much is done. Counts are per block and store."""

    blocks: int = 7
    history_events: int = 50_000
    aggregates: int = 10_000
    calls: int = 1_500
    threads: int = 4
    thread_calls: int = 500
    paced_appends: int = 500
    pace_seconds: float = 0.005
    sized_aggregates: int = 40
    courses: int = 1_000
    decisions: int = 400


QUICK = Load(
    blocks=2,
    history_events=1_000,
    aggregates=200,
    calls=40,
    thread_calls=20,
    paced_appends=30,
    sized_aggregates=3,
    courses=50,
    decisions=20,
)


def _fill(stores: Stores, commits: list[list[StoredEvent]]) -> None:
    for store in stores.values():
        for commit in commits:
            store.recorder.insert_events(commit)


def _in_turn(
    stores: Stores,
    load: Load,
    prepare: Callable[[], Any],
    part: Callable[[EventStore, Any], Samples],
) -> Blocks:
    def bound(store: EventStore) -> Callable[[Any], Samples]:
        return lambda work: part(store, work)

    parts = {name: bound(store) for name, store in stores.items()}
    return run_in_turn(parts, prepare, blocks=load.blocks)


def small_streams(stores: Stores, load: Load) -> Blocks:
    """Many aggregates of one to five events; nobody comes back to most of them."""
    events = Events(SEED)

    def size() -> int:
        return events.random.randint(1, 3)

    begun = [events.new_aggregate(size()) for _ in range(load.history_events // 2)]
    flat = [event for commit in begun for event in commit]
    _fill(stores, [flat[at : at + 100] for at in range(0, len(flat), 100)])

    def prepare() -> tuple[list[list[StoredEvent]], list[int]]:
        commits = []
        for _ in range(load.calls):
            # A new aggregate, or one or two more events of one that is there.
            if events.random.random() < 0.6:
                commits.append(events.new_aggregate(size()))
            else:
                known = events.random.randrange(len(events.versions))
                commits.append([events.event(known)])
        known = len(events.versions)
        return commits, [events.random.randrange(known) for _ in range(load.calls)]

    def part(store: EventStore, work: tuple[list[list[StoredEvent]], list[int]]) -> Samples:
        commits, numbers = work
        ids = list(map(aggregate_id, numbers))
        return {
            "append 1 to 3 events": time_calls(store.recorder.insert_events, commits),
            "load an aggregate": time_calls(lambda it: list(store.recorder.select_events(it)), ids),
        }

    return _in_turn(stores, load, prepare, part)


def hot_streams(stores: Stores, load: Load) -> Blocks:
    """A few aggregates get most of the events, as Zipf's law has it."""
    events, zipf = Events(SEED), Zipf(load.aggregates, ZIPF_EXPONENT, SEED)
    _fill(stores, history(events, [zipf.choose() for _ in range(load.history_events)]))

    def prepare() -> tuple[list[list[StoredEvent]], list[tuple[int, int]]]:
        commits = one_commit_each(events, [zipf.choose() for _ in range(load.calls)])
        numbers = [zipf.choose() for _ in range(load.calls)]
        return commits, [(number, events.versions.get(number, 0)) for number in numbers]

    def part(store: EventStore, work: Any) -> Samples:
        commits, wanted = work

        def load_newest(one: tuple[int, int]) -> None:
            number, version = one
            list(store.recorder.select_events(aggregate_id(number), gt=max(0, version - NEWEST)))

        return {
            "append 1 event": time_calls(store.recorder.insert_events, commits),
            f"load the newest {NEWEST} events": time_calls(load_newest, wanted),
        }

    return _in_turn(stores, load, prepare, part)


def mixed(stores: Stores, load: Load) -> Blocks:
    """Four threads: of ten calls seven load, two are commands, one looks at what is new."""
    events, zipf = Events(SEED), Zipf(load.aggregates, ZIPF_EXPONENT, SEED)
    _fill(stores, history(events, [zipf.choose() for _ in range(load.history_events)]))
    seeds = count(SEED)

    def part(store: EventStore, seed: int) -> Samples:
        samples: list[Samples] = [{} for _ in range(load.threads)]
        threads = [
            threading.Thread(target=_mix, args=(store.recorder, load, seed * 100 + at, samples[at]))
            for at in range(load.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = [name for found in samples for name in found]
        return {
            name: [second for found in samples for second in found.get(name, [])]
            for name in dict.fromkeys(sorted(names))
        }

    return _in_turn(stores, load, lambda: next(seeds), part)


def _mix(recorder: ApplicationRecorder, load: Load, seed: int, samples: Samples) -> None:
    zipf, events = Zipf(load.aggregates, ZIPF_EXPONENT, seed), Events(seed)
    for _ in range(load.thread_calls):
        drawn, number = events.random.random(), zipf.choose()
        begun = perf_counter()
        if drawn < 0.7:
            name = f"load the newest {NEWEST} events"
            list(recorder.select_events(aggregate_id(number), desc=True, limit=NEWEST))
        elif drawn < 0.9:
            name = "command: load, append 1 event, try again after a conflict"
            _command(recorder, events, number)
        else:
            name = f"page of the newest {NEWEST} events"
            newest = recorder.max_notification_id() or 0
            recorder.select_notifications(start=max(1, newest - NEWEST + 1), limit=NEWEST)
        samples.setdefault(name, []).append(perf_counter() - begun)


def _command(recorder: ApplicationRecorder, events: Events, number: int) -> None:
    originator_id = aggregate_id(number)
    while True:
        newest = list(recorder.select_events(originator_id, desc=True, limit=1))
        version = newest[0].originator_version if newest else 0
        try:
            recorder.insert_events([events.event_at(originator_id, version + 1)])
        except IntegrityError:
            continue
        return


def catch_up(stores: Stores, load: Load) -> Blocks:
    """One reader pages through the log as fast as it can, while appends come at a steady pace.

    The reader is a process of its own; for the in-memory store, which no other process can open,
    it is a thread, which competes for the interpreter.
    """
    events, zipf = Events(SEED), Zipf(load.aggregates, ZIPF_EXPONENT, SEED)
    _fill(stores, history(events, [zipf.choose() for _ in range(load.history_events)]))

    def prepare() -> list[list[StoredEvent]]:
        return one_commit_each(events, [zipf.choose() for _ in range(load.paced_appends)])

    def part(store: EventStore, commits: list[list[StoredEvent]]) -> Samples:
        with _reading(store) as pages:
            appends = _paced(store.recorder, commits, load.pace_seconds)
        return {
            f"append 1 event, one due every {load.pace_seconds * 1e3:g} ms": appends,
            f"page of {PAGE} events": pages,
        }

    return _in_turn(stores, load, prepare, part)


def _paced(
    recorder: ApplicationRecorder, commits: list[list[StoredEvent]], pace_seconds: float
) -> list[float]:
    """Seconds from when each append was due; so a slow one is counted by those that it delays."""
    seconds = []
    due = perf_counter()
    for commit in commits:
        due += pace_seconds
        early = due - perf_counter()
        begun = due
        if early > 0:
            sleep(early)
            begun = perf_counter()  # a sleep that ended late is the system's doing
        recorder.insert_events(commit)
        seconds.append(perf_counter() - begun)
    return seconds


class _reading:  # noqa: N801 - used as a function
    """A reader at work inside of a ``with`` block; its seconds are in the list behind it."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._pages: list[float] = []
        self._stopping = threading.Event()

    def __enter__(self) -> list[float]:
        if self._store.settings is None:
            self._thread = threading.Thread(target=self._read_here)
            self._thread.start()
            return self._pages
        env = {**os.environ, "PYTHONPATH": str(_ROOT)}
        command = [sys.executable, "-m", "benchmarks.workload_reader"]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        self._tell(json.dumps(self._store.settings))
        assert self._child.stdout is not None
        if self._child.stdout.readline() != "ready\n":
            raise RuntimeError(f"the reader ended with {self._child.wait()}")
        self._tell("go")
        return self._pages

    def __exit__(self, *_: object) -> None:
        if self._store.settings is None:
            self._stopping.set()
            self._thread.join()
            return
        answer, _nothing = self._child.communicate()
        self._pages += json.loads(answer)["seconds"]

    def _tell(self, line: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def _read_here(self) -> None:
        self._pages += read_pages(self._store.recorder, self._stopping)[0]


def sizes(stores: Stores, load: Load) -> Blocks:
    """Events of 100 B to 64 KiB, one to a commit, ten to an aggregate."""
    sources = {
        name: Events(SEED, state_bytes, at * 10**8)
        for at, (name, state_bytes) in enumerate(SIZES.items())
    }

    def prepare() -> dict[str, list[list[StoredEvent]]]:
        return {
            name: [source.new_aggregate(EVENTS_OF_ONE) for _ in range(load.sized_aggregates)]
            for name, source in sources.items()
        }

    def part(store: EventStore, work: dict[str, list[list[StoredEvent]]]) -> Samples:
        samples = {}
        for name, aggregates in work.items():
            commits = [[event] for events in aggregates for event in events]
            samples[f"append 1 event of {name}"] = time_calls(store.recorder.insert_events, commits)
        for name, aggregates in work.items():
            ids = [events[0].originator_id for events in aggregates]
            samples[f"load {EVENTS_OF_ONE} events of {name}"] = time_calls(
                lambda it: list(store.recorder.select_events(it)), ids
            )
        return samples

    return _in_turn(stores, load, prepare, part)


def operations(blocks: Blocks) -> Iterator[str]:
    """The operations of a workload, in the order in which they are shown."""
    names = [name for found in blocks.values() for samples in found for name in samples]
    return iter(dict.fromkeys(names))

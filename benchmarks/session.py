"""One run: how much is measured, where the stores live, and when they are closed."""

from __future__ import annotations

import random
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from .events import EventSource
from .progress import Progress
from .stores import Kind, Store, Sync, kinds_available, open_store


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. Counts are per block unless their name says otherwise."""

    blocks: int = 21
    warm_inserts: int = 3_000
    """One-event inserts into every store before anything is measured."""
    inserts: int = 200
    batches: int = 20
    reads: int = 200
    pages_events: int = 10_000
    """Events read by pages per block, whatever the size of the pages."""
    stored_batches: int = 300
    """Commits of 100 events in the stores that are read."""
    parallel_blocks: int = 5
    process_seconds: float = 2.0
    thread_seconds: float = 1.0
    wake_ups: int = 1_000
    idle_seconds: float = 10.0
    saves: int = 100
    replays: int = 10
    projected_events: int = 1_000_000
    growth_blocks: int = 7


QUICK = Scale(
    blocks=3,
    warm_inserts=200,
    inserts=20,
    batches=3,
    reads=20,
    pages_events=1_000,
    stored_batches=12,
    parallel_blocks=2,
    process_seconds=0.3,
    thread_seconds=0.1,
    wake_ups=60,
    idle_seconds=1.0,
    saves=10,
    replays=2,
    projected_events=2_000,
    growth_blocks=2,
)


@dataclass
class StoreSet:
    """Stores with one history between them."""

    stores: dict[Kind, Store]
    source: EventSource = field(default_factory=EventSource)

    def fill(self, commits: list[list[StoredEvent]]) -> None:
        """Give every store the same commits."""
        for store in self.stores.values():
            insert = store.recorder.insert_events
            for events in commits:
                insert(events)


class Session:
    """Owns the directory of a run and every store in it; removes both on leaving.

    Sets of stores are opened when first asked for, warmed, and shared by the rows that follow.
    """

    def __init__(
        self, parent: Path, scale: Scale, progress: Progress, growth_sizes: tuple[int, ...] = ()
    ) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.directory = Path(tempfile.mkdtemp(prefix="stores-", dir=parent)).resolve()
        self.scale = scale
        self.progress = progress
        self.growth_sizes = growth_sizes
        self.random = random.Random(1)
        self._sets: dict[str, StoreSet] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        try:
            self._stack.close()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name: str) -> Path:
        """A new directory inside this run's."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))

    def open(self, kind: Kind, path: Path, sync: Sync) -> Store:
        """Open a store that is closed when the session ends."""
        store = open_store(kind, path, sync)
        self._stack.callback(store.close)
        return store

    def warm_set(self, sync: Sync) -> StoreSet:
        """The stores that inserts are measured with, after their first few thousand inserts."""
        if sync not in self._sets:
            warm = self._sets[sync] = StoreSet(self._open_all(sync, sync))
            warm.fill(warm.source.singles(self.scale.warm_inserts))
        return self._sets[sync]

    def read_set(self) -> ReadSet:
        """The stores that reads are measured with."""
        found = self._sets.get("read")
        if not isinstance(found, ReadSet):
            found = ReadSet(self._open_all("read", "durable"))
            singles = found.source.singles(self.scale.warm_inserts)
            batches = found.source.commits(self.scale.stored_batches, 100)
            found.fill(singles)
            found.fill(batches)
            found.aggregates = [events[0].originator_id for events in batches]
            found.small_aggregates = list({events[0].originator_id for events in singles})
            found.singles = len(singles)
            self._sets["read"] = found
        return found

    def _open_all(self, name: str, sync: Sync) -> dict[Kind, Store]:
        return {kind: self.open(kind, self.path(name), sync) for kind in kinds_available()}


@dataclass
class ReadSet(StoreSet):
    """Stores with one-event commits first and commits of 100 events after them."""

    aggregates: list[UUID | str] = field(default_factory=list)
    """The ids of the aggregates of 100 events, each written in one commit."""
    small_aggregates: list[UUID | str] = field(default_factory=list)
    """The ids of the aggregates whose few events were written one by one."""
    singles: int = 0
    """The number of one-event commits; the commits of 100 follow."""

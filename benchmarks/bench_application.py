"""Rows: what an application of the library sees, and how much of it is the library's own.

The recorder's calls are timed from outside; what is left of the whole call is the library's own:
aggregates, mapper, transcoder, bookkeeping. It is the same work whichever store is below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, cast
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import AggregateRecorder, StoredEvent

from .measure import run_in_turn
from .rows import Row, compare
from .session import Session
from .stores import Kind, Sync, environment, kinds_available


class Account(Aggregate):
    """An aggregate with a small state."""

    @event("Registered")
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = 0
        self.last_reference = ""

    @event("Transacted")
    def transact(self, amount: int, reference: str) -> None:
        """Change the balance."""
        self.balance += amount
        self.last_reference = reference


class TimedRecorder:
    """Stands in for the recorder inside the event store and adds up the seconds of its calls."""

    def __init__(self, recorder: AggregateRecorder) -> None:
        self._recorder = recorder
        self.seconds = 0.0

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> object:
        """Pass on and time."""
        started = perf_counter()
        try:
            return self._recorder.insert_events(stored_events, **kwargs)
        finally:
            self.seconds += perf_counter() - started

    def select_events(self, originator_id: UUID | str, **kwargs: Any) -> Sequence[StoredEvent]:
        """Pass on and time."""
        started = perf_counter()
        try:
            return self._recorder.select_events(originator_id, **kwargs)
        finally:
            self.seconds += perf_counter() - started


@dataclass(frozen=True, slots=True)
class Split:
    """The seconds of one call: all of it, and the part that is the library's own."""

    total: float
    own: float


class Bank:
    """One application on one store."""

    def __init__(self, session: Session, kind: Kind, sync: Sync) -> None:
        env = environment(kind, session.path("application"), sync)
        self.application: Application[UUID] = Application(env=env)
        self.recorder = TimedRecorder(self.application.events.recorder)
        self.application.events.recorder = cast("AggregateRecorder", self.recorder)

    def timed(self, call: Callable[[], object]) -> Split:
        """Time one call."""
        self.recorder.seconds = 0.0
        started = perf_counter()
        call()
        total = perf_counter() - started
        return Split(total, total - self.recorder.seconds)

    def create(self) -> None:
        """Create and save an aggregate of one event."""
        self.application.save(Account(owner="somebody"))

    def store_aggregate(self, events: int) -> UUID:
        """Save an aggregate of so many events in one commit; its id."""
        account = Account(owner="somebody")
        for number in range(events - 1):
            account.transact(amount=number, reference=f"reference-{number:06d}")
        self.application.save(account)
        return account.id

    def replay(self, aggregate: UUID) -> None:
        """Get an aggregate from its events."""
        self.application.repository.get(aggregate)


def _rows(
    key: str, work: str, sync: Sync | None, blocks: dict[str, list[list[Split]]]
) -> list[Row]:
    totals = {k: [median(s.total for s in b) for b in found] for k, found in blocks.items()}
    shares = {
        kind: [sum(s.own for s in block) / sum(s.total for s in block) for block in found]
        for kind, found in blocks.items()
    }
    return [
        compare(key, f"application: {work}", sync, "seconds", totals),
        Row(f"{key}-own", "  of it the library's own", sync, "share", shares),
    ]


def _with_banks(
    session: Session,
    sync: Sync,
    make_part: Callable[[Bank], Callable[[None], list[Split]]],
    text: str,
) -> dict[str, list[list[Split]]]:
    banks = {kind: Bank(session, kind, sync) for kind in kinds_available()}
    try:
        for _ in range(session.scale.warm_inserts):
            for bank in banks.values():
                bank.create()
        parts: dict[str, Callable[[None], list[Split]]] = {
            kind: make_part(bank) for kind, bank in banks.items()
        }
        session.progress.begin(text, session.scale.blocks * len(parts))
        return run_in_turn(
            parts,
            lambda: None,
            blocks=session.scale.blocks,
            advance=session.progress.advance,
        )
    finally:
        for bank in banks.values():
            bank.application.close()


def create_and_save(session: Session) -> list[Row]:
    """Create and save an aggregate of one event, durable and without sync."""

    def make_part(bank: Bank) -> Callable[[None], list[Split]]:
        return lambda _: [bank.timed(bank.create) for _ in range(session.scale.saves)]

    rows = []
    for sync in cast("tuple[Sync, ...]", ("durable", "never")):
        work = "create + save"
        blocks = _with_banks(session, sync, make_part, f"{work}, {sync}")
        rows += _rows(f"create-save-{sync}", work, sync, blocks)
    return rows


def _replay(session: Session, events: int) -> list[Row]:
    def make_part(bank: Bank) -> Callable[[None], list[Split]]:
        ids = [bank.store_aggregate(events) for _ in range(session.scale.replays)]
        return lambda _: [bank.timed(lambda i=i: bank.replay(i)) for i in ids]  # type: ignore[misc]

    work = f"replay of {events} events"
    return _rows(f"replay-{events}", work, None, _with_banks(session, "never", make_part, work))


def replay_100(session: Session) -> list[Row]:
    """Get an aggregate of 100 events."""
    return _replay(session, 100)


def replay_1000(session: Session) -> list[Row]:
    """Get an aggregate of 1000 events."""
    return _replay(session, 1000)

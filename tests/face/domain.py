"""A little domain: counters, a follower that counts their ticks, and a projection of them."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, Application, ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.projection import EventSourcedProjection, Projection
from eventsourcing.system import ProcessApplication
from eventsourcing.utils import get_topic

from aurora_es import AuroraStore, AuroraTrackingRecorder, JournaledView, ViewTable


class Counter(Aggregate):
    """Counts ticks."""

    @event("Began")
    def __init__(self) -> None:
        """Begin at zero."""
        self.count = 0

    @event("Ticked")
    def tick(self) -> None:
        """Count one."""
        self.count += 1


class Counters(Application[UUID]):
    """Keeps counters."""

    name = "Counters"

    def begin(self, ticks: int) -> UUID:
        """Record a new counter and its ticks in one commit."""
        counter = Counter()
        for _ in range(ticks):
            counter.tick()
        self.save(counter)
        return counter.id

    def tick(self, counter_id: UUID) -> int:
        """Count one; return the notification id."""
        counter: Counter = self.repository.get(counter_id)
        counter.tick()
        return self.save(counter)[-1].notification.id


class Total(Aggregate):
    """Counts the ticks of all counters."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.count = 0

    @staticmethod
    def create_id() -> UUID:
        """There is only one."""
        return uuid5(NAMESPACE_URL, "total")

    @event("Added")
    def add(self) -> None:
        """Count one."""
        self.count += 1


class _Adding:
    """What follower and projection do about a tick."""

    repository: Any

    def add(self, processing_event: ProcessingEvent[UUID]) -> None:
        """Add one to the total."""
        try:
            total = self.repository.get(Total.create_id())
        except AggregateNotFoundError:
            total = Total()
        total.add()
        processing_event.collect_events(total)

    @property
    def total(self) -> int:
        """Ticks seen so far."""
        try:
            total: Total = self.repository.get(Total.create_id())
        except AggregateNotFoundError:
            return 0
        return total.count


class Totals(_Adding, ProcessApplication[UUID]):
    """Follows counters in a system."""

    name = "Totals"

    def policy(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        """React to ticks."""
        if isinstance(domain_event, Counter.Ticked):  # type: ignore[attr-defined]
            self.add(processing_event)


class ProjectedTotals(_Adding, EventSourcedProjection[UUID]):
    """Follows counters by a subscription."""

    name = "ProjectedTotals"
    topics = (get_topic(Counter.Ticked),)  # type: ignore[attr-defined]

    def policy(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        """React to ticks."""
        self.add(processing_event)


class SeenView(AuroraTrackingRecorder):
    """Remembers, until it is dropped, what was projected into it."""

    def __init__(self, store: AuroraStore, **kwargs: Any) -> None:
        """Begin with nothing seen."""
        super().__init__(store, **kwargs)
        self.seen: list[int] = []

    def see(self, tracking: Tracking) -> None:
        """Remember an event, and track it, which ends the wait of whoever will look at it."""
        self.seen.append(tracking.notification_id)
        self.insert_tracking(tracking)


class SeenProjection(Projection[SeenView]):
    """Projects every event of the counters."""

    name = "Seen"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """See it."""
        self.view.see(tracking)


class SumsView(JournaledView):
    """Counts in a journal what was projected into it."""

    sums = ViewTable(str, int)

    def see(self, tracking: Tracking) -> None:
        """Count an event."""
        with self.transaction(tracking) as t:
            t.put(self.sums, "all", t.get(self.sums, "all", 0) + 1)


class SumsProjection(Projection[SumsView]):
    """Projects every event of the counters."""

    name = "Sums"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Count it."""
        self.view.see(tracking)

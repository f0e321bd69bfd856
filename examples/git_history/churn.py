"""Churn, the number of lines added and removed: per author, per day and per file.

`ChurnTotals` is counted twice, by two processes, from two different things: the writer counts the
commits that it reads (`add_commit`), the follower counts the events that reach it through the
journal (the projection below). Equal totals mean that every event arrived once and unchanged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Tracking
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.projection import Projection
from eventsourcing.utils import get_topic

from examples.git_history.application import SourceFile
from examples.git_history.commits import Commit

COUNTERS = ("by_author", "by_day", "by_path", "changes_by_path")


@dataclass(slots=True)
class ChurnTotals:
    """Changed lines by author, by day of the author time (UTC) and by path; and changes by path."""

    event_count: int = 0
    by_author: Counter[str] = field(default_factory=Counter)
    by_day: Counter[str] = field(default_factory=Counter)
    by_path: Counter[str] = field(default_factory=Counter)
    changes_by_path: Counter[str] = field(default_factory=Counter)

    def add_commit(self, commit: Commit) -> None:
        """Count every change of a commit."""
        for change in commit.changes:
            self.add(change.path, commit.author, commit.at, change.churn)

    def add(self, path: str, author: str, at: datetime, churn: int) -> None:
        """Count one change of one file."""
        self.event_count += 1
        self.by_author[author] += churn
        self.by_day[at.astimezone(UTC).date().isoformat()] += churn
        self.by_path[path] += churn
        self.changes_by_path[path] += 1

    def to_json(self) -> dict[str, Any]:
        """Return the totals as values that JSON holds."""
        counters = {name: dict(getattr(self, name)) for name in COUNTERS}
        return {"event_count": self.event_count, **counters}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the totals that `to_json` gave."""
        counters = {name: Counter(values[name]) for name in COUNTERS}
        return cls(event_count=values["event_count"], **counters)

    def differences(self, other: ChurnTotals) -> list[str]:
        """Say in words where the other totals, counted by the follower, are not these."""
        found = []
        if self.event_count != other.event_count:
            found.append(f"events: imported {self.event_count}, projected {other.event_count}")
        for name in COUNTERS:
            imported: Counter[str] = getattr(self, name)
            projected: Counter[str] = getattr(other, name)
            found += [
                f"{name}, {key}: imported {imported[key]}, projected {projected[key]}"
                for key in sorted(imported.keys() | projected.keys())
                if imported[key] != projected[key]
            ]
        return found


class ChurnView(POPOTrackingRecorder):
    """The projection's result, in memory, together with the position up to which it is counted.

    The library's in-memory tracking recorder suits a view that is rebuilt on every start. For one
    that outlives its process, derive from the library's SQLite tracking recorder instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.totals = ChurnTotals()
        self.paths: dict[UUID, str] = {}

    def add(
        self,
        tracking: Tracking,
        changed: SourceFile.Created | SourceFile.Changed,
        *,
        path: str | None = None,
    ) -> None:
        """Count an event and advance the position in one step; a first event has the path."""
        with self._database_lock:
            self._assert_tracking_uniqueness(tracking)
            if path is not None:
                self.paths[changed.originator_id] = path
            churn = (changed.lines_added or 0) + (changed.lines_removed or 0)
            self.totals.add(self.paths[changed.originator_id], changed.author, changed.at, churn)
            self._insert_tracking(tracking)


class ChurnProjection(Projection[ChurnView]):
    """Feeds the events of the git history into the view."""

    name = "Churn"
    topics = (get_topic(SourceFile.Created), get_topic(SourceFile.Changed))

    @singledispatchmethod
    def process_event(self, domain_event: DomainEventProtocol[UUID], tracking: Tracking) -> None:
        """Count one event; the subscription delivers no other kinds than the two below."""
        raise NotImplementedError(type(domain_event))

    @process_event.register
    def _created(self, domain_event: SourceFile.Created, tracking: Tracking) -> None:
        self.view.add(tracking, domain_event, path=domain_event.path)

    @process_event.register
    def _changed(self, domain_event: SourceFile.Changed, tracking: Tracking) -> None:
        self.view.add(tracking, domain_event)

"""The application, its projection, and the view in SQLite."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking, TrackingRecorder
from eventsourcing.projection import Projection
from eventsourcing.sqlite import SQLiteDatastore, SQLiteTrackingRecorder
from eventsourcing.utils import get_topic


class Page(Aggregate):
    """A page with a title and a body."""

    class Written(Aggregate.Created):
        """Somebody began a page."""

        title: str
        body: str

    class Changed(Aggregate.Event):
        """Its body is another one now."""

        body: str

    @event(Written)
    def __init__(self, title: str, body: str) -> None:
        self.title = title
        self.body = body

    @event(Changed)
    def change(self, body: str) -> None:
        """Replace the body."""
        self.body = body


class Pages(Application[UUID]):
    """Keeps pages; knows nothing of searching."""

    def write(self, title: str, body: str) -> tuple[UUID, int]:
        """Begin a page; returns its id and the notification id."""
        page = Page(title=title, body=body)
        recordings = self.save(page)
        return page.id, recordings[-1].notification.id

    def change(self, page_id: UUID, body: str) -> int:
        """Replace a page's body; returns the notification id."""
        page: Page = self.repository.get(page_id)
        page.change(body)
        return self.save(page)[-1].notification.id


class PageIndex(TrackingRecorder, ABC):
    """What the projection asks of a view, whichever database it lives in."""

    @abstractmethod
    def put_page(self, page_id: UUID, title: str, body: str, tracking: Tracking) -> None:
        """Add a page."""

    @abstractmethod
    def put_body(self, page_id: UUID, body: str, tracking: Tracking) -> None:
        """Replace the body of a page."""

    @abstractmethod
    def search(self, words: str) -> list[str]:
        """Titles of the pages that hold all ``words``, the best ones first."""


class SQLitePageIndex(SQLiteTrackingRecorder, PageIndex):
    """A full-text index of SQLite; tracking and rows change in one transaction."""

    def __init__(self, datastore: SQLiteDatastore, **kwargs: Any) -> None:
        """Declare one more table beside that of the tracking records."""
        super().__init__(datastore, **kwargs)
        self.create_table_statements.append(
            "CREATE VIRTUAL TABLE IF NOT EXISTS pages USING fts5(page_id UNINDEXED, title, body)"
        )

    def put_page(self, page_id: UUID, title: str, body: str, tracking: Tracking) -> None:
        """Add a page."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute("INSERT INTO pages VALUES (?, ?, ?)", (page_id.hex, title, body))

    def put_body(self, page_id: UUID, body: str, tracking: Tracking) -> None:
        """Replace the body of a page."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute("UPDATE pages SET body = ? WHERE page_id = ?", (body, page_id.hex))

    def search(self, words: str) -> list[str]:
        """Titles of the pages that hold all ``words``, the best ones first."""
        quoted = " ".join(f'"{word}"' for word in words.replace('"', " ").split())
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT title FROM pages WHERE pages MATCH ? ORDER BY rank", (quoted,))
            return [row[0] for row in cursor.fetchall()]


class Searching(Projection[PageIndex]):
    """Keeps the index up to date. Its name is the prefix of its settings."""

    name = "Searching"
    topics = (get_topic(Page.Written), get_topic(Page.Changed))

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Nothing else is subscribed to."""

    @process_event.register
    def _written(self, domain_event: Page.Written, tracking: Tracking) -> None:
        self.view.put_page(
            domain_event.originator_id, domain_event.title, domain_event.body, tracking
        )

    @process_event.register
    def _changed(self, domain_event: Page.Changed, tracking: Tracking) -> None:
        self.view.put_body(domain_event.originator_id, domain_event.body, tracking)

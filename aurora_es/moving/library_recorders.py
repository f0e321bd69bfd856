"""Any recorders of the library, found by topic as applications find them, as a side of a move.

Theory of operation: only what the library's interfaces offer is used. Notifications come in pages, as
do DCB events. Snapshots cannot be listed: each was taken at the version of an event, so those of the
versions that a page of events holds are asked for, page by page, in a second walk over the events; so
memory stays bounded. Tracking records cannot be listed either: the names of the applications that are
followed are given. Nothing makes all this of one moment: the application should be stopped. As a target, recorders choose the ids themselves: they are compared with those
wanted after each insert.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import (
    InfrastructureFactory,
    StoredEvent,
    Tracking,
)
from eventsourcing.utils import Environment

from aurora_es.compat import IS_10, DCBEvent, DCBInfrastructureFactory, extras_of, library_errors
from aurora_es.index.keys import originator_key
from aurora_es.moving.library_tables import refuse_extras
from aurora_es.moving.moving_errors import SourceError, TargetError
from aurora_es.moving.pages import (
    BYTES_MAX,
    DCB,
    EVENTS,
    SNAPSHOTS,
    Extent,
    Page,
    Tracked,
    bounded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aurora_es.moving.pages import Row

_PAGE_ROWS = 1000  # the interfaces have no other bound: fewer are asked for where states are large
_FIRST_ROWS = 16  # by which the size of states is guessed
_LOOKS_MAX = 100
_TAGS = 4  # place in a row
_CURE = "`aurora-es doctor --app NAME` shows the settings that an application sees"


class _LibrarySide:
    """What both kinds of recorders have in common."""

    keeps_ids = True
    can_repeat = True
    is_durable = False  # that is for the recorder to say, which has no word for it
    part = EVENTS

    def __init__(
        self, env: Mapping[str, str], application_name: str, upstreams: Sequence[str] = ()
    ) -> None:
        """Name the application and its settings, with PERSISTENCE_MODULE; constructing opens nothing.

        ``upstreams`` are the applications whose tracking records are moved.
        """
        self._env, self._application_name = dict(env), application_name
        self._upstreams = tuple(upstreams)
        self.name = f"{env.get('PERSISTENCE_MODULE', 'eventsourcing.popo')}, {application_name!r}"
        self._factory: Any = None
        self._recorder: Any = None
        self._is_target = False
        self._last = 0  # id of the last event at the time of opening
        self._tracking: dict[str, int] = {}  # of the upstreams, at that time
        self._no_snapshots: str | None = None  # the recorder's reason

    def open_source(self) -> None:
        """Construct the recorders; no table is made. Raises SourceError."""
        try:
            self._open({"CREATE_TABLE": "n"} | self._env, is_process=bool(self._upstreams))
            self._look()
        except SourceError:
            raise
        except Exception as error:
            message = f"{self.name}: {error!r}; expected an application's recorders. {_CURE}"
            raise SourceError(message) from error

    def open_target(self, application_name: str, *, is_process: bool) -> None:
        """Construct the recorders, which make their tables; raises TargetError."""
        self._is_target = True
        try:
            self._open(self._env, is_process=is_process)
        except Exception as error:
            message = f"{self.name}: {error!r}; expected an application's recorders. {_CURE}"
            raise TargetError(message) from error

    def _open(self, settings: dict[str, str], *, is_process: bool) -> None:
        raise NotImplementedError

    def _last_id(self) -> int:
        raise NotImplementedError

    def _look(self) -> None:
        """Find out up to where there is something to be read."""
        self._last = self._last_id()

    def _all_pages(self, until: int | None) -> Iterator[Page]:
        raise NotImplementedError

    def _insert(self, page: Page) -> list[int] | None:
        raise NotImplementedError

    # As a source

    def extents(self) -> dict[str, Extent]:
        """As many events as ids, at most."""
        return {self.part: Extent(self._last, self._last)}

    def _asked(self, ask: Callable[..., Any], *arguments: Any, **more: Any) -> list[Any]:
        with self._errors_told():
            return [*ask(*arguments, **more)]

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        """Turn what a recorder raises into SourceError or TargetError."""
        try:
            yield
        except library_errors.PersistenceError as error:
            if self._is_target:
                message = (
                    f"{self.name}: {error!r}; what was written before is kept. See what the database"
                    " says, and run `aurora-es export recorder` again: it goes on there"
                )
                raise TargetError(message) from error
            message = (
                f"{self.name}: {error!r}; expected a page of records. What was read before is in the"
                " target; run `aurora-es import recorder` again to go on"
            )
            raise SourceError(message) from error

    # As a target

    def pages(self, part: str) -> Iterator[Page]:
        """All events."""
        if part == self.part:
            yield from self._all_pages(None)

    def read_back(self, parts: Sequence[str]) -> Iterator[Page]:
        """Events of all ``parts``."""
        for part in parts:
            yield from self.pages(part)

    def is_keyed(self, part: str) -> bool:
        """Snapshots are found by id and version."""
        return part == SNAPSHOTS

    def append(self, page: Page) -> None:
        """Insert all rows of a page; raises TargetError if they get other ids than wanted."""
        with self._errors_told():
            ids = self._insert(page)
        if ids is not None and page.ids is not None and ids != list(page.ids):
            message = (
                f"{self.name}: expected notification ids from {page.ids[0]} on, found {ids[0]}: these"
                " recorders number events themselves. Empty the database and try again, or use"
                " `aurora-es export jsonl`"
            )
            raise TargetError(message)

    def _refuse_part(self, page: Page) -> None:
        message = (
            f"{self.name}: these recorders hold no {page.part}; expected {self.part}. Use"
            " `aurora-es export jsonl` for it"
        )
        raise TargetError(message)

    def finish(self, counts: dict[str, int], digests: dict[str, str]) -> None:
        """Each insert is as durable as the recorder makes it."""

    def close(self) -> None:
        """Close the factory."""
        if self._factory is not None:
            self._factory.close()
            self._factory = None


class LibraryRecorders(_LibrarySide):
    """The recorders of an application of aggregates: of events, snapshots, and tracking."""

    def _open(self, settings: dict[str, str], *, is_process: bool) -> None:
        env = Environment(self._application_name, settings)
        factory: Any = InfrastructureFactory.construct(env)
        self._factory = factory
        self._recorder = (
            factory.process_recorder() if is_process else factory.application_recorder()
        )
        self._snapshots = factory.aggregate_recorder(SNAPSHOTS)

    def _last_id(self) -> int:
        last: int | None = self._recorder.max_notification_id()
        return last or 0

    def _look(self) -> None:
        """Find the last id and the tracking records of one moment.

        Both are recorded in one transaction. A tracking record that is ahead of the events would
        be of a part of the upstream whose events are not moved: they would be missing for ever.
        """
        self._no_snapshots = self._why_no_snapshots()
        for _ in range(_LOOKS_MAX):
            self._tracking = self._reached()
            self._last = self._last_id()
            if self._reached() == self._tracking:
                return
        message = (
            f"{self.name}: expected tracking records that rest for a moment, found that they rose"
            f" {_LOOKS_MAX} times; nothing was moved. Stop the application, and run"
            " `aurora-es import recorder` again"
        )
        raise SourceError(message)

    def _why_no_snapshots(self) -> str | None:
        """What the recorder of snapshots says; most applications have not even a table of them."""
        try:
            self._snapshots.select_events(_library_id(bytes(16)), limit=1)
        except library_errors.PersistenceError as error:
            return str(error)
        return None

    def _reached(self) -> dict[str, int]:
        reached = {name: self._recorder.max_tracking_id(name) for name in self._upstreams}
        return {name: at for name, at in reached.items() if at is not None}

    def left_out(self) -> list[str]:
        """What the interfaces do not list."""
        found = []
        if self._no_snapshots is not None:
            found.append(f"snapshots, which these recorders do not read: {self._no_snapshots}")
        if not self._upstreams:
            found.append(
                "tracking records, which recorders do not list: name whom they follow (--upstream)"
            )
        return found

    def stream(self) -> Iterator[Page | Tracked]:
        """Events, snapshots, then tracking records of the upstreams that were named."""
        yield from self._all_pages(self._last)
        pages = () if self._no_snapshots is not None else self._all_pages(self._last)
        for page in pages:
            yield from bounded(Page(SNAPSHOTS, self._snapshots_of(page)))
        if self._tracking:
            yield Tracked(EVENTS, self._tracking)

    def _all_pages(self, until: int | None) -> Iterator[Page]:
        after, limit = 0, min(_FIRST_ROWS, _PAGE_ROWS)
        ask = self._recorder.select_notifications
        while found := self._asked(ask, after, limit, until, inclusive_of_start=False):
            ids = [notification.id for notification in found]
            after = ids[-1]
            page = Page(EVENTS, [_row_of(notification) for notification in found], ids)
            yield from bounded(page)
            limit = _limit_after(page)

    def _snapshots_of(self, page: Page) -> list[Row]:
        """Snapshots at the versions of a page's events."""
        versions: dict[bytes | str, list[int]] = {}
        for row in page.rows:
            versions.setdefault(row[0], []).append(row[1])
        rows: list[Row] = []
        for raw, taken in versions.items():
            first, last = min(taken), max(taken)
            ask = self._snapshots.select_events
            found = self._asked(ask, _library_id(raw), gt=first - 1, lte=last)
            rows += [_row_of(event) for event in found if event.originator_version in taken]
        return rows

    def find(self, part: str, rows: Sequence[Row]) -> list[Row | None]:
        """Look snapshots up by id and version."""
        found: list[Row | None] = []
        for row in rows:
            ask = self._snapshots.select_events
            there = self._asked(ask, _library_id(row[0]), gt=row[1] - 1, lte=row[1])
            found.append(_row_of(there[0]) if there else None)
        return found

    def _insert(self, page: Page) -> list[int] | None:
        if page.part not in {EVENTS, SNAPSHOTS}:
            self._refuse_part(page)
        refuse_extras(self.name, page)
        stored = [
            StoredEvent(
                originator_id=_library_id(row[0]),
                originator_version=row[1],
                topic=row[2],
                state=row[3],
            )
            for row in page.rows
        ]
        if page.part == SNAPSHOTS:
            self._snapshots.insert_events(stored)
            return None
        return list(self._recorder.insert_events(stored) or ())

    def tracked(self, part: str) -> dict[str, int]:
        """Nothing that could be listed; ``track`` looks at each name."""
        return {}

    def track(self, tracked: Tracked) -> None:
        """Record how far others were followed, unless that is recorded already."""
        with self._errors_told():
            for name, reached in sorted(tracked.ids.items()):
                if (self._recorder.max_tracking_id(name) or 0) < reached:
                    self._recorder.insert_tracking(Tracking(name, reached))


class LibraryDcbRecorder(_LibrarySide):
    """The recorder of an application with dynamic consistency boundaries."""

    part = DCB

    def _open(self, settings: dict[str, str], *, is_process: bool) -> None:
        factory: Any = DCBInfrastructureFactory.construct(
            Environment(self._application_name, settings)
        )
        self._factory = factory
        self._recorder = factory.dcb_recorder()

    def _last_id(self) -> int:
        last = 0
        for page in self._all_pages(None):
            last = (page.ids or (0,))[-1]
        return last

    def left_out(self) -> list[str]:
        """Nothing that is known of."""
        return []

    def stream(self) -> Iterator[Page | Tracked]:
        """All events that were there at the time of opening."""
        yield from self._all_pages(self._last)

    def _all_pages(self, until: int | None) -> Iterator[Page]:
        after, limit = 0, min(_FIRST_ROWS, _PAGE_ROWS)
        while True:
            found = self._asked(self._recorder.read, after=after, limit=limit)
            found = [one for one in found if until is None or one.position <= until]
            if not found:
                return
            ids = [one.position for one in found]
            after = ids[-1]
            page = Page(DCB, [_dcb_row_of(one.event) for one in found], ids)
            yield from bounded(page)
            limit = _limit_after(page)

    def find(self, part: str, rows: Sequence[Row]) -> list[Row | None]:
        """There are no snapshots."""
        return [None] * len(rows)

    def _insert(self, page: Page) -> list[int] | None:
        if page.part != DCB:
            self._refuse_part(page)
        plain = [row[:_TAGS] for row in page.rows]
        refuse_extras(self.name, page._replace(rows=plain))
        last: int = self._recorder.append(
            [
                DCBEvent(type=row[2], data=row[3], tags=list(row[_TAGS]) if row[_TAGS:] else [])
                for row in page.rows
            ]
        )
        return list(range(last - len(plain) + 1, last + 1))

    def tracked(self, part: str) -> dict[str, int]:
        """None."""
        return {}

    def track(self, tracked: Tracked) -> None:
        """Nothing is tracked here."""


def _limit_after(page: Page) -> int:
    """How many rows to ask for after ``page``, if the next ones are as large."""
    size = sum(len(row[3]) for row in page.rows)
    rows = _PAGE_ROWS if not size else len(page.rows) * BYTES_MAX // size
    return max(1, min(rows, _PAGE_ROWS))


def _row_of(event: Any) -> Row:
    originator_id = event.originator_id
    raw = originator_id.bytes if isinstance(originator_id, UUID) else originator_id
    row: Row = (raw, event.originator_version, event.topic, bytes(event.state))
    if IS_10:
        event_uuid, metadata = extras_of(event, None)
        row = (*row, (), event_uuid, metadata)
    return row


def _dcb_row_of(event: Any) -> Row:
    return (None, None, event.type, bytes(event.data), tuple(event.tags), None, None)


def _library_id(raw: bytes | str) -> UUID | str:
    key = originator_key(raw)
    return UUID(bytes=key) if isinstance(key, bytes) else str(key)

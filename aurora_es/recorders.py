"""Recorders: the library's interfaces over journals.

The loops that build the library's dataclasses are hot (``benchmarks``, rows "pages of" and "read a
100-event aggregate"): they set ``__dict__`` of a new object, as the library's own mapper does,
because ``__init__`` of a frozen dataclass costs twice as much.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID, SafeUUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    StoredEvent,
    Subscription,
)

from aurora_es.compat import IS_10, add_extras, extras_of
from aurora_es.errors import ArgumentError, ConflictError
from aurora_es.format.limits import VERSION_MAX, VERSION_MIN
from aurora_es.index.keys import originator_key, text_key
from aurora_es.index.query import query_of_topics
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.filtering import read_matches
from aurora_es.journal.reading import read_positions, read_records, read_selected
from aurora_es.journal.records import (
    check_metadata,
    check_version,
    checked_state,
    octets,
    timestamp_of,
)
from aurora_es.journal.times import position_at
from aurora_es.journal.truncation import check_complete, check_position
from aurora_es.options import Sync
from aurora_es.recorder_errors import FAULTS, RecorderArgumentError, recorder_error
from aurora_es.store import EVENTS, AuroraStore
from aurora_es.subscription import AuroraSubscription

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from aurora_es.format.payload import RecordData, TrackingData
    from aurora_es.journal.commit import Identity, Row
    from aurora_es.journal.following import Follower
    from aurora_es.journal.handle import Handle
    from aurora_es.journal.journal import Journal

_new = object.__new__
_set = object.__setattr__
_UUIDS_MAX = 1 << 16


def _uuid_of(raw: bytes) -> UUID:
    """``UUID(bytes=raw)``, without its many checks: a page of many aggregates makes many."""
    uuid = _new(UUID)
    _set(uuid, "int", int.from_bytes(raw, "big"))
    _set(uuid, "is_safe", SafeUUID.unknown)
    return uuid


class AuroraRecorder:
    """Base of all recorders: a leased journal and the conversion of originator ids."""

    def __init__(self, store: AuroraStore, *, purpose: str = EVENTS, **_: Any) -> None:
        """Open the journal of ``purpose`` in ``store``, if it exists already."""
        self.store = store
        self._uuids: dict[bytes, UUID] = {}  # interned: one object per id, bounded
        try:
            self._lease = store.lease(purpose)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    @property
    def journal(self) -> Journal:
        """The journal behind this recorder; raises the face's ClosedError after ``close``."""
        try:
            return self._lease.journal
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def close(self) -> None:
        """Give the journal back; idempotent. The last user of this process closes it."""
        try:
            self._lease.close()
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def _handle(self) -> tuple[Handle, int]:
        """The handle of the journal, caught up, and its visible position."""
        journal = self._lease.journal
        handle = journal.handle
        descriptors = handle.descriptors
        if descriptors is not None:
            # As ``refresh`` does, without a call when nothing is new (row "last event").
            mark = descriptors.mark.read()
            state = handle.state
            if state.indexed_commit == mark.visible_commit and handle.epoch == mark.epoch:
                return handle, state.index.position
        elif not journal.attach():
            return handle, 0
        return handle, refresh(handle)

    # Originator ids

    def _identify(self, originator_id: object) -> tuple[bytes | str, bytes | str]:
        """Originator id as it is written, and its key; raises ArgumentError."""
        if isinstance(originator_id, UUID):
            key: bytes | str = originator_id.bytes
            return key, key
        if not isinstance(originator_id, str):
            message = f"originator id: expected UUID or str, found {originator_id!r}"
            raise ArgumentError(message)
        if self.store.originator_id_type != "uuid":
            return originator_id, text_key(originator_id)
        try:
            key = UUID(originator_id).bytes
        except ValueError:
            message = (
                f"originator id {originator_id!r}: expected a UUID, since ORIGINATOR_ID_TYPE=uuid;"
                " nothing was written"
            )
            raise ArgumentError(message) from None
        return key, key

    def _text_key(self, originator_id: object) -> bytes | str:
        """Key of an id that is neither a UUID nor the canonical text of one."""
        if not isinstance(originator_id, str):
            message = f"originator id: expected UUID or str, found {originator_id!r}"
            raise ArgumentError(message)
        if self.store.originator_id_type == "uuid":
            # As it was inserted, by ``_identify``; a text that is no UUID is in no such store.
            with suppress(ValueError):
                return UUID(originator_id).bytes
        return originator_id

    def _originator_id(self, raw: Any) -> UUID | str:
        """Originator id as the library sees it, from its form on disk."""
        if isinstance(raw, bytes):
            uuid = self._uuids.get(raw)
            if uuid is None:
                if len(self._uuids) >= _UUIDS_MAX:
                    self._uuids.clear()
                uuid = self._uuids[raw] = _uuid_of(raw)
            return str(uuid) if self.store.originator_id_type == "text" else uuid
        text = str(raw)
        if self.store.originator_id_type == "uuid" and isinstance(text_key(text), bytes):
            return UUID(text)
        return text


class AuroraAggregateRecorder(AuroraRecorder, AggregateRecorder):
    """Records events in aggregate sequences.

    It may be shared by threads, and any number of processes may use one store. After a fork it opens
    its journal again by itself. Source: the interface ``AggregateRecorder`` of the library.
    """

    _is_history = True  # what is asked for and gone is an error

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Record ``stored_events`` as one commit; returns None.

        When it returns, they are visible to every process and, under ``AURORA_SYNC=always``, on
        disk. ``metadata=`` is stored beside each of them.

        Raises the library's IntegrityError if one of them exists already, OperationalError when
        the lock or the disk cannot be had, DataError and ProgrammingError for bad arguments. Each
        is one of ours, too: ``conflicts`` of the first says which events stand in the way.
        """
        self._insert(stored_events, None, kwargs)
        return None

    def _insert(
        self,
        stored_events: Sequence[StoredEvent],
        tracking: TrackingData | None,
        kwargs: dict[str, Any],
    ) -> list[int]:
        rows: list[Row] = []
        identities: list[Identity] = []
        metadata = kwargs.get("metadata")
        try:
            if metadata is not None:
                check_metadata(metadata)
            last_given: object = rows  # no id is this list
            originator_id: bytes | str = b""
            key: bytes | str = b""
            for event in stored_events:
                given = event.originator_id
                # Most events of one call are of one aggregate, and name it by the same object.
                if given is not last_given:
                    last_given = given
                    if type(given) is UUID:
                        originator_id = key = given.bytes
                    else:
                        originator_id, key = self._identify(given)
                version, topic, state = event.originator_version, event.topic, event.state
                if type(version) is not int or not VERSION_MIN <= version <= VERSION_MAX:
                    check_version(version)
                if type(state) is not bytes or type(topic) is not str:
                    state = checked_state(topic, octets(state))
                if IS_10:
                    extras = extras_of(event, metadata)
                    rows.append((originator_id, version, topic, state, (), *extras))
                elif metadata is None:
                    rows.append((originator_id, version, topic, state))
                else:
                    rows.append((originator_id, version, topic, state, (), None, metadata))
                identities.append((key, version))
            first = self._lease.journal.append_rows(rows, identities, tracking)
        except ConflictError as error:
            if not IS_10 or tracking is not None or not self._are_recorded(rows, error):
                raise recorder_error(error) from error.__cause__
            first = error.conflicts[0].position
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return [first] if len(rows) == 1 else [*range(first, first + len(rows))]

    def _are_recorded(self, rows: list[Row], refused: ConflictError) -> bool:
        """Whether the events of a refused call, which have ids, were all recorded before.

        Then it is a repetition: of a call whose answer got lost, as a rule.
        """
        positions = [conflict.position for conflict in refused.conflicts]
        first = positions[0]
        if not first or positions != [*range(first, first + len(rows))]:
            return False
        try:
            records = read_positions(self._handle()[0], positions)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return all(
            row[5] is not None and row[5] == record.event_uuid
            for row, record in zip(rows, records, strict=True)
        )

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return events of an aggregate with ``gt`` < version <= ``lte``, sorted by version.

        At most ``limit`` of them, the first or, with ``desc``, the last ones, which come first. What
        any process has committed before the call is among them. Raises the face's TruncatedError if
        events that were asked for have been dropped, and InternalError for damaged bytes.
        """
        if limit is not None and limit < 0:
            message = f"limit: expected 0 or more, found {limit}"
            raise RecorderArgumentError(message)
        try:
            handle, until = self._handle()
            key = originator_key(originator_id)
            if type(key) is not bytes:
                key = self._text_key(originator_id)
            found = read_selected(handle, key, gt=gt, lte=lte, desc=desc, limit=limit, until=until)
            if handle.retained_from > 1 and self._is_history:
                check_complete(handle, key, found, gt=gt, lte=lte, desc=desc, limit=limit)
            return self._stored_events(found) if found else []
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def version_at(self, originator_id: UUID | str, when: datetime) -> int | None:
        """Version of an aggregate as it was at ``when``, None if it had no event recorded yet.

        What counts is the time of recording: ``repository.get(id, version=…)`` with this version
        gives the aggregate as a reader would have found it then.
        """
        try:
            timestamp = timestamp_of(when)
            handle, until = self._handle()
            until = position_at(handle, until, timestamp)
            key = originator_key(originator_id)
            if type(key) is not bytes:
                key = self._text_key(originator_id)
            found = read_selected(handle, key, gt=None, lte=None, desc=True, limit=1, until=until)
            return found[0].originator_version if found else None
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def _stored_events(self, found: list[RecordData]) -> list[StoredEvent]:
        new, set_attribute, cls = _new, _set, StoredEvent
        raw = found[0].originator_id
        originator_id = self._originator_id(raw)
        events = []
        for record in found:
            if record.originator_id != raw:
                raw = record.originator_id
                originator_id = self._originator_id(raw)
            event = new(cls)
            set_attribute(
                event,
                "__dict__",
                {
                    "originator_id": originator_id,
                    "originator_version": record.originator_version,
                    "topic": record.topic,
                    "state": record.state,
                },
            )
            events.append(event)
        if IS_10:
            add_extras(events, found)
        return events


class AuroraSnapshotRecorder(AuroraAggregateRecorder):
    """Records snapshots, which must never be ahead of the events they stand for.

    Under a weak sync mode a power cut may take back events and leave a later snapshot: so events
    are synced before a snapshot is written (``<n>ms``), and a snapshot above the last event of its
    aggregate is ignored.
    """

    _is_history = False  # older snapshots may be dropped: then there is none, which is no error

    def __init__(self, store: AuroraStore, **kwargs: Any) -> None:
        """Open the snapshots, and the events beside them."""
        super().__init__(store, **kwargs)
        self._events = AuroraAggregateRecorder(store, purpose=EVENTS)

    def close(self) -> None:
        """Give both journals back."""
        self._events.close()
        super().close()

    def _insert(
        self,
        stored_events: Sequence[StoredEvent],
        tracking: TrackingData | None,
        kwargs: dict[str, Any],
    ) -> list[int]:
        try:
            events, _ = self._events._handle()  # noqa: SLF001 - a part of this recorder
            if events.sync_mode.interval_ms and stored_events:
                self._events.journal.sync()
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return super()._insert(stored_events, tracking, kwargs)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return snapshots as the base class does; ``lte`` is bounded by the last event."""
        if limit is not None and limit < 0:
            message = f"limit: expected 0 or more, found {limit}"
            raise RecorderArgumentError(message)
        try:
            events, _ = self._events._handle()  # noqa: SLF001 - a part of this recorder
            if events.sync_mode != Sync.ALWAYS:
                key = originator_key(originator_id)
                if type(key) is not bytes:
                    key = self._text_key(originator_id)
                last = events.state.index.last_version(key)
                if last is None:
                    return []
                lte = last if lte is None else min(lte, last)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return super().select_events(originator_id, gt=gt, lte=lte, desc=desc, limit=limit)


class AuroraApplicationRecorder(AuroraAggregateRecorder, ApplicationRecorder):
    """Records events in aggregate sequences and in one application sequence.

    Notification ids are 1, 2, 3, … in the order of commits, without gaps, whichever thread or process
    records. Source: the interface ``ApplicationRecorder`` of the library.
    """

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Record ``stored_events`` as one commit; returns their notification ids.

        What it promises and raises is that of ``AuroraAggregateRecorder.insert_events``.
        """
        return self._insert(stored_events, None, kwargs)

    def max_notification_id(self) -> int | None:
        """Return the last notification id, None when there is none."""
        try:
            return self._handle()[1] or None
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return at most ``limit`` notifications with ids from ``start`` to ``stop``, in order.

        ``start`` None means from the first, ``stop``, which is included, None to the newest. With
        ``topics`` only events of these, which costs no more than what is returned where they are
        rare. Nobody sees a notification before all earlier ones. Raises the face's TruncatedError
        for a ``start`` that has been dropped, and InternalError for damaged bytes.
        """
        if limit < 0:
            message = f"limit: expected 0 or more, found {limit}"
            raise RecorderArgumentError(message)
        position = 1 if start is None else max(start if inclusive_of_start else start + 1, 1)
        try:
            handle, until = self._handle()
            if position < handle.retained_from:
                check_position(handle, position)
            if stop is not None and stop < until:
                until = stop
            if topics:
                return self._filtered(handle, position, until, limit, frozenset(topics))
            holes = handle.state.index.holes
            last = holes.last_of(position, limit) if holes and limit else position + limit - 1
            until = min(until, last)
            notifications: list[Notification] = []
            while position <= until:
                first, records = read_records(handle, position, until)
                # The outer frames may hold more than was asked for.
                position = max(position, first)  # what is before is lost
                records = records[position - first : until + 1 - first]
                end = position + len(records)
                self._add_notifications(notifications, records, range(position, end))
                position = end
            return notifications
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def _filtered(
        self, handle: Handle, position: int, until: int, limit: int, topics: frozenset[str]
    ) -> list[Notification]:
        notifications: list[Notification] = []
        query = query_of_topics(topics)
        for matches in read_matches(handle, query, position, until, limit, with_times=False):
            if matches:
                positions, _, records = zip(*matches, strict=True)
                self._add_notifications(notifications, records, positions)
        return notifications

    def _add_notifications(
        self,
        notifications: list[Notification],
        records: Sequence[RecordData],
        positions: Iterable[int],
    ) -> None:
        new, set_attribute, cls, append = _new, _set, Notification, notifications.append
        convert = self._originator_id
        known: dict[Any, UUID] = {} if self.store.originator_id_type == "text" else self._uuids
        raw: Any = None
        originator_id: UUID | str = ""
        begin = len(notifications)
        for record, position in zip(records, positions, strict=True):
            if record.originator_id != raw:
                raw = record.originator_id
                originator_id = known.get(raw) or convert(raw)
            notification = new(cls)
            set_attribute(
                notification,
                "__dict__",
                {
                    "originator_id": originator_id,
                    "originator_version": record.originator_version,
                    "topic": record.topic,
                    "state": record.state,
                    "id": position,
                },
            )
            append(notification)
        if IS_10:
            add_extras(notifications[begin:], records)

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Follow the application sequence from the notification behind ``gt`` on.

        The subscription waits at the end for what any process records, and leaves out what is not of
        ``topics``, if there are any. For one thread; ``stop`` may be called from any other. Its
        iteration raises the face's HistoryChangedError once visible events were taken back.
        """
        return AuroraSubscription(self, self.follower(), gt=gt, topics=topics)

    def follower(self) -> Follower:
        """What waits for more of the journal (for subscriptions); closing the recorder stops it."""
        try:
            return self._lease.follower()
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

"""Looks at one aggregate: its events by version, its state at a version, and what has changed.

Theory of operation: an aggregate is rebuilt from its events, from the first on, by the application's
own classes; snapshots are not asked. Events come page by page, so that a long life costs time and
no memory. What its attributes are is shown as JSON can hold it, and two such states are compared
attribute by attribute.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from aurora_es.errors import AuroraError
from aurora_es.inspection.plain import attributes_of, plain
from aurora_es.inspection.selection import keys_of
from aurora_es.journal.by_originator import read_versions
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import Record, StoredRecord, datetime_of, record_of

_NO_STATE = frozenset({"_pending_events", "pending_events"})
_MISSING = msgspec.UNSET


class NotThereError(AuroraError):
    """There is no such aggregate, or no such version of it."""


class Replayer(Protocol):
    """Rebuilds aggregates with an application's classes; see ``aurora_es.decoding``."""

    def replay(self, records: Iterator[Record], aggregate: object = None) -> object:
        """What the events in ``records`` make of ``aggregate``, None if the last discarded it."""


class AggregateState(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate as it was at a version; ``attributes`` is what JSON can hold."""

    originator_id: UUID | str
    version: int
    position: int  # of the event that made it so
    timestamp: datetime
    kind: str | None  # the aggregate's class, None if it was discarded
    attributes: dict[str, object]


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference of two states.

    ``path`` leads to it, through names of attributes and places in lists. Left out where there is
    none: ``before`` of what was added, ``after`` of what was removed.
    """

    path: tuple[str | int, ...]
    before: object = _MISSING
    after: object = _MISSING


def read_events(  # noqa: PLR0913 - a reader's choices, all by name
    journal: Journal,
    originator: str,
    *,
    after: int | None = None,
    until: int | None = None,
    backwards: bool = False,
    limit: int | None = None,
) -> Iterator[StoredRecord]:
    """Yield an originator's events with ``after`` < version <= ``until``, sorted by version."""
    last = journal.last_position
    for key in sorted(keys_of(originator), key=str):
        for page in read_versions(
            journal.handle, key, gt=after, lte=until, desc=backwards, limit=limit, until=last
        ):
            for position, timestamp, data in page:
                yield StoredRecord(position, datetime_of(timestamp), record_of(data))


def read_state(
    journal: Journal, originator: str, replayer: Replayer, *, version: int | None = None
) -> AggregateState:
    """Rebuild an aggregate as it was at ``version``, the newest if unset.

    Raises NotThereError, and whatever the application's classes raise.
    """
    newest: StoredRecord | None = None

    def records() -> Iterator[Record]:
        nonlocal newest
        for stored in read_events(journal, originator, until=version):
            newest = stored
            yield stored.record

    aggregate = replayer.replay(records())
    if newest is None or (version is not None and newest.record.originator_version != version):
        raise not_there(journal, originator, version)
    return _state(aggregate, newest)


def read_step(
    journal: Journal, originator: str, replayer: Replayer, *, version: int | None = None
) -> tuple[AggregateState | None, AggregateState]:
    """Rebuild an aggregate as it was before the event of ``version``, and after it; as ``read_state``.

    Its events are read once. None if that event is its first.
    """
    before: StoredRecord | None = None
    newest: StoredRecord | None = None

    def all_but_newest() -> Iterator[Record]:
        nonlocal before, newest
        for stored in read_events(journal, originator, until=version):
            before, newest = newest, stored
            if before is not None:
                yield before.record

    aggregate = replayer.replay(all_but_newest())
    if newest is None or (version is not None and newest.record.originator_version != version):
        raise not_there(journal, originator, version)
    # What it was is taken down first: the event may change the aggregate itself.
    earlier = None if before is None else _state(aggregate, before)
    return earlier, _state(replayer.replay(iter((newest.record,)), aggregate), newest)


def _state(aggregate: object, newest: StoredRecord) -> AggregateState:
    """What to show of an aggregate that ``newest`` made so."""
    record = newest.record
    assert record.originator_id is not None
    assert record.originator_version is not None
    cls = type(aggregate)
    attributes = {} if aggregate is None else attributes_of(aggregate)
    return AggregateState(
        originator_id=record.originator_id,
        version=record.originator_version,
        position=newest.position,
        timestamp=newest.timestamp,
        kind=None if aggregate is None else f"{cls.__module__}:{cls.__qualname__}",
        attributes={
            name.removeprefix("_"): plain(value)
            for name, value in attributes.items()
            if name not in _NO_STATE
        },
    )


def not_there(journal: Journal, originator: str, version: int | None = None) -> NotThereError:
    """The error for an originator of which nothing, or not this version, is recorded."""
    path = journal.handle.path
    newest = next(read_events(journal, originator, backwards=True, limit=1), None)
    if newest is None:
        return NotThereError(
            f"{path}: expected an originator {originator}, found no record of it; `aurora-es"
            " streams` lists those that are there"
        )
    return NotThereError(
        f"{path}: expected version {version} of {originator}, found versions up to"
        f" {newest.record.originator_version}; `aurora-es show` lists them"
    )


def changes_between(before: object, after: object) -> list[Change]:
    """How two values that JSON can hold differ, in the order of ``before``."""
    return list(_changes(before, after, ()))


def _changes(before: object, after: object, path: tuple[str | int, ...]) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _changes(
                before.get(name, _MISSING), after.get(name, _MISSING), (*path, name)
            )
    elif isinstance(before, list) and isinstance(after, list):
        for at in range(max(len(before), len(after))):
            yield from _changes(_item(before, at), _item(after, at), (*path, at))
    elif type(before) is not type(after) or before != after:
        yield Change(path=path, before=before, after=after)


def _item(values: list[object], at: int) -> object:
    return values[at] if at < len(values) else _MISSING

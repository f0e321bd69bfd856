"""Answers about one aggregate: its events by version, its state at one, and what changed there."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from aurora_es.inspection.aggregates import (
    changes_between,
    not_there,
    read_events,
    read_step,
)
from aurora_es.ui.shapes import (
    LISTED_CHARACTERS_MAX,
    SHOWN_CHARACTERS_MAX,
    ShownEvent,
    ShownText,
    shown_event,
    shown_value,
)

if TYPE_CHECKING:
    from aurora_es.ui.look import Look
    from aurora_es.ui.parameters import Parameters

EVENTS_MAX = 200
_EVENTS_DEFAULT = 100
_VERSION_MIN = -(1 << 63)
_CHANGES_MAX = 500
_VALUE_CHARACTERS_MAX = 4_096


class TimeLine(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate's events, newest first; those below ``next`` are still to come."""

    id: str
    first_version: int
    last_version: int
    first_time: datetime
    last_time: datetime
    events: list[ShownEvent]
    next: int | None


class ShownChange(msgspec.Struct, frozen=True, kw_only=True):
    """A difference; ``before`` is None for what was added, ``after`` for what was removed."""

    path: tuple[str | int, ...]
    before: ShownText | None
    after: ShownText | None


class ShownState(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate at a version, the event that made it so, and what that event changed.

    Without an application, ``kind`` and ``attributes`` are None and there are no changes.
    """

    version: int
    event: ShownEvent
    kind: str | None = None
    attributes: ShownText | None = None
    changes: list[ShownChange] = []
    changes_left_out: int = 0


def aggregate(look: Look, asked: Parameters) -> TimeLine:
    """The events of an aggregate up to version ``until``; raises NotThereError."""
    identity = asked.needed("id")
    until = asked.whole("until", low=_VERSION_MIN)
    limit = asked.count("limit", default=_EVENTS_DEFAULT, high=EVENTS_MAX)
    with look.journals.use(asked.needed("journal")) as journal:
        first = next(read_events(journal, identity, limit=1), None)
        last = next(read_events(journal, identity, backwards=True, limit=1), None)
        if first is None or last is None:
            raise not_there(journal, identity)
        found = list(read_events(journal, identity, until=until, backwards=True, limit=limit))
        assert first.record.originator_version is not None
        assert last.record.originator_version is not None
        oldest = found[-1].record.originator_version if found else None
        more = oldest is not None and oldest > first.record.originator_version
        return TimeLine(
            id=identity,
            first_version=first.record.originator_version,
            last_version=last.record.originator_version,
            first_time=first.timestamp,
            last_time=last.timestamp,
            events=[
                shown_event(stored, look.decoder, characters_max=LISTED_CHARACTERS_MAX)
                for stored in found
            ],
            next=oldest - 1 if more and oldest is not None else None,
        )


def state(look: Look, asked: Parameters) -> ShownState:
    """An aggregate at ``version``, the newest if unset; raises NotThereError, ReplayError."""
    identity = asked.needed("id")
    version = asked.whole("version", low=_VERSION_MIN)
    with look.journals.use(asked.needed("journal")) as journal:
        made_by = next(read_events(journal, identity, until=version, backwards=True, limit=1), None)
        if made_by is None or version not in {None, made_by.record.originator_version}:
            raise not_there(journal, identity, version)
        version = made_by.record.originator_version
        assert version is not None
        event = shown_event(made_by, look.decoder, characters_max=SHOWN_CHARACTERS_MAX)
        if look.decoder is None:
            return ShownState(version=version, event=event)
        earlier, now = read_step(journal, identity, look.decoder, version=version)
    before = {} if earlier is None else earlier.attributes
    changes = changes_between(before, now.attributes)
    return ShownState(
        version=version,
        event=event,
        kind=now.kind,
        attributes=shown_value(now.attributes),
        changes=[
            ShownChange(path=one.path, before=_value(one.before), after=_value(one.after))
            for one in changes[:_CHANGES_MAX]
        ],
        changes_left_out=max(len(changes) - _CHANGES_MAX, 0),
    )


def _value(value: object) -> ShownText | None:
    return None if value is msgspec.UNSET else shown_value(value, _VALUE_CHARACTERS_MAX)

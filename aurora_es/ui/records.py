"""Answers about records and streams: pages of either, and one record as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from aurora_es.errors import ArgumentError
from aurora_es.inspection.aggregates import NotThereError
from aurora_es.inspection.plain import encodable
from aurora_es.inspection.selection import position_range, read_page
from aurora_es.inspection.streams import count_streams, find_stream, read_streams
from aurora_es.ui.shapes import (
    LISTED_CHARACTERS_MAX,
    SHOWN_CHARACTERS_MAX,
    ShownEvent,
    shown_event,
)

if TYPE_CHECKING:
    from aurora_es.journal.counting import OriginatorCount
    from aurora_es.journal.journal import Journal
    from aurora_es.ui.look import Look
    from aurora_es.ui.parameters import Parameters

PAGE_MAX = 200
_PAGE_DEFAULT = 50
# So that a search answers within a second or so, however rare what it looks for is.
_LOOKED_AT_MAX = 10_000
_STREAMS_LOOKED_AT_MAX = 2_000  # each costs a read of its first record
_WRITTEN_CHARACTERS_MAX = 500
_ORDERS = {"newest": True, "oldest": False}


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some records; the page goes on at ``next`` while that is not None."""

    events: list[ShownEvent]
    next: int | None
    looked_at: int
    first_position: int
    last_position: int


class ShownStream(msgspec.Struct, frozen=True, kw_only=True):
    """An originator."""

    id: str
    event_count: int
    last_version: int
    first_topic: str
    first_position: int


class ShownStreams(msgspec.Struct, frozen=True, kw_only=True):
    """Some originators; ``next`` is the ``after`` of the following page."""

    streams: list[ShownStream]
    next: str | None
    looked_at: int


def events(look: Look, asked: Parameters) -> EventPage:
    """A page of records that pass the filters, newest first unless ``order=oldest``."""
    backwards = asked.choice("order", _ORDERS, default=True)
    chosen = asked.filter(look.decoder)
    next_position = asked.whole("next", low=1)
    with look.journals.use(asked.needed("journal")) as journal:
        start, stop = position_range(
            journal,
            start=asked.whole("start", low=1),
            stop=asked.whole("stop"),
            since=asked.time("since"),
            until=asked.time("until"),
        )
        if next_position is not None:
            start, stop = (
                (start, min(stop, next_position))
                if backwards
                else (max(start, next_position), stop)
            )
        page = read_page(
            journal,
            chosen,
            start=start,
            stop=stop,
            limit=asked.count("limit", default=_PAGE_DEFAULT, high=PAGE_MAX),
            backwards=backwards,
            looked_at_max=_LOOKED_AT_MAX,
        )
        return EventPage(
            events=[
                shown_event(stored, look.decoder, characters_max=LISTED_CHARACTERS_MAX)
                for stored in page.records
            ],
            next=page.next_position,
            looked_at=page.looked_at,
            first_position=journal.first_position,
            last_position=journal.last_position,
        )


def event(look: Look, asked: Parameters) -> ShownEvent:
    """The record at a position; raises NotThereError."""
    position = asked.whole("position", low=1) or 0
    with look.journals.use(asked.needed("journal")) as journal:
        stored = next(journal.read(position, position), None) if position else None
        if stored is None:
            message = (
                f"{journal.handle.path}: expected a record at position {position}, found positions"
                f" up to {journal.last_position}"
            )
            raise NotThereError(message)
        return shown_event(stored, look.decoder, characters_max=SHOWN_CHARACTERS_MAX)


def stream_count(look: Look, asked: Parameters) -> OriginatorCount:
    """How many originators there are, exactly or nearly."""
    with look.journals.use(asked.needed("journal")) as journal:
        return count_streams(journal)


def streams(look: Look, asked: Parameters) -> ShownStreams:
    """A page of originators whose id begins with ``prefix``; a whole id is looked up."""
    with look.journals.use(asked.needed("journal")) as journal:
        page = read_streams(
            journal,
            after=_identity(journal, asked.text("after")),
            prefix=asked.text("prefix") or "",
            first_topic=asked.text("first_topic"),
            limit=asked.count("limit", default=_PAGE_DEFAULT, high=PAGE_MAX),
            looked_at_max=_STREAMS_LOOKED_AT_MAX,
        )
        following = None if page.next_after is None else _written(journal, page.next_after)
    return ShownStreams(
        streams=[
            ShownStream(
                id=encodable(str(one.originator_id)),
                event_count=one.record_count,
                last_version=one.last_version,
                first_topic=one.first_topic,
                first_position=one.first_position,
            )
            for one in page.streams
        ],
        next=following,
        looked_at=page.looked_at,
    )


def _written(journal: Journal, identity: UUID | str) -> str:
    """An id for the address of the next page, which tells a UUID from the same text.

    For one that is too long for an address, a position at which it is found.
    """
    if isinstance(identity, UUID):
        return f"uuid:{identity}"
    if len(identity) <= _WRITTEN_CHARACTERS_MAX:
        return f"text:{identity}"
    found = find_stream(journal, identity)
    assert found is not None  # it was just listed
    return f"at:{found.first_position}"


def _identity(journal: Journal, written: str | None) -> UUID | str | None:
    if written is None:
        return None
    kind, _, text = written.partition(":")
    try:
        if kind != "at":
            return UUID(text) if kind == "uuid" else text
        position = int(text)
        found = next(journal.read(position, position)).record.originator_id
    except (ValueError, StopIteration):
        message = f"after: expected `next` of the page before, found {written!r}"
        raise ArgumentError(message) from None
    return found

"""Pages through the originators of a journal, and finds one of them.

Theory of operation: originators come in the order of a hash of their ids, which index runs have; so
a page begins behind the last originator of the page before, at the cost of one look into each run.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import msgspec

from aurora_es.inspection.selection import keys_of
from aurora_es.journal.counting import OriginatorCount, count_originators
from aurora_es.journal.journal import Journal
from aurora_es.journal.listing import Originator, find_originator, list_originators

LISTED_MAX_DEFAULT = 10_000


class StreamPage(msgspec.Struct, frozen=True):
    """Some originators, and the one behind which the next page begins."""

    streams: list[Originator]
    next_after: UUID | str | None  # None at the end
    looked_at: int


def read_streams(  # noqa: PLR0913 - a reader's choices, all by name
    journal: Journal,
    *,
    after: UUID | str | None = None,
    prefix: str = "",
    first_topic: str | None = None,
    limit: int = 100,
    looked_at_max: int = LISTED_MAX_DEFAULT,
) -> StreamPage:
    """Read a page of originators: those whose id begins with ``prefix``, with this first topic.

    Ends with ``limit`` of them, or when ``looked_at_max`` were looked at. A whole UUID as ``prefix``
    is looked up, and stands for itself alone. ``after`` is ``next_after`` of the page before.
    """
    exact = find_whole(journal, prefix) if after is None else None
    if exact is not None:
        passes = first_topic is None or exact.first_topic == first_topic
        return StreamPage([exact] if passes else [], None, 1)
    streams: list[Originator] = []
    looked_at = 0
    for found in list_streams(journal, after):
        looked_at += 1
        if str(found.originator_id).startswith(prefix) and (
            first_topic is None or found.first_topic == first_topic
        ):
            streams.append(found)
        if len(streams) >= limit or looked_at >= looked_at_max:
            return StreamPage(streams, found.originator_id, looked_at)
    return StreamPage(streams, None, looked_at)


def count_streams(journal: Journal) -> OriginatorCount:
    """How many originators there are: exactly if they are few, else to about one percent."""
    _catch_up(journal)
    return count_originators(journal.handle)


def find_whole(journal: Journal, prefix: str) -> Originator | None:
    """The originator whose UUID ``prefix`` is, None if there is none, or it is a part of an id."""
    try:
        whole = UUID(prefix)
    except ValueError:
        return None
    return find_stream(journal, str(whole))


def list_streams(journal: Journal, after: UUID | str | None = None) -> Iterator[Originator]:
    """All originators that follow ``after`` in the order of pages."""
    _catch_up(journal)
    return list_originators(journal.handle, after)


def find_stream(journal: Journal, originator: str) -> Originator | None:
    """The originator with this id, looked up in the index; None if there is no record of it."""
    _catch_up(journal)
    found = (find_originator(journal.handle, key) for key in keys_of(originator))
    return next((one for one in found if one is not None), None)


def _catch_up(journal: Journal) -> None:
    """Let the index of ``journal`` have the newest records."""
    journal.renew()
    _ = journal.last_position

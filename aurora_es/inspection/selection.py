"""Chooses records: by topic, originator, position, time and text, forwards, backwards and in pages.

Theory of operation: topics and originators are looked up in the index; what it cannot tell is read
and looked at, and a page says how far it came, so that a caller decides how long to look. Backwards,
records are read in windows that widen while little is found in them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

import msgspec

from aurora_es.index.keys import originator_key, text_key
from aurora_es.inspection.states import StateDecoder, searched_text
from aurora_es.journal.by_originator import positions_of, read_at
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import StoredRecord, datetime_of, record_of

_WINDOW_RECORDS_MIN = 256
_WINDOW_RECORDS_MAX = 64_000
_WINDOW_FOUND_MAX = 4_000  # as many records may be in memory
_PAGE_RECORDS = 512
LOOKED_AT_MAX_DEFAULT = 100_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Records of one of ``topics`` and of ``originator`` in which ``pattern`` is found.

    Empty and None let everything pass. The pattern is searched in the topic, and in the state as
    ``decoder`` or its bytes tell it; see ``DecodedState.text``.
    """

    topics: tuple[str, ...] = ()
    originator: str | None = None
    pattern: re.Pattern[str] | None = None
    decoder: StateDecoder | None = None

    @property
    def passes_all(self) -> bool:
        """Whether nothing is left out."""
        return not self.topics and self.originator is None and self.pattern is None

    def choose(self, records: Iterable[StoredRecord]) -> Iterator[StoredRecord]:
        """Yield the records that pass, as they come."""
        keys = self.keys
        for stored in records:
            record = stored.record
            if self.topics and record.topic not in self.topics:
                continue
            if keys and originator_key(record.originator_id) not in keys:
                continue
            if self.finds(stored):
                yield stored

    def finds(self, stored: StoredRecord) -> bool:
        """Whether the text of a record has what is searched for."""
        pattern, record = self.pattern, stored.record
        if pattern is None or pattern.search(record.topic):
            return True
        return pattern.search(searched_text(record, self.decoder)) is not None

    @property
    def keys(self) -> set[bytes | str]:
        """Keys of the originator that may be meant."""
        return set() if self.originator is None else keys_of(self.originator)


class Page(msgspec.Struct, frozen=True):
    """Some chosen records, and where to go on."""

    records: list[StoredRecord]
    next_position: int | None  # to begin the next page with, in the same direction; None at the end
    looked_at: int  # records that were read for it


def keys_of(originator: str) -> set[bytes | str]:
    """Keys of the originators that are written as ``originator``."""
    keys = {text_key(originator)}
    with suppress(ValueError):  # people also paste upper case or plain hex
        keys.add(UUID(originator).bytes)
    return keys


def parse_time(text: str) -> datetime:
    """Read a time in ISO 8601 with a zone; raises ValueError that says what was expected."""
    example = "expected ISO 8601 with a zone, as 2026-11-25T20:00:00Z or 2026-11-25T21:00+01:00"
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        message = f"{example}; found {text!r}"
        raise ValueError(message) from None
    if time.utcoffset() is None:
        message = f"{example}; found no zone in {text!r}"
        raise ValueError(message)
    return time


def position_range(
    journal: Journal,
    *,
    start: int | None = None,
    stop: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[int, int]:
    """First and last position of what lies between both positions and both times, all included."""
    first, last = journal.first_position, journal.last_position
    if start is not None:
        first = max(first, start)
    if stop is not None:
        last = min(last, stop)
    if since is not None:
        first = max(first, journal.position_at(since - timedelta(microseconds=1)) + 1)
    if until is not None:
        last = min(last, journal.position_at(until))
    return first, last


def read_page(  # noqa: PLR0913 - a reader's choices, all by name
    journal: Journal,
    chosen: Filter,
    *,
    start: int,
    stop: int,
    limit: int,
    backwards: bool = False,
    looked_at_max: int = LOOKED_AT_MAX_DEFAULT,
) -> Page:
    """Read a page of chosen records from ``start`` to ``stop``, newest first if ``backwards``.

    Ends with ``limit`` records, or when ``looked_at_max`` were looked at: a search for text may
    find nothing for long. The next page begins, or backwards stops, at ``next_position``.
    """
    records: list[StoredRecord] = []
    looked_at, step = 0, -1 if backwards else 1
    found = candidates(journal, chosen, start=start, stop=stop, backwards=backwards)
    for stored in found:
        looked_at += 1
        if chosen.finds(stored):
            records.append(stored)
        if len(records) >= limit or looked_at >= looked_at_max:
            behind = stored.position + step
            return Page(records, behind if start <= behind <= stop else None, looked_at)
    return Page(records, None, looked_at)


def records_between(
    journal: Journal, *, start: int | None, stop: int | None, limit: int | None, chosen: Filter
) -> Iterator[StoredRecord]:
    """Yield chosen records from ``start`` to ``stop``, both included, at most ``limit``.

    Without ``start`` from the oldest one that is left.
    """
    if start is None:
        start = journal.first_position
    if stop is None:
        stop = journal.last_position
    found = candidates(journal, chosen, start=start, stop=stop)
    return islice(filter(chosen.finds, found), limit)


def newest_records(
    journal: Journal, *, until: int, count: int, chosen: Filter
) -> Iterator[StoredRecord]:
    """Yield the newest ``count`` chosen records up to position ``until``, oldest first."""
    start = journal.first_position
    if chosen.passes_all:
        return journal.read(max(start, until - count + 1), until)
    found = candidates(journal, chosen, start=start, stop=until, backwards=True)
    return reversed(list(islice(filter(chosen.finds, found), count)))


def candidates(
    journal: Journal, chosen: Filter, *, start: int, stop: int, backwards: bool = False
) -> Iterator[StoredRecord]:
    """Yield the records whose topic and originator pass, whatever their text."""
    labels = Filter(chosen.topics, chosen.originator)
    if labels.originator is not None:
        return labels.choose(_of_originator(journal, labels, start, stop, backwards=backwards))
    if backwards:
        return _in_windows(journal, labels, start, stop)
    return journal.read(start, stop, topics=labels.topics)


def _of_originator(
    journal: Journal, chosen: Filter, start: int, stop: int, *, backwards: bool
) -> Iterator[StoredRecord]:
    """Records that may be of the chosen originator, found by the index."""
    handle = journal.handle
    until = min(stop, journal.last_position)
    found = [positions_of(handle, key, until) for key in chosen.keys]
    positions = found[0] if len(found) == 1 else sorted(set().union(*found))
    low, high = bisect_left(positions, start), bisect_right(positions, until)
    begins = range(low, high, _PAGE_RECORDS)
    for begin in reversed(begins) if backwards else begins:
        page = positions[begin : min(begin + _PAGE_RECORDS, high)]
        matches = read_at(handle, page)
        for position, timestamp, data in reversed(matches) if backwards else matches:
            yield StoredRecord(position, datetime_of(timestamp), record_of(data))


def _in_windows(journal: Journal, chosen: Filter, start: int, stop: int) -> Iterator[StoredRecord]:
    """Records with the chosen topics, newest first."""
    window = _WINDOW_RECORDS_MIN
    stop = min(stop, journal.last_position)
    while stop >= start:
        begin = max(start, stop - window + 1)
        page = list(journal.read(begin, stop, topics=chosen.topics))
        yield from reversed(page)
        stop = begin - 1
        width = window * 2 if len(page) < _WINDOW_FOUND_MAX / 4 else window // 2
        window = min(max(width, _WINDOW_RECORDS_MIN), _WINDOW_RECORDS_MAX)

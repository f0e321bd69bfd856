"""Chooses the records that ``cat`` and ``tail`` print, and reads the time that ``at`` is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from aurora_es.index.keys import originator_key, text_key
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import StoredRecord

_WINDOW_RECORDS_MIN = 1_000
_WINDOW_RECORDS_MAX = 64_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Records of one of ``topics`` and of ``originator``; empty and None let everything pass."""

    topics: tuple[str, ...] = ()
    originator: str | None = None

    @property
    def passes_all(self) -> bool:
        """Whether nothing is left out."""
        return not self.topics and self.originator is None

    def choose(self, records: Iterable[StoredRecord]) -> Iterator[StoredRecord]:
        """Yield the records that pass, as they come."""
        topics, keys = frozenset(self.topics), self._keys()
        for stored in records:
            record = stored.record
            if topics and record.topic not in topics:
                continue
            if keys and originator_key(record.originator_id) not in keys:
                continue
            yield stored

    def _keys(self) -> set[bytes | str]:
        if self.originator is None:
            return set()
        keys = {text_key(self.originator)}
        with suppress(ValueError):  # people also paste upper case or plain hex
            keys.add(UUID(self.originator).bytes)
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


def records_between(
    journal: Journal, *, start: int | None, stop: int | None, limit: int | None, chosen: Filter
) -> Iterator[StoredRecord]:
    """Yield chosen records from ``start`` to ``stop``, both included, at most ``limit``.

    Without ``start`` from the oldest one that is left.
    """
    if start is None:
        start = journal.first_position
    if chosen.originator is None:
        return journal.read(start, stop, limit, chosen.topics)
    return islice(chosen.choose(journal.read(start, stop, topics=chosen.topics)), limit)


def newest_records(
    journal: Journal, *, until: int, count: int, chosen: Filter
) -> Iterator[StoredRecord]:
    """Yield the newest ``count`` chosen records up to position ``until``, oldest first."""
    if chosen.passes_all:
        return journal.read(max(journal.first_position, until - count + 1), until)
    return iter(_search_backwards(journal, until, count, chosen))


def _search_backwards(
    journal: Journal, until: int, count: int, chosen: Filter
) -> list[StoredRecord]:
    pages: list[list[StoredRecord]] = []
    missing, window = count, _WINDOW_RECORDS_MIN
    oldest = journal.first_position
    while until >= oldest and missing > 0:
        start = max(oldest, until - window + 1)
        page = list(chosen.choose(journal.read(start, until, topics=chosen.topics)))
        pages.append(page[-missing:])
        missing -= len(pages[-1])
        until = start - 1
        window = min(2 * window, _WINDOW_RECORDS_MAX)
    return [stored for page in reversed(pages) for stored in page]

"""Counts records over time, without reading them.

Theory of operation: the times of commits never go backwards, so that the position at the end of each
stretch of time is found by halving; the difference of two is what was recorded between them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from aurora_es.errors import ArgumentError
from aurora_es.journal.journal import Journal

BUCKETS_DEFAULT = 48
BUCKETS_MAX = 10_000


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded behind ``start``, up to ``end``; positions of lost records count too."""

    start: datetime
    end: datetime
    first_position: int
    record_count: int
    records_per_second: float


def times_of(journal: Journal) -> tuple[datetime, datetime] | None:
    """Times of the first and the last record that can be read, None if there is none."""
    first = next(journal.read(journal.first_position, limit=1), None)
    last = journal.last_position
    newest = next(journal.read(last, last), None) if first is not None else None
    if first is None:
        return None
    return first.timestamp, first.timestamp if newest is None else newest.timestamp


def read_rates(
    journal: Journal,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    buckets: int = BUCKETS_DEFAULT,
) -> list[Bucket]:
    """Count records in equally long stretches of time, from the first record to the last if unset.

    Empty for an empty journal. Raises ArgumentError unless 1 to 10,000 ``buckets`` are asked for.
    """
    if not 1 <= buckets <= BUCKETS_MAX:
        message = f"buckets: expected 1 to {BUCKETS_MAX}, found {buckets} (`aurora-es stats --buckets 24`)"
        raise ArgumentError(message)
    times = times_of(journal)
    if times is None:
        return []
    begin = times[0] - timedelta(microseconds=1) if since is None else since
    end = times[1] if until is None else until
    if end <= begin:
        return []
    before = max(journal.position_at(begin), journal.first_position - 1)
    found = []
    for number in range(buckets):
        start = begin + (end - begin) * number / buckets
        stop = begin + (end - begin) * (number + 1) / buckets
        last = max(journal.position_at(stop), before)
        found.append(
            Bucket(
                start=start,
                end=stop,
                first_position=before + 1,
                record_count=last - before,
                records_per_second=(last - before) / max((stop - start).total_seconds(), 1e-6),
            )
        )
        before = last
    return found

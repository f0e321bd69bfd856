"""Where one index run says that records with certain topics and tags may be.

Theory of operation: an item of a query has *parts*: one for each of its tags, and one for all of
its topics together. A part's postings are a few stretches of sorted positions, one for each of its
keys, whose lengths two look-ups tell. The rarest part is read first, then the others as far as that
is cheaper than reading the records themselves, which have to be looked at in any case: two tags may
share a key. Short stretches are read as lists, as numpy costs more to ask than they do.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from aurora_es.late_imports import fork_waits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aurora_es.index.query import Query, QueryItem
    from aurora_es.index.run import Run

    Hasher = Callable[[bytes | str], int]
    _Range = tuple[int, int]  # numbers of entries in the run: first and end

_LISTS_MAX = 256  # postings up to which lists are as fast as numpy
_WORTH = 256  # so many postings are read in the time that one record takes


def candidates(  # noqa: PLR0913, PLR0917 - what is asked for, and of what
    run: Run,
    query: Query,
    hashers: tuple[Hasher, Hasher],
    start: int,
    until: int,
    limit: int,
) -> tuple[list[int] | None, int]:
    """Where records that match ``query`` may be from ``start`` on, and up to where that says.

    Rising candidates; None where an item asks for nothing but topics, of which one is so frequent
    that it has no postings: then every record is one. Ends at ``until``, or behind some ``limit``
    postings of an item's rarest part. ``hashers`` give the keys of topics and of tags.
    """
    parts_of_items = []
    for item in query.items:
        parts, until = _parts(run, item, hashers, start, until)
        if not parts:
            return None, until
        parts_of_items.append(parts)
    found: list[int] = []
    for parts in parts_of_items:
        positions, until = _positions(run, parts, start, until, limit)
        found += positions
    if len(parts_of_items) > 1:
        found = sorted(set(found))
    del found[bisect_right(found, until) :]
    return found, until


def _parts(
    run: Run, item: QueryItem, hashers: tuple[Hasher, Hasher], start: int, until: int
) -> tuple[list[list[int]], int]:
    """Keys of each part of an item, and up to where they tell; no part: there every record may be.

    Frequent topics say nothing beside a tag, and the record's own topic is looked at later.
    """
    hash_topic, hash_tag = hashers
    parts = [[hash_tag(tag)] for tag in item.tags]
    keys = list({hash_topic(topic) for topic in item.topics})
    is_common = False
    for key in keys:
        ranges = run.common(key)
        at = bisect_right(ranges, (start, run.header.last_position))
        if at and start <= ranges[at - 1][1]:
            is_common = True
            if not parts:
                return [], min(until, ranges[at - 1][1])
        elif at < len(ranges) and ranges[at][0] <= until:
            if parts:
                is_common = True
            else:
                until = ranges[at][0] - 1
    if keys and not is_common:
        parts.append(keys)
    return parts, until


def _positions(
    run: Run, parts: list[list[int]], start: int, until: int, limit: int
) -> tuple[list[int], int]:
    """Positions that may match all ``parts``, and up to where that says."""
    counted = []
    for keys in parts:
        ranges = _ranges(run, keys, start, until)
        counted.append((_count(ranges), ranges, keys))
    counted.sort(key=lambda part: part[0])
    (_, ranges, _), *others = counted
    found: list[int] = []
    last = until
    for first, end in ranges:
        positions = positions_between(run, first, min(end, first + limit))
        if end - first >= limit:
            last = min(last, positions[-1])
        found += positions
    if len(ranges) > 1:
        found.sort()
    del found[bisect_right(found, last) :]
    for count, ranges, keys in others:
        if last < until:
            ranges = _ranges(run, keys, start, last)  # noqa: PLW2901 - less of the same
            count = _count(ranges)  # noqa: PLW2901
        if count > _WORTH * len(found):
            break  # and so are all that follow: at least as frequent
        found = _common(run, found, ranges, count)
    return found, last


def _common(run: Run, found: list[int], ranges: list[_Range], count: int) -> list[int]:
    """Those of ``found`` that are in one of ``ranges``, which have ``count`` postings."""
    if count + len(found) <= _LISTS_MAX:
        others = {position for first, end in ranges for position in run.positions(first, end)}
        return [position for position in found if position in others]
    with fork_waits:
        import numpy as np

        from aurora_es.index.columns import position_column
    sought = np.array(found, np.uint64)
    is_there = np.zeros(len(sought), bool)
    for first, end in ranges:
        is_there |= np.isin(
            sought, position_column(run, first, end), assume_unique=True, kind="sort"
        )
    return [*map(int, sought[is_there])]


def positions_between(run: Run, first: int, end: int) -> list[int]:
    """Positions of the entries number ``first`` to ``end``, excluded."""
    if end - first <= _LISTS_MAX:
        return run.positions(first, end)
    with fork_waits:
        from aurora_es.index.columns import position_column
    found: list[int] = position_column(run, first, end).tolist()
    return found


def _ranges(run: Run, keys: Sequence[int], start: int, until: int) -> list[_Range]:
    found = (run.posting_range(key, after=start - 1, until=until) for key in keys)
    return [(first, end) for first, end in found if first < end]


def _count(ranges: list[_Range]) -> int:
    return sum(end - first for first, end in ranges)

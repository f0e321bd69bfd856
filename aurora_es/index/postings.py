"""Which records of one segment in memory have a topic or a tag; gathered once somebody asks.

Theory of operation: per topic and tag the slots of its records, rising: ``array('I')``, 4 bytes
each, or a plain number while there is only one, as most tags of a segment have few records. A
*slot* counts the records of the segment from 1. It grows by whole frames in the order of positions,
from the first record of the segment on, and may lie behind the index of the segment: whoever reads
frames in search of a topic or tag adds what was read, and so does an append to a journal of which
that was ever asked.

Who may write: the holder of the handle's ``index_lock``. Readers take no lock: slots are complete
before ``position`` is raised, and readers ignore whatever lies above the ``position`` they read
first.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aurora_es.index.query import Query, QueryItem

    Label = tuple[str, Sequence[str]]  # topic and tags of a record
    _Slots = int | array[int]
    _Range = tuple[Sequence[int], int, int]  # slots, and those that count: first and end

_SLOT_BYTES = 4
_STEP_POSTINGS = 1 << 6


class TailPostings:
    """Topics and tags of the records from ``base_position`` to ``position`` of one segment."""

    __slots__ = ("_before", "_posting_count", "_tags", "_topics", "position")

    def __init__(self, base_position: int) -> None:
        """Start empty, with the segment's first record at ``base_position``."""
        self.position = self._before = base_position - 1
        self._posting_count = 0
        self._topics: dict[str, _Slots] = {}
        self._tags: dict[str, _Slots] = {}

    @property
    def memory_bytes(self) -> int:
        """Bytes taken by the slots, without the dictionaries."""
        return self._posting_count * _SLOT_BYTES

    def add(self, first_position: int, labels: Sequence[Label]) -> None:
        """Add the labels of the records from ``first_position`` on, if those come next."""
        if first_position != self.position + 1:
            return  # another reader was faster, or nobody has read what comes before
        topics, all_tags = self._topics, self._tags
        count = len(labels)
        for slot, (topic, tags) in enumerate(labels, first_position - self._before):
            _append(topics, topic, slot)
            if tags:
                count += len(tags)
                for tag in tags:
                    _append(all_tags, tag, slot)
        self._posting_count += count
        self.position += len(labels)

    def positions(self, query: Query, start: int, until: int, limit: int) -> tuple[list[int], int]:
        """Positions of the records from ``start`` on that match ``query``, rising.

        Looks no further than ``until``, which may not be above ``position``, and ends early behind
        some ``limit`` postings of an item's rarest part; returns up to where it has looked, too.
        """
        if query.matches_all:
            return [*range(start, min(until, start + limit - 1) + 1)], min(until, start + limit - 1)
        before = self._before
        low, high = start - before, until - before
        found: set[int] = set()
        for item in query.items:
            slots, high = self._matches(item, low, high, limit)
            found.update(slots)
        return [before + slot for slot in sorted(found) if slot <= high], before + high

    def has_match(self, query: Query, after: int) -> bool:
        """Whether a record above position ``after`` matches ``query``."""
        start = max(after, self._before) + 1
        while start <= self.position:
            found, told = self.positions(query, start, self.position, _STEP_POSTINGS)
            if found:
                return True
            start = told + 1
        return False

    def _matches(
        self, item: QueryItem, low: int, high: int, limit: int
    ) -> tuple[Iterable[int], int]:
        """Slots that match an item, and up to which one it has looked."""
        parts = [_ranges([self._tags.get(tag)], low, high) for tag in item.tags]
        if item.topics:
            parts.append(_ranges([self._topics.get(topic) for topic in item.topics], low, high))
        parts.sort(key=_count)
        rarest, *others = parts
        merged: list[int] = []
        for slots, first, end in rarest:
            if end - first >= limit:
                high = min(high, slots[first + limit - 1])
            merged += slots[first : min(end, first + limit)]
        for ranges in others:
            merged = [slot for slot in merged if _holds(ranges, slot)]
        return merged, high


def _append(postings: dict[str, _Slots], value: str, slot: int) -> None:
    found = postings.get(value)
    if found is None:
        postings[value] = slot
    elif type(found) is int:
        if found != slot:  # else a tag that a record has twice
            postings[value] = array("I", (found, slot))
    elif found[-1] != slot:  # type: ignore[index]
        found.append(slot)  # type: ignore[union-attr]


def _ranges(found: list[_Slots | None], low: int, high: int) -> list[_Range]:
    """What lies from ``low`` to ``high`` of each."""
    ranges: list[_Range] = []
    for slots in found:
        if slots is None:
            continue
        several = (slots,) if isinstance(slots, int) else slots
        first = bisect_left(several, low)
        end = bisect_right(several, high, first)
        if first < end:
            ranges.append((several, first, end))
    return ranges


def _count(ranges: list[_Range]) -> int:
    return sum(end - first for _, first, end in ranges)


def _holds(ranges: list[_Range], slot: int) -> bool:
    for slots, first, end in ranges:
        at = bisect_left(slots, slot, first, end)
        if at < end and slots[at] == slot:
            return True
    return False

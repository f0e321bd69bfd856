"""Which records of one segment in memory have a topic; gathered only once a filter asks for it.

Theory of operation: per topic the slots of its records, rising (``array('I')``, 4 bytes each). A
*slot* counts the records of the segment from 1. It grows by whole frames in the order of positions,
from the first record of the segment on, and may lie behind the index of the segment: whoever reads
frames in search of a topic adds what was read.

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

_SLOT_BYTES = 4


class TailTopics:
    """Topics of the records from ``base_position`` to ``position`` of one segment."""

    __slots__ = ("_before", "_slots", "position")

    def __init__(self, base_position: int) -> None:
        """Start empty, with the segment's first record at ``base_position``."""
        self.position = self._before = base_position - 1
        self._slots: dict[str, array[int]] = {}

    @property
    def memory_bytes(self) -> int:
        """Bytes taken per record, without the dictionary."""
        return (self.position - self._before) * _SLOT_BYTES

    def add(self, first_position: int, topics: Sequence[str]) -> None:
        """Add the topics of the records from ``first_position`` on, if those come next."""
        if first_position != self.position + 1:
            return  # another reader was faster
        slots = self._slots
        for slot, topic in enumerate(topics, first_position - self._before):
            found = slots.get(topic)
            if found is None:
                found = slots[topic] = array("I")
            found.append(slot)
        self.position += len(topics)

    def positions(
        self, topics: Iterable[str], start: int, until: int, limit: int
    ) -> tuple[list[int], int]:
        """Positions of records with one of ``topics`` from ``start`` on, rising.

        Looks no further than ``until``, which may not be above ``position``, and ends early behind
        some ``limit`` records of a topic; returns up to where it has looked, too.
        """
        before = self._before
        low, high = start - before, until - before
        merged: list[int] = []
        for topic in topics:
            slots = self._slots.get(topic)
            if slots is None:
                continue
            first = bisect_left(slots, low)
            found = slots[first : min(first + limit, bisect_right(slots, high, first))]
            if len(found) == limit:
                high = min(high, found[-1])
            merged += found
        merged.sort()
        del merged[bisect_right(merged, high) :]
        return [before + slot for slot in merged], before + high

"""The holes of a journal: positions that a repair found lost, and that no record will ever have.

Theory of operation: the manifest lists them, segment by segment, in order. A reader counts records
and not positions, so that holes shift nothing; and it takes for a hole what is listed and nothing
else: a lost frame that the manifest does not know is corruption.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aurora_es.format.manifest import SealedSegment
    from aurora_es.segment.file import SegmentFile


class Holes:
    """Ranges of lost positions, rising and apart; immutable."""

    __slots__ = ("_firsts", "ranges")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """Know ``ranges``, in order; those without any position count for nothing."""
        self.ranges = tuple(one for one in ranges if one[0] <= one[1])
        self._firsts = [first for first, _ in self.ranges]

    def __bool__(self) -> bool:
        """Whether any position is lost."""
        return bool(self.ranges)

    def behind(self, position: int) -> int:
        """The first position from ``position`` on that is not lost."""
        at = bisect_right(self._firsts, position) - 1
        while 0 <= at < len(self.ranges) and self.ranges[at][0] <= position <= self.ranges[at][1]:
            position = self.ranges[at][1] + 1
            at += 1
        return position

    def last_of(self, start: int, count: int) -> int:
        """Position of the last of the ``count`` records, 1 at least, from ``start`` on."""
        start = self.behind(start)
        for first, last in self.ranges[bisect_right(self._firsts, start) :]:
            if first - start >= count:
                break
            count -= first - start
            start = last + 1
        return start + count - 1

    def count(self, start: int, until: int) -> int:
        """How many of the positions ``start`` to ``until`` are lost."""
        at = max(bisect_right(self._firsts, start) - 1, 0)
        lost = 0
        for first, last in self.ranges[at:]:
            if first > until:
                break
            lost += max(min(last, until) + 1 - max(first, start), 0)
        return lost

    def pieces(self, start: int, until: int) -> Iterator[tuple[int, int]]:
        """What is not lost of ``start`` to ``until``: first and last positions, in order."""
        while (start := self.behind(start)) <= until:
            at = bisect_right(self._firsts, start)
            end = until if at == len(self.ranges) else min(until, self._firsts[at] - 1)
            yield start, end
            start = end + 1

    def check(self, file: SegmentFile, offset: int, first: int, count: int) -> None:
        """Raise CorruptionError for a lost frame that the manifest does not list."""
        if (first, first + count - 1) not in self.ranges:
            raise CorruptionError(
                file.path,
                offset,
                expected=f"the record at position {first}",
                found=f"{count} positions lost, which the manifest does not list",
            )


def holes_of(segments: Iterable[SealedSegment]) -> Holes:
    """The holes of listed segments, which are in order."""
    return Holes(lost for segment in segments for lost in segment.lost or ())


NO_HOLES = Holes()

"""Finds the last position that was committed by some time.

Theory of operation: the times of commits never go backwards, so that every look halves what is
left. The manifest tells the times of sealed segments; then one header of 72 bytes is read at each
step, of the frame in the middle. The header of a packed frame has the time of its last commit: the
one frame in which the time lies is decoded, to look at its commits.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from aurora_es.format.frame import KIND_PACKED
from aurora_es.journal.reading import frame_of, index_up_to
from aurora_es.segment.read import read_groups, read_header

if TYPE_CHECKING:
    from aurora_es.journal.handle import Handle
    from aurora_es.segment.file import SegmentFile


def position_at(handle: Handle, until: int, timestamp: int) -> int:
    """Last position up to ``until`` of a commit at or before ``timestamp``, 0 if there is none.

    Where earlier positions were dropped, the last of these stands for all of them.

    ``until`` must not exceed the visible position that the caller has seen.
    """
    index = index_up_to(handle, until)
    low, high = handle.retained_from - 1, until  # the answer is one of these, or between them
    if index.sealed is not None:
        segments = index.sealed.segments.segments
        at = bisect_right(segments, timestamp, key=lambda segment: segment.last_timestamp)
        if at:
            low = min(segments[at - 1].last_position, until)
        if at < len(segments):
            if segments[at].first_timestamp > timestamp:
                return low
            high = min(segments[at].last_position, until)
    later: tuple[SegmentFile, int, int, int] | None = None  # a packed frame behind ``high``
    while low < high:
        place = frame_of(handle, index, (low + high + 1) // 2)
        file, offset, _, first = place
        header = read_header(file, offset, first)
        if header.timestamp <= timestamp:
            low = min(first + header.record_count - 1, high)
        else:
            high = first - 1
            later = place if header.kind == KIND_PACKED else None
    if later is not None:
        for first, time, records in read_groups(*later):
            if time > timestamp:
                break
            low = min(first + len(records) - 1, until)
    return low

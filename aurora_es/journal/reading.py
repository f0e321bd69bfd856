"""Reads records by position, for both faces and for the journal itself.

The loops and local names are for ``benchmarks`` (rows "pages of", "read a 100-event aggregate").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.files.layer import read_exactly
from aurora_es.segment.read import decode_frame, read_frame, read_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.format.payload import RecordData
    from aurora_es.journal.handle import Handle
    from aurora_es.segment.file import SegmentFile

_RUN_BYTES_MAX = 1 << 18

# first position, timestamp (microseconds), records of one frame
FrameRecords = tuple[int, int, "list[RecordData]"]


def read_run(handle: Handle, position: int, until: int) -> list[FrameRecords]:
    """Read the frames from the one that holds ``position`` to that of ``until``, with one pread.

    Stops earlier at 256 KiB and at the end of a segment, but returns one frame at least.
    ``until`` must not exceed the visible position that the caller has seen.
    """
    index = handle.state.index
    frame = index.frame_of(position)
    first = index.frame_place(frame)[3]
    segment_number, length, offsets = index.frame_run(frame, until, _RUN_BYTES_MAX)
    file = _segment(handle, segment_number)
    begin = offsets[0]
    buffer = read_exactly(file.files, file.fd, length, begin)
    run: list[FrameRecords] = []
    for offset in offsets:
        records, timestamp = decode_frame(file, buffer, offset - begin, offset, first)
        run.append((first, timestamp, records))
        first += len(records)
    return run


def read_frames(handle: Handle, start: int, until: int) -> Iterator[FrameRecords]:
    """Read all frames that hold positions ``start`` to ``until``; the outer ones hold more."""
    while start <= until:
        for run in read_run(handle, start, until):
            yield run
            start = run[0] + len(run[2])


def read_positions(handle: Handle, positions: Sequence[int]) -> list[tuple[int, int, RecordData]]:
    """Read single records; returns (position, timestamp, record) in the order asked for.

    Neighbours in one frame are decoded together.
    """
    index = handle.state.index
    found: list[tuple[int, int, RecordData]] = []
    at, count = 0, len(positions)
    while at < count:
        position = positions[at]
        segment_number, offset, length, first = index.frame_place(index.frame_of(position))
        file = _segment(handle, segment_number)
        if at + 1 == count:
            record, timestamp = read_record(file, offset, length, first, position - first)
            found.append((position, timestamp, record))
            break
        records, timestamp = read_frame(file, offset, length, first)
        end = first + len(records)
        while at < count and first <= (position := positions[at]) < end:
            found.append((position, timestamp, records[position - first]))
            at += 1
    return found


def _segment(handle: Handle, segment_number: int) -> SegmentFile:
    return handle.segment(segment_number, handle.state.index.base_position(segment_number))

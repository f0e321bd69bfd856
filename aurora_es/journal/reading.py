"""Reads records by position, for both faces and for the journal itself.

Theory of operation: callers say up to which position they have seen the journal, and hold no lock.
Another thread may meanwhile have dropped the index (after an interrupted append, or at a new epoch)
and be building it anew; an index that does not reach as far as the caller has seen is therefore not
looked at before it has caught up.

The loops and local names are for ``benchmarks`` (rows "pages of", "read a 100-event aggregate").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import HistoryChangedError
from aurora_es.files.layer import read_exactly
from aurora_es.journal.catch_up import refresh
from aurora_es.segment.read import decode_frame, read_frame, read_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.format.payload import RecordData
    from aurora_es.index.tail import TailIndex
    from aurora_es.journal.handle import Handle

_RUN_BYTES_MAX = 1 << 18

# first position, timestamp (microseconds), records of one frame
FrameRecords = tuple[int, int, "list[RecordData]"]


def read_run(handle: Handle, position: int, until: int) -> list[FrameRecords]:
    """Read the frames from the one that holds ``position`` to that of ``until``, with one pread.

    Stops earlier at 256 KiB and at the end of a segment, but returns one frame at least.
    ``until`` must not exceed the visible position that the caller has seen.
    """
    index = handle.state.index
    if index.position < until:
        index = _caught_up(handle, until)
    frame = index.frame_of(position)
    first = index.frame_place(frame)[3]
    segment_number, length, offsets = index.frame_run(frame, until, _RUN_BYTES_MAX)
    file = handle.segment(segment_number, index.base_position(segment_number))
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
    if len(positions) == 1:
        return [_read_position(handle, positions[0])]
    index = handle.state.index
    until = max(positions, default=0)
    if index.position < until:
        index = _caught_up(handle, until)
    found: list[tuple[int, int, RecordData]] = []
    at, count = 0, len(positions)
    while at < count:
        position = positions[at]
        segment_number, offset, length, first = index.frame_place(index.frame_of(position))
        file = handle.segment(segment_number, index.base_position(segment_number))
        records, timestamp = read_frame(file, offset, length, first)
        end = first + len(records)
        while at < count and first <= (position := positions[at]) < end:
            found.append((position, timestamp, records[position - first]))
            at += 1
    return found


def _read_position(handle: Handle, position: int) -> tuple[int, int, RecordData]:
    """Read one record (row "last event of an aggregate")."""
    index = handle.state.index
    if index.position < position:
        index = _caught_up(handle, position)
    segment_number, offset, length, first = index.frame_place(index.frame_of(position))
    file = handle.open_segments.get(segment_number)
    if file is None:
        file = handle.segment(segment_number, index.base_position(segment_number))
    record, timestamp = read_record(file, offset, length, first, position - first)
    return position, timestamp, record


def _caught_up(handle: Handle, until: int) -> TailIndex:
    """The index, once it reaches ``until`` again."""
    refresh(handle)
    index = handle.state.index
    if index.position < until:
        message = (
            f"{handle.path}: position {until} was visible and is gone: the journal was recovered,"
            " repaired or restored. Start again from a position that you trust"
        )
        raise HistoryChangedError(message)
    return index

"""Reads records by position, for both faces and for the journal itself.

Theory of operation: callers say up to which position they have seen the journal, and hold no lock.
Another thread may meanwhile have dropped the index (after an interrupted append, or at a new epoch)
and be building it anew; an index that does not reach as far as the caller has seen is therefore not
looked at before it has caught up. A segment whose file is missing has been cooled since the index
in memory was built: the manifest is read again, and the sealed part of the index goes on.

The loops and local names are for ``benchmarks`` (rows "pages of", "read a 100-event aggregate").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aurora_es.errors import HistoryChangedError
from aurora_es.files.layer import read_exactly
from aurora_es.index.keys import originator_key
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.generation import renew_past
from aurora_es.journal.handle import MissingSegmentError
from aurora_es.journal.holes import NO_HOLES
from aurora_es.segment.read import (
    decode_frame,
    decode_groups,
    lost_count,
    read_record,
    read_wanted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.format.payload import RecordData
    from aurora_es.index.tail import Key, TailIndex
    from aurora_es.journal.handle import Handle
    from aurora_es.journal.holes import Holes
    from aurora_es.journal.lookup import JournalIndex
    from aurora_es.segment.file import SegmentFile

_RUN_BYTES_MAX = 1 << 18


class _Piece(NamedTuple):
    """Frames in one piece of one segment."""

    file: SegmentFile
    offsets: list[int]  # of the frames
    first: int  # position of the first record
    data: bytes
    holes: Holes  # that may be met in it


# first position, timestamp (microseconds), records of one commit in one frame
Group = tuple[int, int, "list[RecordData]"]


def read_records(handle: Handle, position: int, until: int) -> tuple[int, list[RecordData]]:
    """Read the frames from the one that holds ``position`` to that of ``until``, with one pread.

    Returns the first position and the records; the outer frames hold more than was asked for. Stops
    earlier at 256 KiB, at the end of a segment and before a hole, but returns one frame at least.
    ``until`` must not exceed the visible position that the caller has seen. Where ``position`` is
    lost, what is behind the hole is read; all up to ``until`` may be lost: no records then, and a
    first position above ``until``.
    """
    while True:
        file, offsets, first, buffer, holes = _read_run(handle, position, until)
        begin = offsets[0]
        records, _ = decode_frame(file, buffer, 0, begin, first)
        if records:
            break
        position = _behind_lost(file, holes, buffer, 0, begin, first)
        if position > until:
            return position, records
    for offset in offsets[1:]:
        found = decode_frame(file, buffer, offset - begin, offset, first + len(records))[0]
        if not found:
            break
        records += found
    return first, records


def _behind_lost(  # noqa: PLR0913, PLR0917 - a frame that was decoded, and what is lost
    file: SegmentFile, holes: Holes, buffer: bytes, at: int, offset: int, first: int
) -> int:
    """Position behind a frame without records, which is lost and listed as that."""
    count = lost_count(buffer, at)
    holes.check(file, offset, first, count)
    return first + count


def read_groups(handle: Handle, start: int, until: int) -> Iterator[Group]:
    """Read all commits that hold positions ``start`` to ``until``, frame by frame, with times.

    The outer ones may hold more than was asked for.
    """
    while start <= until:
        groups, start = read_piece(handle, start, until)
        yield from groups


def read_piece(handle: Handle, position: int, until: int) -> tuple[list[Group], int]:
    """Read the commits of some frames in one piece, with their times; and the position behind.

    None are found where all that the piece covers is lost.
    """
    file, offsets, first, buffer, holes = _read_run(handle, position, until)
    begin = offsets[0]
    groups: list[Group] = []
    for offset in offsets:
        found = decode_groups(file, buffer, offset - begin, offset, first)
        if found:
            first = found[-1][0] + len(found[-1][2])
            groups += found
        else:
            first = _behind_lost(file, holes, buffer, offset - begin, offset, first)
    return groups, first


def _read_run(handle: Handle, position: int, until: int) -> _Piece:
    index = handle.state.index
    if index.position < until:
        index = _caught_up(handle, until)
    tail = index.tail
    if position < tail.base_position:
        older = index.tail_of(position)
        if older is None:
            sealed = index.sealed
            assert sealed is not None
            file, offsets, firsts, length = sealed.segments.frame_run(
                position, until, _RUN_BYTES_MAX
            )
            data = read_exactly(file.files, file.fd, length, offsets[0])
            return _Piece(file, offsets, firsts[0], data, sealed.segments.holes)
        tail = older
    offsets, length, first = tail.frame_run(position, until, _RUN_BYTES_MAX)
    try:
        file = handle.segment(tail.segment_number, tail.base_position)
    except MissingSegmentError as error:
        if not renew_past(handle, error.segment_number):
            raise
        return _read_run(handle, position, until)
    data = read_exactly(file.files, file.fd, length, offsets[0])
    return _Piece(file, offsets, first, data, NO_HOLES)


def read_positions(handle: Handle, positions: Sequence[int]) -> list[RecordData]:
    """Read single records, in the order asked for.

    Neighbours in one frame are decoded together; a record that is alone in its frame, by itself.
    """
    if len(positions) == 1:
        return [read_position(handle, positions[0])]
    index = handle.state.index
    until = max(positions, default=0)
    if index.position < until:
        index = _caught_up(handle, until)
    found: list[RecordData] = []
    at, count = 0, len(positions)
    while at < count:
        following = positions[at + 1] if at + 1 < count else 0
        records, first = _read_wanted(handle, index, (positions[at], following))
        end = first + len(records)
        while at < count and first <= (position := positions[at]) < end:
            found.append(records[position - first])
            at += 1
    return found


def _read_wanted(
    handle: Handle, index: JournalIndex, wanted: tuple[int, int]
) -> tuple[list[RecordData], int]:
    """See ``read_wanted`` of segments; the records come with the position of the first."""
    position = wanted[0]
    tail: TailIndex | None = index.tail
    assert tail is not None
    if position < tail.base_position:
        tail = index.tail_of(position)
        if tail is None:
            assert index.sealed is not None
            return index.sealed.segments.read_wanted(wanted)
    offset, length, first = tail.frame_place(position)
    try:
        file = handle.segment(tail.segment_number, tail.base_position)
    except MissingSegmentError as error:
        if not renew_past(handle, error.segment_number):
            raise
        return _read_wanted(handle, _caught_up(handle, position), wanted)
    return read_wanted(file, offset, length, first, wanted)


def read_position(handle: Handle, position: int) -> RecordData:
    """Read one record (row "last event of an aggregate")."""
    index = handle.state.index
    if index.position < position:
        index = _caught_up(handle, position)
    tail: TailIndex | None = index.tail
    assert tail is not None
    if position < tail.base_position:
        tail = index.tail_of(position)
        if tail is None:
            assert index.sealed is not None
            return index.sealed.segments.read_record(position)
    offset, length, first = tail.frame_place(position)
    file = handle.open_segments.get(tail.segment_number)
    if file is None:
        try:
            file = handle.segment(tail.segment_number, tail.base_position)
        except MissingSegmentError as error:
            if not renew_past(handle, error.segment_number):
                raise
            return read_position(handle, position)
    return read_record(file, offset, length, first, position - first)


def read_selected(  # noqa: PLR0913 - as JournalIndex.select
    handle: Handle,
    key: Key,
    *,
    gt: int | None,
    lte: int | None,
    desc: bool,
    limit: int | None,
    until: int,
) -> list[RecordData]:
    """Read an originator's records up to position ``until``, sorted by version.

    What an index run has told are candidates, as another id may have the same 64-bit key. If one is
    among them, the limit may have cut off records that are wanted: then all are looked at.
    """
    index = handle.state.index
    positions, are_candidates = index.select(
        key, gt=gt, lte=lte, desc=desc, limit=limit, until=until
    )
    if not positions:
        return []
    found = read_positions(handle, positions)
    if not are_candidates:
        return found
    wanted = [record for record in found if originator_key(record.originator_id) == key]
    if len(wanted) == len(found) or limit is None:
        return wanted
    positions, _ = index.select(key, gt=gt, lte=lte, desc=desc, limit=None, until=until)
    found = read_positions(handle, positions)
    return [record for record in found if originator_key(record.originator_id) == key][:limit]


def frame_of(
    handle: Handle, index: JournalIndex, position: int
) -> tuple[SegmentFile, int, int, int]:
    """File, offset, length and first position of the frame that holds ``position``."""
    tail = index.tail_of(position)
    if tail is None:
        assert index.sealed is not None
        return index.sealed.segments.frame_of(position)
    file = handle.segment(tail.segment_number, tail.base_position)
    return file, *tail.frame_place(position)


def is_durable(handle: Handle, position: int) -> bool:
    """Whether a visible record is known to be on disk, so that no recovery takes it back."""
    descriptors = handle.usable()
    assert descriptors is not None  # something is visible
    mark = descriptors.mark.read()
    tail = index_up_to(handle, position).tail_of(position)
    if tail is None or tail.segment_number < mark.segment_number:
        return True  # a segment is synced before the next one begins
    offset, length, _ = tail.frame_place(position)
    return offset + length <= mark.durable_offset


def index_up_to(handle: Handle, until: int) -> JournalIndex:
    """The index, caught up if it has been dropped since the caller saw ``until``."""
    index = handle.state.index
    return index if index.position >= until else _caught_up(handle, until)


def _caught_up(handle: Handle, until: int) -> JournalIndex:
    """The index, once it reaches ``until`` again."""
    refresh(handle)
    index = handle.state.index
    if index.position < until:
        message = (
            f"{handle.path}: position {until} was visible and is gone: the journal was recovered,"
            " repaired or restored. Start again from a position that you trust:"
            " Journal.tail(after=…), Journal.read(start)"
        )
        raise HistoryChangedError(message)
    return index

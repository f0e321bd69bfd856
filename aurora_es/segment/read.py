"""Reads frames whose place is known from the index; the hot path of every read.

The loops and local names here are for ``benchmarks`` (rows "pages of", "last event", "read a
100-event aggregate"). Header and payload are checked on each read: a flipped bit is an error, never
an answer.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from aurora_es.codecs.compression import DecompressionError, decompress
from aurora_es.errors import CorruptionError
from aurora_es.files.layer import read_exactly
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    CHECKED_BYTES,
    CHECKSUM,
    HEADER,
    HEADER_BYTES,
    KIND_LOST,
    KIND_PACKED,
    KIND_RECORDS,
    FrameHeader,
    decode_header,
)
from aurora_es.format.limits import TIMESTAMP_MAX
from aurora_es.format.packed import (
    decode_packed_groups,
    decode_packed_one,
    decode_packed_records,
    decode_packed_some,
)
from aurora_es.format.payload import (
    UNDECODABLE,
    RecordData,
    decode_first,
    decode_first_raw,
    decode_raw_records,
    decode_record,
    decode_records,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.segment.file import SegmentFile

_unpack_header = HEADER.unpack
_unpack_checksum = CHECKSUM.unpack_from
_COUNT = Struct("<I")  # of records, in a frame's header
_COUNT_AT = 20
_KIND_AT = 8
_IN_TABLES = (KIND_RECORDS, KIND_PACKED, KIND_LOST)


def checked_payload(
    file: SegmentFile, buffer: bytes, at: int, offset: int, position: int
) -> tuple[bytes, tuple[Any, ...]]:
    """Check the frame at index ``at`` of ``buffer``, which is at ``offset`` in the file.

    Returns its raw payload and the fields of its header, in the order of ``FrameHeader``.
    ``position`` is what the index says of its first record. Raises CorruptionError.
    """
    checked = buffer[at : at + CHECKED_BYTES]
    if len(buffer) < at + HEADER_BYTES:
        raise CorruptionError(
            file.path, offset, expected="a frame", found=f"{len(checked)} bytes up to end of file"
        )
    fields = _unpack_header(checked)
    start = at + HEADER_BYTES
    payload = buffer[start : start + fields[5]]
    if (
        _unpack_checksum(buffer, at + CHECKED_BYTES)[0] != crc32c(checked)
        or fields[0] != file.salt
        or fields[8] != position
        or fields[15] != crc32c(payload)
        or fields[10] > TIMESTAMP_MAX
    ):
        raise _damaged(file, offset, position)
    if fields[3]:
        try:
            payload = decompress(fields[3], payload, fields[6])
        except DecompressionError as error:
            raise CorruptionError(
                file.path,
                offset,
                expected=f"{fields[6]} bytes after decompression",
                found=str(error),
            ) from error
    return payload, fields


def decode_frame(
    file: SegmentFile, buffer: bytes, at: int, offset: int, position: int
) -> tuple[list[RecordData], int]:
    """Decode all records of a frame that was read already, with its timestamp.

    That of a packed frame is the time of its last commit: see ``decode_groups``. A lost frame has
    no records: see ``lost_count``.
    """
    payload, fields = checked_payload(file, buffer, at, offset, position)
    return _all_records(file, payload, fields, offset, position), fields[10]


def read_wanted(
    file: SegmentFile, offset: int, length: int, first: int, wanted: tuple[int, int]
) -> tuple[list[RecordData], int]:
    """Read the frame at ``offset`` for the first of two positions; the next one may be in it, too.

    Returns all of its records and the position of the first of them, or, if the second one is not
    in this frame, that one record: of a large frame it takes a fraction of the time.
    """
    buffer = read_exactly(file.files, file.fd, length, offset)
    payload, fields = checked_payload(file, buffer, 0, offset, first)
    if first <= wanted[1] < first + fields[7]:
        return _all_records(file, payload, fields, offset, first), first
    position = wanted[0]
    return [_one_record(file, payload, fields, offset, first, position - first)], position


def lost_count(buffer: bytes, at: int) -> int:
    """Lost positions of the lost frame at ``at``, which was decoded already; 0 for other frames."""
    if buffer[at + _KIND_AT] != KIND_LOST:
        return 0
    count: int = _COUNT.unpack_from(buffer, at + _COUNT_AT)[0]
    return count


def _all_records(
    file: SegmentFile, payload: bytes, fields: tuple[Any, ...], offset: int, position: int
) -> list[RecordData]:
    try:
        if fields[1] == KIND_RECORDS:
            return decode_first(payload).records if fields[12] == 1 else decode_records(payload)
        if fields[1] == KIND_LOST:
            return []
        records = decode_packed_records(payload).records
    except UNDECODABLE as error:
        raise CorruptionError(file.path, offset, expected="records", found=str(error)) from error
    _check_packed(file, fields, offset, position, len(records))
    return records


def read_groups(
    file: SegmentFile, offset: int, length: int, position: int
) -> list[tuple[int, int, list[RecordData]]]:
    """Read the records of the frame at ``offset``, commit by commit."""
    buffer = read_exactly(file.files, file.fd, length, offset)
    return decode_groups(file, buffer, 0, offset, position)


def decode_groups(
    file: SegmentFile, buffer: bytes, at: int, offset: int, position: int
) -> list[tuple[int, int, list[RecordData]]]:
    """Decode a frame that was read already, commit by commit.

    Returns (first position, timestamp, records) of each commit that has records in this frame; a
    *records* frame is one of them, a lost frame has none.
    """
    payload, fields = checked_payload(file, buffer, at, offset, position)
    try:
        if fields[1] == KIND_RECORDS:
            if fields[12] == 1:
                return [(position, fields[10], decode_first(payload).records)]
            return [(position, fields[10], decode_records(payload))]
        if fields[1] == KIND_LOST:
            return []
        decoded = decode_packed_groups(payload)
    except UNDECODABLE as error:
        raise CorruptionError(file.path, offset, expected="records", found=str(error)) from error
    records = decoded.records
    groups: list[tuple[int, int, list[RecordData]]] = []
    begin = 0
    for commit in decoded.commits:
        count = commit.record_count
        if count:
            end = begin + count
            groups.append((position + begin, commit.timestamp, records[begin:end]))
            begin = end
    _check_packed(file, fields, offset, position, begin)
    _check_packed(file, fields, offset, position, len(records))
    return groups


def read_record(
    file: SegmentFile, offset: int, length: int, position: int, ordinal: int
) -> RecordData:
    """Read one record, the ``ordinal``-th (from 0) of its frame."""
    buffer = file.files.pread(file.fd, length, offset)
    if len(buffer) < length:
        buffer = read_exactly(file.files, file.fd, length, offset)
    payload, fields = checked_payload(file, buffer, 0, offset, position)
    return _one_record(file, payload, fields, offset, position, ordinal)


def _one_record(  # noqa: PLR0913, PLR0917 - a frame that was read, and which of its records
    file: SegmentFile,
    payload: bytes,
    fields: tuple[Any, ...],
    offset: int,
    position: int,
    ordinal: int,
) -> RecordData:
    try:
        if fields[1] != KIND_RECORDS:
            # Its table of commits is passed over: that takes three times as long as the records.
            raw = decode_packed_some(payload).records
            _check_packed(file, fields, offset, position, len(raw))
        elif fields[12] == 1:
            raw = decode_first_raw(payload).records
        else:
            raw = decode_raw_records(payload)
        return decode_record(raw[ordinal])
    except (*UNDECODABLE, IndexError) as error:
        raise CorruptionError(file.path, offset, expected="records", found=str(error)) from error


def read_chosen(
    file: SegmentFile,
    place: Sequence[int],
    positions: Sequence[int],
    at: int,
    *,
    with_times: bool,
) -> tuple[list[tuple[int, int, RecordData]], int]:
    """Read those records of one frame that stand in ``positions``, which rise, from ``at`` on.

    ``place`` is offset, length and first position of the frame, which holds ``positions[at]``.
    Returns (position, timestamp, record) of each, and the index behind the last one; in packed
    frames the timestamp is that of its commit ``with_times`` only.
    """
    offset, length, first = place
    buffer = read_exactly(file.files, file.fd, length, offset)
    payload, fields = checked_payload(file, buffer, 0, offset, first)
    end = first + fields[7]
    chosen: list[tuple[int, int, RecordData]] = []
    count = len(positions)
    try:
        if fields[1] == KIND_RECORDS:
            times = [(end, fields[10])]
            raw = (
                decode_first_raw(payload).records
                if fields[12] == 1
                else decode_raw_records(payload)
            )
        elif not with_times:
            _check_packed(file, fields, offset, first, fields[7])
            raw, times = decode_packed_some(payload).records, [(end, fields[10])]
        else:
            _check_packed(file, fields, offset, first, fields[7])
            decoded = decode_packed_one(payload)
            raw, times, behind = decoded.records, [], first
            for commit in decoded.commits:
                behind += commit.record_count
                times.append((behind, commit.timestamp))
        for behind, timestamp in times:
            while at < count and (position := positions[at]) < behind:
                chosen.append((position, timestamp, decode_record(raw[position - first])))
                at += 1
    except (*UNDECODABLE, IndexError) as error:
        raise CorruptionError(file.path, offset, expected="records", found=str(error)) from error
    if not chosen or (at < count and positions[at] < end):
        raise CorruptionError(file.path, offset, expected=f"{fields[7]} records", found="fewer")
    return chosen, at


def read_header(file: SegmentFile, offset: int, position: int) -> FrameHeader:
    """Read the header of the frame at ``offset``, whose first record is at ``position``."""
    decoded = decode_header(read_exactly(file.files, file.fd, HEADER_BYTES, offset), 0)
    if (
        decoded is None
        or decoded[0].salt != file.salt
        or decoded[0].first_position != position
        or decoded[0].kind not in _IN_TABLES
    ):
        raise _damaged(file, offset, position)
    return decoded[0]


def _check_packed(
    file: SegmentFile, fields: tuple[Any, ...], offset: int, position: int, count: int
) -> None:
    """Refuse what is no packed frame with ``count`` records; other kinds are in no index."""
    if fields[1] != KIND_PACKED:
        raise _damaged(file, offset, position)
    if fields[7] != count:
        raise CorruptionError(file.path, offset, expected=f"{fields[7]} records", found=f"{count}")


def _damaged(file: SegmentFile, offset: int, position: int) -> CorruptionError:
    return CorruptionError(
        file.path,
        offset,
        expected=f"the frame of position {position} with valid salt and checksums",
        found="other bytes",
    )

"""Reads frames whose place is known from the index; the hot path of every read.

The loops and local names here are for ``benchmarks`` (rows "pages of", "last event", "read a
100-event aggregate"). Header and payload are checked on each read: a flipped bit is an error, never
an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.codecs.compression import DecompressionError, decompress
from aurora_es.errors import CorruptionError
from aurora_es.files.layer import read_exactly
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import CHECKED_BYTES, CHECKSUM, HEADER, HEADER_BYTES
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
    from aurora_es.segment.file import SegmentFile

_unpack_header = HEADER.unpack
_unpack_checksum = CHECKSUM.unpack_from


def checked_payload(
    file: SegmentFile, buffer: bytes, at: int, offset: int, position: int
) -> tuple[bytes, int, int]:
    """Check the frame at index ``at`` of ``buffer``, which is at ``offset`` in the file.

    Returns its raw payload, timestamp, and number inside its commit. ``position`` is what the index
    says of its first record. Raises CorruptionError.
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
    return payload, fields[10], fields[12]


def read_frame(
    file: SegmentFile, offset: int, length: int, position: int
) -> tuple[list[RecordData], int]:
    """Read all records of the frame at ``offset``, with its timestamp."""
    buffer = read_exactly(file.files, file.fd, length, offset)
    return decode_frame(file, buffer, 0, offset, position)


def decode_frame(
    file: SegmentFile, buffer: bytes, at: int, offset: int, position: int
) -> tuple[list[RecordData], int]:
    """Decode all records of a frame that was read already, with its timestamp."""
    payload, timestamp, number = checked_payload(file, buffer, at, offset, position)
    try:
        if number == 1:
            return decode_first(payload).records, timestamp
        return decode_records(payload), timestamp
    except UNDECODABLE as error:
        raise CorruptionError(file.path, offset, expected="records", found=str(error)) from error


def read_record(
    file: SegmentFile, offset: int, length: int, position: int, ordinal: int
) -> tuple[RecordData, int]:
    """Read one record, the ``ordinal``-th (from 0) of its frame, with its timestamp."""
    buffer = file.files.pread(file.fd, length, offset)
    if len(buffer) < length:
        buffer = read_exactly(file.files, file.fd, length, offset)
    payload, timestamp, number = checked_payload(file, buffer, 0, offset, position)
    try:
        raw = decode_first_raw(payload).records if number == 1 else decode_raw_records(payload)
        return decode_record(raw[ordinal]), timestamp
    except (*UNDECODABLE, IndexError) as error:
        raise CorruptionError(file.path, offset, expected="records", found=str(error)) from error


def _damaged(file: SegmentFile, offset: int, position: int) -> CorruptionError:
    return CorruptionError(
        file.path,
        offset,
        expected=f"the frame of position {position} with valid salt and checksums",
        found="other bytes",
    )

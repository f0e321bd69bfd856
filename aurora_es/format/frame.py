"""The frame: unit of checksum, compression and decoding. All numbers little-endian.

    offset 0        8        9      10     11       12             16           20            24
           +--------+--------+------+------+--------+--------------+------------+-------------+
           | salt   | kind   | flags| codec| version| stored length| raw length | record count|
           +--------+--------+------+------+--------+--------------+------------+-------------+
    24               32              40          48           56             58
           +---------+---------------+-----------+-----------+--------------+------------------+
           | first position | commit number | timestamp | synced_to | frame number | frames in commit |
           +---------+---------------+-----------+-----------+--------------+------------------+
    60                     64                   68                 72
           +----------------------+--------------------+-----------------+ payload | zeros to 8
           | previous checksum    | payload checksum   | header checksum |
           +----------------------+--------------------+-----------------+

Theory of operation: a frame starts at a multiple of 8. ``salt`` is the segment's, so that bytes of
a payload or of another segment are never taken for a frame. The header checksum covers the 68
bytes before it, lengths included; the payload checksum covers the stored (compressed) bytes and is
computed before the append lock is taken. ``previous checksum`` is the header checksum of the frame
before, or of the segment header: it chains the frames. ``synced_to`` is the offset in this segment
up to which bytes were known to be on disk when this frame was written; recovery needs it to tell a
torn tail from corruption.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from aurora_es.format.checksum import crc32c

HEADER = Struct(
    "<"
    "8s"  # salt of the segment; never zero
    "B"  # kind
    "B"  # flags
    "B"  # codec of the payload
    "B"  # version of the frame format
    "I"  # stored length of the payload, bytes
    "I"  # raw length: after decompression, bytes
    "I"  # number of records in this frame
    "Q"  # position of the first record, or of the next one to come
    "Q"  # commit number
    "Q"  # timestamp, microseconds, UTC
    "Q"  # synced_to, offset in this segment
    "H"  # frame number inside its commit, from 1
    "H"  # frames in this commit
    "I"  # header checksum of the previous frame, or of the segment header
    "I"  # checksum of the stored payload
)
CHECKSUM = Struct("<I")
HEADER_BYTES = 72
CHECKED_BYTES = 68
ALIGNMENT = 8
assert HEADER.size == CHECKED_BYTES
assert HEADER.size + CHECKSUM.size == HEADER_BYTES

FRAME_VERSION = 1
KIND_RECORDS = 1
KIND_CHECKPOINT = 2
KIND_END = 3
# Reserved, and refused as "unsupported" by this version.
KIND_VIEW_CHANGE = 4
KIND_VIEW_CHECKPOINT = 5
KIND_CURSOR = 6
KIND_PACKED = 7
KIND_LOST = 8
FLAG_COMPATIBLE = 1  # readers that do not know the kind may skip the frame

PADDING = tuple(bytes(-count % ALIGNMENT) for count in range(ALIGNMENT))


class FrameHeader(NamedTuple):
    """The fields of a frame's header, in the order of the bytes."""

    salt: bytes
    kind: int
    flags: int
    codec: int
    version: int
    stored_length: int
    raw_length: int
    record_count: int
    first_position: int
    commit_number: int
    timestamp: int
    synced_to: int
    frame_number: int
    frames_in_commit: int
    previous_checksum: int
    payload_checksum: int


def frame_bytes(stored_length: int) -> int:
    """Bytes that a frame with this payload takes in the file, padding included."""
    return (HEADER_BYTES + stored_length + 7) & ~7


def encode_header(header: FrameHeader) -> tuple[bytes, int]:
    """Encode a header; returns its 72 bytes and its checksum, which the next frame names."""
    packed = HEADER.pack(*header)
    checksum = crc32c(packed)
    return packed + CHECKSUM.pack(checksum), checksum


def encode_frame(header: FrameHeader, payload: bytes) -> tuple[bytes, int]:
    """Encode header, payload and padding; returns the bytes and the header checksum."""
    head, checksum = encode_header(header)
    return head + payload + PADDING[len(payload) & 7], checksum


def decode_header(buffer: bytes, offset: int) -> tuple[FrameHeader, int] | None:
    """Decode the header at ``offset`` of ``buffer``, with its checksum; None where none is valid.

    The salt is not judged here: the caller knows which segment the bytes come from.
    """
    end = offset + CHECKED_BYTES
    if len(buffer) < end + CHECKSUM.size:
        return None
    checksum: int = CHECKSUM.unpack_from(buffer, end)[0]
    if crc32c(buffer[offset:end]) != checksum:
        return None
    return FrameHeader._make(HEADER.unpack_from(buffer, offset)), checksum

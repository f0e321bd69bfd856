"""The header of a segment file: 128 bytes at offset 0. All numbers little-endian.

      0  magic  8 | format version u16, zero u16, incompatible flags u32
     16  compatible flags u32, segment number u32, genesis id 16
     40  base position u64 | base commit number u64 | salt 8
     64  created-at u64 | epoch u32, codec u8, zero 3 | key id 16
     96  predecessor: end offset u64 | last position u64 | last header checksum u32
    116  zero u64 | header checksum u32

Theory of operation: the first frame, a checkpoint, starts at 128 and names the header checksum as
its previous one. The three predecessor fields chain the segments: they must equal the end offset,
last position and header checksum of the end frame of the segment before (all zero in segment 1).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from aurora_es.format.checksum import crc32c

SEGMENT_HEADER = Struct(
    "<"
    "8s"  # magic
    "H"  # format version
    "2x"  # zero
    "I"  # incompatible flags: unknown ones refuse the file
    "I"  # compatible flags: unknown ones are ignored
    "I"  # segment number, from 1
    "16s"  # genesis id of the journal
    "Q"  # base position: of the first record
    "Q"  # base commit number: of the first commit
    "8s"  # salt, random, never zero
    "Q"  # created-at, microseconds, UTC
    "I"  # epoch of the journal at creation
    "B"  # codec that the writer meant to use; each frame names its own
    "3x"  # zero
    "16s"  # key id; zero: not encrypted
    "Q"  # end offset of the predecessor
    "Q"  # last position of the predecessor
    "I"  # last header checksum of the predecessor
    "8x"  # zero
)
CHECKSUM = Struct("<I")
SEGMENT_HEADER_BYTES = 128
assert SEGMENT_HEADER.size + CHECKSUM.size == SEGMENT_HEADER_BYTES
SEGMENT_MAGIC = b"AUR\x89SEG\n"
FORMAT_VERSION = 1
NO_KEY = bytes(16)


class SegmentHeader(NamedTuple):
    """The fields of a segment header, in the order of the bytes."""

    magic: bytes
    version: int
    incompatible_flags: int
    compatible_flags: int
    segment_number: int
    genesis_id: bytes
    base_position: int
    base_commit: int
    salt: bytes
    created_at: int
    epoch: int
    codec: int
    key_id: bytes
    previous_end: int
    previous_position: int
    previous_checksum: int


def encode_segment_header(header: SegmentHeader) -> tuple[bytes, int]:
    """Encode; returns the 128 bytes and their checksum, which the checkpoint frame names."""
    packed = SEGMENT_HEADER.pack(*header)
    checksum = crc32c(packed)
    return packed + CHECKSUM.pack(checksum), checksum


def decode_segment_header(data: bytes) -> tuple[SegmentHeader, int] | None:
    """Decode the first 128 bytes of a segment, with their checksum; None when they are not valid.

    A header whose magic and checksum hold but whose version or incompatible flags are unknown is
    returned as it is: the caller refuses it as unsupported, never as corrupt.
    """
    if len(data) < SEGMENT_HEADER_BYTES or data[:8] != SEGMENT_MAGIC:
        return None
    checksum: int = CHECKSUM.unpack_from(data, SEGMENT_HEADER.size)[0]
    if crc32c(data[: SEGMENT_HEADER.size]) != checksum:
        return None
    return SegmentHeader._make(SEGMENT_HEADER.unpack_from(data)), checksum

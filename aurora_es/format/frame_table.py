"""The table of frames of a sealed segment: where its records are. All numbers little-endian.

      0  magic 8 | format version u16, zero u16, incompatible flags u32
     16  compatible flags u32, segment number u32 | genesis id 16
     40  base position u64 | last position u64 | salt 8
     64  end offset of the segment u64 | end of its records u64
     80  revision u32, last header checksum of the segment u32 | entry count u32, block count u32
     96  fence checksum u32, zero 24, header checksum u32
    128  blocks of 1024 bytes
         fence: for each block the first entry of its positions column, u32

    block    0  checksum u32, entry count u32
             8  positions: u32 for each entry, relative to the base position; zeros up to 512
           512  offsets: u32 for each entry and one more, in units of 8 bytes; zeros up to 1024

Theory of operation: an entry is a frame that holds records. The fence is kept in memory, so that a
look-up reads one block. The offset behind a block's last entry is that of the next block's first
one (of the end of records, in the last block): the length of every frame is known from its own
block. Checksums of blocks and fence cover the salt, too, which is random for each file: no block of
another table, or of another place in this one, is taken for the right one. A table is a cache of
what the segment says; header fields that do not fit the segment make it worthless, not corrupt.
"""

from __future__ import annotations

import sys
from array import array
from struct import Struct
from typing import NamedTuple

from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import ALIGNMENT
from aurora_es.format.limits import FRAME_TABLE_ENTRIES_MAX

TABLE_HEADER = Struct(
    "<"
    "8s"  # magic
    "H"  # format version
    "2x"  # zero
    "I"  # incompatible flags: unknown ones refuse the file
    "I"  # compatible flags: unknown ones are ignored
    "I"  # segment number
    "16s"  # genesis id of the journal
    "Q"  # base position of the segment
    "Q"  # last position of the segment
    "8s"  # salt, random, never zero
    "Q"  # end offset of the segment: its size
    "Q"  # end of its records: offset behind the last frame with records
    "I"  # revision of the segment; 0: not cooled
    "I"  # header checksum of the segment's end frame
    "I"  # number of entries
    "I"  # number of blocks
    "I"  # checksum of salt and fence
    "24x"  # zero
)
CHECKSUM = Struct("<I")
TABLE_HEADER_BYTES = 128
assert TABLE_HEADER.size + CHECKSUM.size == TABLE_HEADER_BYTES
TABLE_MAGIC = b"AUR\x89FRM\n"
TABLE_VERSION = 1

BLOCK_HEAD = Struct(
    "<"
    "I"  # checksum of salt, block number u32, and the block behind this field
    "I"  # number of entries
)
BLOCK_BYTES = 1024
BLOCK_ENTRIES_MAX = 126
_OFFSETS_AT = BLOCK_BYTES // 2
assert BLOCK_HEAD.size + 4 * BLOCK_ENTRIES_MAX == _OFFSETS_AT
assert _OFFSETS_AT + 4 * (BLOCK_ENTRIES_MAX + 1) <= BLOCK_BYTES

_COLUMN = "I"  # type code of a column in memory
_COLUMN_BYTES = 4
assert array(_COLUMN).itemsize == _COLUMN_BYTES
_POSITIONS_AT = BLOCK_HEAD.size
_SWAPPED = sys.byteorder == "big"


class SegmentIdentity(NamedTuple):
    """What tells the contents of a sealed segment file from those of any other."""

    genesis_id: bytes
    segment_number: int
    base_position: int
    revision: int
    end_offset: int
    last_checksum: int


class TableHeader(NamedTuple):
    """What a table of frames says of itself."""

    identity: SegmentIdentity
    last_position: int
    salt: bytes
    records_end: int
    entry_count: int
    block_count: int
    fence_checksum: int


class UnsupportedTable(NamedTuple):
    """What ``decode_table_header`` returns for a version or flags that it does not know."""

    version: int
    incompatible_flags: int


def block_count_of(entry_count: int) -> int:
    """Blocks that so many entries take."""
    return -(-entry_count // BLOCK_ENTRIES_MAX)


def table_bytes(block_count: int) -> int:
    """Size of a table with so many blocks."""
    return TABLE_HEADER_BYTES + block_count * (BLOCK_BYTES + _COLUMN_BYTES)


def encode_table_header(header: TableHeader) -> bytes:
    """Encode the 128 bytes."""
    identity = header.identity
    packed = TABLE_HEADER.pack(
        TABLE_MAGIC,
        TABLE_VERSION,
        0,
        0,
        identity.segment_number,
        identity.genesis_id,
        identity.base_position,
        header.last_position,
        header.salt,
        identity.end_offset,
        header.records_end,
        identity.revision,
        identity.last_checksum,
        header.entry_count,
        header.block_count,
        header.fence_checksum,
    )
    return packed + CHECKSUM.pack(crc32c(packed))


def decode_table_header(data: bytes) -> TableHeader | UnsupportedTable | None:
    """Decode the 128 bytes; None when they are not valid, or claim more than a table can hold."""
    if len(data) != TABLE_HEADER_BYTES or data[:8] != TABLE_MAGIC:
        return None
    if crc32c(data[: TABLE_HEADER.size]) != CHECKSUM.unpack_from(data, TABLE_HEADER.size)[0]:
        return None
    fields = TABLE_HEADER.unpack_from(data)
    if fields[1] != TABLE_VERSION or fields[2]:
        return UnsupportedTable(fields[1], fields[2])
    number, genesis_id, base_position, last_position, salt = fields[4:9]
    end_offset, records_end, revision, last_checksum = fields[9:13]
    entry_count, block_count, fence_checksum = fields[13:]
    if (
        entry_count > FRAME_TABLE_ENTRIES_MAX
        or block_count != block_count_of(entry_count)
        or not base_position <= last_position + 1
        or not records_end <= end_offset
        # Every frame with records holds one at least, and none holds all without an entry.
        or not entry_count <= last_position + 1 - base_position
        or (entry_count == 0) != (last_position < base_position)
    ):
        return None
    identity = SegmentIdentity(
        genesis_id, number, base_position, revision, end_offset, last_checksum
    )
    return TableHeader(
        identity, last_position, salt, records_end, entry_count, block_count, fence_checksum
    )


def encode_block(
    salt: bytes, block_number: int, positions: array[int], offsets: array[int]
) -> bytes:
    """Encode one block; ``offsets`` has one entry more than ``positions``, in units of 8 bytes."""
    assert 0 < len(positions) <= BLOCK_ENTRIES_MAX
    assert len(offsets) == len(positions) + 1
    columns = _column_bytes(positions).ljust(_OFFSETS_AT - _POSITIONS_AT, b"\0")
    columns += _column_bytes(offsets).ljust(BLOCK_BYTES - _OFFSETS_AT, b"\0")
    checked = len(positions).to_bytes(4, "little") + columns
    return CHECKSUM.pack(_block_checksum(salt, block_number, checked)) + checked


def decode_block(
    salt: bytes, block_number: int, block: bytes
) -> tuple[array[int], array[int]] | None:
    """Columns of positions and offsets as ``encode_block`` takes them; None for any other bytes."""
    if len(block) != BLOCK_BYTES:
        return None
    checksum, count = BLOCK_HEAD.unpack_from(block)
    if (
        crc32c(salt + block_number.to_bytes(4, "little") + block[4:]) != checksum
        or not 0 < count <= BLOCK_ENTRIES_MAX
    ):
        return None
    positions = array(_COLUMN, block[_POSITIONS_AT : _POSITIONS_AT + 4 * count])
    offsets = array(_COLUMN, block[_OFFSETS_AT : _OFFSETS_AT + 4 * count + 4])
    if _SWAPPED:
        positions.byteswap()
        offsets.byteswap()
    return positions, offsets


def encode_fence(salt: bytes, first_positions: array[int]) -> tuple[bytes, int]:
    """Encode the fence; returns its bytes and their checksum, which the header names."""
    data = _column_bytes(first_positions)
    return data, crc32c(salt + data)


def decode_fence(header: TableHeader, data: bytes) -> array[int] | None:
    """Decode the fence; None when it is not the one that the header names."""
    if len(data) != _COLUMN_BYTES * header.block_count:
        return None
    if crc32c(header.salt + data) != header.fence_checksum:
        return None
    fence = array(_COLUMN, data)
    if _SWAPPED:
        fence.byteswap()
    return fence


def offset_units(offset: int) -> int:
    """An offset of a frame as a column holds it."""
    return offset // ALIGNMENT


def _column_bytes(column: array[int]) -> bytes:
    if _SWAPPED:
        column = array(_COLUMN, column)
        column.byteswap()
    return column.tobytes()


def _block_checksum(salt: bytes, block_number: int, checked: bytes) -> int:
    checksum: int = crc32c(salt + block_number.to_bytes(4, "little") + checked)
    return checksum

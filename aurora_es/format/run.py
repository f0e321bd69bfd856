"""An index run: which positions a key has, over sealed segments. All numbers little-endian.

       0  header, 1024 bytes
             0  magic 8 | version u16, level u8, widths of ordinals and positions u8, monotone u8,
                topics listed u8, zero 1
            16  incompatible flags u32, compatible flags u32 | first and last segment u32
            32  genesis id 16 | salt 8, base position u64
            64  last position u64, originator count u64 | source digest 16
            96  entry count u64, directory offset u64
           112  block count u32, directory length u32 | checksums u32 of directory and fence
           128  zero 892 | header checksum u32
    1024  blocks of 1024 bytes: head 16 | keys | ordinals | positions, relative to the base
       …  directory, MessagePack: ``[[[topic, count], …], [[topic key, first, last], …]]``
       …  fence: the first key of each block, u64

Theory of operation: entries are sorted by (key, ordinal, position), every block but the last is
full, and blocks lie on multiples of their size, so that a look-up reads one block, which no page of
the disk's cache splits. A block's checksum covers the run's salt and the block's number: one of
another run, or of another place, is no block. A run is a cache: whoever cannot read it answers from
the segments, and it names them by number and by digest, so that a stale one is recognised.
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.format.checksum import crc32c, crc32c_extend
from aurora_es.format.limits import RUN_BLOCKS_MAX, RUN_DIRECTORY_BYTES_MAX
from aurora_es.late_imports import fork_waits

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt

    Keys = npt.NDArray[np.uint64]
    Ordinals = npt.NDArray[np.int64]
    Positions = npt.NDArray[np.uint64]
    Columns = tuple[Keys, Ordinals, Positions]

RUN_HEADER = Struct(
    "<"
    "8s"  # magic
    "H"  # format version
    "B"  # level: how often its entries were merged
    "B"  # width of an ordinal: 4 or 8
    "B"  # width of a position: 4 or 8
    "B"  # monotone: 1 if versions only rise
    "B"  # topics listed: 0 if the directory leaves them out
    "1x"  # zero
    "I"  # incompatible flags: unknown ones refuse the file
    "I"  # compatible flags: unknown ones are ignored
    "I"  # number of the first segment covered
    "I"  # number of the last segment covered
    "16s"  # genesis id of the journal
    "8s"  # salt, random, never zero
    "Q"  # base position: of the first record covered
    "Q"  # last position: of the last record covered; base - 1 if there is none
    "Q"  # number of different originators
    "16s"  # source digest
    "Q"  # number of entries
    "Q"  # offset of the directory
    "I"  # number of blocks
    "I"  # length of the directory, bytes
    "I"  # checksum of the directory
    "I"  # checksum of the fence
    "892x"  # zero
)
CHECKSUM = Struct("<I")
RUN_HEADER_BYTES = 1024
assert RUN_HEADER.size + CHECKSUM.size == RUN_HEADER_BYTES
RUN_MAGIC = b"AUR\x89RUN\n"
RUN_VERSION = 1

BLOCK_HEAD = Struct(
    "<"
    "I"  # checksum of the salt and the 1020 bytes behind this field
    "I"  # block number, from 0
    "H"  # number of entries
    "6x"  # zero
)
BLOCK_HEAD_BYTES = 16
BLOCK_BYTES = 1024
assert BLOCK_HEAD.size == BLOCK_HEAD_BYTES
KEY_BYTES = 8
WIDTHS = (4, 8)
ORDINAL_CODES = {4: "i", 8: "q"}
POSITION_CODES = {4: "I", 8: "Q"}

SOURCE = Struct(
    "<"
    "I"  # segment number
    "Q"  # base position
    "Q"  # last position
    "Q"  # end offset
    "I"  # last header checksum
)
assert SOURCE.size == 32
SOURCE_LOST = Struct(
    "<"
    "Q"  # first lost position
    "Q"  # last lost position
)
SOURCE_DIGEST_BYTES = 16


class RunHeader(NamedTuple):
    """The fields of a run's header, in the order of the bytes."""

    magic: bytes
    version: int
    level: int
    ordinal_width: int
    position_width: int
    is_monotone: int
    topics_listed: int
    incompatible_flags: int
    compatible_flags: int
    first_segment: int
    last_segment: int
    genesis_id: bytes
    salt: bytes
    base_position: int
    last_position: int
    originator_count: int
    source_digest: bytes
    entry_count: int
    directory_offset: int
    block_count: int
    directory_length: int
    directory_checksum: int
    fence_checksum: int


class Source(NamedTuple):
    """What identifies the contents of a covered segment: its number, and values of its end."""

    segment_number: int
    base_position: int
    last_position: int
    end_offset: int
    last_checksum: int
    lost: tuple[tuple[int, int], ...] = ()  # ranges of positions that are lost


class Directory(msgspec.Struct, array_like=True):
    """What a run says of topics, beside its entries."""

    topics: list[tuple[str, int]]  # each with its number of records, sorted by topic
    # Key, first and last position: here the topic has no entries and may be anywhere.
    commons: list[tuple[int, int, int]]


# What decoding a directory raises for bytes that are none.
UNDECODABLE = (ValueError, RecursionError)

encode_directory = msgspec.msgpack.Encoder().encode
decode_directory = msgspec.msgpack.Decoder(Directory).decode


def source_digest(sources: Iterable[Source]) -> bytes:
    """Digest of the segments that a run covers, in their order."""
    packed = b"".join(
        SOURCE.pack(*source[:5]) + b"".join(SOURCE_LOST.pack(*lost) for lost in source.lost)
        for source in sources
    )
    return blake2b(packed, digest_size=SOURCE_DIGEST_BYTES).digest()


def entries_per_block(ordinal_width: int, position_width: int) -> int:
    """Entries of a full block."""
    return (BLOCK_BYTES - BLOCK_HEAD_BYTES) // (KEY_BYTES + ordinal_width + position_width)


def encode_run_header(header: RunHeader) -> bytes:
    """Encode the first 1024 bytes of a run."""
    packed = RUN_HEADER.pack(*header)
    return packed + CHECKSUM.pack(crc32c(packed))


def decode_run_header(data: bytes) -> RunHeader | None:
    """Decode the first 1024 bytes of a run; None when they are not valid."""
    if len(data) < RUN_HEADER_BYTES or data[:8] != RUN_MAGIC:
        return None
    checksum = CHECKSUM.unpack_from(data, RUN_HEADER.size)[0]
    if crc32c(data[: RUN_HEADER.size]) != checksum:
        return None
    return RunHeader._make(RUN_HEADER.unpack_from(data))


def header_fault(header: RunHeader, file_bytes: int) -> str | None:
    """Say what of a valid header contradicts itself, the limits or the size of the file."""
    if header.version != RUN_VERSION or header.incompatible_flags:
        return f"version {header.version}, incompatible flags {header.incompatible_flags:#x}"
    if header.ordinal_width not in WIDTHS or header.position_width not in WIDTHS:
        return f"columns of width {header.ordinal_width} and {header.position_width}"
    if header.first_segment > header.last_segment or not any(header.salt):
        return f"segments {header.first_segment} to {header.last_segment}, or a salt of zeros"
    if header.base_position > header.last_position + 1:
        return f"positions {header.base_position} to {header.last_position}"
    capacity = entries_per_block(header.ordinal_width, header.position_width)
    if header.block_count != -(-header.entry_count // capacity):
        return f"{header.entry_count} entries in {header.block_count} blocks"
    if header.block_count > RUN_BLOCKS_MAX or header.directory_length > RUN_DIRECTORY_BYTES_MAX:
        return f"{header.block_count} blocks, a directory of {header.directory_length} bytes"
    directory_offset = RUN_HEADER_BYTES + header.block_count * BLOCK_BYTES
    end = directory_offset + header.directory_length + header.block_count * KEY_BYTES
    if header.directory_offset != directory_offset or file_bytes != end:
        return f"{file_bytes} bytes in the file, where its header says {end}"
    return None


def encode_blocks(
    columns: Columns, widths: tuple[int, int], salt: bytes, first_block: int
) -> bytes:
    """Encode sorted entries with relative positions as blocks; only the last may be partial.

    ``widths`` are those of ordinals and positions; all values have to fit.
    """
    with fork_waits:
        import numpy as np

    capacity = entries_per_block(*widths)
    count = len(columns[0])
    blocks = -(-count // capacity)
    laid = np.zeros((blocks, BLOCK_BYTES), "u1")
    heads = laid[:, :BLOCK_HEAD_BYTES].copy().view([("crc", "<u4"), ("n", "<u4"), ("c", "<u8")])
    heads["n"][:, 0] = np.arange(first_block, first_block + blocks)
    heads["c"] = capacity
    if blocks:
        heads["c"][-1] = count - (blocks - 1) * capacity
    laid[:, :BLOCK_HEAD_BYTES] = heads.view("u1")
    at = BLOCK_HEAD_BYTES
    for column, kind in zip(columns, _column_types(widths), strict=True):
        padded = np.zeros(blocks * capacity, kind)
        padded[:count] = column
        width = padded.itemsize * capacity
        laid[:, at : at + width] = padded.view("u1").reshape(blocks, width)
        at += width
    laid[:, :4] = np.array(_checksums(laid.tobytes(), salt), "<u4").view("u1").reshape(blocks, 4)
    return laid.tobytes()


def decode_blocks(
    data: bytes, widths: tuple[int, int], salt: bytes, first_block: int
) -> Columns | None:
    """Decode whole blocks; None when one is damaged. Positions are relative to the run's base."""
    with fork_waits:
        import numpy as np

    capacity = entries_per_block(*widths)
    laid = np.frombuffer(data, "u1").reshape(-1, BLOCK_BYTES)
    blocks = len(laid)
    heads = laid[:, :BLOCK_HEAD_BYTES].copy()
    numbers = heads[:, 4:8].copy().view("<u4")[:, 0]
    counts = heads[:, 8:10].copy().view("<u2")[:, 0].astype(np.int64)
    if (
        heads[:, :4].tobytes() != np.array(_checksums(data, salt), "<u4").tobytes()
        or (numbers != np.arange(first_block, first_block + blocks)).any()
        or (counts[:-1] != capacity).any()
        or not 0 < counts[-1] <= capacity
    ):
        return None
    count = int(counts.sum())
    at = BLOCK_HEAD_BYTES
    decoded = []
    for kind, wide in zip(_column_types(widths), ("u8", "i8", "u8"), strict=True):
        width = np.dtype(kind).itemsize * capacity
        column = laid[:, at : at + width].copy().view(kind).reshape(-1)
        decoded.append(column[:count].astype(wide, copy=False))
        at += width
    return decoded[0], decoded[1], decoded[2]


def encode_fence(first_keys: Iterable[int]) -> bytes:
    """Encode the fence."""
    from array import array

    fence = array("Q", first_keys)
    if sys.byteorder == "big":
        fence.byteswap()
    return fence.tobytes()


def _column_types(widths: tuple[int, int]) -> tuple[str, str, str]:
    return "<u8", f"<i{widths[0]}", f"<u{widths[1]}"


def _checksums(data: bytes, salt: bytes) -> list[int]:
    seed = crc32c(salt)
    return [
        crc32c_extend(seed, data[start + 4 : start + BLOCK_BYTES])
        for start in range(0, len(data), BLOCK_BYTES)
    ]

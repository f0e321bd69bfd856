"""The bytes of an index run: header, blocks, directory, fence, and what identifies its segments."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.run import (
    BLOCK_BYTES,
    RUN_HEADER_BYTES,
    RUN_MAGIC,
    RUN_VERSION,
    Directory,
    RunHeader,
    Source,
    decode_blocks,
    decode_directory,
    decode_run_header,
    encode_blocks,
    encode_directory,
    encode_fence,
    encode_run_header,
    entries_per_block,
    header_fault,
    source_digest,
)
from tests.format.test_checksum import crc32c_bit_by_bit

if TYPE_CHECKING:
    from aurora_es.format.run import Columns

SALT = bytes.fromhex("a1a2a3a4a5a6a7a8")
SAMPLE = RunHeader(
    magic=RUN_MAGIC,
    version=RUN_VERSION,
    level=2,
    ordinal_width=4,
    position_width=8,
    is_monotone=1,
    topics_listed=1,
    incompatible_flags=0,
    compatible_flags=0x11121314,
    first_segment=0x21222324,
    last_segment=0x31323334,
    genesis_id=bytes(range(16)),
    salt=SALT,
    base_position=0x4142434445464748,
    last_position=0x5152535455565758,
    originator_count=0x6162636465666768,
    source_digest=bytes(range(16, 32)),
    entry_count=101,
    directory_offset=RUN_HEADER_BYTES + 3 * BLOCK_BYTES,
    block_count=3,
    directory_length=0x0102,
    directory_checksum=0x71727374,
    fence_checksum=0x81828384,
)
SAMPLE_BYTES = bytes.fromhex(
    "4155528952554e0a"  # 0 magic
    "0100 02 04 08 01 01 00"  # 8 version, level, widths, monotone, topics listed, zero
    "00000000 14131211"  # 16 flags
    "24232221 34333231"  # 24 first and last segment
    "000102030405060708090a0b0c0d0e0f"  # 32 genesis id
    "a1a2a3a4a5a6a7a8 4847464544434241"  # 48 salt, base position
    "5857565554535251 6867666564636261"  # 64 last position, originator count
    "101112131415161718191a1b1c1d1e1f"  # 80 source digest
    "6500000000000000 0010000000000000"  # 96 entry count, directory offset
    "03000000 02010000"  # 112 block count, directory length
    "74737271 84838281"  # 120 checksums of directory and fence
) + bytes(892)
WIDTHS = [(4, 4), (4, 8), (8, 4), (8, 8)]


def columns_of(entries: list[tuple[int, int, int]]) -> Columns:
    """Put entries side by side."""
    keys, ordinals, positions = zip(*entries, strict=True)
    return np.array(keys, "u8"), np.array(ordinals, "i8"), np.array(positions, "u8")


def test_golden_header() -> None:
    """The bytes of a header are those that are written down here."""
    encoded = encode_run_header(SAMPLE)
    assert encoded[:1020] == SAMPLE_BYTES
    assert encoded[1020:] == crc32c_bit_by_bit(SAMPLE_BYTES).to_bytes(4, "little")
    assert decode_run_header(encoded) == SAMPLE
    assert header_fault(SAMPLE, SAMPLE.directory_offset + 0x102 + 24) is None


@given(st.integers(0, RUN_HEADER_BYTES * 8 - 1))
def test_a_damaged_header_is_none(bit: int) -> None:
    """A header with any wrong bit, or a part of one, is none."""
    damaged = bytearray(encode_run_header(SAMPLE))
    damaged[bit // 8] ^= 1 << bit % 8
    assert decode_run_header(bytes(damaged)) is None
    assert decode_run_header(encode_run_header(SAMPLE)[: bit // 8]) is None


@pytest.mark.parametrize("widths", WIDTHS)
def test_golden_block(widths: tuple[int, int]) -> None:
    """A block is laid out as its page says: head, keys, ordinals, positions, zeros."""
    capacity = entries_per_block(*widths)
    assert capacity == {8: 63, 12: 50, 16: 42}[sum(widths)]
    ordinal, position = "i" if widths[0] == 4 else "q", "I" if widths[1] == 4 else "Q"
    body = struct.pack("<IH6x", 5, 2)
    body += struct.pack("<2Q", 0x0102030405060708, 0xFFFFFFFFFFFFFFFE).ljust(8 * capacity, b"\0")
    body += struct.pack(f"<2{ordinal}", -2, 3).ljust(widths[0] * capacity, b"\0")
    body += struct.pack(f"<2{position}", 0, 0xFFFFFFFF)
    body = body.ljust(BLOCK_BYTES - 4, b"\0")
    golden = crc32c_bit_by_bit(SALT + body).to_bytes(4, "little") + body
    columns = columns_of([(0x0102030405060708, -2, 0), (0xFFFFFFFFFFFFFFFE, 3, 0xFFFFFFFF)])
    assert encode_blocks(columns, widths, SALT, 5) == golden


@given(st.sampled_from(WIDTHS), st.integers(1, 200), st.integers(0, 1 << 24))
def test_blocks_round_trip(widths: tuple[int, int], count: int, first_block: int) -> None:
    """What was encoded is decoded, for whole and partial blocks, and only with the right number."""
    columns = columns_of([(n, -n << (widths[0] - 4) * 8, n) for n in range(count)])
    data = encode_blocks(columns, widths, SALT, first_block)
    assert len(data) == -(-count // entries_per_block(*widths)) * BLOCK_BYTES
    decoded = decode_blocks(data, widths, SALT, first_block)
    assert decoded is not None
    for column, expected in zip(decoded, columns, strict=True):
        assert column.dtype == expected.dtype
        assert column.tolist() == expected.tolist()
    assert decode_blocks(data, widths, SALT, first_block + 1) is None
    assert decode_blocks(data, widths, bytes(8), first_block) is None


@given(st.integers(0, 2 * BLOCK_BYTES * 8 - 1))
def test_damaged_blocks_are_none(bit: int) -> None:
    """Blocks with any wrong bit are none."""
    data = bytearray(encode_blocks(columns_of([(7, 0, n) for n in range(80)]), (4, 4), SALT, 0))
    data[bit // 8] ^= 1 << bit % 8
    assert decode_blocks(bytes(data), (4, 4), SALT, 0) is None


def test_golden_directory_and_fence() -> None:
    """The directory is a MessagePack array of two arrays, the fence is the keys."""
    directory = Directory([("a", 3)], [(1 << 62, 1, 9)])
    golden = bytes.fromhex("92 91 92a16103 91 93cf400000000000000001 09")
    assert encode_directory(directory) == golden
    assert decode_directory(golden) == directory
    assert encode_fence([1, 1 << 63]) == bytes.fromhex("0100000000000000 0000000000000080")


def test_golden_source_digest() -> None:
    """The digest is taken over 32 bytes for each segment."""
    packed = bytes.fromhex(
        "01000000 0100000000000000 0900000000000000 0020000000000000 44332211"
        "02000000 0a00000000000000 0900000000000000 0010000000000000 88776655"
    )
    sources = [Source(1, 1, 9, 0x2000, 0x11223344), Source(2, 10, 9, 0x1000, 0x55667788)]
    assert source_digest(sources) == blake2b(packed, digest_size=16).digest()


@given(st.binary(max_size=60))
def test_other_bytes_are_no_directory(data: bytes) -> None:
    """Random bytes are a directory or a ValueError, nothing else."""
    try:
        directory = decode_directory(data)
    except ValueError:
        return
    assert isinstance(directory, Directory)

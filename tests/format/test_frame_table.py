"""Bytes of the table of frames: what is written today, and what is refused."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.frame_table import (
    BLOCK_BYTES,
    BLOCK_ENTRIES_MAX,
    SegmentIdentity,
    TableHeader,
    UnsupportedTable,
    decode_block,
    decode_fence,
    decode_table_header,
    encode_block,
    encode_fence,
    encode_table_header,
    table_bytes,
)
from aurora_es.format.limits import FRAME_TABLE_ENTRIES_MAX

IDENTITY = SegmentIdentity(bytes(range(16)), 7, 1000, 2, 0x5678, 0x9ABC)
HEADER = TableHeader(IDENTITY, 1299, b"pepper!!", 0x1234, 200, 2, 0xFE2CE)
GOLDEN_HEADER = """
4155528946524d0a 0100000000000000 0000000007000000 0001020304050607 08090a0b0c0d0e0f
e803000000000000 1305000000000000 7065707065722121 7856000000000000 3412000000000000
02000000bc9a0000 c800000002000000 cee20f0000000000 0000000000000000 0000000000000000
00000000 7ddb9acc
"""
GOLDEN_BLOCK_START = "82295c3a03000000 000000000200000009000000"
GOLDEN_OFFSETS = "1a0000001e00000028000000 3c000000 00000000"


def test_the_header_has_not_changed() -> None:
    """Known fields give the known bytes, and these the fields."""
    data = encode_table_header(HEADER)
    assert data == bytes.fromhex(GOLDEN_HEADER)
    assert decode_table_header(data) == HEADER


def test_a_block_has_not_changed() -> None:
    """Known columns give the known bytes, and these the columns."""
    positions, offsets = array("I", [0, 2, 9]), array("I", [26, 30, 40, 60])
    block = encode_block(b"pepper!!", 5, positions, offsets)
    assert len(block) == BLOCK_BYTES
    assert block[:20] == bytes.fromhex(GOLDEN_BLOCK_START)
    assert block[512:532] == bytes.fromhex(GOLDEN_OFFSETS)
    assert not any(block[20:512])
    assert not any(block[532:])
    assert decode_block(b"pepper!!", 5, block) == (positions, offsets)


def test_a_fence_has_not_changed() -> None:
    """The fence is the first positions, one behind the other."""
    data, checksum = encode_fence(b"pepper!!", array("I", [0, 130]))
    assert (data.hex(), checksum) == ("0000000082000000", 0x0A1FE5D6)
    header = HEADER._replace(fence_checksum=checksum)
    assert decode_fence(header, data) == array("I", [0, 130])
    assert decode_fence(header._replace(salt=b"allspice"), data) is None
    assert decode_fence(header, data[:-4]) is None


@given(st.integers(0, 127), st.integers(1, 255))
def test_every_changed_byte_of_a_header_is_noticed(at: int, mask: int) -> None:
    """No byte of the header can change unseen, its zeros included."""
    data = bytearray(encode_table_header(HEADER))
    data[at] ^= mask
    assert decode_table_header(bytes(data)) is None


@given(st.integers(0, BLOCK_BYTES - 1), st.integers(1, 255), st.integers(1, BLOCK_ENTRIES_MAX))
def test_every_changed_byte_of_a_block_is_noticed(at: int, mask: int, count: int) -> None:
    """No byte of a block can change unseen; nor can its place or its table."""
    block = encode_block(
        b"pepper!!", 5, array("I", range(count)), array("I", range(16, 17 + count))
    )
    assert decode_block(b"pepper!!", 6, block) is None
    assert decode_block(b"pepper!?", 5, block) is None
    assert decode_block(b"pepper!!", 5, block[:-1]) is None
    changed = bytearray(block)
    changed[at] ^= mask
    assert decode_block(b"pepper!!", 5, bytes(changed)) is None


@pytest.mark.parametrize(
    "header",
    [
        HEADER._replace(entry_count=FRAME_TABLE_ENTRIES_MAX + 1),
        HEADER._replace(block_count=3),
        HEADER._replace(block_count=1),
        HEADER._replace(last_position=998),
        HEADER._replace(last_position=1198),
        HEADER._replace(last_position=999),
        HEADER._replace(records_end=0x5680),
        HEADER._replace(entry_count=0, block_count=0),
    ],
)
def test_a_header_whose_numbers_cannot_be_is_none(header: TableHeader) -> None:
    """Counts are checked before memory is taken for them, even where the checksum holds."""
    assert decode_table_header(encode_table_header(header)) is None


def test_an_unknown_version_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of a later version is named as such."""
    with monkeypatch.context() as patched:
        patched.setattr("aurora_es.format.frame_table.TABLE_VERSION", 2)
        data = encode_table_header(HEADER)
    assert decode_table_header(data) == UnsupportedTable(2, 0)


def test_sizes() -> None:
    """A table has a header, and for each block 1024 bytes and 4 of the fence."""
    assert table_bytes(0) == 128
    assert table_bytes(2) == 128 + 2048 + 8

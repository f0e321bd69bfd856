"""The frame header: its bytes, and what it makes of other bytes."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.frame import (
    ALIGNMENT,
    CHECKED_BYTES,
    HEADER,
    HEADER_BYTES,
    PADDING,
    FrameHeader,
    decode_header,
    encode_frame,
    encode_header,
    frame_bytes,
)
from tests.format.test_checksum import crc32c_bit_by_bit

u8, u16 = st.integers(0, 0xFF), st.integers(0, 0xFFFF)
u32, u64 = st.integers(0, 0xFFFF_FFFF), st.integers(0, (1 << 64) - 1)
headers = st.builds(
    FrameHeader,
    salt=st.binary(min_size=8, max_size=8),
    kind=u8,
    flags=u8,
    codec=u8,
    version=u8,
    stored_length=u32,
    raw_length=u32,
    record_count=u32,
    first_position=u64,
    commit_number=u64,
    timestamp=u64,
    synced_to=u64,
    frame_number=u16,
    frames_in_commit=u16,
    previous_checksum=u32,
    payload_checksum=u32,
)

# Each byte says where it comes from: field by field as in the module's diagram.
SAMPLE = FrameHeader(
    salt=b"saltsalt",
    kind=1,
    flags=0x80,
    codec=2,
    version=1,
    stored_length=0x01020304,
    raw_length=0x05060708,
    record_count=9,
    first_position=0x1112131415161718,
    commit_number=0x2122232425262728,
    timestamp=0x3132333435363738,
    synced_to=0x4142434445464748,
    frame_number=0x5152,
    frames_in_commit=0x6162,
    previous_checksum=0x71727374,
    payload_checksum=0x81828384,
)
SAMPLE_BYTES = bytes.fromhex(
    "73616c7473616c74"  # 0 salt
    "01 80 02 01"  # 8 kind, flags, codec, version
    "04030201 08070605 09000000"  # 12 stored length, raw length, record count
    "1817161514131211"  # 24 first position
    "2827262524232221"  # 32 commit number
    "3837363534333231"  # 40 timestamp
    "4847464544434241"  # 48 synced_to
    "5251 6261"  # 56 frame number, frames in commit
    "74737271 84838281"  # 60 previous checksum, payload checksum
    "74ffbae8"  # 68 header checksum
)


def test_sizes() -> None:
    """A header takes 72 bytes, 68 of them under its checksum, and frames start at 8s."""
    assert (HEADER.size, CHECKED_BYTES, HEADER_BYTES, ALIGNMENT) == (68, 68, 72, 8)
    assert [len(padding) for padding in PADDING] == [0, 7, 6, 5, 4, 3, 2, 1]


def test_golden_header() -> None:
    """The bytes of a header are those that are written down here."""
    encoded, checksum = encode_header(SAMPLE)
    assert encoded == SAMPLE_BYTES
    assert checksum == crc32c_bit_by_bit(SAMPLE_BYTES[:68])
    assert decode_header(SAMPLE_BYTES, 0) == (SAMPLE, checksum)


def test_golden_frame() -> None:
    """A frame is header, payload as stored, and zeros up to a multiple of 8."""
    encoded, checksum = encode_frame(SAMPLE, b"payload-of-18-byte")
    assert encoded == SAMPLE_BYTES + b"payload-of-18-byte" + bytes(6)
    assert len(encoded) == frame_bytes(18) == 96
    assert struct.unpack("<I", encoded[68:72]) == (checksum,)


@given(headers, st.integers(0, 3), st.binary(max_size=20))
def test_header_round_trip(header: FrameHeader, before: int, after: bytes) -> None:
    """What was encoded is decoded, at any place in a buffer."""
    encoded, checksum = encode_header(header)
    buffer = bytes(before * ALIGNMENT) + encoded + after
    assert decode_header(buffer, before * ALIGNMENT) == (header, checksum)


@given(st.integers(0, 1 << 25))
def test_a_frame_is_aligned_and_barely_longer_than_its_parts(stored_length: int) -> None:
    """Padding is below 8 bytes, and the next frame starts at a multiple of 8."""
    length = frame_bytes(stored_length)
    assert length % ALIGNMENT == 0
    assert 0 <= length - HEADER_BYTES - stored_length < ALIGNMENT


@given(headers, st.integers(0, HEADER_BYTES * 8 - 1))
def test_any_flipped_bit_is_noticed(header: FrameHeader, bit: int) -> None:
    """One wrong bit anywhere in the 72 bytes, the lengths included, makes a header invalid."""
    encoded = bytearray(encode_header(header)[0])
    encoded[bit // 8] ^= 1 << bit % 8
    assert decode_header(bytes(encoded), 0) is None


@given(headers, st.integers(0, HEADER_BYTES - 1))
def test_a_short_header_is_none(header: FrameHeader, length: int) -> None:
    """A header of which the end is missing is no header, wherever it is cut."""
    assert decode_header(encode_header(header)[0][:length], 0) is None


@given(st.binary(max_size=200), st.integers(0, 250))
def test_other_bytes_are_none(buffer: bytes, offset: int) -> None:
    """Random bytes are no header, and looking beyond the end of a buffer does no harm."""
    assert decode_header(buffer, offset) is None


def test_zeros_are_not_a_header() -> None:
    """Zeros mean "not yet written", never a valid header."""
    assert decode_header(bytes(4096), 0) is None

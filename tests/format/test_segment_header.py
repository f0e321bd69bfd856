"""The segment header: its bytes, and what it makes of other bytes."""

from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.segment_header import (
    FORMAT_VERSION,
    SEGMENT_HEADER,
    SEGMENT_HEADER_BYTES,
    SEGMENT_MAGIC,
    SegmentHeader,
    decode_segment_header,
    encode_segment_header,
)
from tests.format.test_checksum import crc32c_bit_by_bit
from tests.format.test_frame import u8, u16, u32, u64

headers = st.builds(
    SegmentHeader,
    magic=st.just(SEGMENT_MAGIC),
    version=u16,
    incompatible_flags=u32,
    compatible_flags=u32,
    segment_number=u32,
    genesis_id=st.binary(min_size=16, max_size=16),
    base_position=u64,
    base_commit=u64,
    salt=st.binary(min_size=8, max_size=8),
    created_at=u64,
    epoch=u32,
    codec=u8,
    key_id=st.binary(min_size=16, max_size=16),
    previous_end=u64,
    previous_position=u64,
    previous_checksum=u32,
)

SAMPLE = SegmentHeader(
    magic=SEGMENT_MAGIC,
    version=FORMAT_VERSION,
    incompatible_flags=0x01020304,
    compatible_flags=0x05060708,
    segment_number=0x090A0B0C,
    genesis_id=bytes(range(16)),
    base_position=0x1112131415161718,
    base_commit=0x2122232425262728,
    salt=b"saltsalt",
    created_at=0x3132333435363738,
    epoch=0x41424344,
    codec=2,
    key_id=bytes(range(16, 32)),
    previous_end=0x5152535455565758,
    previous_position=0x6162636465666768,
    previous_checksum=0x71727374,
)
SAMPLE_BYTES = bytes.fromhex(
    "415552895345470a"  # 0 magic
    "0100 0000 04030201 08070605"  # 8 version, zero, incompatible flags, compatible flags
    "0c0b0a09"  # 20 segment number
    "000102030405060708090a0b0c0d0e0f"  # 24 genesis id
    "1817161514131211"  # 40 base position
    "2827262524232221"  # 48 base commit number
    "73616c7473616c74"  # 56 salt
    "3837363534333231"  # 64 created-at
    "44434241 02 000000"  # 72 epoch, codec, zero
    "101112131415161718191a1b1c1d1e1f"  # 80 key id
    "5857565554535251"  # 96 end offset of the predecessor
    "6867666564636261"  # 104 last position of the predecessor
    "74737271"  # 112 last header checksum of the predecessor
    "0000000000000000"  # 116 zero
    "856f06c1"  # 124 header checksum
)


def test_size() -> None:
    """A segment header takes 128 bytes, 124 of them under its checksum."""
    assert (SEGMENT_HEADER.size, SEGMENT_HEADER_BYTES, len(SAMPLE_BYTES)) == (124, 128, 128)


def test_golden_header() -> None:
    """The bytes of a header are those that are written down here."""
    checksum = crc32c_bit_by_bit(SAMPLE_BYTES[:124])
    assert encode_segment_header(SAMPLE) == (SAMPLE_BYTES, checksum)
    assert decode_segment_header(SAMPLE_BYTES) == (SAMPLE, checksum)


@given(headers, st.binary(max_size=20))
def test_round_trip(header: SegmentHeader, after: bytes) -> None:
    """What was encoded is decoded, unknown versions and flags included, whatever follows."""
    encoded, checksum = encode_segment_header(header)
    assert decode_segment_header(encoded + after) == (header, checksum)


@given(headers, st.integers(0, SEGMENT_HEADER_BYTES * 8 - 1))
def test_any_flipped_bit_is_noticed(header: SegmentHeader, bit: int) -> None:
    """One wrong bit anywhere in the 128 bytes makes a header invalid."""
    encoded = bytearray(encode_segment_header(header)[0])
    encoded[bit // 8] ^= 1 << bit % 8
    assert decode_segment_header(bytes(encoded)) is None


@given(headers, st.integers(0, SEGMENT_HEADER_BYTES - 1))
def test_a_short_header_is_none(header: SegmentHeader, length: int) -> None:
    """A header of which the end is missing is no header, wherever it is cut."""
    assert decode_segment_header(encode_segment_header(header)[0][:length]) is None


@given(st.binary(max_size=200))
def test_other_bytes_are_none(data: bytes) -> None:
    """Random bytes are no header, not even behind the right magic."""
    assert decode_segment_header(data) is None
    assert decode_segment_header(SEGMENT_MAGIC + data) is None

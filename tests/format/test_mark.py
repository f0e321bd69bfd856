"""The mark: bytes of a slot, and which of two slots counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.mark import (
    MARK_BYTES,
    SLOT,
    SLOT_BYTES,
    SLOT_OFFSETS,
    SPAN_BYTES,
    Mark,
    decode_mark,
    decode_slot,
    encode_slot,
    slot_offset,
)
from tests.format.test_checksum import crc32c_bit_by_bit

counts = st.integers(0, (1 << 63) - 2)
words = st.integers(0, (1 << 32) - 2)

marks = st.builds(
    Mark,
    sequence=counts,
    visible_commit=counts,
    visible_position=counts,
    segment_number=words,
    epoch=words,
    visible_offset=counts,
    durable_offset=counts,
)

SAMPLE = Mark(
    sequence=0x0102030405060708,
    visible_commit=0x1112131415161718,
    visible_position=0x2122232425262728,
    segment_number=0x31323334,
    epoch=0x41424344,
    visible_offset=0x5152535455565758,
    durable_offset=0x6162636465666768,
)
SAMPLE_BYTES = bytes.fromhex(
    "4d41524b b479dd0c"  # 0 magic, checksum of the 56 bytes behind it
    "0807060504030201"  # 8 sequence
    "1817161514131211"  # 16 visible commit
    "2827262524232221"  # 24 visible position
    "34333231 44434241"  # 32 segment number, epoch
    "5857565554535251"  # 40 visible offset
    "6867666564636261"  # 48 durable offset
    "0000000000000000"  # 56 zero
)


def span_of(first: bytes, second: bytes) -> bytes:
    """Lay two slots out as in the file."""
    return first + bytes(SLOT_OFFSETS[1] - SLOT_BYTES) + second


def test_sizes() -> None:
    """A slot is one cache line; the two are a page apart, so no page write tears both."""
    assert (SLOT.size, SLOT_BYTES, SLOT_OFFSETS) == (64, 64, (0, 4096))
    assert (SPAN_BYTES, MARK_BYTES) == (4160, 8192)


def test_golden_slot() -> None:
    """The bytes of a slot are those that are written down here."""
    assert encode_slot(SAMPLE) == SAMPLE_BYTES
    assert decode_slot(SAMPLE_BYTES) == SAMPLE
    assert crc32c_bit_by_bit(SAMPLE_BYTES[8:]).to_bytes(4, "little") == SAMPLE_BYTES[4:8]


@given(marks)
def test_slot_round_trip(mark: Mark) -> None:
    """What was encoded is decoded."""
    assert decode_slot(encode_slot(mark)) == mark


@given(counts)
def test_writers_alternate(sequence: int) -> None:
    """A mark never goes into the slot of the one before it."""
    assert {slot_offset(sequence), slot_offset(sequence + 1)} == set(SLOT_OFFSETS)


@given(marks, marks)
def test_the_higher_sequence_counts(first: Mark, second: Mark) -> None:
    """Of two valid slots the one with the higher sequence is the mark, wherever it is."""
    decoded = decode_mark(span_of(encode_slot(first), encode_slot(second)))
    assert decoded is not None
    assert decoded in {first, second}
    assert decoded.sequence == max(first.sequence, second.sequence)


@given(marks, marks, st.integers(0, 1), st.integers(0, SLOT_BYTES * 8 - 1))
def test_a_damaged_slot_does_not_count(first: Mark, second: Mark, which: int, bit: int) -> None:
    """With one wrong bit in a slot the other one is the mark, even if it is older."""
    slots = [bytearray(encode_slot(first)), bytearray(encode_slot(second))]
    slots[which][bit // 8] ^= 1 << bit % 8
    assert decode_mark(span_of(bytes(slots[0]), bytes(slots[1]))) == (second, first)[which]


@given(marks, st.integers(0, SPAN_BYTES - 1))
def test_a_short_file_still_has_its_first_slot(mark: Mark, length: int) -> None:
    """A file that was cut gives the slots that are whole, or None."""
    span = span_of(encode_slot(mark), bytes(SLOT_BYTES))[:length]
    assert decode_mark(span) == (mark if length >= SLOT_BYTES else None)


@given(st.binary(max_size=SLOT_BYTES), st.binary(max_size=SLOT_BYTES))
def test_other_bytes_are_none(first: bytes, second: bytes) -> None:
    """Random bytes are no mark."""
    assert decode_slot(first) is None
    assert decode_mark(span_of(first.ljust(SLOT_BYTES, b"\0"), second)) is None


@pytest.mark.parametrize("name", Mark._fields)
def test_numbers_behind_which_there_is_none_are_no_slot(name: str) -> None:
    """Whoever goes on from a mark counts up, and a valid checksum does not mean well."""
    last = (1 << 32) - 1 if name in {"segment_number", "epoch"} else (1 << 63) - 1
    assert decode_slot(encode_slot(SAMPLE._replace(**{name: last}))) is None
    fine = SAMPLE._replace(**{name: last - 1})
    assert decode_slot(encode_slot(fine)) == fine

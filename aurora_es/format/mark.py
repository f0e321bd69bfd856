"""The mark: what readers may see and what is known to be on disk. All numbers little-endian.

A file of 8192 bytes with two slots of 64 bytes, at 0 and 4096; writers alternate by sequence.

      0  magic u32, checksum u32 | sequence u64 | visible commit u64 | visible position u64
     32  segment number u32, epoch u32 | visible offset u64 | durable offset u64 | zero u64

Theory of operation: a slot is one aligned cache line, so that a reader sees it whole (an unaligned
one tears), and the other slot is older and valid if a power cut tears this one. The reader takes
the valid slot with the higher sequence. ``visible offset`` is where the next frame goes; the mark
is evidence, not a cache: it is never renamed, never truncated, never rebuilt without a command.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from aurora_es.format.checksum import crc32c

SLOT = Struct(
    "<"
    "I"  # magic
    "I"  # checksum of the 56 bytes behind it
    "Q"  # sequence
    "Q"  # visible commit: number of the last one
    "Q"  # visible position: of the last record
    "I"  # segment number of the tail
    "I"  # epoch
    "Q"  # visible offset in the tail segment
    "Q"  # durable offset in the tail segment
    "8x"  # zero
)
_CHECKED = Struct("<QQQIIQQ8x")
_HEAD = Struct("<II")
SLOT_BYTES = 64
SLOT_OFFSETS = (0, 4096)
MARK_BYTES = 8192
SPAN_BYTES = SLOT_OFFSETS[1] + SLOT_BYTES
_COUNT_MAX = (1 << 63) - 1
_WORD_MAX = (1 << 32) - 1
MARK_MAGIC = 0x4B52414D  # "MARK"
assert SLOT.size == SLOT_BYTES
assert _CHECKED.size + _HEAD.size == SLOT_BYTES


class Mark(NamedTuple):
    """One value of the mark, in the order of the bytes."""

    sequence: int
    visible_commit: int
    visible_position: int
    segment_number: int
    epoch: int
    visible_offset: int
    durable_offset: int


def encode_slot(mark: Mark) -> bytes:
    """Encode the 64 bytes of a slot."""
    checked = _CHECKED.pack(*mark)
    return _HEAD.pack(MARK_MAGIC, crc32c(checked)) + checked


def decode_slot(slot: bytes) -> Mark | None:
    """Decode the 64 bytes of a slot; None when they are not valid, or beyond what can be counted."""
    if len(slot) != SLOT_BYTES:
        return None
    magic, checksum = _HEAD.unpack_from(slot)
    checked = slot[_HEAD.size :]
    if magic != MARK_MAGIC or crc32c(checked) != checksum:
        return None
    mark = Mark._make(_CHECKED.unpack(checked))
    # Whoever goes on from here counts up: there has to be a next number.
    is_countable = max(mark) < _COUNT_MAX and max(mark.segment_number, mark.epoch) < _WORD_MAX
    return mark if is_countable else None


def slot_offset(sequence: int) -> int:
    """Offset of the slot into which the mark with this sequence goes."""
    return SLOT_OFFSETS[sequence & 1]


def decode_mark(span: bytes) -> Mark | None:
    """Decode both slots from the first 4160 bytes of the file; None when neither is valid."""
    first = decode_slot(span[:SLOT_BYTES])
    second = decode_slot(span[SLOT_OFFSETS[1] : SPAN_BYTES])
    if first is None or second is None:
        return first or second
    return max(first, second)

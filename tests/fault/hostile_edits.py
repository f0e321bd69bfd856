"""Bytes that somebody else chose, read as edits of valid bytes."""

from __future__ import annotations

_EDITS_MAX = 4
_REPEATED = 255  # instead of a count: one byte, so often that nesting is too deep for any stack
_REPETITIONS = 1 << 16


def edited(base: bytes, edits: bytes) -> bytes:
    """Drop and insert bytes as ``edits`` says: offset (2 bytes), dropped, inserted, the bytes."""
    data = bytearray(base)
    for _ in range(_EDITS_MAX):
        if len(edits) < 5:
            break
        offset = int.from_bytes(edits[:2], "little") % (len(data) + 1)
        dropped, inserted = edits[2], edits[3]
        found = edits[4 : 4 + inserted]
        if inserted == _REPEATED:
            inserted, found = 1, edits[4:5] * _REPETITIONS
        data[offset : offset + dropped] = found
        edits = edits[4 + inserted :]
    return bytes(data)

"""The mark file of an open journal: read by everyone, published by the holder of ``lock``.

Theory of operation: see ``aurora_es/format/mark.py``. A reader never goes back behind a mark that
it has seen. The mark that follows the one seen last goes into the other slot, whatever comes after
it: while that slot holds the bytes seen last, nothing is new, and 64 bytes tell so. Otherwise both
slots are read with one ``pread``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError
from aurora_es.files.layer import write_all
from aurora_es.format.mark import (
    SLOT_BYTES,
    SLOT_OFFSETS,
    SPAN_BYTES,
    Mark,
    decode_mark,
    decode_slot,
    encode_slot,
)

if TYPE_CHECKING:
    from aurora_es.files.layer import Files

_SECOND = SLOT_OFFSETS[1]


class MarkFile:
    """An open mark file; owns its descriptor."""

    __slots__ = ("_seen", "fd", "files", "path")

    def __init__(self, files: Files, path: str, fd: int) -> None:
        """Take over the descriptor ``fd`` of ``path``."""
        self.files = files
        self.path = path
        self.fd = fd
        # Both slots as read and their value: replaced whole, so that threads may share it.
        self._seen: tuple[bytes, bytes, Mark] | None = None

    def read(self) -> Mark:
        """The newest mark; raises CorruptionError when no slot is valid."""
        seen = self._seen
        if seen is not None:
            following = ~seen[2].sequence & 1
            if self.files.pread(self.fd, SLOT_BYTES, SLOT_OFFSETS[following]) == seen[following]:
                return seen[2]
        span = self.files.pread(self.fd, SPAN_BYTES, 0)
        first, second = span[:SLOT_BYTES], span[_SECOND:]
        mark = decode_mark(span)
        if mark is None:
            raise CorruptionError(
                self.path, 0, expected="a valid slot in the mark", found="none"
            )
        if seen is not None and mark.sequence < seen[2].sequence:
            return seen[2]
        self._seen = (first, second, mark)
        return mark

    def renew(self) -> Mark:
        """Write both slots again, for recovery; returns the newest mark. The caller syncs.

        A slot that a power cut has torn becomes valid again, and is on disk before the other is
        touched: else the next cut could tear the only valid one. After a failed sync the slots may
        be in the cache alone, and readers would see an older mark when they leave it.
        """
        mark = self.read()
        span = self.files.pread(self.fd, SPAN_BYTES, 0)
        slots = {at: span[at : at + SLOT_BYTES] for at in SLOT_OFFSETS}
        for at, slot in slots.items():
            if decode_slot(slot) is None:
                step = 1 if SLOT_OFFSETS[~mark.sequence & 1] == at else 2
                mark = mark._replace(sequence=mark.sequence + step)
                slots[at] = encode_slot(mark)
                write_all(self.files, self.fd, slots[at], at)
                self.sync()
        for at, slot in slots.items():
            write_all(self.files, self.fd, slot, at)
        self._seen = None
        return mark

    def publish(self, mark: Mark) -> None:
        """Make ``mark`` visible to every process; the caller holds ``lock``."""
        slot = encode_slot(mark)
        at = SLOT_OFFSETS[mark.sequence & 1]
        if self.files.pwrite(self.fd, slot, at) != SLOT_BYTES:
            write_all(self.files, self.fd, slot, at)
        seen = self._seen
        if seen is not None:
            # What the next read will find, so that it need not decode it.
            pair = (seen[0], slot) if mark.sequence & 1 else (slot, seen[1])
            self._seen = (*pair, mark)

    def sync(self) -> None:
        """Force the mark to disk."""
        self.files.fdatasync(self.fd)

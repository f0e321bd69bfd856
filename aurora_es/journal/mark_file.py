"""The mark file of an open journal: read by everyone, published by the holder of ``lock``.

Theory of operation: see ``aurora_es/format/mark.py``. A reader never goes back behind a mark that
it has seen. The mark that follows the one seen last goes into the other slot, whatever comes after
it: while that slot holds the bytes seen last, nothing is new, and 64 bytes tell so. Otherwise both
slots are read with one ``pread``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError, ForeignDirectoryError
from aurora_es.files.layer import open_regular, write_all
from aurora_es.format.mark import (
    MARK_BYTES,
    SLOT_BYTES,
    SLOT_OFFSETS,
    SPAN_BYTES,
    Mark,
    decode_mark,
    decode_slot,
    encode_slot,
    slot_offset,
)
from aurora_es.format.names import MARK

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
            following = ~seen[2][0] & 1  # of its sequence
            if self.files.pread(self.fd, SLOT_BYTES, SLOT_OFFSETS[following]) == seen[following]:
                return seen[2]
        span = self.files.pread(self.fd, SPAN_BYTES, 0)
        first, second = span[:SLOT_BYTES], span[_SECOND:]
        mark = decode_mark(span)
        if mark is None:
            raise CorruptionError(self.path, 0, expected="a valid slot in the mark", found="none")
        if seen is not None and mark.sequence < seen[2].sequence:
            return seen[2]
        self._seen = (first, second, mark)
        return mark

    def is_damaged(self) -> bool:
        """Whether a slot is not valid, so that nobody knows which mark it was; for recovery."""
        slots = (self.files.pread(self.fd, SLOT_BYTES, at) for at in SLOT_OFFSETS)
        return any(decode_slot(slot) is None for slot in slots)

    def renew(self, mark: Mark) -> Mark:
        """Write both slots again, for recovery; ``mark`` is the newest. The caller syncs.

        A slot that a power cut has torn becomes valid again, and is on disk before the other is
        touched: else the next cut could tear the only valid one. After a failed sync the slots may
        be in the cache alone, and readers would see an older mark once they have left it.
        """
        newest = mark
        at, other = SLOT_OFFSETS[mark.sequence & 1], SLOT_OFFSETS[~mark.sequence & 1]
        slot = self.files.pread(self.fd, SLOT_BYTES, other)
        if decode_slot(slot) is None:
            newest = mark._replace(sequence=mark.sequence + 1)
            slot = encode_slot(newest)
            write_all(self.files, self.fd, slot, other)
            self.sync()
        else:
            write_all(self.files, self.fd, slot, other)
        # From memory: what was in the cache alone may have left it since it was read.
        write_all(self.files, self.fd, encode_slot(mark), at)
        self._seen = None
        return newest

    def publish(self, mark: Mark) -> None:
        """Make ``mark`` visible to every process; the caller holds ``lock``."""
        slot = encode_slot(mark)
        odd = mark[0] & 1
        if self.files.pwrite(self.fd, slot, SLOT_OFFSETS[odd]) != SLOT_BYTES:
            write_all(self.files, self.fd, slot, SLOT_OFFSETS[odd])
        seen = self._seen
        if seen is not None:
            # What the next read will find, so that it need not decode it.
            self._seen = (seen[0], slot, mark) if odd else (slot, seen[1], mark)

    def sync(self) -> None:
        """Force the mark to disk."""
        self.files.fdatasync(self.fd)


def read_mark(files: Files, directory: str) -> Mark:
    """Read the mark of a journal once; raises CorruptionError when there is none."""
    path = os.path.join(directory, MARK)
    try:
        fd = open_regular(files, path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise CorruptionError(path, 0, expected="the mark of a journal", found="no file") from error
    try:
        return MarkFile(files, path, fd).read()
    finally:
        files.close(fd)


def marked_commits(files: Files, directory: str) -> int:
    """How many commits the mark in a directory names; 0 where none can be read."""
    try:
        return read_mark(files, directory).visible_commit
    except (CorruptionError, ForeignDirectoryError, OSError):
        return 0


def write_new_mark(files: Files, directory: str, mark: Mark) -> None:
    """Write the mark of a new journal, with both slots, and sync it; nobody reads it yet."""
    fd = open_regular(files, os.path.join(directory, MARK), os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        data = bytearray(MARK_BYTES)
        for sequence in (mark.sequence, mark.sequence + 1):
            slot = encode_slot(mark._replace(sequence=sequence))
            at = slot_offset(sequence)
            data[at : at + len(slot)] = slot
        write_all(files, fd, bytes(data), 0)
        files.fsync(fd)
    finally:
        files.close(fd)

"""An open segment file: descriptor, path and verified header, opened and dropped together.

Theory of operation: a ``SegmentFile`` closes its descriptor when the last reference goes. A reader
that holds one may therefore go on reading while the handle forgets it, and a descriptor number is
never closed under a reader and reused for another file.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError, UnsupportedFormatError
from aurora_es.files.layer import open_regular, read_exactly
from aurora_es.format.segment_header import (
    FORMAT_VERSION,
    NO_KEY,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    decode_segment_header,
)

if TYPE_CHECKING:
    from aurora_es.files.layer import Files

_BLOCK_BYTES = 1 << 20  # read at a time


class SegmentFile:
    """One open segment; attributes are read-only after construction."""

    __slots__ = ("fd", "files", "header", "header_checksum", "path", "salt")

    def __init__(
        self,
        files: Files,
        path: str,
        *,
        writable: bool,
        known: tuple[SegmentHeader, int] | None = None,
    ) -> None:
        """Open ``path`` and check its header; raises CorruptionError, UnsupportedFormatError.

        ``known`` are header and checksum where the file's own are damaged: they are not read.
        """
        self.fd = -1
        self.files = files
        self.path = path
        self.fd = open_regular(files, path, os.O_RDWR if writable else os.O_RDONLY)
        self.header, self.header_checksum = known or read_segment_header(files, self.fd, path)
        self.salt = self.header.salt

    def size_bytes(self) -> int:
        """Size of the file, zeros that are filled in ahead included."""
        return self.files.fstat(self.fd).st_size

    def is_zero_from(self, offset: int) -> bool:
        """Whether nothing but zeros, filled in ahead, lies behind ``offset``."""
        while block := read_exactly(self.files, self.fd, _BLOCK_BYTES, offset):
            if block.count(0) != len(block):
                return False
            offset += len(block)
        return True

    def close(self) -> None:
        """Close the descriptor now; only for the child of a fork, where nobody else reads."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self.files.close(fd)

    def __del__(self) -> None:
        """Close the descriptor with the last reference."""
        self.close()


def read_segment_header(files: Files, fd: int, path: str) -> tuple[SegmentHeader, int]:
    """Read and check the header; an unknown version is unsupported, never corrupt."""
    data = files.pread(fd, SEGMENT_HEADER_BYTES, 0)
    decoded = decode_segment_header(data)
    if decoded is None:
        raise CorruptionError(
            path, 0, expected="a segment header with a valid checksum", found=repr(data[:16])
        )
    header, checksum = decoded
    if header.version != FORMAT_VERSION or header.incompatible_flags or header.key_id != NO_KEY:
        message = (
            f"{path}: expected format version {FORMAT_VERSION} without incompatible flags or key,"
            f" found version {header.version}, flags {header.incompatible_flags:#x}; nothing was"
            " changed. Open it with the version of aurora_es that wrote it, or a newer one:"
            " `pip install --upgrade aurora-es`"
        )
        raise UnsupportedFormatError(message)
    return header, checksum


def check_segment(
    genesis_id: bytes, file: SegmentFile, segment_number: int, base_position: int
) -> None:
    """Make sure that a segment belongs to this journal and carries the right name."""
    header = file.header
    expected = (genesis_id.hex(), segment_number, base_position)
    found = (header.genesis_id.hex(), header.segment_number, header.base_position)
    if found != expected:
        raise CorruptionError(
            file.path,
            0,
            expected="journal {}, segment {}, base position {}".format(*expected),
            found="journal {}, segment {}, base position {}".format(*found),
        )

"""An open index run as a file: header, directory and fence verified at opening, blocks when read.

Theory of operation: like a ``SegmentFile`` a run closes its descriptor when the last reference
goes, so that a reader goes on with a run that a merge has replaced. A run is a cache: whatever is
wrong with it, or with reading it, is a ``RunDamagedError``, and the caller answers from the
segments. Nothing is mapped: a mapped run counts as memory of the process, and turns a bad sector
into a signal.
"""

from __future__ import annotations

import os
import sys
from array import array
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError
from aurora_es.files.layer import open_regular, read_exactly
from aurora_es.format.checksum import crc32c, crc32c_extend
from aurora_es.format.run import (
    BLOCK_BYTES,
    BLOCK_HEAD,
    KEY_BYTES,
    RUN_HEADER_BYTES,
    UNDECODABLE,
    Directory,
    RunHeader,
    decode_directory,
    decode_run_header,
    entries_per_block,
    header_fault,
)

if TYPE_CHECKING:
    from aurora_es.files.layer import Files

_unpack_head = BLOCK_HEAD.unpack_from


class RunDamagedError(AuroraError):
    """An index run is unreadable, damaged, stale or another journal's; never seen by users.

    Answer from the segments, and build the run anew.
    """

    def __init__(self, path: str, *, expected: str, found: str, offset: int = 0) -> None:
        """Name the file, what belongs at ``offset`` and what is there."""
        super().__init__(f"index run {path}: expected {expected}, found {found}")
        self.path = path
        self.offset = offset
        self.expected = expected
        self.found = found


class RunFile:
    """One open run; attributes are read-only after construction, so threads need no lock."""

    __slots__ = (
        "_last_block",
        "_last_count",
        "_salt_checksum",
        "block_entries",
        "directory",
        "fd",
        "fence",
        "files",
        "header",
        "path",
    )

    def __init__(self, files: Files, path: str, *, genesis_id: bytes, source_digest: bytes) -> None:
        """Open ``path`` and check all but its blocks, which are checked whenever they are read.

        ``genesis_id`` and ``source_digest`` (see ``format.run``) are those of the journal and of
        the segments that the run has to cover. Raises RunDamagedError; OSError and
        ForeignDirectoryError if there is no such file of our own.
        """
        self.fd = -1
        self.files = files
        self.path = path
        self.fd = open_regular(files, path, os.O_RDONLY)
        self.header = header = self._read_header()
        if header.genesis_id != genesis_id or header.source_digest != source_digest:
            raise self.damaged(
                f"genesis id {genesis_id.hex()} and source digest {source_digest.hex()}",
                f"{header.genesis_id.hex()} and {header.source_digest.hex()}",
            )
        self.directory = self._read_directory()
        self.fence = self._read_fence()
        self.block_entries = entries_per_block(header.ordinal_width, header.position_width)
        self._last_block = header.block_count - 1
        self._last_count = header.entry_count - self._last_block * self.block_entries
        self._salt_checksum = crc32c(header.salt)

    def close(self) -> None:
        """Close the descriptor now; only for the child of a fork, where nobody else reads."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self.files.close(fd)

    def __del__(self) -> None:
        """Close the descriptor with the last reference."""
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Read ``length`` bytes of the file."""
        try:
            data = read_exactly(self.files, self.fd, length, offset)
        except OSError as error:
            expected = f"{length} bytes at offset {offset}"
            raise self.damaged(expected, str(error), offset) from error
        if len(data) != length:
            raise self.damaged(f"{length} bytes at offset {offset}", f"{len(data)} bytes", offset)
        return data

    def read_block(self, block: int) -> tuple[bytes, int]:
        """Read and check a block; its bytes and its number of entries, which is never 0."""
        offset = RUN_HEADER_BYTES + block * BLOCK_BYTES
        try:
            data = self.files.pread(self.fd, BLOCK_BYTES, offset)
        except OSError as error:
            raise self.damaged(f"block {block}", str(error), offset) from error
        if len(data) != BLOCK_BYTES:
            data = self.read(offset, BLOCK_BYTES)
        checksum, number, count = _unpack_head(data)
        if (
            crc32c_extend(self._salt_checksum, data[4:]) != checksum
            or number != block
            or count != (self._last_count if block == self._last_block else self.block_entries)
        ):
            raise self.damaged(f"block {block} with a valid checksum", "other bytes", offset)
        return data, count

    def damaged(self, expected: str, found: str, offset: int = 0) -> RunDamagedError:
        """Error to raise for this file."""
        return RunDamagedError(self.path, expected=expected, found=found, offset=offset)

    def _read_header(self) -> RunHeader:
        try:
            size = self.files.fstat(self.fd).st_size
        except OSError as error:
            raise self.damaged("a file", str(error)) from error
        data = self.read(0, RUN_HEADER_BYTES)
        header = decode_run_header(data)
        if header is None:
            raise self.damaged("a header with a valid checksum", repr(data[:16]))
        fault = header_fault(header, size)
        if fault is not None:
            raise self.damaged("a header that this version knows and that fits the file", fault)
        return header

    def _read_directory(self) -> Directory:
        header = self.header
        data = self.read(header.directory_offset, header.directory_length)
        try:
            if crc32c(data) == header.directory_checksum:
                return decode_directory(data)
        except UNDECODABLE as error:
            raise self.damaged("a directory", str(error), header.directory_offset) from error
        raise self.damaged(
            "a directory with a valid checksum", "other bytes", header.directory_offset
        )

    def _read_fence(self) -> array[int]:
        header = self.header
        offset = header.directory_offset + header.directory_length
        data = self.read(offset, header.block_count * KEY_BYTES)
        if crc32c(data) != header.fence_checksum:
            raise self.damaged("a fence with a valid checksum", "other bytes", offset)
        fence = array("Q", data)
        if sys.byteorder == "big":
            fence.byteswap()
        return fence

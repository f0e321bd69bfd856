"""Writes and reads the table of frames beside a sealed segment.

Theory of operation: the table is a cache. It is written as ``.new``, synced and renamed, so that
whoever finds one finds it whole; the directory is not synced, since a table that is gone is written
again. A reader keeps the fence in memory (4 bytes for 126 frames) and reads one block per look-up;
the last few are kept, checked and decoded, since that takes as long as reading a record. A block in
memory never changes, so any number of threads may use a table without a lock. Whatever does not
fit raises TableDamagedError, and the caller walks the segment instead.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError, ForeignDirectoryError
from aurora_es.files.layer import open_regular, read_exactly, write_all
from aurora_es.format.frame_table import (
    BLOCK_BYTES,
    BLOCK_ENTRIES_MAX,
    TABLE_HEADER_BYTES,
    SegmentIdentity,
    TableHeader,
    UnsupportedTable,
    block_count_of,
    decode_block,
    decode_fence,
    decode_table_header,
    encode_block,
    encode_fence,
    encode_table_header,
    offset_units,
    table_bytes,
)
from aurora_es.format.names import NEW_SUFFIX, frames_name
from aurora_es.segment.create import new_salt, remove_if_there

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects, Files

_WRITTEN_BLOCKS = 1024  # blocks in one write
_KEPT_BLOCKS_MAX = 32  # 1 KiB each


class TableDamagedError(AuroraError):
    """The table of frames is missing, damaged, or that of other contents; walk the segment."""


class FramePlaces:
    """Where the frames with records of one segment are, gathered while it is walked or written."""

    __slots__ = ("base_position", "end", "last_position", "offsets", "positions")

    def __init__(self, base_position: int) -> None:
        """Begin with none."""
        self.base_position = base_position
        self.last_position = base_position - 1
        self.positions = array("I")  # relative to the base position
        self.offsets = array("I")  # in units of 8 bytes
        self.end = 0  # offset behind the last one

    def add(self, first_position: int, record_count: int, offset: int, length: int) -> None:
        """Add the next frame; those without records are left out."""
        if record_count:
            self.positions.append(first_position - self.base_position)
            self.offsets.append(offset >> 3)
            self.last_position = first_position + record_count - 1
            self.end = offset + length


def write_frame_table(
    effects: Effects, directory: str, identity: SegmentIdentity, places: FramePlaces
) -> str:
    """Write the table of the segment ``identity``, replacing one that is there; returns its name.

    Raises OSError. Of two writers at a time one may get FileExistsError or FileNotFoundError.
    """
    files = effects.files
    name = frames_name(identity.segment_number, identity.base_position, identity.revision)
    path = os.path.join(directory, name)
    remove_if_there(files, path + NEW_SUFFIX)
    fd = open_regular(files, path + NEW_SUFFIX, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        _write_table(files, fd, new_salt(effects), identity, places)
        files.fsync(fd)
    finally:
        files.close(fd)
    files.rename(path + NEW_SUFFIX, path)
    return name


def _write_table(
    files: Files, fd: int, salt: bytes, identity: SegmentIdentity, places: FramePlaces
) -> None:
    count = len(places.positions)
    blocks = block_count_of(count)
    fence, fence_checksum = encode_fence(salt, places.positions[::BLOCK_ENTRIES_MAX])
    header = TableHeader(
        identity, places.last_position, salt, places.end, count, blocks, fence_checksum
    )
    data = [encode_table_header(header)]
    offsets = places.offsets + array("I", [offset_units(places.end)])
    at = 0
    for number in range(blocks):
        begin, end = number * BLOCK_ENTRIES_MAX, min(count, (number + 1) * BLOCK_ENTRIES_MAX)
        data.append(
            encode_block(salt, number, places.positions[begin:end], offsets[begin : end + 1])
        )
        if len(data) >= _WRITTEN_BLOCKS:
            written = b"".join(data)
            write_all(files, fd, written, at)
            at += len(written)
            data.clear()
    data.append(fence)
    write_all(files, fd, b"".join(data), at)


class FrameTable:
    """An open table; closed with the last reference, as a ``SegmentFile`` is."""

    __slots__ = ("_base", "_fd", "_fence", "_files", "_header", "_kept", "_last", "_salt", "path")

    def __init__(self, files: Files, path: str, identity: SegmentIdentity) -> None:
        """Open and check ``path``; raises TableDamagedError unless it is ``identity``'s table."""
        self._fd = -1
        self._files = files
        self.path = path
        try:
            self._fd = open_regular(files, path, os.O_RDONLY)
            header, self._fence = self._read_header(identity)
        except (FileNotFoundError, ForeignDirectoryError) as error:
            raise TableDamagedError(f"{path}: {error}") from error
        self._header = header
        self._salt = header.salt
        # Any thread may put in and clear; each step is one of a dictionary.
        self._kept: dict[int, tuple[array[int], array[int]]] = {}
        self._base = identity.base_position
        self._last = header.last_position

    def frame_of(self, position: int) -> tuple[int, int, int]:
        """Offset, length and first position of the frame that holds ``position``.

        The length goes up to the next frame with records; what lies between belongs to frames
        without any. Raises TableDamagedError.
        """
        base = self._base
        assert base <= position <= self._last
        wanted = position - base
        number = bisect_right(self._fence, wanted) - 1
        positions, offsets = self._block(number)
        at = bisect_right(positions, wanted) - 1
        begin, end = offsets[max(at, 0)], offsets[at + 1]
        if at < 0 or begin >= end:
            raise self._damaged(f"the frame of position {position} in block {number}", "none")
        return begin << 3, (end - begin) << 3, positions[at] + base

    def frames_between(
        self, position: int, until: int, bytes_max: int
    ) -> tuple[list[int], list[int], int]:
        """Frames from the one that holds ``position`` on that lie in one piece.

        Returns their offsets, their first positions and the length of the piece: at least one
        frame, none that begins above ``until``, at most ``bytes_max`` bytes unless the first is
        longer, and no more than two blocks of the table tell. Raises TableDamagedError.
        """
        base = self._base
        assert base <= position <= self._last
        wanted, last = position - base, until - base
        number = bisect_right(self._fence, wanted) - 1
        positions, offsets = self._block(number)
        at = max(bisect_right(positions, wanted) - 1, 0)
        limit = offsets[at] + (bytes_max >> 3)
        end = bisect_right(positions, last, at)
        if end == len(positions) and offsets[end] < limit and self._fence_ends_before(number, last):
            more_positions, more_offsets = self._block(number + 1)
            if more_offsets[0] != offsets[-1]:
                raise self._damaged(f"offset {offsets[-1]} in block {number + 1}", "another")
            positions = positions + more_positions
            offsets = offsets + more_offsets[1:]
            end = bisect_right(positions, last, at)
        # Behind the last frame that ends within the limit.
        end = max(at + 1, min(end, bisect_right(offsets, limit, at + 1) - 1))
        begin = offsets[at]
        if positions[at] > wanted or begin >= offsets[end]:
            raise self._damaged(f"the frame of position {position} in block {number}", "none")
        return (
            [offset << 3 for offset in offsets[at:end]],
            [first + base for first in positions[at:end]],
            (offsets[end] - begin) << 3,
        )

    def _fence_ends_before(self, number: int, last: int) -> bool:
        """Whether block ``number`` has a successor that begins at or before ``last``."""
        fence = self._fence
        return number + 1 < len(fence) and fence[number + 1] <= last

    def _block(self, number: int) -> tuple[array[int], array[int]]:
        columns = self._kept.get(number)
        if columns is None:
            columns = self._read_block(number)
            if len(self._kept) >= _KEPT_BLOCKS_MAX:
                self._kept.clear()
            self._kept[number] = columns
        return columns

    def _read_block(self, number: int) -> tuple[array[int], array[int]]:
        offset = TABLE_HEADER_BYTES + number * BLOCK_BYTES
        try:
            block = self._files.pread(self._fd, BLOCK_BYTES, offset)
        except OSError as error:
            raise TableDamagedError(f"{self.path}: {error}") from error
        columns = decode_block(self._salt, number, block)
        if columns is None or columns[0][0] != self._fence[number]:
            raise self._damaged(f"block {number} with salt and checksum", f"{len(block)} bytes")
        return columns

    def _read_header(self, identity: SegmentIdentity) -> tuple[TableHeader, array[int]]:
        files, fd = self._files, self._fd
        try:
            header = decode_table_header(read_exactly(files, fd, TABLE_HEADER_BYTES, 0))
            if header is None or isinstance(header, UnsupportedTable):
                raise self._damaged("the header of a table of frames", f"{header}")
            if header.identity != identity:
                raise self._damaged(f"the table of {identity}", f"that of {header.identity}")
            size = files.fstat(fd).st_size
            wanted = table_bytes(header.block_count)
            if size != wanted:
                raise self._damaged(f"{wanted} bytes", f"{size}")
            at = TABLE_HEADER_BYTES + BLOCK_BYTES * header.block_count
            fence = decode_fence(header, read_exactly(files, fd, wanted - at, at))
        except OSError as error:
            raise TableDamagedError(f"{self.path}: {error}") from error
        if fence is None or (fence and fence[0]):
            raise self._damaged("a fence with salt and checksum", "other bytes")
        return header, fence

    def _damaged(self, expected: str, found: str) -> TableDamagedError:
        return TableDamagedError(f"{self.path}: expected {expected}, found {found}")

    def close(self) -> None:
        """Close the descriptor now; only for the child of a fork, where nobody else reads."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._files.close(fd)

    def __del__(self) -> None:
        """Close the descriptor with the last reference."""
        self.close()

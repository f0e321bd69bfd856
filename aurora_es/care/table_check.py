"""Checks a table of frames: every checksum, and every entry against the segment beside it."""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING

from aurora_es.care.findings import (
    TABLE_DAMAGED,
    TABLE_MISSING,
    TABLE_WRONG,
    Finding,
    rebuild_command,
    repair_command,
)
from aurora_es.errors import ForeignDirectoryError
from aurora_es.files.layer import open_regular, read_exactly
from aurora_es.format.frame_table import (
    BLOCK_BYTES,
    TABLE_HEADER_BYTES,
    TableHeader,
    decode_block,
    decode_fence,
    decode_table_header,
    table_bytes,
)
from aurora_es.format.names import frames_name

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.frame_table import SegmentIdentity
    from aurora_es.segment.frame_table import FramePlaces

_PIECE_BLOCKS = 1 << 10


def check_table(
    files: Files, directory: str, identity: SegmentIdentity, places: FramePlaces | None
) -> Finding | None:
    """What is wrong with the table of the segment ``identity``, if anything is.

    ``places`` are where its frames are; None if the segment is damaged, and does not tell.
    """
    name = frames_name(identity.segment_number, identity.base_position, identity.revision)
    path = os.path.join(directory, name)

    is_foreign = False

    def finding(kind: str, offset: int | None, expected: str, found: str) -> Finding:
        # What is no file of ours is moved aside; a rebuild replaces files only.
        cure = repair_command(directory) if is_foreign else rebuild_command(directory)
        return Finding(
            kind=kind, path=path, offset=offset, expected=expected, found=found, cure=cure
        )

    try:
        fd = open_regular(files, path, os.O_RDONLY)
    except FileNotFoundError:
        return finding(TABLE_MISSING, None, "a table of frames", "no file")
    except ForeignDirectoryError as error:
        is_foreign = True
        return finding(TABLE_DAMAGED, None, "a table of frames", str(error))
    except OSError as error:
        return finding(TABLE_DAMAGED, None, "a table of frames", str(error))
    try:
        size = files.fstat(fd).st_size
        header = decode_table_header(read_exactly(files, fd, TABLE_HEADER_BYTES, 0))
        if not isinstance(header, TableHeader):
            text = "other bytes" if header is None else str(header)
            return finding(TABLE_DAMAGED, 0, "the header of a table of frames", text)
        if header.identity != identity:
            return finding(TABLE_WRONG, 0, f"the table of {identity}", f"that of {header.identity}")
        if size != table_bytes(header.block_count):
            wanted = f"{table_bytes(header.block_count)} bytes"
            return finding(TABLE_DAMAGED, None, wanted, f"{size} bytes")
        at = TABLE_HEADER_BYTES + BLOCK_BYTES * header.block_count
        fence = decode_fence(header, read_exactly(files, fd, size - at, at))
        if fence is None:
            return finding(TABLE_DAMAGED, at, "a fence with a valid checksum", "other bytes")
        fault = _wrong_block(files, fd, header, fence, places)
        if fault is not None:
            kind, block, expected = fault
            offset = TABLE_HEADER_BYTES + BLOCK_BYTES * block
            return finding(kind, offset, f"block {block} {expected}", "another block")
    except OSError as error:
        return finding(TABLE_DAMAGED, None, "a table that can be read", str(error))
    finally:
        files.close(fd)
    return None


def _wrong_block(
    files: Files, fd: int, header: TableHeader, fence: array[int], places: FramePlaces | None
) -> tuple[str, int, str] | None:
    """Kind, number and expectation of the first block that is not right."""
    begin = 0  # entries before the block
    for first in range(0, header.block_count, _PIECE_BLOCKS):
        count = min(_PIECE_BLOCKS, header.block_count - first)
        data = read_exactly(
            files, fd, count * BLOCK_BYTES, TABLE_HEADER_BYTES + first * BLOCK_BYTES
        )
        for number in range(first, first + count):
            at = (number - first) * BLOCK_BYTES
            columns = decode_block(header.salt, number, data[at : at + BLOCK_BYTES])
            if columns is None:
                return TABLE_DAMAGED, number, "with a valid checksum"
            positions, offsets = columns
            if positions[0] != fence[number]:
                return TABLE_WRONG, number, f"that begins at position {fence[number]} of the table"
            if places is not None:
                end = begin + len(positions)
                behind = places.offsets[end] if end < len(places.offsets) else places.end >> 3
                expected = places.offsets[begin:end] + array("I", [behind])
                if positions != places.positions[begin:end] or offsets != expected:
                    return TABLE_WRONG, number, "that says where the frames are"
                begin = end
    if places is not None and (begin, header.records_end) != (len(places.positions), places.end):
        return TABLE_WRONG, max(header.block_count - 1, 0), "that is the last one"
    return None

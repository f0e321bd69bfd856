"""How large a file of a journal has to be, before anybody copies it: its size may lie.

Theory of operation: a file that somebody has blown up is a terabyte of zeros that take no room, until
they are copied. The manifest has the size of each sealed segment; a closed one ends where the next one
says; index runs and tables of frames say it in their headers, or are none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.care.layout import open_part
from aurora_es.errors import CorruptionError
from aurora_es.files.layer import open_regular
from aurora_es.format.frame_table import (
    TABLE_HEADER_BYTES,
    TableHeader,
    decode_table_header,
    table_bytes,
)
from aurora_es.format.run import RUN_HEADER_BYTES, decode_run_header, header_fault

if TYPE_CHECKING:
    from aurora_es.care.layout import JournalCut, Part
    from aurora_es.files.layer import Files


def refuse_other_size(files: Files, at: JournalCut, part: Part, following: Part) -> None:
    """Raise CorruptionError unless the file of ``part`` is as large as is known of it.

    Raises FileNotFoundError if there is none, ForeignDirectoryError for what is no file of ours.
    """
    if part.entry is not None:
        expected = part.entry.size_bytes
    else:
        expected = open_part(files, at, following).header.previous_end
    path = os.path.join(at.path, part.name)
    fd = open_regular(files, path, os.O_RDONLY)
    try:
        found = files.fstat(fd).st_size
    finally:
        files.close(fd)
    if found != expected:
        raise CorruptionError(
            path, min(found, expected), expected=f"{expected} bytes", found=f"{found}"
        )


def is_cache_of_its_size(files: Files, path: str) -> bool:
    """Whether an index run or a table of frames is as large as its header says.

    Raises FileNotFoundError if there is none, ForeignDirectoryError for what is no file of ours.
    """
    fd = open_regular(files, path, os.O_RDONLY)
    try:
        size = files.fstat(fd).st_size
        head = files.pread(fd, RUN_HEADER_BYTES, 0)
    finally:
        files.close(fd)
    if path.endswith(".index"):
        run = decode_run_header(head)
        return run is not None and header_fault(run, size) is None
    table = decode_table_header(head[:TABLE_HEADER_BYTES])
    return isinstance(table, TableHeader) and table_bytes(table.block_count) == size

"""Segments under names that no file of a journal has: ``mv`` and ``cp`` of people make them, as `….bak`.

Theory of operation: readers go by names, so nobody reads such a file, and while its segment is whole
it is none of ours. Where the segment is missing or damaged, it may hold what is lost otherwise: then
its header says what it is. Drafts (``….new``) are none: they were never a segment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError
from aurora_es.format.names import NEW_SUFFIX, RECOVERED, SMALL_FILES, is_sealed_file_name
from aurora_es.segment.file import SegmentFile

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.segment_header import SegmentHeader

_OTHERS = SMALL_FILES | {RECOVERED}


def is_renamed(name: str) -> bool:
    """Whether a file has a name that no file of a journal has."""
    return not is_sealed_file_name(name) and name not in _OTHERS and not name.endswith(NEW_SUFFIX)


def renamed_segments(files: Files, path: str, genesis_id: bytes) -> dict[str, SegmentHeader]:
    """Headers of the segments of this journal that have such a name; raises OSError."""
    found = {}
    for name in filter(is_renamed, sorted(files.listdir(path))):
        try:
            header = SegmentFile(files, os.path.join(path, name), writable=False).header
        except (AuroraError, OSError):
            continue  # something else
        if header.genesis_id == genesis_id:
            found[name] = header
    return found

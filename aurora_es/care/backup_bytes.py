"""How many bytes a backup has to copy, and how many it looks after, by names, sizes and marks.

Theory of operation: nothing is opened but the mark of the copy before. What can be linked takes no
room: whether it can is only seen when it is tried, and expected of files on one file system. So the
room is what is needed at least, told before anything is written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.care.copying import stored_bytes, stored_bytes_up_to
from aurora_es.journal.mark_file import read_mark

if TYPE_CHECKING:
    from aurora_es.care.backup import Cut
    from aurora_es.files.layer import Files


def bytes_to_copy(files: Files, cut: Cut, target: str, before: str, *, copy: bool) -> int:
    """Bytes of a journal that are copied to the directory ``target``, at least.

    ``before`` is the journal in the copy before, sound, or empty.
    """
    source = cut.at.path
    is_same_disk = files.stat(source).st_dev == files.stat(target).st_dev
    count = 0
    for name in cut.names if copy or not is_same_disk else ():
        path = os.path.join(source, name)
        if not (before and _is_as_large(files, path, os.path.join(before, name))):
            count += stored_bytes(files, path)
    if not (before and is_at_mark_of(files, cut, before)):
        newest = os.path.join(source, cut.parts[-1].name)
        count += stored_bytes_up_to(files, newest, cut.at.mark.visible_offset)
    return count


def _is_as_large(files: Files, path: str, before: str) -> bool:
    """Whether the copy before has the whole file; it may have been the newest one then."""
    try:
        return files.stat(path).st_size == files.stat(before).st_size
    except FileNotFoundError:
        return False


def is_at_mark_of(files: Files, cut: Cut, before: str) -> bool:
    """Whether nothing was appended since the copy before."""
    return read_mark(files, before)[1:6] == cut.at.mark[1:6]


def segment_sizes(files: Files, cut: Cut) -> dict[str, int]:
    """Bytes of each segment up to the cut, by its name."""
    sizes = {}
    for part in cut.parts:
        if part.entry is not None:
            sizes[part.name] = part.entry.size_bytes
        elif part.visible_offset is not None:
            sizes[part.name] = part.visible_offset
        else:
            sizes[part.name] = stored_bytes(files, os.path.join(cut.at.path, part.name))
    return sizes

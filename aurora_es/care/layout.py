"""The segments of a journal at a cut, from the first that is retained to the newest.

Theory of operation: the manifest lists the sealed ones; those behind are found by their names, up to
the one that the mark names. A segment ends where the next one begins, so that only the newest, and
one that a cut falls into, has to be read to know where.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.errors import CorruptionError, NeedsRecoveryError, StorageError
from aurora_es.format.names import MANIFEST, frames_name, parse_segment_name, segment_name
from aurora_es.journal.creation import is_unborn
from aurora_es.journal.discovery import journals_below
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import read_mark
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.file import SegmentFile, check_segment

if TYPE_CHECKING:
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import Manifest, SealedSegment
    from aurora_es.format.mark import Mark


class JournalCut(NamedTuple):
    """One journal at a moment: in a backup, the one at which it was made."""

    path: str
    manifest: Manifest
    mark: Mark


class Part(NamedTuple):
    """One segment."""

    number: int
    base_position: int
    revision: int
    entry: SealedSegment | None  # None: the manifest does not list it
    visible_offset: int | None  # of the newest: where the mark says that it ends

    @property
    def name(self) -> str:
        """Name of the file."""
        return segment_name(self.number, self.base_position, self.revision)

    @property
    def table_name(self) -> str:
        """Name of the table of frames, if it has one."""
        return frames_name(self.number, self.base_position, self.revision)


def journals_in(files: Files, path: str) -> list[str]:
    """Paths, relative to ``path``, of the finished journals below it, in order.

    Raises CorruptionError for one that has lost its manifest, StorageError for a directory that
    cannot be read: there may be more.
    """
    found = journals_below(path, files)
    for directory in found.unreadable:
        message = f"{directory}: cannot be read; `aurora-es doctor` looks at rights"
        raise StorageError(message)
    return sorted(
        os.path.relpath(journal, path)
        for journal in found.journals
        if read_manifest(files, journal) is not None or not is_unborn(files, journal)
    )


def journal_at(files: Files, path: str) -> JournalCut:
    """A journal as it is now; raises CorruptionError, NeedsRecoveryError."""
    manifest = read_manifest(files, path)
    if manifest is None:
        raise CorruptionError(
            os.path.join(path, MANIFEST), 0, expected="a manifest", found="no file"
        )
    mark = read_mark(files, path)
    if manifest.segments and mark.segment_number <= manifest.segments[-1].segment_number:
        message = (
            f"{path}: its mark names segment {mark.segment_number}, which is sealed, as after a power"
            f" cut; nothing was changed. `aurora-es repair {shlex.quote(path)}` writes it again; so does"
            " opening the journal for appending once (`Journal.open`)"
        )
        raise NeedsRecoveryError(message)
    return JournalCut(path, manifest, mark)


def parts_at(files: Files, at: JournalCut) -> list[Part]:
    """The segments of a journal, in order; raises CorruptionError where one is missing."""
    parts = [
        Part(one.segment_number, one.base_position, one.revision, one, None)
        for one in at.manifest.segments
    ]
    bases = dict(filter(None, map(parse_segment_name, files.listdir(at.path))))
    number = parts[-1].number + 1 if parts else 1
    while number <= at.mark.segment_number:
        if number not in bases:
            raise CorruptionError(
                os.path.join(at.path, f"{number:010d}-*.segment"),
                0,
                expected=f"segment {number}",
                found="no file",
            )
        offset = at.mark.visible_offset if number == at.mark.segment_number else None
        parts.append(Part(number, bases[number], 0, None, offset))
        number += 1
    return parts


def open_part(files: Files, at: JournalCut, part: Part) -> SegmentFile:
    """Open a segment and make sure that it is the one; raises CorruptionError, OSError."""
    file = SegmentFile(files, os.path.join(at.path, part.name), writable=False)
    check_segment(bytes.fromhex(at.manifest.genesis_id), file, part.number, part.base_position)
    return file


def walk_of(files: Files, at: JournalCut, part: Part) -> CommitWalk:
    """A walk over a segment that has not begun yet."""
    file = open_part(files, at, part)
    return CommitWalk(file, lost=lost_of_part(part), visible_offset=part.visible_offset)


def lost_of_part(part: Part) -> tuple[tuple[int, int], ...]:
    """Positions of a segment that the manifest lists as lost."""
    return (part.entry.lost or ()) if part.entry is not None else ()

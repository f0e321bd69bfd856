"""Checks one segment: all of its bytes, what the manifest says of it, and its table of frames.

Theory of operation: a segment that is whole is walked once, see ``segment_facts.py``. One that is not
whole is read again by ``Salvage``, gap by gap, which tells what is lost. A segment is checked by
itself; what it says is compared with its neighbours, manifest and index by others.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.care.findings import (
    MARK_WRONG,
    RECOVERY_DUE,
    SEGMENT_CUT,
    SEGMENT_FOREIGN,
    SEGMENT_FRAME_DAMAGED,
    SEGMENT_HEADER_DAMAGED,
    SEGMENT_OVERLONG,
    UNCHECKED_KINDS,
    UNREADABLE,
    UNSUPPORTED,
    Finding,
    PositionRange,
    bare_count,
    doctor_command,
    joined,
    newly_lost,
    repair_command,
)
from aurora_es.care.segment_facts import (
    SegmentFacts,
    Target,
    facts_of,
    known_holes,
    whole_count,
    whole_range,
)
from aurora_es.care.table_check import check_table
from aurora_es.errors import CorruptionError, ForeignDirectoryError, UnsupportedFormatError
from aurora_es.files.layer import open_regular
from aurora_es.format.frame import frame_bytes
from aurora_es.format.names import MARK
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.journal.sealed_segments import identity_of
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.segment.salvage import (
    CUT,
    FRAME,
    HEADER,
    OVERLONG,
    Gap,
    Salvage,
    blown_up,
    frames_from,
    open_damaged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.files.layer import Files
    from aurora_es.journal.gathering import Bound
    from aurora_es.segment.frame_table import FramePlaces

_KIND_OF = {
    HEADER: SEGMENT_HEADER_DAMAGED,
    FRAME: SEGMENT_FRAME_DAMAGED,
    CUT: SEGMENT_CUT,
    OVERLONG: SEGMENT_OVERLONG,
}


class SegmentResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of one segment gives."""

    facts: SegmentFacts | None  # None: it is not whole
    findings: list[Finding]
    last_position: int | None  # of its last record, lost or not
    size_bytes: int
    # Whether nothing can have been behind that: the file says so, or its neighbours or the mark.
    is_end_known: bool
    last_commit: int | None = None  # of its last commit, lost or not
    is_unread: bool = False  # not one of its frames is valid, or they are another segment's


class _End(NamedTuple):
    """How a damaged segment ends, the same as in the result."""

    last_position: int | None
    is_end_known: bool
    last_commit: int | None
    is_unread: bool = False


def examine(files: Files, directory: str, target: Target, bound: Bound) -> SegmentResult:
    """Check a segment and its table; raises FileNotFoundError if there is no such file."""
    path = os.path.join(directory, target.file_name)
    findings: list[Finding] = []
    facts: SegmentFacts | None = None
    places: FramePlaces | None = None
    end = _unread(target)
    size = 0
    try:
        fd = open_regular(files, path, os.O_RDONLY)  # a link that leads nowhere is no missing file
        try:
            size = files.fstat(fd).st_size
        finally:
            files.close(fd)
        try:
            file = SegmentFile(files, path, writable=False)
            check_segment(target.genesis_id, file, target.segment_number, target.base_position)
            facts, places = facts_of(file, target, bound)
            end = _End(facts.last_position, _tells_end(target), facts.last_commit)
            if target.is_tail:
                findings += _blown_up(file, directory, target, facts.end[0])
        except CorruptionError as error:
            if _is_foreign(files, path, target):
                findings.append(_foreign(path, directory, target, error))
            else:
                end = _damages(files, path, directory, target, findings)
    except FileNotFoundError:
        raise
    except UnsupportedFormatError as error:
        findings.append(_unchecked(UNSUPPORTED, path, directory, error))
    except (ForeignDirectoryError, OSError) as error:
        findings.append(_unchecked(UNREADABLE, path, directory, error))
    if target.entry is not None:
        identity = identity_of(target.genesis_id, target.entry)
        table = check_table(files, directory, identity, places)
        if table is not None:
            findings.append(table)
    return SegmentResult(
        facts=facts,
        findings=findings,
        last_position=end.last_position,
        size_bytes=size,
        is_end_known=end.is_end_known,
        last_commit=end.last_commit,
        is_unread=end.is_unread and bool(findings) and findings[0].kind not in UNCHECKED_KINDS,
    )


def _tells_end(target: Target) -> bool:
    """Whether its last commit can be the last there was.

    A closed segment has a successor, unless a roll was killed: that is for the mark to say.
    """
    return not target.is_tail or target.visible_offset is not None


def _unread(target: Target) -> _End:
    """The end of a segment of which nothing can be read, as others tell it."""
    last = target.last_position
    return _End(last, last is not None, target.place.last_commit, is_unread=True)


def _is_foreign(files: Files, path: str, target: Target) -> bool:
    """Whether the file has a valid header, but that of another segment."""
    try:
        header = SegmentFile(files, path, writable=False).header
    except CorruptionError:
        return False
    expected = (target.genesis_id, target.segment_number, target.base_position)
    return (header.genesis_id, header.segment_number, header.base_position) != expected


def _foreign(path: str, directory: str, target: Target, error: CorruptionError) -> Finding:
    return Finding(
        kind=SEGMENT_FOREIGN,
        path=path,
        offset=0,
        expected=error.expected,
        found=error.found,
        lost=whole_range(target),
        cure=repair_command(directory),
    )


def _unchecked(kind: str, path: str, directory: str, error: Exception) -> Finding:
    return Finding(
        kind=kind,
        path=path,
        offset=None,
        expected="a file that this version of aurora_es can read",
        found=str(error),
        cure=doctor_command(directory),
    )


def _damages(
    files: Files, path: str, directory: str, target: Target, findings: list[Finding]
) -> _End:
    """Add a finding for each gap of a damaged segment; returns its end."""
    file, header_gap = open_damaged(files, path, target.place)
    if header_gap is not None:
        lost = () if file is not None else whole_range(target)
        findings.append(_finding(path, directory, target, header_gap, lost))
    if file is None:
        return _unread(target)
    if target.is_tail and _mark_is_inside_a_frame(file, target):
        findings.append(_inside_a_frame(file, directory, target))
        return _End(None, True, None)
    salvage = Salvage(file, target.place)
    last = file.header.base_position - 1
    is_end_known = _tells_end(target)
    gaps: list[tuple[Finding, PositionRange]] = []
    for found in salvage:
        if not isinstance(found, Gap):
            last = found.first_position + len(found.records) - 1
            continue
        if found.last_position is None:
            is_end_known = False
            if target.is_tail and target.visible_offset is None:
                # Without a mark nobody can tell an unfinished write from a damage.
                findings += _blown_up(file, directory, target, found.offset)
                continue
        lost = ()
        if found.last_position is not None:
            last = found.last_position
            lost = joined([(found.first_position, last)])
        gaps.append((_finding(path, directory, target, found, lost), found.bare_commits))
    # Without the manifest it is the segment's own frames that tell which holes were known.
    known = known_holes(target) if target.has_manifest else salvage.lost
    findings += [
        msgspec.structs.replace(
            one,
            lost=newly_lost(one.lost, known),
            lost_commits=bare_count([commits], salvage.bare_lost),
        )
        for one, commits in gaps
    ]
    told = target.place.last_commit
    return _End(last, is_end_known, max(salvage.last_commit, told or 0))


def _finding(
    path: str, directory: str, target: Target, gap: Gap, lost: tuple[PositionRange, ...]
) -> Finding:
    kind = _KIND_OF[gap.reason]
    if target.durable_offset is not None and gap.offset >= target.durable_offset:
        kind = RECOVERY_DUE
    return Finding(
        kind=kind,
        path=path,
        offset=gap.offset,
        expected=gap.expected,
        found=gap.found,
        lost=lost,
        cure=repair_command(directory),
    )


def _blown_up(file: SegmentFile, directory: str, target: Target, end: int) -> Iterator[Finding]:
    """Bytes behind the end of the tail, if they are so many that nobody appends there."""
    gap = blown_up(file, end)
    if gap is not None:
        finding = _finding(file.path, directory, target, gap, ())
        yield msgspec.structs.replace(finding, kind=SEGMENT_OVERLONG)


def _mark_is_inside_a_frame(file: SegmentFile, target: Target) -> bool:
    """Whether a valid frame of the tail begins before the mark's offset and ends behind it."""
    visible = target.visible_offset
    if visible is None:
        return False
    last = (0, 0)
    for offset, header in frames_from(file, SEGMENT_HEADER_BYTES, file.size_bytes()):
        place = (header.first_position, header.commit_number)
        if place < last:
            continue  # of before: a write that went astray has brought it here
        last = place
        if offset < visible < offset + frame_bytes(header.stored_length):
            return True
    return False


def _inside_a_frame(file: SegmentFile, directory: str, target: Target) -> Finding:
    return Finding(
        kind=MARK_WRONG,
        path=os.path.join(directory, MARK),
        offset=None,
        expected=f"a visible offset between two frames of {file.path}",
        found=f"offset {target.visible_offset}, inside a valid frame",
        cure=repair_command(directory),
    )


class Held(NamedTuple):
    """What another file holds of a segment."""

    lost: tuple[PositionRange, ...]  # positions that are not in it
    lost_commits: int  # number of commits without any that are not
    last_position: int | None = None
    last_commit: int | None = None


def held_by(files: Files, directory: str, target: Target) -> Held:
    """What the file of ``target`` holds of the segment."""
    findings: list[Finding] = []
    path = os.path.join(directory, target.file_name)
    try:
        end = _damages(files, path, directory, target, findings)
    except (OSError, UnsupportedFormatError, ForeignDirectoryError):
        end = _unread(target)
    if end.is_unread:
        return Held(whole_range(target), whole_count(target))
    lost = joined(one for finding in findings for one in finding.lost)
    bare = sum(finding.lost_commits for finding in findings)
    return Held(lost, bare, end.last_position, end.last_commit)

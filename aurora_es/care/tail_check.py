"""Is the tail what recovery would accept? Else it is repaired like any other damaged segment.

Theory of operation: the same judgement as recovery's. The chain of valid commits has to reach what
the mark says was durable, and no valid frame behind its end may have been written after bytes in
between were synced. What lies behind the end is then a torn tail, and left to recovery.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.care.survey import follows
from aurora_es.errors import CorruptionError
from aurora_es.format.frame import KIND_END, KIND_RECORDS, frame_bytes
from aurora_es.format.names import segment_name
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.journal.catch_up import decode_commit, read_checkpoint
from aurora_es.journal.recovery import refuse_later_frames
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.segment.salvage import blown_up, frames_from
from aurora_es.segment.walk import Walk, start_of, stop_error

if TYPE_CHECKING:
    from aurora_es.care.survey import Boundary, Survey
    from aurora_es.files.layer import Files
    from aurora_es.format.mark import Mark
    from aurora_es.segment.walk import Chain, Stop


class Tail(NamedTuple):
    """A tail that recovery accepts."""

    name: str
    offset: int  # behind its last commit
    position: int
    commit_number: int
    mark_problem: str  # why the mark is not one of this tail; empty: it is, or is missing
    is_end_known: bool  # whether nothing behind that can have been acknowledged
    lost_commits: int = 0  # behind that, with a tracking record only: the mark vouches for them


def mark_of_tail(found: Survey) -> Mark | None:
    """The mark, if it speaks of the tail."""
    mark = found.mark
    return mark if mark is not None and mark.segment_number == found.tail_number else None


def check_tail(files: Files, found: Survey, before: Boundary) -> Tail:
    """Walk the tail, which follows ``before``; raises CorruptionError where recovery would.

    Raises UnsupportedFormatError for what a newer version wrote.
    """
    name = segment_name(found.tail_number, before.position + 1)
    path = os.path.join(found.path, name)
    if name not in found.names:
        raise CorruptionError(path, 0, expected="the newest segment", found="no file")
    file = SegmentFile(files, path, writable=False)
    check_segment(found.genesis_id, file, found.tail_number, before.position + 1)
    _check_predecessor(file, before)
    mark = mark_of_tail(found)
    chain, at_mark, stop = _walked(file, mark)
    if (gap := blown_up(file, chain.offset)) is not None:
        raise CorruptionError(path, gap.offset, expected=gap.expected, found=gap.found)
    if mark is None:
        # Zeros, the end of the file and bytes that are no frame prove nothing: commits may be lost.
        # Unless a roll, or a repair, was killed when it had made this segment: see its predecessor.
        is_end_known = (
            found.mark is not None
            and found.mark.segment_number + 1 == found.tail_number
            and (not found.mark_problem or chain.commit_number >= file.header.base_commit)
        )
        return Tail(name, chain.offset, chain.position, chain.commit_number, "", is_end_known)
    if chain.offset < mark.durable_offset and chain.position < mark.visible_position:
        raise stop_error(file, stop)
    problem = ""
    place = (mark.visible_offset, mark.visible_position, mark.visible_commit)
    if mark.durable_offset > chain.offset or (mark.visible_offset <= chain.offset and not at_mark):
        problem = "expected the end of a commit, found offset {}, position {}, commit {}".format(
            *place
        )
    # Of a mark with a damaged slot that may have been the newer one: a commit behind it was vouched
    # for by that, and where there is none, it is lost, or there was none.
    is_end_known = not found.mark_problem or chain.offset > mark.visible_offset
    lost_commits = 0
    if chain.offset < mark.durable_offset and chain.position == mark.visible_position:
        lost_commits = max(0, mark.visible_commit - chain.commit_number)
    return Tail(
        name, chain.offset, chain.position, chain.commit_number, problem, is_end_known, lost_commits
    )


def _walked(file: SegmentFile, mark: Mark | None) -> tuple[Chain, bool, Stop]:
    """The chain behind the last commit, in front of an end frame, and why it ends there.

    And whether the place that the mark names is behind one of the commits.
    """
    chain = start_of(file)
    walk = Walk(file, chain, file.size_bytes())
    behind = chain.copy()
    at_mark = False
    for frames in walk:
        kind = frames[0].header.kind
        if kind == KIND_RECORDS:
            decode_commit(file, frames)
        elif kind == KIND_END:
            break
        elif chain.frame_count == 1:
            read_checkpoint(file, frames[0])
        behind = chain.copy()
        if mark is not None and chain.offset == mark.visible_offset:
            place = (chain.position, chain.commit_number)
            at_mark = place == (mark.visible_position, mark.visible_commit)
    if not chain.ended:
        if not behind.frame_count or walk.stop.reason == "unsupported":
            raise stop_error(file, walk.stop)
        refuse_later_frames(file, chain, walk.stop)
    return behind, at_mark, walk.stop


def _check_predecessor(file: SegmentFile, before: Boundary) -> None:
    header = file.header
    if not follows(header, before):
        text = "a predecessor that ends at {} with position {}, checksum {}"
        end, checksum = before.end or (0, 0)
        raise CorruptionError(
            file.path,
            0,
            expected=text.format(end, before.position, checksum),
            found=text.format(
                header.previous_end, header.previous_position, header.previous_checksum
            ),
        )


def valid_end(file: SegmentFile) -> int:
    """Offset behind the last valid frame of a damaged tail."""
    end = SEGMENT_HEADER_BYTES
    for offset, header in frames_from(file, SEGMENT_HEADER_BYTES, file.size_bytes()):
        end = max(end, offset + frame_bytes(header.stored_length))
    return end

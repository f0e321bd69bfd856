"""What a check of a journal finds: one fault each, with its place, and what it costs.

Theory of operation: a ``Finding`` is a value that a program can go by. Its kind is a stable code;
``lost`` names the positions whose records no byte in the directory can bring back, and
``lost_commits`` counts commits without records that are gone: where both are empty, ``cure`` restores
everything. A fault of a cache (an index run, a table of
frames) never costs a record. Findings of the same damage are not repeated: what follows from a
fault found before, as the order of frames behind a hole, is no finding of its own.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec

from aurora_es.journal.holes import Holes

if TYPE_CHECKING:
    from collections.abc import Iterable

PositionRange = tuple[int, int]  # first and last position, inclusive

MANIFEST_MISSING = "manifest-missing"
MANIFEST_DAMAGED = "manifest-damaged"
MANIFEST_WRONG = "manifest-wrong"  # valid, but contradicts itself or the segments
MARK_MISSING = "mark-missing"
MARK_DAMAGED = "mark-damaged"  # no valid slot
MARK_SLOT_DAMAGED = "mark-slot-damaged"  # one of two: the next append writes it again
MARK_WRONG = "mark-wrong"  # valid, but contradicts the segments
SEGMENT_MISSING = "segment-missing"
SEGMENT_FOREIGN = "segment-foreign"  # of another journal, or under the name of another segment
SEGMENT_HEADER_DAMAGED = "segment-header-damaged"
SEGMENT_FRAME_DAMAGED = "segment-frame-damaged"
SEGMENT_CUT = "segment-cut"  # it ends before its end frame, or before the mark
SEGMENT_OVERLONG = "segment-overlong"  # there are bytes behind its end frame
SEGMENT_WRONG = "segment-wrong"  # valid by itself, but not the one that others vouch for
RUN_MISSING = "run-missing"
RUN_DAMAGED = "run-damaged"
RUN_WRONG = "run-wrong"  # valid by itself, but not what the records say
TABLE_MISSING = "table-missing"
TABLE_DAMAGED = "table-damaged"
TABLE_WRONG = "table-wrong"  # valid by itself, but not where the frames are
FILE_STRANGE = "file-strange"  # a link, a directory, a FIFO where a lock file belongs, or a draft
FILE_MODE = "file-mode"  # a small file that only who appends needs, with rights by which he cannot
# Visible commits that were not synced are gone, or the mark is from before a segment was sealed: what
# a power cut may leave. The next append recovers.
RECOVERY_DUE = "recovery-due"
UNSUPPORTED = "unsupported"  # of a newer version: not wrong, but it could not be checked
UNREADABLE = "unreadable"  # the operating system did not give it: it could not be checked

# Files that are made anew from segments: nothing can be lost with them.
CACHE_KINDS = frozenset(
    {RUN_MISSING, RUN_DAMAGED, RUN_WRONG, TABLE_MISSING, TABLE_DAMAGED, TABLE_WRONG}
)
# Not faults of the journal, as far as anybody could see.
UNCHECKED_KINDS = frozenset({UNSUPPORTED, UNREADABLE, FILE_MODE})
# Faults that are in the way of who appends, and of nobody who reads or copies.
APPENDERS_KINDS = frozenset({FILE_STRANGE, FILE_MODE})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a journal."""

    kind: str  # a stable code
    path: str  # of the file
    offset: int | None  # of the first wrong byte's structure; None: the file as a whole
    expected: str  # what belongs there
    found: str  # what is there
    # Positions that no byte in the directory can bring back, rising and apart from each other; but
    # for those that were known to be lost.
    lost: tuple[PositionRange, ...] = ()
    # Number of commits that no byte can bring back and that had no position: each held a tracking
    # record only. Who follows others goes on from an earlier one, and handles some events again.
    lost_commits: int = 0
    cure: str  # the command line to run next


def repair_command(path: str) -> str:
    """The command line that says what a repair of the journal ``path`` would change."""
    return f"aurora-es repair {shlex.quote(path)} --dry-run"


def rebuild_command(path: str) -> str:
    """The command line that makes index runs and tables of the journal ``path`` anew."""
    return f"aurora-es rebuild {shlex.quote(path)}"


def doctor_command(path: str) -> str:
    """The command line that says why files of the journal ``path`` may not be readable."""
    return f"aurora-es doctor {shlex.quote(path)}"


def joined(ranges: Iterable[PositionRange]) -> tuple[PositionRange, ...]:
    """The same positions as rising ranges that neither overlap nor touch; empty ones are left out."""
    result: list[PositionRange] = []
    for first, last in sorted(ranges):
        if last < first:
            continue
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return tuple(result)


def newly_lost(
    lost: Iterable[PositionRange], known: Iterable[PositionRange]
) -> tuple[PositionRange, ...]:
    """What of ``lost`` is not among the holes that are ``known``: what a damage costs."""
    holes = Holes(joined(known))
    return joined(piece for first, last in lost for piece in holes.pieces(first, last))


def bare_count(lost: Iterable[PositionRange], told: Iterable[PositionRange] = ()) -> int:
    """Number of commits that held a tracking record only and are lost now.

    ``lost`` are the stretches of commits in which no position is missing, from the first to the last
    one; ``told`` are those that the segment itself says an earlier repair has found lost.
    """
    return count_of(newly_lost(lost, told))


def count_of(ranges: Iterable[PositionRange]) -> int:
    """Number of positions in ranges that do not overlap."""
    return sum(last + 1 - first for first, last in ranges)

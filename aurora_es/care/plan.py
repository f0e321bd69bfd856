"""What a repair has to do, as a value: computed once, then shown, executed, or both.

Theory of operation: segment by segment, from the first on, it is known where each one begins. One
that is whole stays. Any other is written again from what can be read of it, up to where its
successor, the manifest or the mark says that it ended; what is missing then is lost, and stays so:
positions are never used again. If that is the newest one, a fresh tail follows it. Everything that
names segments is made to fit: the manifest, the runs over segments that have changed, the mark.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.care.findings import bare_count, count_of, joined, newly_lost
from aurora_es.care.manifest_anew import newest_epoch
from aurora_es.care.renamed import is_renamed
from aurora_es.care.survey import (
    Boundary,
    Candidate,
    Survey,
    as_listed,
    end_of,
    fits,
    follows,
    is_in_place,
    next_revision,
    whole_segment,
)
from aurora_es.care.tail_check import Tail, check_tail, mark_of_tail, valid_end
from aurora_es.errors import CorruptionError
from aurora_es.format.names import segment_name
from aurora_es.format.packed import LostPayload
from aurora_es.segment.commits import SegmentCommit
from aurora_es.segment.salvage import Gap, Place, Salvage, open_damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from aurora_es.care.findings import PositionRange
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import SealedSegment


class SegmentPlan(NamedTuple):
    """A segment that is to be written again."""

    number: int
    source: str | None  # file that is read; None: there is none
    place: Place
    begin: Boundary  # the end of its predecessor
    end: Boundary
    revision: int
    problem: str
    lost: tuple[PositionRange, ...]  # new ones, and those lost before
    is_end_known: bool  # whether nothing behind ``end`` can have been acknowledged
    told: tuple[PositionRange, ...] = ()  # those of the latter that its own frames tell
    lost_commits: int = 0  # that held a tracking record only, and are lost now

    @property
    def cost(self) -> tuple[int, int]:
        """How much is lost: the less, the better."""
        return count_of(self.lost), self.lost_commits


class Plan(NamedTuple):
    """All that is to be done."""

    found: Survey
    segments: dict[int, SealedSegment | SegmentPlan]  # closed ones, in order; the manifest's to be
    unlisted: dict[int, Candidate]  # whole, closed, and left for sealing
    tail: Tail | None  # None: a fresh one is made
    removed: dict[str, str]  # files that are moved aside, and why
    assumptions: tuple[str, ...]

    @property
    def repaired(self) -> list[SegmentPlan]:
        """The segments that are to be written again."""
        return [one for one in self.segments.values() if isinstance(one, SegmentPlan)]

    @property
    def lost(self) -> tuple[PositionRange, ...]:
        """Positions that are lost now and were not known to be lost before."""
        return newly_lost(self.holes, self.known)

    @property
    def holes(self) -> tuple[PositionRange, ...]:
        """All positions that are lost when it is done."""
        return joined(one for segment in self.segments.values() for one in segment.lost or ())

    @property
    def known(self) -> tuple[PositionRange, ...]:
        """Those that were known before: the manifest lists them, or else segments tell."""
        settings = self.found.settings
        known = (
            [one for segment in settings.segments for one in segment.lost or ()] if settings else []
        )
        if self.found.manifest is None:
            for segment in self.segments.values():
                known += segment.told if isinstance(segment, SegmentPlan) else segment.lost or ()
        return joined(known)

    @property
    def lost_commits(self) -> int:
        """Number of commits that are lost and held a tracking record only."""
        in_tail = 0 if self.tail is None else self.tail.lost_commits
        return in_tail + sum(segment.lost_commits for segment in self.repaired)

    @property
    def lost_behind(self) -> int | None:
        """Position behind which more may be lost, without anything to tell; None: none is."""
        found, tail = self.found, self.tail
        if tail is not None:
            return None if tail.is_end_known and not self._is_mark_old else tail.position
        newest = self.segments[found.tail_number]
        assert isinstance(newest, SegmentPlan)
        return None if newest.is_end_known else newest.end.position

    @property
    def _is_mark_old(self) -> bool:
        """Whether the mark names a place in a segment that was longer, and is written again."""
        mark = self.found.mark
        named = None if mark is None else self.segments.get(mark.segment_number)
        return (
            mark is not None
            and isinstance(named, SegmentPlan)
            and mark.visible_position < named.end.position
        )

    @property
    def mark_problem(self) -> str:
        """Why the mark has to be written again; empty: it need not."""
        return self.wrong_mark or self.found.mark_problem

    @property
    def moves_mark(self) -> bool:
        """Whether the mark is to name the end of the tail, and not what it names now."""
        found = self.found
        if self.wrong_mark or found.mark is None or self.tail is None:
            return True
        # A damaged slot may have been the newer one: what it vouched for is in the tail.
        return bool(found.mark_problem) and self.tail.offset > found.mark.visible_offset

    @property
    def wrong_mark(self) -> str:
        """Why the mark does not say where the tail ends; empty: it does."""
        found, mark = self.found, self.found.mark
        if mark is None:
            return found.mark_problem
        if self.tail is None:
            return "the newest segment is written again"
        if mark.segment_number in self.segments:
            return f"it names segment {mark.segment_number}, which is sealed"
        if mark.segment_number + 1 < found.tail_number:
            # A roll makes the next segment before the mark names it, and no roll makes two.
            newest = f"segment {found.tail_number} is the newest"
            return f"it names segment {mark.segment_number}, and {newest}"
        return self.tail.mark_problem

    @property
    def epoch(self) -> int:
        """A new one, unless nothing that anybody may have seen is touched, or may be lost."""
        is_new = bool(self.manifest_problem or self.wrong_mark or self.removed)
        # Behind a damaged slot that may have been the newer one positions are used again.
        is_new |= self.lost_behind is not None
        return newest_epoch(self.found) + is_new

    @property
    def manifest_problem(self) -> str:
        """Why the manifest has to be written again; empty: it need not."""
        found = self.found
        if found.manifest is None:
            return found.manifest_problem
        if [*self.segments.values()] != found.manifest.segments:
            return "it lists segments otherwise than they are now"
        return ""


def make_plan(
    files: Files,
    found: Survey,
    told: Callable[[], object],
    *,
    verified: Collection[int] = (),
) -> Plan:
    """Walk every segment, and decide; ``told`` is called after each.

    The segments with the numbers ``verified`` are known to be what the manifest lists. Raises UnsupportedFormatError, OSError.
    """
    before = _start(found)
    segments: dict[int, SealedSegment | SegmentPlan] = {}
    used: dict[int, Candidate] = {}
    for number in range(found.first_number, found.tail_number):
        whole: tuple[Candidate, SealedSegment] | None
        if number in verified:
            whole = as_listed(found, number)
        else:
            whole = whole_segment(files, found, number, before)
        if whole is not None and is_in_place(*whole):
            used[number], segments[number] = whole
            before = end_of(whole[1])
        else:
            planned = _plan_segment(files, found, number, before)
            segments[number], before = planned, planned.end
        told()
    tail: Tail | None = None
    try:
        tail = check_tail(files, found, before)
    except CorruptionError as error:
        problem = f"expected {error.expected}, found {error.found}"
        planned = _plan_segment(files, found, found.tail_number, before, problem)
        segments[found.tail_number] = planned
    told()
    listed, unlisted = _split(found, segments, used)
    return Plan(
        found,
        listed,
        unlisted,
        tail,
        _removed(found, segments),
        _assumptions(found),
    )


def _start(found: Survey) -> Boundary:
    """Where the first segment begins."""
    if found.first_number == 1:
        return Boundary(0, 0, (0, 0))  # behind nothing
    listed = found.listed(found.first_number)
    if listed is not None:
        return Boundary(listed.base_position - 1, listed.base_commit - 1)
    boundary = found.told_by_others(found.first_number - 1)
    assert boundary is not None  # there is a file with this number
    return boundary


def _plan_segment(
    files: Files, found: Survey, number: int, before: Boundary, problem: str = ""
) -> SegmentPlan:
    """Read what is left of a segment, once, to know what is lost."""
    is_tail = number == found.tail_number
    told = _vouched(found, before) if is_tail else _told_by_others(files, found, number, before)
    place = Place(
        found.genesis_id,
        number,
        before.position + 1,
        None if before.commit_number is None else before.commit_number + 1,
        None if told is None else told.position,
        None if told is None else told.commit_number,
    )
    best: SegmentPlan | None = None
    for candidate in found.candidates.get(number, []):
        planned = _salvaged(files, found, candidate, place, before, told)
        if planned is not None and (best is None or planned.cost < best.cost):
            best = planned
    if best is None:
        end = told or before
        begin = before
        if begin.commit_number is None:
            begin = begin._replace(commit_number=(end.commit_number or 1) - 1)
        end = end._replace(commit_number=_commit_of(begin, end))
        assert begin.commit_number is not None
        assert end.commit_number is not None
        lost = [(begin.position + 1, end.position)] if end != begin else []
        bare = [] if joined(lost) else [(begin.commit_number + 1, end.commit_number)]
        several = found.candidates.get(number, [])
        missing = "nothing of it can be read" if several else "the file is missing"
        if any(one.header is not None for one in several):
            missing = "it is of another history, and does not fit in"
        is_end_known = not is_tail or (told is not None and not found.mark_problem)
        best = SegmentPlan(
            number,
            None,
            place,
            begin,
            end,
            0,
            missing,
            joined(lost),
            is_end_known,
            lost_commits=bare_count(bare),
        )
    return best._replace(revision=next_revision(found, number), problem=problem or best.problem)


def _commit_of(begin: Boundary, end: Boundary) -> int:
    """Number of the last commit of a segment; where only positions are known, one has them all."""
    assert begin.commit_number is not None
    if end.commit_number is not None:
        return end.commit_number
    return begin.commit_number + (end.position > begin.position)


def _vouched(found: Survey, before: Boundary) -> Boundary | None:
    """What the mark says of the tail."""
    mark = mark_of_tail(found)
    if mark is None or mark.visible_position < before.position:
        return None
    return Boundary(mark.visible_position, mark.visible_commit)


def _told_by_others(files: Files, found: Survey, number: int, before: Boundary) -> Boundary | None:
    """The end of a closed segment, as far as anything but itself tells."""
    told = found.told_by_others(number)
    if told is None or told.position < before.position:
        return None
    if told.commit_number is None:
        place = Place(found.genesis_id, number + 1, told.position + 1)
        for candidate in found.candidates[number + 1]:
            path = os.path.join(found.path, candidate.name)
            file, _ = open_damaged(files, path, place)
            if file is not None:
                return told._replace(commit_number=file.header.base_commit - 1)
    return told


def _salvaged(  # noqa: PLR0913, PLR0917 - one file, and what is known of it
    files: Files,
    found: Survey,
    candidate: Candidate,
    place: Place,
    before: Boundary,
    told: Boundary | None,
) -> SegmentPlan | None:
    header = candidate.header
    if header is not None and not follows(header, before):
        return None  # of another history
    path = os.path.join(found.path, candidate.name)
    is_end_known = True
    if place.segment_number == found.tail_number:
        file, _ = open_damaged(files, path, place)
        mark = mark_of_tail(found)
        if file is not None:
            visible = max(0 if mark is None else mark.visible_offset, valid_end(file))
            place = place._replace(visible_offset=visible)
            is_end_known = mark is not None and (
                not found.mark_problem or visible > mark.visible_offset
            )
    salvage, gap = open_salvage(files, path, place)
    if salvage is None:
        return None
    begin = before
    if begin.commit_number is None:
        begin = begin._replace(commit_number=salvage.file.header.base_commit - 1)
    problem, lost, bare = candidate.problem, [], []
    if gap is not None:
        problem = f"offset 0: expected {gap.expected}, found {gap.found}"
    position, number = begin.position, begin.commit_number or 0
    for part in parts_of(noted := _Noted(salvage), begin, None):
        if isinstance(part, LostPayload):
            lost.append(part.positions)
            bare.append(part.bare_commits)
            position, number = part.last_position, part.last_commit
        else:
            position = part.first_position + len(part.records) - 1
            number = part.commit_number
    ending = salvage.end
    if ending is not None and not fits(
        found, place.segment_number, (ending.original_end, ending.original_checksum)
    ):
        return None
    end = _end_of(salvage, told, Boundary(position, number))
    if end.position > position:
        lost.append((position + 1, end.position))
    elif end.commit_number is not None:
        bare.append((number + 1, end.commit_number))
    return SegmentPlan(
        place.segment_number,
        candidate.name,
        place,
        begin,
        end,
        0,
        problem or noted.problem or "its contents are not what the manifest lists",
        joined(lost),
        is_end_known,
        joined(salvage.lost),
        bare_count(bare, salvage.bare_lost),
    )


def _end_of(salvage: Salvage, told: Boundary | None, read: Boundary) -> Boundary:
    """Where a segment ended: what others say, what its end frame says, what was read."""
    assert read.commit_number is not None
    end = salvage.end
    original = None if end is None else (end.original_end, end.original_checksum)
    if told is None:
        return read._replace(end=original)
    position = max(told.position, read.position)
    commit = max(told.commit_number or 0, read.commit_number)
    if position > read.position:
        commit = max(commit, read.commit_number + 1)
    return Boundary(position, commit, told.end or original)


class _Noted:
    """Items of a salvage; the first problem is noted on the way."""

    def __init__(self, salvage: Salvage) -> None:
        self._salvage = salvage
        self.problem = ""

    def __iter__(self) -> Iterator[SegmentCommit | Gap]:
        for item in self._salvage:
            if isinstance(item, Gap) and not self.problem:
                self.problem = f"offset {item.offset}: expected {item.expected}, found {item.found}"
            yield item


def open_salvage(files: Files, path: str, place: Place) -> tuple[Salvage | None, Gap | None]:
    """Begin to read a damaged segment; None where not one of its frames is valid."""
    file, gap = open_damaged(files, path, place)
    return (None if file is None else Salvage(file, place)), gap


def parts_of(
    items: Iterable[SegmentCommit | Gap], begin: Boundary, end: Boundary | None
) -> Iterator[SegmentCommit | LostPayload]:
    """The commits of a damaged segment, with what is lost between them and up to ``end``.

    Positions and commit numbers tell what that is, so gaps need not be looked at.
    """
    assert begin.commit_number is not None
    position, number = begin.position, begin.commit_number
    for item in items:
        if isinstance(item, Gap):
            continue
        if item.commit_number > number + 1:
            yield LostPayload(
                position + 1, item.first_position - 1, number + 1, item.commit_number - 1
            )
        yield item
        position = item.first_position + len(item.records) - 1
        number = item.commit_number
    if end is not None and end.commit_number is not None and end.commit_number > number:
        yield LostPayload(position + 1, end.position, number + 1, end.commit_number)


def _split(
    found: Survey,
    segments: dict[int, SealedSegment | SegmentPlan],
    used: dict[int, Candidate],
) -> tuple[dict[int, SealedSegment | SegmentPlan], dict[int, Candidate]]:
    """What the manifest has to list: all up to the last one that is written again."""
    listed = [] if found.manifest is None else found.manifest.segments
    last = listed[-1].segment_number if listed else 0
    if found.manifest is None:
        last = found.tail_number
    for number, segment in segments.items():
        if isinstance(segment, SegmentPlan):
            last = max(last, number)
        elif segment.revision:
            last = max(last, number)  # a name that only the manifest leads to
    return (
        {number: one for number, one in segments.items() if number <= last},
        {number: one for number, one in used.items() if number > last},
    )


def _removed(found: Survey, segments: dict[int, SealedSegment | SegmentPlan]) -> dict[str, str]:
    removed = {one.name: one.problem for one in found.foreign}
    for number, segment in segments.items():
        listed = found.listed(number)
        for candidate in found.candidates.get(number, []):
            if is_renamed(candidate.name):
                if isinstance(segment, SegmentPlan) and candidate.name == segment.source:
                    removed[candidate.name] = candidate.problem
            elif isinstance(segment, SegmentPlan):
                removed[candidate.name] = candidate.problem or segment.problem
            elif _is_replaced(found, candidate, segment):
                kept = segment_name(number, segment.base_position, segment.revision)
                reason = "it is damaged, and " if listed else ""
                removed[candidate.name] = f"{reason}{kept} is whole and takes its place"
    for several in found.candidates.values():
        for candidate in several:
            if _is_misnamed(candidate):
                removed.setdefault(candidate.name, candidate.problem)
    return removed


def _is_misnamed(candidate: Candidate) -> bool:
    """Whether a file bears the name of another segment than the one it is: no reader finds it."""
    header = candidate.header
    if header is None or is_renamed(candidate.name):
        return False  # the latter bears no segment's, and may be there
    return candidate.name != segment_name(
        header.segment_number, header.base_position, candidate.revision
    )


def _is_replaced(found: Survey, candidate: Candidate, segment: SealedSegment) -> bool:
    """Whether a file is the one that readers found before; all of them, where nothing was listed."""
    if found.manifest is None:
        return candidate.revision != segment.revision
    listed = found.listed(segment.segment_number)
    before = 0 if listed is None else listed.revision  # no reader finds a cooled copy by itself
    return candidate.revision == before != segment.revision


def _assumptions(found: Survey) -> tuple[str, ...]:
    if found.manifest is not None or found.first_number == 1:
        return ()
    assumed = (
        f"segments before segment {found.first_number} are taken for dropped by `retain`; if they were"
        " not, their events are lost, and a backup may have them"
    )
    return (assumed,)

"""Where the journals of a backup are cut, so that what is restored is consistent.

Theory of operation: each journal is cut behind a commit. A time gives one for every journal. Clocks
may have been set back between two journals, and a position names one journal only; so afterwards,
wherever a tracking record would name a notification that is cut away, its own journal is cut before
that commit, until nothing changes any more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.care.layout import Part, commits_of, open_part, parts_at, walk_of
from aurora_es.errors import ArgumentError
from aurora_es.format.packed import decode_tracking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aurora_es.care.cut import JournalCut
    from aurora_es.files.layer import Files
    from aurora_es.segment.commits import SegmentCommit

EVENTS = "events"
_ANY = (1 << 64) - 1  # of an application that is not in the backup


class RestorePoint(NamedTuple):
    """The last commit of a journal that is restored."""

    at: JournalCut
    parts: list[Part]
    commit_number: int
    position: int  # of the last record up to there
    timestamp: int  # of that commit; 0 where nobody asked


def points_at_end(files: Files, cuts: Sequence[JournalCut]) -> list[RestorePoint]:
    """Everything."""
    return [_end(files, at) for at in cuts]


def points_at_time(files: Files, cuts: Sequence[JournalCut], timestamp: int) -> list[RestorePoint]:
    """All commits up to a time (microseconds, UTC)."""
    points = [_last(files, at, lambda commit: commit.timestamp <= timestamp) for at in cuts]
    return _without_orphans(files, points)


def points_at_position(
    files: Files, cuts: Sequence[JournalCut], position: int
) -> list[RestorePoint]:
    """All commits of the one journal, or of the one application's events, up to a position."""
    events = [at for at in cuts if os.path.basename(at.path) == EVENTS]
    chosen = cuts[0] if len(cuts) == 1 else events[0] if len(events) == 1 else None
    if chosen is None:
        message = (
            f"position: expected the backup of one journal or one application, found"
            f" {len(cuts)} journals; restore to a time, which all of them share"
        )
        raise ArgumentError(message)
    if not 0 <= position <= chosen.mark.visible_position:
        message = (
            f"position: expected 0 to {chosen.mark.visible_position}, the last one in the backup;"
            f" found {position}"
        )
        raise ArgumentError(message)
    point = _last(
        files, chosen, lambda commit: commit.first_position + len(commit.records) - 1 <= position
    )
    points = [
        point
        if at is chosen
        else _last(files, at, lambda commit: commit.timestamp <= point.timestamp)
        for at in cuts
    ]
    return _without_orphans(files, points)


def _end(files: Files, at: JournalCut) -> RestorePoint:
    mark = at.mark
    return RestorePoint(at, parts_at(files, at), mark.visible_commit, mark.visible_position, 0)


def _last(files: Files, at: JournalCut, belongs: Callable[[SegmentCommit], bool]) -> RestorePoint:
    """The last commit that ``belongs``; those behind the first one that does not are cut away.

    Segments are looked at from the newest one on: the first commit of one tells whether the cut
    falls into it.
    """
    parts = parts_at(files, at)
    for part in reversed(parts):
        last: SegmentCommit | None = None
        is_end = True
        for commit in commits_of(files, at, part):
            if not belongs(commit):
                is_end = False
                break
            last = commit
        if last is not None:
            if part is parts[-1] and is_end:
                mark = at.mark
                return RestorePoint(
                    at, parts, mark.visible_commit, mark.visible_position, last.timestamp
                )
            position = last.first_position + len(last.records) - 1
            return RestorePoint(at, parts, last.commit_number, position, last.timestamp)
    first = open_part(files, at, parts[0]).header
    if parts[0].number > 1:
        message = (
            f"{at.path}: expected a point at or behind position {first.base_position}, where the"
            " backup begins (earlier segments were dropped by retention); found one before it"
        )
        raise ArgumentError(message)
    return RestorePoint(at, parts, 0, 0, 0)


# Tracking


def _without_orphans(files: Files, points: list[RestorePoint]) -> list[RestorePoint]:
    """Cut further, until no tracking record names what is cut away."""
    while True:
        ends: dict[str | None, int] = {
            point.at.manifest.name: point.position
            for point in points
            if os.path.basename(point.at.path) == EVENTS and point.at.manifest.name is not None
        }
        changed = [_without_orphans_of(files, point, ends) for point in points]
        if changed == points:
            return points
        points = changed


def _without_orphans_of(
    files: Files, point: RestorePoint, ends: dict[str | None, int]
) -> RestorePoint:
    """The same, or an earlier point: before the first commit that tracks what is cut away."""
    orphan = next(_orphans(files, point, ends), None)
    if orphan is None:
        return point
    return _last(files, point.at, lambda commit: commit.commit_number < orphan.commit_number)


def _orphans(
    files: Files, point: RestorePoint, ends: dict[str | None, int]
) -> Iterator[SegmentCommit]:
    """Commits up to the point that track beyond the end of their upstream, in order.

    Tracking rises, so that a segment whose successor's table is within bounds has none.
    """
    at = point.at
    kept = [part for part in point.parts if _base_commit(files, at, part) <= point.commit_number]
    first = 0
    for index in reversed(range(len(kept))):
        walk = walk_of(files, at, kept[index])
        next(iter(walk), None)
        table = walk.tracking_before() if walk.checkpoint is not None else []
        if all(one.notification_id <= ends.get(one.application_name, _ANY) for one in table):
            first = index
            break
    for part in kept[first:]:
        for commit in commits_of(files, at, part):
            if commit.commit_number > point.commit_number:
                return
            if commit.tracking is None:
                continue
            tracking = decode_tracking(commit.tracking)
            if tracking.notification_id > ends.get(tracking.application_name, _ANY):
                yield commit


def _base_commit(files: Files, at: JournalCut, part: Part) -> int:
    return open_part(files, at, part).header.base_commit

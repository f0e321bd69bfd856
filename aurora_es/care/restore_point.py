"""Where the journals of a backup are cut to be restored to a position or a time.

Theory of operation: a cut is at the end of a commit. For a time, each journal is cut behind its
last commit at or before it; then, as long as a tracking record within a cut lies beyond the cut of
what it tracks, the cut of the tracking journal moves in front of that commit. Cuts only move back,
so this ends, with the latest cuts that agree.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aurora_es.care.layout import walk_of
from aurora_es.format.names import directory_name
from aurora_es.format.packed import decode_tracking

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.care.layout import JournalCut, Part
    from aurora_es.files.layer import Files
    from aurora_es.format.mark import Mark
    from aurora_es.segment.commits import SegmentCommit


@dataclass(slots=True)
class Point:
    """One journal of a backup, and where it is cut."""

    path: str  # relative
    at: JournalCut
    parts: list[Part]  # its segments
    commit: int  # the last one that is kept
    position: int

    @property
    def mark(self) -> Mark:
        """The mark of the backup."""
        return self.at.mark


def cut_at(
    files: Files, points: list[Point], *, position: int | None, timestamp: int | None
) -> None:
    """Move the cuts of ``points``, which are at their ends, back as asked."""
    for point in points:
        if position is not None:
            _cut_where(files, point, lambda one: last_position(one) <= position)
        elif timestamp is not None:
            _cut_where(files, point, lambda one: one.timestamp <= timestamp)
    if position is not None or timestamp is not None:
        agree(files, points)


def agree(files: Files, points: list[Point]) -> None:
    """Move cuts further back until no tracking record lies beyond what it tracks."""
    by_name = {os.path.normpath(point.path): point for point in points}
    moved = True
    while moved:
        moved = False
        for point in points:
            moved = _cut_tracking(files, point, by_name) or moved


def last_position(commit: SegmentCommit) -> int:
    """Position of its last record."""
    return commit.first_position + len(commit.records) - 1


def _cut_where(files: Files, point: Point, is_kept: Callable[[SegmentCommit], bool]) -> None:
    """Cut behind the last commit that ``is_kept``; all before it are."""
    for part in reversed(point.parts):
        walk = walk_of(files, point.at, part)
        header = walk.file.header
        if header.base_commit > point.commit:
            continue
        kept: SegmentCommit | None = None
        for commit in walk:
            if commit.commit_number > point.commit or not is_kept(commit):
                break
            kept = commit
        if kept is not None:
            point.commit, point.position = kept.commit_number, last_position(kept)
            return
        point.commit, point.position = header.base_commit - 1, header.base_position - 1


def commit_behind(files: Files, point: Point) -> SegmentCommit | None:
    """The first commit that is left out; None if there is none."""
    for part in reversed(point.parts):
        walk = walk_of(files, point.at, part)
        if walk.file.header.base_commit <= point.commit + 1:
            return next((one for one in walk if one.commit_number > point.commit), None)
    return None


def _cut_tracking(files: Files, point: Point, by_path: dict[str, Point]) -> bool:
    """Move the cut in front of the first tracking record that lies beyond its upstream's cut."""
    application = os.path.dirname(os.path.dirname(point.path))

    def is_beyond(name: str, notification_id: int) -> bool:
        directory = directory_name(name)
        upstream = by_path.get(
            os.path.normpath(os.path.join(application, directory or "", "events"))
        )
        # What was beyond all of the upstream before is of something else: no cut would mend it.
        return (
            upstream is not None
            and upstream.position < notification_id <= upstream.mark.visible_position
        )

    before = point.commit
    for part in reversed(point.parts):
        walk = walk_of(files, point.at, part)
        header = walk.file.header
        if header.base_commit > point.commit:
            continue
        kept_commit, kept_position = header.base_commit - 1, header.base_position - 1
        for commit in walk:
            if commit.commit_number > point.commit:
                break
            if commit.tracking is not None:
                tracked = decode_tracking(commit.tracking)
                if is_beyond(tracked.application_name, tracked.notification_id):
                    break
            kept_commit, kept_position = commit.commit_number, last_position(commit)
        point.commit, point.position = kept_commit, kept_position
        if walk.checkpoint is None or not any(
            is_beyond(one.application_name, one.notification_id) for one in walk.tracking_before()
        ):
            break
        point.commit, point.position = header.base_commit - 1, header.base_position - 1
    return point.commit != before

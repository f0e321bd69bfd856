"""Forks a store: a second one that begins with the first one's history up to a position or a time.

    source   0001  0002  0003  0004 (tail)            goes on by itself, and knows of nothing
               │     │     │
    target   0001  0002  0003 copied up to the cut    goes on by itself, in a new epoch

Theory of operation: whole segments never change, so the fork gets a second name for each, by a hard
link; the one that the cut falls into is copied up to there. Marks and manifests of all journals are
read at one moment, as for a backup, and the fork is built and put in its place as a restore: killed
anywhere, there is no target, and of the source nothing but numbers of names has changed. What
is linked is read and checked as well, as far as the fork goes: what is behind may be damaged. A file
that was dropped meanwhile sends the fork back to the marks.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.backup import take_cuts
from aurora_es.care.copying import (
    copy_file,
    is_linked,
    make_directories,
    refuse_full,
    refuse_inside,
    refuse_no_place,
    remove_tree,
    storage_told,
)
from aurora_es.care.restore import (
    BUILD_SUFFIX,
    LOCK_TIMEOUT_SECONDS_DEFAULT,
    building_held,
    digest_up_to,
    next_epoch,
    put_in_place,
    refuse_both,
    refuse_dropped,
    refuse_taken,
)
from aurora_es.care.restore_point import Point, agree, commit_behind, cut_at
from aurora_es.care.steps import Passes
from aurora_es.care.truncated_copy import copy_up_to, size_up_to
from aurora_es.errors import ArgumentError, AuroraError, CorruptionError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import write_new_mark
from aurora_es.journal.records import timestamp_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aurora_es.files.layer import Effects, Files

    Progress = Callable[[int, int], object]

_ATTEMPTS_MAX = 10
# Whose positions people mean: events of an application, or of DCB; messages of a queue.
_LEADING = ("events", "dcb", "messages")


class ForkedJournal(msgspec.Struct, frozen=True, kw_only=True):
    """One journal of a fork."""

    path: str  # relative to the target
    epoch: int  # the new one
    position: int  # of the last record; the new epoch begins behind it
    commit: int
    left_out: int  # records of the source behind it, at the moment of the fork
    linked_files: int
    copied_files: int
    copied_bytes: int
    digest: str  # of all its commits


class ForkReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished fork."""

    source: str
    target: str
    journals: tuple[ForkedJournal, ...]


def fork(  # noqa: PLR0913 - a user's choices, all by name
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    position: int | None = None,
    time: datetime | None = None,
    copy: bool = False,
    progress: Progress | None = None,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
) -> ForkReport:
    """Make ``target``, absent or empty, a store with the history of ``source``, which may be in use.

    ``source`` is a journal, the directory of an application or of a queue, or an AURORA_PATH. With
    ``position`` or ``time``, everything behind the last commit up to it is left out. A position is
    one of the application's events; its other journals are cut where they were when the commit
    behind it came. Several journals are cut so that no tracking record lies beyond what it tracks.
    Whole segments are linked, on one file system; ``copy`` copies them. ``progress`` is told how
    many bytes were copied or read, and of how many: the fork is verified.

    Raises ArgumentError, also where no links can be had; ForeignDirectoryError for a target that is
    not empty; LockTimeoutError; StorageFullError (before anything is copied, where that
    is known then), StorageError; CorruptionError for a source that is damaged before the cut.
    """
    origin, place = os.path.abspath(os.fspath(source)), os.path.realpath(os.fspath(target))
    refuse_both(position, time)
    refuse_inside(origin, place, command="fork")
    refuse_no_place(effects.files, place)
    refuse_taken(effects, place)
    timestamp = None if time is None else timestamp_of(time)
    building = place + BUILD_SUFFIX
    forking = _Forking(effects, origin, building, copy=copy, progress=progress)
    for _ in range(_ATTEMPTS_MAX):
        points = _points_of(effects, origin, lock_timeout)
        try:
            _cut(effects.files, origin, points, position, timestamp)
            with storage_told(place), building_held(effects, building):
                journals = forking.build(points, place)
        except (FileNotFoundError, CorruptionError):
            if not _has_newer_manifest(effects.files, points):
                raise
            continue
        return ForkReport(source=origin, target=place, journals=journals)
    message = f"{origin}: files were dropped during {_ATTEMPTS_MAX} attempts; run the fork again"
    raise CorruptionError(origin, 0, expected="files as listed", found=message)


def _points_of(effects: Effects, source: str, lock_timeout: float) -> list[Point]:
    """The journals of the source at one moment, each with its cut at its end."""
    points = [
        Point(
            cut.path,
            cut.at,
            cut.parts,
            cut.at.mark.visible_commit,
            cut.at.mark.visible_position,
        )
        for cut in take_cuts(effects, source, lock_timeout=lock_timeout)
    ]
    if not points:
        message = (
            f"{source}: expected a journal, an application or an AURORA_PATH, found no journal;"
            " nothing was written. `aurora-es doctor` shows where the store of this environment is"
        )
        raise ArgumentError(message)
    return points


def _has_newer_manifest(files: Files, points: list[Point]) -> bool:
    """Whether the source lists other files by now: some that we were reading may be gone."""
    for point in points:
        newest = read_manifest(files, point.at.path)
        if newest is None or newest.generation != point.at.manifest.generation:
            return True
    return False


def _cut(
    files: Files, source: str, points: list[Point], position: int | None, timestamp: int | None
) -> None:
    """Move the cuts back as asked; raises ArgumentError where nothing would be left of a journal."""
    if position is None:
        cut_at(files, points, position=None, timestamp=timestamp)
    else:
        _cut_at_position(files, source, points, position)
    for point in points:
        is_meant = position is not None and point is _leading(source, points)
        refuse_dropped(files, point, position if is_meant else None)


def _cut_at_position(files: Files, source: str, points: list[Point], position: int) -> None:
    leading = _leading(source, points)
    if position > leading.position:
        message = (
            f"{leading.at.path}: expected a position up to {leading.position}, which is its last;"
            f" found {position}; nothing was written. Pass that (`--position {leading.position}`)"
        )
        raise ArgumentError(message)
    cut_at(files, [leading], position=position, timestamp=None)
    following = commit_behind(files, leading)
    others = [point for point in points if point is not leading]
    if following is not None:
        # What others held when it came: nothing of theirs can be of what is behind the cut.
        cut_at(files, others, position=None, timestamp=following.timestamp - 1)
    agree(files, points)


def _leading(source: str, points: list[Point]) -> Point:
    """The journal whose positions are meant; raises ArgumentError where it could be several."""
    if len(points) == 1:
        return points[0]
    for name in _LEADING:
        found = [point for point in points if os.path.basename(point.path) == name]
        if len(found) == 1:
            return found[0]
        if found:
            break
    message = (
        f"{source}: expected one application, found {len(points)} journals in which a position means"
        " another place each; fork to a time (`aurora-es fork --time`), or one application: name its"
        " directory"
    )
    raise ArgumentError(message)


class _Forking:
    """Builds a fork beside its place."""

    def __init__(
        self,
        effects: Effects,
        source: str,
        building: str,
        *,
        copy: bool,
        progress: Progress | None,
    ) -> None:
        self.effects = effects
        self.files = effects.files
        self.source = source
        self.building = building
        self.copy = copy
        self.progress = progress
        # Of the journal that is being built.
        self.linked_files = 0
        self.copied_sizes: list[int] = []
        self.told: Callable[[], object] = lambda: None

    def build(self, points: list[Point], place: str) -> tuple[ForkedJournal, ...]:
        """Build all journals and put them in their place; removes what there is where that fails."""
        journals = []
        try:
            sizes = [size_up_to(self.files, point) for point in points]
            copied = [one.all_bytes if self.copy else one.cut_bytes for one in sizes]
            refuse_full(self.files, self.building, sum(copied), command="fork")
            passes = Passes(2 * sum(one.all_bytes for one in sizes), self.progress)
            for point, size in zip(points, sizes, strict=True):
                make_directories(self.files, self.building, point.path)
                journals.append(self._journal(point, size.all_bytes, passes))
            passes.end()
            self.files.sync_directory(self.building)
            put_in_place(self.files, self.building, place)
        except (AuroraError, OSError):
            with suppress(OSError):  # on a disk that fails: then the next fork removes it
                remove_tree(self.files, self.building)
            raise
        return tuple(journals)

    def _journal(self, point: Point, size_bytes: int, passes: Passes) -> ForkedJournal:
        at = point.at
        target = os.path.normpath(os.path.join(self.building, point.path))
        epoch = next_epoch(self.effects, at)
        self.linked_files, self.copied_sizes = 0, []
        told = passes.begin(size_bytes)
        self.told = lambda: told(sum(self.copied_sizes), size_bytes)
        mark = copy_up_to(self.effects, point, target, epoch=epoch, place=self._place)
        write_new_mark(self.files, target, mark)
        self.files.sync_directory(target)
        return ForkedJournal(
            path=point.path,
            epoch=epoch,
            position=point.position,
            commit=point.commit,
            left_out=at.mark.visible_position - point.position,
            linked_files=self.linked_files,
            copied_files=len(self.copied_sizes),
            copied_bytes=sum(self.copied_sizes),
            digest=self._verified(point, target, passes.begin(size_bytes)),
        )

    def _place(self, files: Files, source: str, target: str) -> None:
        """Link a file that never changes, or copy it if that was asked for."""
        if self.copy:
            self.copied_sizes.append(copy_file(files, source, target))
            self.told()
            return
        if not is_linked(files, source, target):
            message = (
                f"{target}: expected a hard link to {source}, which this file system, another one,"
                " or the rights of this user do not allow; nothing was forked. Fork to the file"
                " system of the source, or copy: `aurora-es fork --copy` (copy=True)"
            )
            raise ArgumentError(message)
        self.linked_files += 1

    def _verified(self, point: Point, target: str, told: Progress) -> str:
        """The digest of a journal that was built; raises CorruptionError in terms of the source."""
        try:
            return digest_up_to(self.effects, target, point.commit, told)
        except CorruptionError as error:
            path = os.path.join(point.at.path, os.path.relpath(error.path, target))
            raise CorruptionError(
                os.path.normpath(path), error.offset, expected=error.expected, found=error.found
            ) from error

"""Restores a backup: to its end, to a position or to a time.

Theory of operation: the backup is verified, then its journals are copied into a directory beside
the target, which is renamed when everything in it is on disk: killed anywhere, there is no target,
and the next restore removes what is left over. What is restored is verified, too,
and compared with the backup by its digest. The manifest says from which position on the new epoch
counts, so that whoever has tracked a history that goes on differently can be told. Epochs of restores
are taken from the clock (seconds since 1970): two restores of one backup share one only if they are
of the same second. The mark has 32 bits for it, so it cannot be finer; chance would not do, since a
later one has to be the greater.
"""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.care.backup_record import copy_held, current_copy, missing_journals
from aurora_es.care.copying import (
    copy_file,
    is_left_over,
    make_directories,
    refuse_full,
    refuse_inside,
    refuse_no_place,
    remove_tree,
    storage_told,
    stored_bytes,
)
from aurora_es.care.findings import APPENDERS_KINDS
from aurora_es.care.layout import journal_at, journals_in, parts_at
from aurora_es.care.restore_point import Point, commit_behind, cut_at, last_position
from aurora_es.care.steps import Passes
from aurora_es.care.truncated_copy import copy_up_to, size_up_to
from aurora_es.care.verify import verify
from aurora_es.errors import (
    ArgumentError,
    AuroraError,
    CorruptionError,
    ForeignDirectoryError,
    LockTimeoutError,
)
from aurora_es.files.layer import DIRECTORY_MODE, SYSTEM_EFFECTS, exists, open_regular
from aurora_es.files.locks import acquire_flock
from aurora_es.journal.holes import holes_of
from aurora_es.journal.mark_file import write_new_mark
from aurora_es.journal.records import timestamp_of
from aurora_es.journal.sealed_index import file_name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from aurora_es.care.layout import JournalCut
    from aurora_es.files.layer import Effects, Files

    Progress = Callable[[int, int], object]

BUILD_SUFFIX = ".restoring"
_MARKER = "restore.unfinished"  # in the directory that is being built; locked meanwhile
LOCK_TIMEOUT_SECONDS_DEFAULT = 5.0
_SECOND_MICROSECONDS = 1_000_000


class _Work(NamedTuple):
    """One journal to restore."""

    point: Point
    copied_bytes: int  # at least
    source_bytes: int  # of its segments and runs in the backup


class RestoredJournal(msgspec.Struct, frozen=True, kw_only=True):
    """One journal as it was restored."""

    path: str  # relative to the target
    epoch: int  # the new one
    position: int  # of the last record; the new epoch begins behind it
    commit: int  # number of the last commit
    cut_positions: int  # records of the backup that were left out
    digest: str  # of all its commits: as the backup has it up to there


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished restore."""

    backup: str  # directory of the backups
    target: str  # directory that was made
    journals: tuple[RestoredJournal, ...]  # one for each journal


def restore(  # noqa: PLR0913 - a user's choices, all by name
    backup: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    position: int | None = None,
    time: datetime | None = None,
    progress: Progress | None = None,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
) -> RestoreReport:
    """Restore the current copy in ``backup`` to ``target``, which must be absent or empty.

    With ``position`` (of a backup of one journal), or ``time``, everything behind the last commit
    up to it is left out; several journals are cut so that no tracking record lies beyond what it
    tracks. Each journal begins a new epoch. ``progress`` is told how many bytes were read or copied,
    and of how many: those of the backup, which is verified, and twice those of the target.

    Raises ArgumentError, ForeignDirectoryError for a target that is not empty, CorruptionError for
    a backup that is damaged, StorageFullError (before anything is copied, where that is known then),
    StorageError; the target is made last, whole.
    """
    # A link to an empty directory stands for it: that is what a new one takes the place of.
    source, place = os.path.abspath(os.fspath(backup)), os.path.realpath(os.fspath(target))
    refuse_both(position, time)
    refuse_inside(source, place, command="restore")
    refuse_no_place(effects.files, place)
    refuse_taken(effects, place)
    with storage_told(place), copy_held(effects, source, timeout=lock_timeout):
        return _restore_held(effects, source, place, position, time, progress)


def _restore_held(  # noqa: PLR0913, PLR0917 - as restore
    effects: Effects,
    source: str,
    place: str,
    position: int | None,
    time: datetime | None,
    progress: Progress | None,
) -> RestoreReport:
    files = effects.files
    for path in missing_journals(files, source):
        raise CorruptionError(
            path, 0, expected="a journal, as the record of the backup says", found="none"
        )
    points = _points_of(effects, source, current_copy(files, source) or source)
    if position is not None and len(points) != 1:
        message = (
            f"{source}: expected one journal, found {len(points)}: a position means another place in each."
            " Restore to a time (`aurora-es restore --time`), or one journal: name its directory in the"
            " backup"
        )
        raise ArgumentError(message)
    if position is not None and position > points[0].position:
        message = (
            f"{source}: expected a position up to {points[0].position}, where the backup ends, found"
            f" {position}; nothing was written. Restore without a position, or make a newer backup"
            " (`aurora-es backup`)"
        )
        raise ArgumentError(message)
    cut_at(files, points, position=position, timestamp=None if time is None else timestamp_of(time))
    for point in points:
        refuse_dropped(files, point, position)
    building = place + BUILD_SUFFIX
    with building_held(effects, building):
        restored = []
        try:
            works = [
                _Work(point, size_up_to(files, point).all_bytes, _size_of(files, point))
                for point in points
            ]
            refuse_full(files, building, sum(one.copied_bytes for one in works), command="restore")
            passes = Passes(sum(one.source_bytes + 2 * one.copied_bytes for one in works), progress)
            for work in works:
                make_directories(files, building, work.point.path)
                restored.append(_restore(effects, work, building, passes))
            passes.end()
            files.sync_directory(building)
            put_in_place(files, building, place)
        except (AuroraError, OSError):
            with suppress(OSError):  # on a disk that fails: then the next restore removes it
                remove_tree(files, building)
            raise
    return RestoreReport(backup=source, target=place, journals=tuple(restored))


@contextmanager
def building_held(effects: Effects, building: str) -> Iterator[None]:
    """Have the directory in which a store is built to oneself, and empty but for the marker.

    Its name is that of the target and ``BUILD_SUFFIX``. Raises ForeignDirectoryError,
    LockTimeoutError.
    """
    files = effects.files
    with suppress(FileExistsError):
        files.mkdir(building, DIRECTORY_MODE)
    if not is_left_over(files, building, _MARKER):
        message = (
            f"{building}: expected nothing, or what a killed restore or fork has left; found something else,"
            " which is not ours to remove; nothing was changed. Move it away first (`aurora-es"
            " doctor` looks at what is there), or restore to another place"
        )
        raise ForeignDirectoryError(message)
    path = os.path.join(building, _MARKER)
    fd = open_regular(files, path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            acquire_flock(effects, fd, path, effects.monotonic())
            is_ours = files.stat(path).st_ino == files.fstat(fd).st_ino
        except (LockTimeoutError, FileNotFoundError):
            is_ours = False
        if not is_ours:
            message = (
                f"{building}: another restore or fork to this place is under way; nothing was changed."
                " It is not waited for, whatever AURORA_LOCK_TIMEOUT says: start `aurora-es restore` or"
                " `aurora-es fork` again when it has ended, or name another place"
            )
            raise LockTimeoutError(message)
        remove_tree(files, building, keep=frozenset({_MARKER}))
        files.sync_directory(building)
        yield
    finally:
        files.close(fd)


def put_in_place(files: Files, building: str, place: str) -> None:
    """Give the directory that was built, all of it on disk, its name."""
    if exists(files, place):
        files.rmdir(place)
    files.rename(building, place)
    files.sync_directory(os.path.dirname(place))
    # Killed before this, the marker stays in a store that is complete; it does nothing there.
    files.unlink(os.path.join(place, _MARKER))
    files.sync_directory(place)


def refuse_both(position: int | None, time: datetime | None) -> None:
    """Raise ArgumentError if both are given."""
    if position is not None and time is not None:
        message = "expected a position (`position=`, `--position`) or a time (`time=`, `--time`), found both"
        raise ArgumentError(message)


def refuse_taken(effects: Effects, target: str) -> None:
    """Raise ForeignDirectoryError for a target that is there and not empty, or a mount point."""
    if os.path.ismount(target):
        message = (
            f"{target}: expected a directory that a new one can take the place of, found a mount"
            " point; nothing was changed. Name a directory in it, or one beside it"
            f" (`aurora-es doctor {target}` looks at what is there)"
        )
        raise ForeignDirectoryError(message)
    if exists(effects.files, target) and effects.files.listdir(target):
        message = (
            f"{target}: expected an absent or empty directory, found files; nothing was changed."
            " Move it away first (`aurora-es doctor` looks at what is there), or restore to another place"
        )
        raise ForeignDirectoryError(message)


def _points_of(effects: Effects, backup: str, root: str) -> list[Point]:
    """The journals of a backup, verified, each with its cut at its end."""
    files = effects.files
    points = []
    if not exists(files, root):
        message = (
            f"{root}: expected a backup made by `aurora-es backup`, found no such directory; nothing was"
            f" written. `aurora-es verify {shlex.quote(backup)}` says what is left of a backup"
        )
        raise ArgumentError(message)
    for path in journals_in(files, root):
        directory = os.path.normpath(os.path.join(root, path))
        at = journal_at(files, directory)
        commit, position = at.mark.visible_commit, at.mark.visible_position
        points.append(Point(path, at, parts_at(files, at), commit, position))
    if not points:
        message = (
            f"{backup}: expected a backup made by `aurora-es backup`, found no journal in it; nothing was"
            f" written. `aurora-es verify {shlex.quote(backup)}` says what is left of a backup"
        )
        raise ArgumentError(message)
    return points


def refuse_dropped(files: Files, point: Point, wanted: int | None) -> None:
    """Raise ArgumentError for a point of which nothing is left; ``wanted``: the position asked for."""
    at = point.at
    first = at.manifest.retained_from
    if point.position >= first or first == 1:
        return
    readable = holes_of(at.manifest.segments).behind(first)
    following = commit_behind(files, point)
    end = readable if following is None else last_position(following)
    why = f"what is before position {first} was dropped by `retain`"
    if wanted is not None and wanted >= first:
        lost = (
            f"position {first} was"
            if first + 1 == readable
            else f"positions {first} to {readable - 1} were"
        )
        why = (
            f"{lost} lost, as a repair said, and {why}"
            if readable > first
            else f"{why}, and the next commit ends there"
        )
    message = (
        f"{at.path}: expected a point at or behind position {end}, where the first commit that can be"
        f" read ends: {why}; nothing was written. Pass that position (`--position {end}`), or a later"
        f" time; `aurora-es info {shlex.quote(at.path)}` shows what is retained"
    )
    raise ArgumentError(message)


def next_epoch(effects: Effects, at: JournalCut) -> int:
    """The epoch of a copy that goes on by itself."""
    return max(at.manifest.epoch + 1, at.mark.epoch + 1, effects.clock() // _SECOND_MICROSECONDS)


def _size_of(files: Files, point: Point) -> int:
    """Bytes of all segments and runs of a journal of the backup."""
    names = [part.name for part in point.parts] + [*map(file_name_of, point.at.manifest.runs)]
    return sum(stored_bytes(files, os.path.join(point.at.path, name)) for name in names)


def _restore(effects: Effects, work: _Work, root: str, passes: Passes) -> RestoredJournal:
    """Copy one journal up to its point, and compare it with the backup."""
    point = work.point
    at = point.at
    target = os.path.normpath(os.path.join(root, point.path))
    epoch = next_epoch(effects, at)
    told, done = passes.begin(work.copied_bytes), 0

    def place(files: Files, source: str, path: str) -> None:
        nonlocal done
        done += copy_file(files, source, path)
        told(done, work.copied_bytes)

    mark = copy_up_to(effects, point, target, epoch=epoch, place=place)
    write_new_mark(effects.files, target, mark)
    effects.files.sync_directory(target)
    digest = digest_up_to(effects, at.path, point.commit, passes.begin(work.source_bytes))
    found = digest_up_to(effects, target, point.commit, passes.begin(work.copied_bytes))
    if digest != found:
        raise CorruptionError(
            target, 0, expected=f"digest {digest}, as the backup has it", found=f"{found}"
        )
    return RestoredJournal(
        path=point.path,
        epoch=epoch,
        position=point.position,
        commit=point.commit,
        cut_positions=at.mark.visible_position - point.position,
        digest=digest,
    )


def digest_up_to(effects: Effects, path: str, commit: int, progress: Progress) -> str:
    """Digest of all commits up to one; raises CorruptionError for whatever is wrong."""
    report = verify(path, digest=True, until_commit=commit, progress=progress, effects=effects)
    for finding in report.findings:
        if finding.kind not in APPENDERS_KINDS:
            raise CorruptionError(
                finding.path, finding.offset or 0, expected=finding.expected, found=finding.found
            )
    assert report.digest is not None, "a whole journal has a digest"
    return report.digest

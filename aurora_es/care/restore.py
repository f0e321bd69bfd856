"""Restores a backup: to its end, to a position or to a time, as a new epoch of the same journal.

    backup, verified ──> where each journal is cut ──> <target>.restoring, verified ──> <target>

Theory of operation: a cut falls between two commits. Segments before it are copied as they are, the
one that it falls into is copied up to it (a cooled one is packed again), and becomes the newest. Index
runs that reach beyond are made anew. The epoch is raised, and the manifest says from which position
on the new epoch counts: whoever has seen more of the old one is told so. The target gets its name
last, when everything in it is on disk and was compared with the backup by its digest. Killed anywhere,
the backup is untouched, and what is left over is made anew by the next try.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.backup import (
    BACKUP_FILE,
    backups_in,
    make_journal_directory,
    read_report,
    write_mark,
)
from aurora_es.care.copying import (
    is_directory,
    make_directories,
    remove_tree,
    sync_tree,
)
from aurora_es.care.cut import JournalCut, journals_below
from aurora_es.care.restore_point import (
    RestorePoint,
    points_at_end,
    points_at_position,
    points_at_time,
)
from aurora_es.care.truncated_copy import copy_up_to
from aurora_es.care.verify import verify
from aurora_es.errors import ArgumentError, CorruptionError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import read_mark
from aurora_es.journal.records import timestamp_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aurora_es.files.layer import Effects, Files

    Progress = Callable[[int, int], object]

RESTORING_SUFFIX = ".restoring"


class JournalRestore(msgspec.Struct, frozen=True, kw_only=True):
    """One restored journal."""

    path: str  # below the target; empty for a single journal
    last_position: int  # 0: none
    last_commit: int
    backup_position: int  # last position in the backup
    epoch: int
    digest: str  # of all its commits: as in the backup up to there


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored."""

    backup: str  # directory of the backup
    taken_at: int  # microseconds, UTC
    target: str
    journals: tuple[JournalRestore, ...]


def restore(  # noqa: PLR0913 - a user's choices, all by name
    backup: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    position: int | None = None,
    time: datetime | None = None,
    progress: Progress | None = None,
    effects: Effects = SYSTEM_EFFECTS,
) -> RestoreReport:
    """Restore a backup into ``target``, which is absent or empty.

    ``backup`` is one backup, or the directory that holds several: then the newest. Without further
    arguments everything in it is restored; with ``time`` all commits until then, and with
    ``position`` all commits of the one journal, or of the application's events, that end at or
    before it, with what the application's other journals held at that time. Where that would leave
    a tracking record of a notification that is not restored, its commit and all behind it are left
    out. ``progress`` is told how many journals are done, and of how many.

    Raises ArgumentError, CorruptionError if the backup is damaged, OSError; nothing is left then
    but a directory ``.restoring``, which the next try removes.
    """
    files = effects.files
    root, text = os.path.abspath(target), os.path.abspath(backup)
    if position is not None and time is not None:
        message = "restore: expected a position or a time, found both"
        raise ArgumentError(message)
    directory = _directory_of(files, text)
    report = read_report(files, directory)
    _refuse_taken(files, root)
    cuts = [_cut_of(files, path) for path in journals_below(files, directory)]
    if time is not None:
        points = points_at_time(files, cuts, timestamp_of(time))
    elif position is not None:
        points = points_at_position(files, cuts, position)
    else:
        points = points_at_end(files, cuts)
    restored = _restore(effects, directory, root, points, progress)
    return RestoreReport(backup=directory, taken_at=report.taken_at, target=root, journals=restored)


def _restore(
    effects: Effects,
    directory: str,
    root: str,
    points: list[RestorePoint],
    progress: Progress | None,
) -> tuple[JournalRestore, ...]:
    files = effects.files
    unfinished = root + RESTORING_SUFFIX
    make_directories(files, os.path.dirname(root))
    remove_tree(files, unfinished)
    files.mkdir(unfinished)
    restored = []
    for done, point in enumerate(points):
        if progress is not None:
            progress(done, len(points))
        restored.append(_restore_journal(effects, directory, unfinished, point))
    sync_tree(files, unfinished)
    if is_directory(files, root):
        files.rmdir(root)
    files.rename(unfinished, root)
    files.sync_directory(os.path.dirname(root))
    if progress is not None:
        progress(len(points), len(points))
    return tuple(restored)


def _restore_journal(
    effects: Effects, directory: str, unfinished: str, point: RestorePoint
) -> JournalRestore:
    """Copy one journal up to its point, verified before and after."""
    at = point.at
    relative = os.path.relpath(at.path, directory)
    relative = "" if relative == os.curdir else relative
    target = os.path.join(unfinished, relative) if relative else unfinished
    expected = _digest(effects, at.path, point.commit_number)
    make_journal_directory(effects.files, target)
    mark = copy_up_to(effects, point, target)
    write_mark(effects.files, target, mark)
    found = _digest(effects, target, point.commit_number)
    if expected != found:
        raise CorruptionError(
            at.path, 0, expected=f"digest {expected} of what was restored", found=found
        )
    return JournalRestore(
        path=relative,
        last_position=mark.visible_position,
        last_commit=mark.visible_commit,
        backup_position=at.mark.visible_position,
        epoch=mark.epoch,
        digest=found,
    )


def _digest(effects: Effects, path: str, commit_number: int) -> str:
    """Digest of all commits up to one; raises CorruptionError for anything that is wrong."""
    report = verify(path, digest=True, until_commit=commit_number, effects=effects)
    for finding in report.findings:
        raise CorruptionError(
            finding.path, finding.offset or 0, expected=finding.expected, found=finding.found
        )
    assert report.digest is not None, "a whole journal has a digest"
    return report.digest


def _directory_of(files: Files, path: str) -> str:
    """The backup that ``path`` names, or the newest one in it; raises ArgumentError."""
    if is_directory(files, path) and BACKUP_FILE in files.listdir(path):
        return path
    found = backups_in(files, path)
    if not found:
        message = (
            f"{path}: expected a backup (a directory with {BACKUP_FILE}) or a directory that holds"
            " some, found none; `aurora-es backup STORE TARGET` makes one"
        )
        raise ArgumentError(message)
    return found[-1]


def _refuse_taken(files: Files, root: str) -> None:
    """Raise ArgumentError unless the target is absent or an empty directory."""
    try:
        names = files.listdir(root)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        names = [os.path.basename(root)]
    if names:
        message = (
            f"{root}: expected an absent or empty directory, found {min(names)!r} in it;"
            " nothing was changed. Restore beside it, and rename when you have looked at the result"
        )
        raise ArgumentError(message)


def _cut_of(files: Files, path: str) -> JournalCut:
    manifest = read_manifest(files, path)
    assert manifest is not None, "a backup's journal has a manifest"
    return JournalCut(path, manifest, read_mark(files, path))

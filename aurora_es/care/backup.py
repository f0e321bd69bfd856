"""Backs a store up while it is in use: every backup is a whole store, and costs what is new.

    <target>/
      2026-11-25T22-24-05.123456Z/     one backup: journals as in the store, and backup.json
      2026-11-26T22-24-07.654321Z/     the next; what did not change is one file under two names
      unfinished/                      one under way, or what a killed one left: made anew

Theory of operation: what is sealed never changes, so it is linked: to the store's own file where the
target is on the same file system, or else to that of the newest backup. Only the newest segment of
each journal is copied, up to the mark, and checked. Manifest and mark are written for the moment of
the cut (``care/cut.py``), so that a backup opens as the store would have opened then. Everything is
synced before the backup gets its name. A segment that is cooled, merged or dropped meanwhile stays
there for a minute under its old name; if that was too short, the whole backup begins again.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.copying import (
    copy_file,
    copy_start,
    is_directory,
    link_or_copy,
    make_directories,
    remove_tree,
    sync_tree,
    write_file,
)
from aurora_es.care.cut import JournalCut, cut, journals_below
from aurora_es.care.layout import Part, commits_of, parts_at
from aurora_es.care.verify import verify
from aurora_es.errors import ArgumentError, CorruptionError
from aurora_es.files.layer import SYSTEM_EFFECTS, open_regular, read_exactly
from aurora_es.format.limits import MANIFEST_BYTES_MAX
from aurora_es.format.mark import MARK_BYTES, encode_slot, slot_offset
from aurora_es.format.names import LOCK_FILES, MARK
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES
from aurora_es.journal.manifest_file import read_manifest, write_manifest
from aurora_es.journal.sealed_index import file_name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Effects, Files
    from aurora_es.format.mark import Mark

    Progress = Callable[[int, int], object]

BACKUP_FILE = "backup.json"
UNFINISHED = "unfinished"
LOCK_TIMEOUT_SECONDS_DEFAULT = 60.0
_TRIES = 3
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


class JournalBackup(msgspec.Struct, frozen=True, kw_only=True):
    """One journal of a backup."""

    path: str  # below the backup's directory; empty for a single journal
    genesis_id: str
    epoch: int
    last_position: int  # 0: none
    last_commit: int
    segments: int
    linked_files: int
    copied_files: int
    copied_bytes: int
    digest: str | None = None  # of all its commits, if the backup was verified


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, as it also stands in its ``backup.json``."""

    source: str
    directory: str  # of this backup
    taken_at: int  # microseconds, UTC
    journals: tuple[JournalBackup, ...]
    removed: tuple[str, ...] = ()  # directories of older backups


def backup(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    copy: bool = False,
    check: bool = False,
    keep: int | None = None,
    progress: Progress | None = None,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
) -> BackupReport:
    """Back up the journal, application or AURORA_PATH ``path`` into a new directory in ``target``.

    The store may be in use. Sealed segments are linked where that is possible, unless ``copy``;
    then they are copied from the store once, and linked from one backup to the next. ``check``
    verifies the finished backup and records the digest of each journal. ``keep`` removes all but
    so many of the newest backups, this one included. ``progress`` is told how many files are
    done, and of how many.

    Raises ArgumentError for a ``target`` that holds backups of another store or lies in the store,
    CorruptionError, NeedsRecoveryError, LockTimeoutError, OSError; the store is never changed, and
    earlier backups stay as they are.
    """
    source, root = os.path.abspath(path), os.path.abspath(target)
    if keep is not None and keep < 1:
        message = f"keep: expected 1 or more, found {keep}"
        raise ArgumentError(message)
    if os.path.commonpath([source, root]) in {source, root}:
        message = f"{root}: expected a directory outside of {source}, and not above it"
        raise ArgumentError(message)
    work = _Backup(effects, source, root, is_copied=copy, progress=progress)
    for tries_left in reversed(range(_TRIES)):
        try:
            report = work.run(lock_timeout, check=check)
        except _ReplacedError as replaced:
            if not tries_left:
                raise replaced.error from replaced
        else:
            break
    return msgspec.structs.replace(report, removed=_remove_older(effects.files, root, keep))


def backups_in(files: Files, root: str) -> list[str]:
    """Directories of the finished backups in ``root``, the oldest first."""
    if not is_directory(files, root):
        return []
    return [
        os.path.join(root, name)
        for name in sorted(files.listdir(root))
        if name != UNFINISHED
        and is_directory(files, os.path.join(root, name))
        and BACKUP_FILE in files.listdir(os.path.join(root, name))
    ]


def read_report(files: Files, directory: str) -> BackupReport:
    """What a finished backup says of itself; raises CorruptionError."""
    path = os.path.join(directory, BACKUP_FILE)
    fd = open_regular(files, path, os.O_RDONLY)
    try:
        data = read_exactly(files, fd, MANIFEST_BYTES_MAX, 0)
    finally:
        files.close(fd)
    try:
        return msgspec.json.decode(data, type=BackupReport)
    except (ValueError, RecursionError) as error:
        raise CorruptionError(path, 0, expected="what was backed up", found=str(error)) from error


def write_mark(files: Files, path: str, mark: Mark) -> None:
    """Write the mark of a journal that nobody has open yet, with both slots."""
    data = bytearray(MARK_BYTES)
    for sequence in (mark.sequence, mark.sequence + 1):
        slot = encode_slot(mark._replace(sequence=sequence, durable_offset=mark.visible_offset))
        at = slot_offset(sequence)
        data[at : at + len(slot)] = slot
    write_file(files, os.path.join(path, MARK), bytes(data))


def make_journal_directory(files: Files, directory: str) -> None:
    """Make the directory of a journal, with its lock files."""
    make_directories(files, directory)
    for name in LOCK_FILES:
        write_file(files, os.path.join(directory, name), b"")


class _ReplacedError(Exception):
    """A file went away since the manifest was read: others list something else by now."""

    def __init__(self, error: FileNotFoundError) -> None:
        super().__init__(str(error))
        self.error = error


class _Backup:
    """One backup of one store."""

    def __init__(
        self,
        effects: Effects,
        source: str,
        root: str,
        *,
        is_copied: bool,
        progress: Progress | None,
    ) -> None:
        self.effects = effects
        self.files = effects.files
        self.source = source
        self.root = root
        self.is_copied = is_copied
        self.progress = progress
        self.done = self.total = 0

    def run(self, lock_timeout: float, *, check: bool) -> BackupReport:
        """Make it; raises _ReplacedError if it has to be begun again."""
        files = self.files
        paths = journals_below(files, self.source)
        make_directories(files, self.root)
        older = backups_in(files, self.root)
        before = older[-1] if older else None
        if before is not None:
            self._refuse_another(before, paths)
        unfinished = os.path.join(self.root, UNFINISHED)
        remove_tree(files, unfinished)
        files.mkdir(unfinished)
        taken_at = self.effects.clock()
        if before is not None:  # names are in the order of time, whatever the clock says
            taken_at = max(taken_at, read_report(files, before).taken_at + 1)
        cuts = cut(self.effects, paths, timeout=lock_timeout)
        layouts = [(at, parts_at(files, at)) for at in cuts]
        self.done, self.total = 0, sum(len(parts) for _, parts in layouts)
        journals = tuple(self._back_up(at, parts, unfinished, before) for at, parts in layouts)
        if check:
            journals = tuple(self._checked(one, unfinished) for one in journals)
        directory = os.path.join(self.root, _directory_name(taken_at))
        report = BackupReport(
            source=self.source, directory=directory, taken_at=taken_at, journals=journals
        )
        write_file(files, os.path.join(unfinished, BACKUP_FILE), msgspec.json.encode(report))
        sync_tree(files, unfinished)
        files.rename(unfinished, directory)
        files.sync_directory(self.root)
        files.sync_directory(os.path.dirname(self.root))
        return report

    def _refuse_another(self, before: str, paths: list[str]) -> None:
        """Raise ArgumentError if the newest backup is that of another store."""
        known = {one.path: one.genesis_id for one in read_report(self.files, before).journals}
        for path in paths:
            manifest = read_manifest(self.files, path)
            relative = _relative(path, self.source)
            if manifest is None or known.get(relative, manifest.genesis_id) == manifest.genesis_id:
                continue
            message = (
                f"{self.root}: expected backups of journal {manifest.genesis_id} ({path}), found"
                f" those of journal {known[relative]}; nothing was written. Give each store a"
                " directory of its own for its backups"
            )
            raise ArgumentError(message)

    def _back_up(
        self, at: JournalCut, parts: list[Part], unfinished: str, before: str | None
    ) -> JournalBackup:
        files = self.files
        relative = _relative(at.path, self.source)
        directory = os.path.join(unfinished, relative) if relative else unfinished
        make_journal_directory(files, directory)
        older = None if before is None else os.path.join(before, relative)
        linked = copied = copied_bytes = 0
        for name in self._names(at, parts):
            target = os.path.join(directory, name)
            try:
                size = self._place(os.path.join(at.path, name), target, older)
            except FileNotFoundError as error:
                if name.endswith(".segment") or read_manifest(files, at.path) != at.manifest:
                    raise _ReplacedError(error) from error
                continue  # a cache that is missing in the store, too
            linked += not size
            copied += bool(size)
            copied_bytes += size
        tail = parts[-1]
        assert tail.visible_offset is not None
        copied_bytes += copy_start(
            files,
            os.path.join(at.path, tail.name),
            os.path.join(directory, tail.name),
            tail.visible_offset,
        )
        write_mark(files, directory, at.mark)
        write_manifest(
            files, directory, msgspec.structs.replace(at.manifest, obsolete=msgspec.UNSET)
        )
        self._check_tail(at, directory, tail)
        self._advance()
        return JournalBackup(
            path=relative,
            genesis_id=at.manifest.genesis_id,
            epoch=at.mark.epoch,
            last_position=at.mark.visible_position,
            last_commit=at.mark.visible_commit,
            segments=len(parts),
            linked_files=linked,
            copied_files=copied + 1,
            copied_bytes=copied_bytes,
        )

    def _names(self, at: JournalCut, parts: list[Part]) -> list[str]:
        """Files that never change: closed segments, their tables, and the runs."""
        closed = parts[:-1]
        names = [part.name for part in closed]
        names += [part.table_name for part in closed if part.entry is not None]
        return names + [file_name_of(run) for run in at.manifest.runs]

    def _place(self, source: str, target: str, older: str | None) -> int:
        """Link or copy a file that never changes; returns how many bytes were copied."""
        files = self.files
        if source.endswith(".segment"):
            self._advance()
        if older is not None:
            known = os.path.join(older, os.path.basename(source))
            if self._is_same(known, source):
                return link_or_copy(files, known, target)
        if self.is_copied:
            return copy_file(files, source, target)
        return link_or_copy(files, source, target)

    def _is_same(self, known: str, source: str) -> bool:
        """Whether the newest backup has this file: the salt in its header is that of no other.

        The newest segment of that backup was copied before it was complete: it is shorter.
        """
        try:
            return self._identity(known) == self._identity(source)
        except FileNotFoundError:
            return False

    def _identity(self, path: str) -> tuple[int, bytes]:
        fd = open_regular(self.files, path, os.O_RDONLY)
        try:
            header = read_exactly(self.files, fd, SEGMENT_HEADER_BYTES, 0)
            return self.files.fstat(fd).st_size, header
        finally:
            self.files.close(fd)

    def _check_tail(self, at: JournalCut, directory: str, tail: Part) -> None:
        """Read the copied segment; raises CorruptionError if it does not end as the mark says."""
        position = tail.base_position - 1
        commit_number = None
        for commit in commits_of(self.files, at._replace(path=directory), tail):
            position = commit.first_position + len(commit.records) - 1
            commit_number = commit.commit_number
        expected = (at.mark.visible_position, at.mark.visible_commit)
        found = (position, at.mark.visible_commit if commit_number is None else commit_number)
        if expected != found:
            text = "position {}, commit {}"
            raise CorruptionError(
                os.path.join(at.path, tail.name),
                at.mark.visible_offset,
                expected=text.format(*expected),
                found=text.format(*found),
            )

    def _checked(self, journal: JournalBackup, unfinished: str) -> JournalBackup:
        """Verify a finished journal; raises CorruptionError for the first thing that is wrong."""
        directory = os.path.join(unfinished, journal.path)
        report = verify(directory, digest=True, effects=self.effects)
        for finding in report.findings:
            raise CorruptionError(
                os.path.join(self.source, journal.path, os.path.basename(finding.path)),
                finding.offset or 0,
                expected=finding.expected,
                found=finding.found,
            )
        return msgspec.structs.replace(journal, digest=report.digest)

    def _advance(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)


def _remove_older(files: Files, root: str, keep: int | None) -> tuple[str, ...]:
    if keep is None:
        return ()
    removed = backups_in(files, root)[:-keep]
    for directory in removed:
        # Without its report it is no backup any more: one that is half removed is never restored.
        files.unlink(os.path.join(directory, BACKUP_FILE))
        files.sync_directory(directory)
        remove_tree(files, directory)
    if removed:
        files.sync_directory(root)
    return tuple(removed)


def _directory_name(taken_at: int) -> str:
    time = _EPOCH_START + timedelta(microseconds=taken_at)
    return time.strftime("%Y-%m-%dT%H-%M-%S.%fZ")


def _relative(path: str, source: str) -> str:
    relative = os.path.relpath(path, source)
    return "" if relative == os.curdir else relative

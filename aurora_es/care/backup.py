"""Backs up a journal, the journals of an application or a whole AURORA_PATH, while it is in use.

Theory of operation: for the moment in which all marks and manifests are read, the append locks of
all journals are held, in the order of their paths. A tracking record is appended after what it
tracks was visible, so none within the marks lies beyond its upstream's mark; reading one mark after
the other could not promise that for applications that follow each other. flock needs no write
permission, so a read-only source can be backed up; one without lock files has no appender.

Then everything but the tail is immutable: it is linked from the copy before or from the source, and
copied where no link can be had. The tail is copied up to its mark and walked. A new copy is built
beside the one before, and the record ``backup`` is replaced when it is complete and synced: killed
anywhere, the copy before is the current one, and the next backup removes what is left over. A file
that was dropped meanwhile sends it back to the marks.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.care.backup_bytes import bytes_to_copy, is_at_mark_of, segment_sizes
from aurora_es.care.backup_record import (
    COPY,
    RECORD,
    UNFINISHED,
    BackedUpJournal,
    BackupReport,
    is_number,
    read_record,
    write_record,
)
from aurora_es.care.care_logs import logger
from aurora_es.care.copy_before import damage_of, problem_text, refuse_other
from aurora_es.care.copying import (
    copy_file,
    is_left_over,
    is_linked,
    make_directories,
    refuse_full,
    refuse_inside,
    refuse_no_place,
    remove_tree,
    storage_told,
    write_empty,
)
from aurora_es.care.layout import (
    JournalCut,
    Part,
    journal_at,
    journals_in,
    open_part,
    parts_at,
    walk_of,
)
from aurora_es.care.sizes import is_cache_of_its_size, refuse_other_size
from aurora_es.care.steps import Passes
from aurora_es.care.verify import verify as verify_journal
from aurora_es.errors import ArgumentError, AuroraError, CorruptionError, ForeignDirectoryError
from aurora_es.files.layer import DIRECTORY_MODE, SYSTEM_EFFECTS, exists, open_regular, read_exactly
from aurora_es.files.locks import LOCK_PAUSES, TURN_PAUSES, acquire_flock, flocked, release_flock
from aurora_es.format.names import (
    LOCK,
    NEW_SUFFIX,
    TURN,
)
from aurora_es.journal.manifest_file import read_manifest, write_manifest
from aurora_es.journal.mark_file import read_mark, write_new_mark
from aurora_es.journal.sealed_index import file_name_of
from aurora_es.segment.walk import Walk, start_of, stop_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aurora_es.files.layer import Effects, Files

    Progress = Callable[[int, int], object]

LOCK_TIMEOUT_SECONDS_DEFAULT = 5.0
_ATTEMPTS_MAX = 10
_COMPARED_BYTES = 4096  # the header of every kind of file, with its random or derived identity


class Cut(NamedTuple):
    """A journal at the moment of the backup."""

    path: str  # relative
    at: JournalCut
    parts: list[Part]

    @property
    def caches(self) -> list[str]:
        """Tables and runs: what readers can do without."""
        tables = [part.table_name for part in self.parts if part.entry is not None]
        return tables + [file_name_of(run) for run in self.at.manifest.runs]

    @property
    def names(self) -> list[str]:
        """All files that never change: closed segments, tables and runs."""
        return [part.name for part in self.parts[:-1]] + self.caches


class _DroppedError(Exception):
    """A file is gone that a newer manifest does not list: begin again."""


class _DamagedCopyError(Exception):
    """The copy before is damaged: nothing of it is to be used."""


def backup(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    copy: bool = False,
    verify: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
    effects: Effects = SYSTEM_EFFECTS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
) -> BackupReport:
    """Back up all journals in ``path`` to the directory ``target``, which may hold earlier ones.

    ``path`` is a journal, the directory of an application or an AURORA_PATH. Files are linked where
    the file system can; ``copy`` copies everything that the target does not hold yet. ``verify``
    reads the whole copy before it becomes the current one. ``progress`` is told how many bytes of
    segments were linked, copied or read, and of how many. Refused
    is a source that lacks journals, or events, of the copy before, unless ``replace`` gives these up.

    Raises ArgumentError, ForeignDirectoryError for a target that is none of ours or of another
    source, LockTimeoutError, CorruptionError, StorageFullError (before anything is copied,
    where that is known then), StorageError; the backup before is left as it was.
    """
    source, place = os.path.abspath(os.fspath(path)), os.path.abspath(os.fspath(target))
    refuse_inside(source, place, command="backup")
    if not journals_in(effects.files, source):
        message = (
            f"{source}: expected a journal, an application or an AURORA_PATH, found no journal;"
            " nothing was written. `aurora-es doctor` shows where the store of this environment is"
        )
        raise ArgumentError(message)
    refuse_no_place(effects.files, place)
    with storage_told(place), _target_locked(effects, place, lock_timeout) as before:
        for _ in range(_ATTEMPTS_MAX):
            _remove_left_over(effects.files, place, before)
            number = 1 + max(_numbers(effects.files, place, before), default=0)
            try:
                cuts = take_cuts(effects, source, lock_timeout=lock_timeout)
                found = {cut.path: cut.at for cut in cuts}
                refuse_other(effects.files, place, before, found, replace=replace)
                work = _Copying(effects, source, place, f"{number:010d}", before, copy=copy)
                journals = work.copy_all(cuts, progress, verify=verify)
            except _DroppedError:
                continue
            except (AuroraError, OSError):
                with suppress(OSError):  # on a disk that fails: then the next backup removes it
                    _remove_left_over(effects.files, place, before)
                raise
            report = BackupReport(
                path=source,
                target=place,
                directory=f"{number:010d}",
                created_at=effects.clock(),
                journals=tuple(journals),
            )
            write_record(effects.files, place, report)
            _finish(effects.files, place, report)
            _remove_left_over(effects.files, place, report, markers=(UNFINISHED, COPY))
            return report
    message = f"{source}: files were dropped during {_ATTEMPTS_MAX} attempts; run the backup again"
    raise CorruptionError(source, 0, expected="files as listed", found=message)


@contextmanager
def _target_locked(effects: Effects, target: str, timeout: float) -> Iterator[BackupReport | None]:
    files = effects.files
    try:
        files.mkdir(target, DIRECTORY_MODE)
        files.sync_directory(os.path.dirname(target))
    except FileExistsError:
        names = set(files.listdir(target)) - {LOCK, RECORD + NEW_SUFFIX}
        if RECORD not in names:
            names = {
                n for n in names if not is_left_over(files, os.path.join(target, n), UNFINISHED)
            }
        if RECORD not in names and names:
            message = (
                f"{target}: expected an empty directory, or an earlier backup with its file"
                f" {RECORD!r}; found {min(names)!r} without it; nothing was written. Give the backup"
                " a directory of its own (`aurora-es doctor` looks at what is there; a copy without"
                " its record is restored by its own path, `aurora-es restore`)"
            )
            raise ForeignDirectoryError(message) from None
    with flocked(effects, os.path.join(target, LOCK), effects.monotonic() + timeout):
        yield read_record(files, target)


def _numbers(files: Files, target: str, current: BackupReport | None) -> list[int]:
    """Numbers that are taken, whoever took them; by the record, too, if its copy is gone."""
    names = [] if current is None else [current.directory]
    return [int(name) for name in [*names, *files.listdir(target)] if is_number(name)]


def _remove_left_over(
    files: Files,
    target: str,
    current: BackupReport | None,
    *,
    markers: tuple[str, ...] = (UNFINISHED,),
) -> None:
    """Remove what killed backups have left, and, with the marker ``COPY``, copies that are complete.

    Only what carries our marker. A complete copy goes only when a newer one was made: the current
    one may turn out to be damaged.
    """
    if current is not None:
        _finish(files, target, current)
    for name in files.listdir(target):
        if is_number(name) and (current is None or name != current.directory):
            try:
                _remove_copy(files, os.path.join(target, name), markers)
            except OSError as error:  # it is in nobody's way
                logger.warning("%s: a copy that is not needed any more stays: %s", target, error)


def _remove_copy(files: Files, path: str, markers: tuple[str, ...]) -> None:
    for marker in markers:
        if is_left_over(files, path, marker):
            # The marker last: killed in between, it is still known to be ours.
            remove_tree(files, path, keep=frozenset({marker}))
            remove_tree(files, path)
            return


def _finish(files: Files, target: str, report: BackupReport) -> None:
    """Mark the copy that the record names as complete, once; somebody may have removed it since."""
    directory = os.path.join(target, report.directory)
    if exists(files, os.path.join(directory, UNFINISHED)):
        files.rename(os.path.join(directory, UNFINISHED), os.path.join(directory, COPY))
        files.sync_directory(directory)


def take_cuts(effects: Effects, source: str, *, lock_timeout: float) -> list[Cut]:
    """Read marks and manifests of all journals while nobody appends to any of them."""
    files = effects.files
    deadline = effects.monotonic() + lock_timeout
    while True:
        paths = journals_in(files, source)
        with ExitStack() as stack:
            for path in paths:
                stack.enter_context(_append_lock(effects, os.path.join(source, path), deadline))
            # One that was made meanwhile may be tracked already.
            if journals_in(files, source) == paths:
                return [_cut(files, source, path) for path in paths]


@contextmanager
def _append_lock(effects: Effects, directory: str, deadline: float) -> Iterator[None]:
    files = effects.files
    with ExitStack() as stack:
        fds = []
        for name in (TURN, LOCK):
            path = os.path.join(directory, name)
            try:
                fd = open_regular(files, path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # a copy that nobody has ever opened for appending
            stack.callback(files.close, fd)
            pauses = TURN_PAUSES if name == TURN else LOCK_PAUSES
            acquire_flock(effects, fd, path, deadline, pauses=pauses)
            stack.callback(release_flock, effects, fd)
            fds.append(fd)
        if len(fds) > 1:
            release_flock(effects, fds[0])
        yield


def _cut(files: Files, source: str, path: str) -> Cut:
    at = journal_at(files, os.path.normpath(os.path.join(source, path)))
    return Cut(path, at, parts_at(files, at))


class _Copying:
    """One copy that is being built."""

    def __init__(  # noqa: PLR0913 - where from, where to, and how
        self,
        effects: Effects,
        source: str,
        target: str,
        directory: str,
        before: BackupReport | None,
        *,
        copy: bool,
    ) -> None:
        self.files = effects.files
        self.effects = effects
        self.source = source
        self.root = os.path.join(target, directory)
        self.before = "" if before is None else os.path.join(target, before.directory)
        self.recorded = {} if before is None else {one.path: one for one in before.journals}
        self.copy = copy
        self.passes = Passes(0, None)

    def copy_all(
        self, cuts: list[Cut], progress: Progress | None, *, verify: bool
    ) -> list[BackedUpJournal]:
        """Copy every journal, and sync all of it."""
        target = os.path.dirname(self.root)
        plans = [(cut, *self._before(cut)) for cut in cuts]
        needed = sum(
            bytes_to_copy(self.files, cut, target, before, copy=self.copy)
            for cut, before, _ in plans
        )
        refuse_full(self.files, target, needed, command="backup")
        self.files.mkdir(self.root, DIRECTORY_MODE)
        write_empty(self.files, os.path.join(self.root, UNFINISHED))
        total = sum(sum(segment_sizes(self.files, cut).values()) for cut in cuts)
        self.passes = Passes(2 * total if verify else total, progress)
        journals = []
        for cut, before, damage in plans:
            make_directories(self.files, self.root, cut.path)
            journals.append(self._copied(cut, before, damage, verify=verify))
        self.passes.end()
        self.files.sync_directory(self.root)
        self.files.sync_directory(os.path.dirname(self.root))
        return journals

    def _copied(self, cut: Cut, before: str, damage: str, *, verify: bool) -> BackedUpJournal:
        """Copy one journal, from the source alone if the copy before is damaged."""
        if not damage:
            try:
                journal = self._copy_journal(cut, before)
                return self._verified(cut, journal, is_anew=not before) if verify else journal
            except _DamagedCopyError as error:
                damage = str(error)
        return self._copied_anew(cut, damage)

    def _copied_anew(self, cut: Cut, damage: str) -> BackedUpJournal:
        """Copy one journal from the source, and read it, since ``damage`` is in the copy before.

        That goes when this one is complete, and where the source is damaged too, it may be all that
        is left of something. Raises CorruptionError then.
        """
        logger.warning("the copy before is damaged, all is copied again and read: %s", damage)
        directory = os.path.normpath(os.path.join(self.root, cut.path))
        remove_tree(self.files, directory, keep=frozenset({UNFINISHED}))
        make_directories(self.files, self.root, cut.path)
        journal = self._verified(cut, self._copy_journal(cut, ""), is_anew=True)
        return msgspec.structs.replace(journal, warnings=(damage,))

    def _before(self, cut: Cut) -> tuple[str, str]:
        """The journal in the copy before, or else nothing, and what is wrong with it.

        There is none of another history, and a damaged one is not used.
        """
        recorded = self.recorded.get(cut.path)
        history = cut.at.manifest.genesis_id, cut.at.manifest.epoch
        if recorded is None or (recorded.genesis_id, recorded.epoch) != history:
            return "", ""  # names of another history may stand for other bytes
        before = os.path.normpath(os.path.join(self.before, cut.path))
        damage = damage_of(self.files, before, recorded)
        return "" if damage else before, damage

    def _copy_journal(self, cut: Cut, before: str) -> BackedUpJournal:
        """Copy one journal; what is the same in ``before``, if that is not empty, is taken from there."""
        files = self.files
        source, target = (
            os.path.normpath(os.path.join(root, cut.path)) for root in (self.source, self.root)
        )
        copied_bytes, copied, linked = 0, 0, 0
        left_out = []
        for part, following in pairwise(cut.parts):
            with suppress(FileNotFoundError):  # it may have been cooled since: see below
                refuse_other_size(files, cut.at, part, following)
        sizes = segment_sizes(files, cut)
        total_bytes, done_bytes = sum(sizes.values()), 0
        told = self.passes.begin(total_bytes)
        for name in cut.names:
            paths = [os.path.join(one, name) for one in (source, target, before)]
            try:
                is_same = bool(before) and self._is_same(paths[0], paths[2])
                if before and not is_same:
                    self._check_changed(cut, name, paths[0], paths[2])
                if name in cut.caches and not is_cache_of_its_size(files, paths[0]):
                    left_out.append(name)
                    continue
                size = self._place(*paths, is_before=is_same)
            except FileNotFoundError as error:
                newest = read_manifest(files, source)
                if newest is None or newest.generation != cut.at.manifest.generation:
                    raise _DroppedError from error
                if name not in cut.caches:
                    raise CorruptionError(
                        paths[0], 0, expected="a segment, as listed", found="no file"
                    ) from error
                left_out.append(name)
                continue
            copied += size is not None
            linked += size is None
            copied_bytes += size or 0
            done_bytes += sizes.get(name, 0)
            told(done_bytes, total_bytes)
        tail_bytes = self._place_tail(cut, source, target, before)
        kept = msgspec.structs.replace(cut.at.manifest, obsolete=msgspec.UNSET)
        write_new_mark(
            files,
            target,
            cut.at.mark._replace(sequence=2, durable_offset=cut.at.mark.visible_offset),
        )
        write_manifest(files, target, kept)  # syncs the directory
        return BackedUpJournal(
            path=cut.path,
            genesis_id=cut.at.manifest.genesis_id,
            epoch=cut.at.manifest.epoch,
            position=cut.at.mark.visible_position,
            commit=cut.at.mark.visible_commit,
            linked_files=linked + (tail_bytes is None),
            copied_files=copied + (tail_bytes is not None),
            copied_bytes=copied_bytes + (tail_bytes or 0),
            left_out=tuple(left_out),
        )

    def _check_changed(self, cut: Cut, name: str, source: str, before: str) -> None:
        """Read a segment of the source that is not as it was when the copy before was made.

        It never changes: so one of the two is damaged. Raises CorruptionError if it is the source's,
        and then the copy before stays the current one; else _DamagedCopyError.
        """
        part = next((one for one in cut.parts if one.name == name), None)
        if part is None or not exists(self.files, before):
            return
        if part.number == read_mark(self.files, os.path.dirname(before)).segment_number:
            return  # it was the newest one then, and copied as far as it went
        for _ in walk_of(self.files, cut.at, part):
            pass
        message = f"{before}: differs from {source}, which is whole"
        raise _DamagedCopyError(message)

    def _place(self, source: str, target: str, before: str, *, is_before: bool) -> int | None:
        """Link or copy an immutable file; returns its size if it had to be copied."""
        if is_before:
            origin, may_link = before, True
        else:
            origin, may_link = source, not self.copy
        if may_link and is_linked(self.files, origin, target):
            return None
        return copy_file(self.files, origin, target)

    def _is_same(self, source: str, before: str) -> bool:
        files = self.files
        try:
            ours, theirs = files.stat(before), files.stat(source)
        except FileNotFoundError:
            return False
        if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
            return True
        return ours.st_size == theirs.st_size and self._head(source) == self._head(before)

    def _head(self, path: str) -> bytes:
        fd = open_regular(self.files, path, os.O_RDONLY)
        try:
            return read_exactly(self.files, fd, _COMPARED_BYTES, 0)
        finally:
            self.files.close(fd)

    def _place_tail(self, cut: Cut, source: str, target: str, before: str) -> int | None:
        """Copy the newest segment up to the mark, and check it; linked if nothing came since."""
        files, path = self.files, os.path.join(target, cut.parts[-1].name)
        if (
            before
            and is_at_mark_of(files, cut, before)
            and is_linked(files, os.path.join(before, cut.parts[-1].name), path)
        ):
            return None
        size = copy_file(
            files, os.path.join(source, cut.parts[-1].name), path, until=cut.at.mark.visible_offset
        )
        try:
            self._check_tail(cut, target)
        except CorruptionError as error:
            # The copy is thrown away; what is wrong with it is wrong with the source.
            where = os.path.join(source, cut.parts[-1].name)
            raise CorruptionError(
                where, error.offset, expected=error.expected, found=error.found
            ) from error
        return size

    def _check_tail(self, cut: Cut, target: str) -> None:
        file = open_part(self.files, cut.at._replace(path=target), cut.parts[-1])
        chain = start_of(file)
        walk = Walk(file, chain, cut.at.mark.visible_offset)
        for _ in walk:
            pass
        if (chain.offset, chain.commit_number, chain.position) != (
            cut.at.mark.visible_offset,
            cut.at.mark.visible_commit,
            cut.at.mark.visible_position,
        ):
            raise stop_error(file, walk.stop)

    def _verified(self, cut: Cut, journal: BackedUpJournal, *, is_anew: bool) -> BackedUpJournal:
        """Read all of a journal that was copied; returns it with its digest.

        Raises CorruptionError for what is wrong with the source, _DamagedCopyError for what may be
        wrong with the copy before only, from which it was linked: the source has it, too.
        """
        directory = os.path.normpath(os.path.join(self.root, cut.path))
        told = self.passes.begin(sum(segment_sizes(self.files, cut).values()))
        report = verify_journal(directory, digest=True, progress=told, effects=self.effects)
        for finding in report.findings:
            # The copy is thrown away; what is wrong with it is wrong with what it was made from.
            root = self.source if is_anew else self.before
            path = os.path.normpath(os.path.join(root, cut.path, os.path.basename(finding.path)))
            error = CorruptionError(
                path, finding.offset or 0, expected=finding.expected, found=finding.found
            )
            if is_anew:
                raise error
            raise _DamagedCopyError(problem_text(error))
        return msgspec.structs.replace(journal, digest=report.digest)

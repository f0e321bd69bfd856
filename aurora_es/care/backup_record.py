"""The record of a backup directory: which of its copies is the current one, and what is in it.

<target>/backup            JSON, replaced atomically: what this module reads and writes
<target>/lock              flock target: one backup at a time
<target>/<number, 10>/     one copy; laid out as its source. Others are left over, and removed
"""

from __future__ import annotations

import json
import os
import shlex
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_NB, LOCK_SH
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import CorruptionError, ForeignDirectoryError
from aurora_es.files.layer import exists, read_if_there, replace_file
from aurora_es.files.locks import flocked
from aurora_es.format.names import BACKUP, LOCK, NEW_SUFFIX
from aurora_es.journal.discovery import is_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.files.layer import Effects, Files

RECORD = BACKUP
RECORD_VERSION = 1
# In a copy, from its first moment: it is being made, or its making was killed; and then: complete.
UNFINISHED = "backup.unfinished"
COPY = "backup.copy"
RESCUED_SUFFIX = ".rescued"  # of the target: where a damaged copy is copied to, to be repaired
_RECORD_BYTES_MAX = 64 << 20
# A journal, its application and its AURORA_PATH are below the copy, and that is below the target.
_LEVELS_MAX = 4


class BackedUpJournal(msgspec.Struct, frozen=True, kw_only=True):
    """One journal as a backup holds it, and how it got there."""

    path: str  # relative to the source; "." for a source that is a journal
    genesis_id: str  # of the journal, hexadecimal
    epoch: int  # of the journal
    position: int  # of the last record
    commit: int  # number of the last commit
    linked_files: int = 0  # that take no room of their own
    copied_files: int = 0  # number of files
    copied_bytes: int = 0  # of those files
    left_out: tuple[str, ...] = ()  # caches that the source lacks; readers build them anew
    digest: str | None = None  # of all commits, if the backup was verified
    # What was wrong with the copy before: so all of the journal was copied from the source, and read.
    warnings: tuple[str, ...] = ()


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished backup."""

    path: str  # what was backed up
    target: str  # directory of the backups
    directory: str  # of this copy, below the target
    created_at: int  # microseconds, UTC
    journals: tuple[BackedUpJournal, ...]  # one for each journal of the source
    version: int = RECORD_VERSION  # of this record


class RecordDamagedError(CorruptionError):
    """The record of a target is damaged: nobody knows which copy is the current one."""

    def __init__(self, path: str, names: list[str], *, found: str) -> None:
        """``names`` are those beside it."""
        super().__init__(path, 0, expected="the record of a backup", found=found)
        target = os.path.dirname(path)
        copy = shlex.quote(
            os.path.join(target, max(filter(is_number, names), default="0000000001"))
        )
        message = (
            f"corruption in {path}: expected {self.expected}, found {found}; nothing was changed. Its"
            f" copies may be whole: `aurora-es verify {copy}` says so, and `aurora-es restore {copy}`"
            " restores one by its own path. Give backups another target"
        )
        self.args = (message,)


def read_record(files: Files, target: str) -> BackupReport | None:
    """The current backup in ``target``; None when there is none. Raises CorruptionError."""
    path = os.path.join(target, RECORD)
    data = read_if_there(files, path, _RECORD_BYTES_MAX)
    if data is None:
        return None
    names = files.listdir(target)
    try:
        record = msgspec.convert(json.loads(data), BackupReport)
    except (ValueError, RecursionError) as error:
        raise RecordDamagedError(path, names, found=f"{len(data)} other bytes") from error
    if not is_number(record.directory):
        raise RecordDamagedError(path, names, found=f"copy {record.directory!r}")
    for one in record.journals:
        if os.path.isabs(one.path) or ".." in one.path.split("/") or "\0" in one.path:
            raise RecordDamagedError(path, names, found=f"a journal at {one.path!r}")
    return record


def is_number(name: str) -> bool:
    """Whether a name is one that copies have."""
    return len(name) == 10 and name.isascii() and name.isdigit()


def write_record(files: Files, target: str, record: BackupReport) -> None:
    """Make ``record`` the current backup, atomically and durably."""
    path = os.path.join(target, RECORD)
    # Paths may hold bytes that are no UTF-8, as surrogates: msgspec refuses these, json escapes them.
    text = json.dumps(msgspec.to_builtins(record), separators=(",", ":"))
    replace_file(files, path, text.encode("ascii"), draft=path + NEW_SUFFIX)


def current_copy(files: Files, target: str) -> str | None:
    """Path of the current copy in ``target``; None where that is no target of backups.

    Raises CorruptionError.
    """
    record = read_record(files, target)
    return None if record is None else os.path.join(target, record.directory)


def missing_journals(files: Files, target: str) -> list[str]:
    """Paths of journals that the record of ``target`` names and its current copy lacks.

    Empty for what is no target. Raises CorruptionError.
    """
    record = read_record(files, target)
    if record is None:
        return []
    copy = os.path.join(target, record.directory)
    return [
        os.path.normpath(os.path.join(copy, one.path))
        for one in record.journals
        if not _is_there(files, copy, one)
    ]


def copy_above(files: Files, path: str) -> str | None:
    """The copy in a target of backups that ``path`` is, or lies in; None for all else."""
    directory = path
    for _ in range(_LEVELS_MAX):
        above, name = os.path.split(directory)
        if is_number(name) and exists(files, os.path.join(above, RECORD)):
            return directory
        directory = above
    return None


def refuse_copy(files: Files, path: str) -> None:
    """Raise ForeignDirectoryError for what is, or lies in, a copy in a target of backups.

    Its files may be the same as its source's, and the next backup takes it for what it was.
    """
    copy = copy_above(files, path)
    if copy is not None:
        message = (
            f"{path}: expected a store, found a copy in a target of backups; nothing was changed."
            f" Restore it (`aurora-es restore`) and work on that; if it is damaged, run"
            f" `{cure_of_copy(files, copy)}`; `aurora-es doctor` looks at what is there"
        )
        raise ForeignDirectoryError(message)


def cure_of_copy(files: Files, copy: str) -> str:
    """The command line to run where a copy in a target is damaged; never one that changes the copy.

    The source has it, too; if that is not where it was, a copy of the copy is repaired.
    """
    target = os.path.dirname(copy)
    try:
        record = read_record(files, target)
    except CorruptionError:
        record = None
    if (
        record is not None
        and record.directory == os.path.basename(copy)
        and any(_is_there(files, record.path, one) for one in record.journals)
    ):
        return f"aurora-es backup {shlex.quote(record.path)} {shlex.quote(target)} --verify"
    if not exists(files, copy):
        return f"aurora-es backup SOURCE {shlex.quote(target)} --verify"
    place = shlex.quote(target + RESCUED_SUFFIX)
    return f"cp -R {shlex.quote(copy)} {place} && aurora-es repair {place} --dry-run"


def _is_there(files: Files, root: str, journal: BackedUpJournal) -> bool:
    path = os.path.normpath(os.path.join(root, journal.path))
    try:
        return is_journal(files, path, files.listdir(path))
    except OSError:
        return False


@contextmanager
def copy_held(effects: Effects, path: str, *, timeout: float) -> Iterator[None]:
    """Keep backups from replacing the copy that is being read: ``path``, in it, or above it.

    Others may read it, too. Raises LockTimeoutError while a backup is being made.
    """
    with ExitStack() as stack:
        directory = path
        for _ in range(_LEVELS_MAX):
            lock = os.path.join(directory, LOCK)
            # Without a lock file it is none of ours, or on a medium that nobody writes to.
            if exists(effects.files, os.path.join(directory, RECORD)) and exists(
                effects.files, lock
            ):
                shared = flocked(
                    effects,
                    lock,
                    effects.monotonic() + timeout,
                    flags=os.O_RDONLY,
                    operation=LOCK_SH | LOCK_NB,
                )
                stack.enter_context(shared)
            directory = os.path.dirname(directory)
        yield

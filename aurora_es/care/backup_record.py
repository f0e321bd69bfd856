"""The record of a backup directory: which of its copies is the current one, and what is in it.

<target>/backup            JSON, replaced atomically: what this module reads and writes
<target>/lock              flock target: one backup at a time
<target>/<number, 10>/     one copy; laid out as its source. Others are left over, and removed
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_NB, LOCK_SH
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import CorruptionError
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


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    """A finished backup."""

    path: str  # what was backed up
    target: str  # directory of the backups
    directory: str  # of this copy, below the target
    created_at: int  # microseconds, UTC
    journals: tuple[BackedUpJournal, ...]  # one for each journal of the source
    version: int = RECORD_VERSION  # of this record


def read_record(files: Files, target: str) -> BackupReport | None:
    """The current backup in ``target``; None when there is none. Raises CorruptionError."""
    path = os.path.join(target, RECORD)
    data = read_if_there(files, path, _RECORD_BYTES_MAX)
    if data is None:
        return None
    try:
        record = msgspec.json.decode(data, type=BackupReport)
    except (ValueError, RecursionError) as error:
        raise CorruptionError(
            path, 0, expected="the record of a backup", found=f"{len(data)} other bytes"
        ) from error
    directory = record.directory
    if len(directory) != 10 or not directory.isascii() or not directory.isdigit():
        raise CorruptionError(path, 0, expected="a directory of 10 digits", found=directory)
    for one in record.journals:
        if os.path.isabs(one.path) or ".." in one.path.split("/") or "\0" in one.path:
            raise CorruptionError(
                path, 0, expected="journals below the copy", found=f"one at {one.path!r}"
            )
    return record


def write_record(files: Files, target: str, record: BackupReport) -> None:
    """Make ``record`` the current backup, atomically and durably."""
    path = os.path.join(target, RECORD)
    replace_file(files, path, msgspec.json.encode(record), draft=path + NEW_SUFFIX)


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
    paths = [
        os.path.normpath(os.path.join(target, record.directory, one.path))
        for one in record.journals
    ]
    return [
        path
        for path in paths
        if not exists(files, path) or not is_journal(files, path, files.listdir(path))
    ]


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

"""Keeps everybody else from a journal while it is repaired: appenders and background runs.

Theory of operation: ``background.lock``, then ``lock``, in the order that all of the package keeps.
An appender that has the journal open waits, or times out; what it finds afterwards has a new epoch.
"""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from aurora_es.care.backup_record import refuse_copy
from aurora_es.care.copying import storage_told
from aurora_es.errors import ArgumentError, ForeignDirectoryError
from aurora_es.files.layer import exists, open_regular
from aurora_es.files.locks import flocked
from aurora_es.format.names import (
    BACKGROUND_LOCK,
    LOCK,
    LOCK_FILES,
    MANIFEST_LOCK,
    NEW_SUFFIX,
    SMALL_FILES,
    is_sealed_file_name,
)
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.discovery import is_journal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aurora_es.files.layer import Effects, Files


def refuse_no_journal(files: Files, path: str) -> None:
    """Raise ForeignDirectoryError or ArgumentError for what no lock file of ours belongs into."""
    refuse_copy(files, path)
    try:
        names = files.listdir(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        message = (
            f"{path}: expected the directory of a journal, found none; nothing was changed."
            " `aurora-es doctor` shows where the store of this environment is"
        )
        raise ArgumentError(message) from error
    if is_journal(files, path, names):
        return
    message = (
        f"{path}: expected a journal, or segments of one; found neither; nothing was changed. Name"
        " the directory that holds the segments: `aurora-es doctor` on the one above finds it"
    )
    raise ForeignDirectoryError(message)


def refuse_no_files(files: Files, path: str) -> None:
    """Raise ArgumentError for a directory without a file that a journal, begun or not, may have."""
    stems = [name.removesuffix(NEW_SUFFIX) for name in files.listdir(path)]
    if any(stem in SMALL_FILES or is_sealed_file_name(stem) for stem in stems):
        return
    message = (
        f"{path}: expected a journal, found no file of one; nothing was checked. `aurora-es verify"
        f" {shlex.quote(path)}` checks all journals below, `aurora-es info` lists them"
    )
    raise ArgumentError(message)


@contextmanager
def nobody_else(
    effects: Effects,
    path: str,
    *,
    timeout: float,
    dry_run: bool = False,
    without: Collection[str] = (),
) -> Iterator[None]:
    """Hold the locks of a journal; raises LockTimeoutError while somebody appends or tends it.

    All that is going to be locked is opened at first: who may not, changes nothing. Left out are the
    lock files ``without``, in whose places are no files: raises ForeignDirectoryError for others, and
    StorageError. A ``dry_run`` makes none that is missing, as in what was restored and not used yet:
    made by the superuser, its owner could not append.
    """
    files = effects.files
    names = [name for name in LOCK_FILES if name not in without]
    if dry_run:
        names = [name for name in names if exists(files, os.path.join(path, name))]
    with ExitStack() as held:
        with storage_told(path):
            for name in names:
                lock = os.path.join(path, name)
                files.close(open_regular(files, lock, os.O_RDWR | os.O_CREAT))
        if BACKGROUND_LOCK in names:
            held.enter_context(BackgroundLock(effects, path, timeout=timeout))
        if LOCK in names:
            lock = os.path.join(path, LOCK)
            held.enter_context(flocked(effects, lock, effects.monotonic() + timeout))
        yield


@contextmanager
def manifest_locked(effects: Effects, path: str, *, timeout: float) -> Iterator[None]:
    """Hold ``manifest.lock``, for whoever replaces a manifest that may be unreadable."""
    with flocked(effects, os.path.join(path, MANIFEST_LOCK), effects.monotonic() + timeout):
        yield

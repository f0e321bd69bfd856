"""Keeps everybody else from a journal while it is repaired: appenders and background runs.

Theory of operation: ``background.lock``, then ``lock``, in the order that all of the package keeps.
An appender that has the journal open waits, or times out; what it finds afterwards has a new epoch.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aurora_es.care.backup_record import refuse_copy
from aurora_es.errors import ArgumentError, ForeignDirectoryError
from aurora_es.files.locks import flocked
from aurora_es.format.names import LOCK, MANIFEST_LOCK
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.discovery import is_journal

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def nobody_else(effects: Effects, path: str, *, timeout: float) -> Iterator[None]:
    """Hold the locks of a journal; raises LockTimeoutError while somebody appends or tends it."""
    with (
        BackgroundLock(effects, path, timeout=timeout),
        flocked(effects, os.path.join(path, LOCK), effects.monotonic() + timeout),
    ):
        yield


@contextmanager
def manifest_locked(effects: Effects, path: str, *, timeout: float) -> Iterator[None]:
    """Hold ``manifest.lock``, for whoever replaces a manifest that may be unreadable."""
    with flocked(effects, os.path.join(path, MANIFEST_LOCK), effects.monotonic() + timeout):
        yield

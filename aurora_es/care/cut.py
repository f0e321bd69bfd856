"""The journals below a directory, all at one moment: manifest and mark of each.

Theory of operation: a cut is consistent if no tracking record in it names a notification that is not
in it. Reading one mark after the other does not give that while applications follow each other in a
circle, so all marks are read while the append locks of all journals are held together, which takes as
long as reading two small files per journal. Whoever holds one lock and waits for another may meet
somebody who does the same in another order, so a lock that is not had at once lets all go, and it is
tried again. A lock file is opened for reading only: a store on a read-only file system can be backed
up.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.care.copying import is_directory
from aurora_es.errors import ArgumentError, LockTimeoutError, NeedsRecoveryError
from aurora_es.files.layer import open_regular
from aurora_es.files.locks import acquire_flock, release_flock
from aurora_es.format.names import LOCK, MANIFEST, parse_cooled_name, parse_segment_name
from aurora_es.journal.creation import is_unborn
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import read_mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.files.layer import Effects, Files
    from aurora_es.format.manifest import Manifest
    from aurora_es.format.mark import Mark

_LEVELS_MAX = 2  # application, purpose
_LOCK_SECONDS = 0.05  # for one lock, before all are let go


class JournalCut(NamedTuple):
    """One journal as it was at the moment of the cut."""

    path: str
    manifest: Manifest
    mark: Mark


def journals_below(files: Files, path: str) -> list[str]:
    """The journal ``path``, or all journals up to two levels below it, in order.

    Raises ArgumentError if there is none, and CorruptionError for one that lost its manifest.
    """
    if not is_directory(files, path):
        message = (
            f"{path}: expected a journal, the directory of an application or an AURORA_PATH; found"
            " no directory"
        )
        raise ArgumentError(message)
    found = _search(files, path, _LEVELS_MAX)
    if not found:
        message = (
            f"{path}: expected a journal here or up to two levels below, found none;"
            " `aurora-es info` on the directory above lists them"
        )
        raise ArgumentError(message)
    return found


def cut(effects: Effects, paths: Sequence[str], *, timeout: float) -> list[JournalCut]:
    """Manifest and mark of each journal at one moment; raises LockTimeoutError, CorruptionError."""
    deadline = effects.monotonic() + timeout
    while True:
        try:
            with ExitStack() as locks:
                for path in paths:
                    _lock(effects, path, locks, deadline)
                return [_read(effects.files, path) for path in paths]
        except LockTimeoutError:
            if effects.monotonic() >= deadline:
                raise


def _search(files: Files, path: str, levels: int) -> list[str]:
    names = sorted(files.listdir(path))
    if MANIFEST in names:
        return [path]
    if any(parse_segment_name(name) or parse_cooled_name(name) for name in names):
        return [] if is_unborn(files, path) else [path]
    found = []
    for name in names if levels else ():
        below = os.path.join(path, name)
        if is_directory(files, below):
            found += _search(files, below, levels - 1)
    return found


def _lock(effects: Effects, path: str, locks: ExitStack, deadline: float) -> None:
    lock_path = os.path.join(path, LOCK)
    fd = open_regular(effects.files, lock_path, os.O_RDONLY)
    locks.callback(effects.files.close, fd)
    until = min(deadline, effects.monotonic() + _LOCK_SECONDS)
    acquire_flock(effects, fd, lock_path, until)
    locks.callback(release_flock, effects, fd)


def _read(files: Files, path: str) -> JournalCut:
    manifest = read_manifest(files, path)
    assert manifest is not None, "a manifest that was there is never removed"
    mark = read_mark(files, path)
    last = manifest.segments[-1].segment_number if manifest.segments else 0
    if mark.segment_number <= last or mark.epoch < manifest.epoch:
        message = (
            f"{path}: its mark is older than its manifest, as after a power cut; nothing was"
            " written. Open it for appending once (`Journal.open`), which recovers it, and try again"
        )
        raise NeedsRecoveryError(message)
    return JournalCut(path, manifest, mark)

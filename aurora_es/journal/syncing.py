"""Makes visible commits durable: on request, at close, and every n milliseconds.

Theory of operation: under the mode ``<n>ms`` each writing process has one daemon thread. It
remembers the mark, syncs the tail outside all locks, and then, under the append lock, publishes
that what it remembered is durable, if the segment is still the tail (a roll syncs by itself). The
thread holds its journal weakly and ends with it.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError, CommitOutcomeUnknownError
from aurora_es.journal.append import mark_under_lock
from aurora_es.journal.append_lock import append_locked
from aurora_es.journal.logs import logger

if TYPE_CHECKING:
    from aurora_es.format.mark import Mark
    from aurora_es.journal.handle import Handle


def sync_journal(handle: Handle) -> None:
    """Force everything visible to disk, and the mark; raises CommitOutcomeUnknownError."""
    if handle.usable() is None:
        return
    with append_locked(handle, handle.effects.monotonic() + handle.lock_timeout):
        mark = mark_under_lock(handle)
        try:
            if mark.durable_offset != mark.visible_offset:
                assert handle.tail is not None
                meters, begun = handle.meters, handle.effects.monotonic()
                handle.files.fdatasync(handle.tail.fd)
                meters.note_sync(handle.effects.monotonic() - begun, meters.appended_commits)
                mark = _publish_durable(handle, mark, mark.visible_offset)
            if mark.sequence != handle.mark_synced_sequence:
                handle.sync_mark(mark)
        except OSError as error:
            raise _failed(handle, error) from error


class IntervalSyncer:
    """The thread behind ``Sync.interval``."""

    def __init__(self, handle: Handle, interval_seconds: float) -> None:
        """Start the thread."""
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=_run,
            args=(weakref.ref(handle), self._stop, interval_seconds),
            name="aurora-sync",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()


def _run(reference: weakref.ref[Handle], stop: threading.Event, interval_seconds: float) -> None:
    while not stop.wait(interval_seconds):
        handle = reference()
        if handle is None or handle.descriptors is None:
            return
        try:
            _sync_once(handle)
        except AuroraError as error:
            if handle.poison is not None or handle.descriptors is None:
                return
            logger.warning("%s: a sync was put off: %s", handle.path, error)
        del handle


def _sync_once(handle: Handle) -> None:
    descriptors, tail = handle.usable(), handle.tail
    if descriptors is None or tail is None:
        return
    remembered = descriptors.mark.read()
    if remembered.durable_offset == remembered.visible_offset:
        return
    if remembered.segment_number != tail.header.segment_number:
        return
    try:
        begun, appended_commits = handle.effects.monotonic(), handle.meters.appended_commits
        handle.files.fdatasync(tail.fd)
        ended = handle.effects.monotonic()
        with append_locked(handle, ended + handle.lock_timeout):
            handle.meters.note_sync(ended - begun, appended_commits)
            mark = mark_under_lock(handle)
            if mark.segment_number == remembered.segment_number and mark.epoch == remembered.epoch:
                durable = max(mark.durable_offset, remembered.visible_offset)
                mark = _publish_durable(handle, mark, durable)
                handle.sync_mark(mark)
    except AuroraError:
        raise  # a time-out of the lock among them, which is an OSError and no failed sync
    except OSError as error:
        raise _failed(handle, error) from error


def _publish_durable(handle: Handle, mark: Mark, durable_offset: int) -> Mark:
    descriptors = handle.usable()
    assert descriptors is not None
    mark = mark._replace(sequence=mark.sequence + 1, durable_offset=durable_offset)
    descriptors.mark.publish(mark)
    return mark


def _failed(handle: Handle, error: OSError) -> CommitOutcomeUnknownError:
    handle.poison_with(error)
    return CommitOutcomeUnknownError(
        f"{handle.path}: the sync failed ({error}); commits since the last one may or may not be"
        " on disk, and this handle is final. Open the journal again (Journal.open),"
        " which recovers"
    )

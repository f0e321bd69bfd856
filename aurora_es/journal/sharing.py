"""Shares open journals inside a process.

Theory of operation: every recorder and factory of a process that asks for the same directory gets
the same ``Journal``, and with it one handle, one index and one group commit. Each holds a *lease*;
the journal is closed with its last lease. Leases that are dropped without closing count no more as
soon as they are collected, and a journal whose last lease is dropped is collected with it. The
lock is reentrant, since closing may happen inside garbage collection, and appends never take it.
"""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass

from aurora_es.errors import AuroraConfigurationError, ClosedError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import LOCK_TIMEOUT_SECONDS_DEFAULT, Journal
from aurora_es.journal.opening import refuse_network


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """How a leased journal is opened; see ``Journal.open`` for the meaning of each."""

    settings: Settings = Settings()
    read_only: bool = False
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT
    poll_interval: float | None = None
    allow_network_file_system: bool = False
    new_parents_max: int = 0


class JournalLease:
    """The right to use the process's shared journal of one directory."""

    def __init__(self, path: str, options: LeaseOptions) -> None:
        """Lease the journal in the absolute ``path``, opening it if nobody in this process has."""
        self.path = path
        self._options = options
        self._closed = False
        self._journal = _shared.lease(self, path, options)

    @property
    def journal(self) -> Journal:
        """The open journal; in the child of a fork it is opened anew. Raises ClosedError."""
        journal = self._journal
        if journal.handle.forked and not self._closed:
            journal = self._journal = _shared.lease(self, self.path, self._options)
        if self._closed:
            message = f"the recorder of {self.path} was closed; construct another one"
            raise ClosedError(message)
        return journal

    def close(self) -> None:
        """Give the lease back; idempotent. The last one closes the journal."""
        if not self._closed:
            self._closed = True
            _shared.give_back(self, self._journal)


class _SharedJournals:
    """The process's table of open journals."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # By real path and mode; values die with their last lease.
        self._journals: weakref.WeakValueDictionary[tuple[str, bool], Journal] = (
            weakref.WeakValueDictionary()
        )
        self._leases: weakref.WeakKeyDictionary[Journal, weakref.WeakSet[JournalLease]] = (
            weakref.WeakKeyDictionary()
        )

    def lease(self, lease: JournalLease, path: str, options: LeaseOptions) -> Journal:
        key = (os.path.realpath(path), options.read_only)
        with self._lock:
            journal = self._journals.get(key)
            if journal is None or not _is_current(journal):
                if not options.allow_network_file_system:
                    refuse_network(path)
                journal = Journal(
                    SYSTEM_EFFECTS,
                    path,
                    options.settings,
                    read_only=options.read_only,
                    lock_timeout=options.lock_timeout,
                    poll_interval=options.poll_interval,
                    new_parents_max=options.new_parents_max,
                )
                self._journals[key] = journal
                self._leases[journal] = weakref.WeakSet()
            else:
                _check_same_sync(journal, options.settings)
            self._leases[journal].add(lease)
            return journal

    def give_back(self, lease: JournalLease, journal: Journal) -> None:
        with self._lock:
            leases = self._leases.get(journal)
            if leases is not None:
                leases.discard(lease)
                if leases:
                    return
        # A child of a fork gives back what is its parent's: closing a forked handle only forgets.
        journal.close()


def _is_current(journal: Journal) -> bool:
    """Whether the table's journal may be given to another lease."""
    handle = journal.handle
    if handle.closed or handle.forked or handle.poison is not None:
        return False
    if handle.directory_identity is None:
        return True
    try:
        status = os.stat(handle.path)
    except OSError:
        return False
    return handle.directory_identity == (status.st_dev, status.st_ino)


def _check_same_sync(journal: Journal, settings: Settings) -> None:
    """Two recorders of one process may not ask for different sync modes of one journal."""
    recorded = journal.handle.sync_mode if journal.attach() else journal.settings.sync
    if settings.sync is not None and recorded is not None and settings.sync != recorded:
        message = (
            f"{journal.handle.path}: sync mode {settings.sync} was asked for, but the journal is"
            f" open with {recorded}. Give every factory of this store the same AURORA_SYNC"
        )
        raise AuroraConfigurationError(message)


_shared = _SharedJournals()


def _renew_after_fork() -> None:
    # The parent's journals are closed in the child by their handles; the table starts anew.
    global _shared  # noqa: PLW0603 - one table per process
    _shared = _SharedJournals()


os.register_at_fork(after_in_child=_renew_after_fork)

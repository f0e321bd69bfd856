"""Shares open journals inside a process.

Theory of operation: every recorder and factory of a process that asks for the same directory gets
the same ``Journal``, and with it one handle, one index and one group commit. Each holds a *lease*;
the journal is closed with its last lease. Leases that are dropped without closing count no more as
soon as they are collected, and a journal whose last lease is dropped is collected with it.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraConfigurationError, ClosedError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import LOCK_TIMEOUT_SECONDS_DEFAULT, Journal
from aurora_es.journal.logs import logger
from aurora_es.journal.opening import refuse_network
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.journal.following import Follower


_UNSET = Settings()
_Key = tuple[str, bool]  # real path of the directory, whether read-only


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """How a leased journal is opened; see ``Journal.open`` for the meaning of each."""

    settings: Settings = _UNSET
    read_only: bool = False
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT
    poll_interval: float | None = None
    allow_network_file_system: bool = False
    new_parents_max: int = 0
    background: bool = False


class JournalLease:
    """The right to use the process's shared journal of one directory."""

    def __init__(self, path: str, options: LeaseOptions) -> None:
        """Lease the journal in the absolute ``path``, opening it if nobody in this process has."""
        self.path = path
        self._options = options
        self._closed = False
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self._journal = _shared.lease(self, path, options)

    @property
    def journal(self) -> Journal:
        """The open journal; in the child of a fork it is opened anew. Raises ClosedError."""
        journal = self._journal
        if journal.handle.forked and not self._closed:
            journal = self._journal = _shared.lease(self, self.path, self._options)
            logger.info("%s: opened again in the child of a fork", self.path)
        if self._closed:
            message = f"the recorder of {self.path} was closed; construct another one (its factory, or Journal.open)"
            raise ClosedError(message)
        return journal

    def follower(self) -> Follower:
        """A follower of the journal; giving the lease back stops it. Raises ClosedError."""
        follower = self.journal.follower()
        self._followers.add(follower)
        if self._closed:  # meanwhile, by another thread, which may not have seen the follower
            follower.stop()
        return follower

    def close(self) -> None:
        """Give the lease back; idempotent. The last one closes the journal.

        Stops the followers of this lease, also if others keep the journal open.
        """
        if not self._closed:
            self._closed = True
            try:
                for follower in members_of(self._followers):
                    follower.stop()
            finally:
                _shared.give_back(self, self._journal)


class _SharedJournals:
    """The process's table of open journals.

    The lock is held to look up and to write down, never while a journal is opened or closed: both
    wait for appends, and an append may collect garbage, which may give a lease back. It is
    reentrant for garbage that is collected here. Of two threads that open a journal at once, one
    closes its own again.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # The rest is written under the lock. Values die with their last lease.
        self._journals: weakref.WeakValueDictionary[_Key, Journal] = weakref.WeakValueDictionary()
        self._leases: weakref.WeakKeyDictionary[Journal, weakref.WeakSet[JournalLease]] = (
            weakref.WeakKeyDictionary()
        )
        self._keys: weakref.WeakKeyDictionary[Journal, _Key] = weakref.WeakKeyDictionary()
        self._depth = 0
        self._idle: list[Journal] = []

    def lease(self, lease: JournalLease, path: str, options: LeaseOptions) -> Journal:
        key = (os.path.realpath(path), options.read_only)
        journal = self._find(key, lease, None)
        if journal is None:
            opened = _open(path, options)
            journal = self._find(key, lease, opened)
            assert journal is not None
            if journal is opened:
                return journal
            opened.close()
        try:
            _check_same_sync(journal, options.settings)
        except BaseException:
            self.give_back(lease, journal)
            raise
        return journal

    def _find(self, key: _Key, lease: JournalLease, opened: Journal | None) -> Journal | None:
        """Write ``lease`` down for the journal of the table, or for ``opened`` if it has none."""
        with self._locked():
            journal = self._journals.get(key)
            if journal is not None and _is_current(journal):
                self._leases[journal].add(lease)
                # Unless its last lease was given back here, by garbage, before ours counted.
                if self._journals.get(key) is journal:
                    return journal
            if opened is not None:
                self._leases[opened] = weakref.WeakSet((lease,))
                self._keys[opened] = key
                self._journals[key] = opened
            return opened

    def give_back(self, lease: JournalLease, journal: Journal) -> None:
        with self._locked():
            leases = self._leases.get(journal)
            if leases is not None:
                leases.discard(lease)
                if leases:
                    return
                # By its key: a walk over the table would end with an error if garbage that is
                # collected here, or in another thread, took something out of it meanwhile.
                key = self._keys[journal]
                if self._journals.get(key) is journal:
                    self._journals.pop(key, None)
            # A child of a fork gives back what is its parent's: closing a forked handle only
            # forgets.
            self._idle.append(journal)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; after its outermost release close what nobody leases any more."""
        idle: list[Journal] = []
        try:
            with self._lock:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                    if self._depth == 0:
                        idle, self._idle = self._idle, idle
        finally:
            for journal in idle:
                journal.close()


def _open(path: str, options: LeaseOptions) -> Journal:
    if not options.allow_network_file_system:
        refuse_network(path)
    return Journal(
        SYSTEM_EFFECTS,
        path,
        options.settings,
        read_only=options.read_only,
        lock_timeout=options.lock_timeout,
        poll_interval=options.poll_interval,
        new_parents_max=options.new_parents_max,
        background=options.background,
    )


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
            f" open with {recorded}. Give every factory of this store the same AURORA_SYNC;"
            " `aurora-es doctor --app NAME` shows which key each sees"
        )
        raise AuroraConfigurationError(message)


_shared = _SharedJournals()


def _renew_after_fork() -> None:
    # The parent's journals are closed in the child by their handles; the table starts anew.
    global _shared  # noqa: PLW0603 - one table per process
    _shared = _SharedJournals()


os.register_at_fork(after_in_child=_renew_after_fork)

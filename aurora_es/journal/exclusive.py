"""Holds the append lock while somebody reads, decides and appends: for journaled views.

Theory of operation: under the lock nobody appends, so what is read there is the newest state of all
processes and stays it until the lock is released. The one commit that is appended goes the way of
any other, as a group of its own; threads of this process that append meanwhile wait in front of
``append_mutex``, as other processes wait in front of the flock. An interrupt between write and
publication leaves the handle in doubt, and the next owner of the lock recovers.

A block may be left by another thread than entered it: a web framework runs both halves of a generator
in whatever thread is free, and the collector closes an abandoned one in any. The mutex can't be
released there. What others wait for is: the flock is given back, and the handle gets a new mutex, as
after a fork; who waits for the old one looks for a new one now and then. Nothing is committed that
way, as the thread that entered might do other things with the handle meanwhile.
"""

from __future__ import annotations

from threading import RLock, get_ident
from typing import TYPE_CHECKING, Self

from aurora_es.errors import ArgumentError, AuroraError, StorageError
from aurora_es.journal.append import mark_under_lock, write_group
from aurora_es.journal.append_lock import AppendLock
from aurora_es.journal.commit import prepare_commit
from aurora_es.journal.conflicts import admit
from aurora_es.journal.generation import renew_if_due
from aurora_es.journal.roll import roll, roll_is_due

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.format.mark import Mark
    from aurora_es.format.payload import TrackingData
    from aurora_es.journal.commit import Identity, Row
    from aurora_es.journal.handle import Handle

_MARK_SYNC_SECONDS = 1.0
_NOBODY = -1  # no thread has this number


class ExclusiveAppend:
    """Context manager: the append lock of ``handle`` is held, and its state is the newest."""

    __slots__ = ("_handle", "_held", "_lock", "_mark", "_published", "_thread")

    def __init__(self, handle: Handle) -> None:
        """Prepare; the journal of ``handle`` exists and is open for appending."""
        self._handle = handle
        self._mark: Mark | None = None
        self._published = False
        # That was locked, and by whom: only while it is certain that it is held.
        self._held: object = None
        self._thread = 0
        # Last: who finds a lock when this is thrown away needs all the rest to release it.
        self._lock = AppendLock(handle, handle.effects.monotonic() + handle.lock_timeout)

    def __enter__(self) -> Self:
        """Take the lock, catch up, recover if need be; raises LockTimeoutError and others."""
        try:
            self._lock.__enter__()
            self._thread, self._held = get_ident(), self._handle.append_mutex
            self._mark = mark_under_lock(self._handle)
        except BaseException:
            self._held = None
            self._lock.release()
            raise
        return self

    def __del__(self) -> None:
        """Release the lock where nobody has, as an interrupt came at ``__exit__``'s first instruction."""
        lock: AppendLock | None = getattr(self, "_lock", None)  # interrupted before it had one
        if lock is not None and not self._is_given_back():
            lock.release()

    def _is_given_back(self) -> bool:
        """Give back the lock if it is another thread's; whether it was, now or before."""
        if self._thread in {0, get_ident()}:
            return False
        handle, held = self._handle, self._held
        # After a fork it is another one, and what is held is the parent's.
        if held is not None and held is handle.append_mutex:
            self._lock._unlock_held()  # noqa: SLF001 - without its mutex, which another thread owns
            handle.appending_threads.discard(self._thread)
            handle.append_mutex = RLock()
        self._held, self._thread = None, _NOBODY
        return True

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        try:
            if self._is_given_back():
                return
            self._held = None
            self._lock.__exit__()
        except BaseException:
            self._lock.release()
            raise
        if self._published:
            self._published = False
            self._sync_mark_if_due()

    def append(
        self,
        rows: Sequence[Row],
        identities: Sequence[Identity],
        tracking: TrackingData | None,
        *,
        tracking_may_fall: bool = False,
    ) -> int:
        """Append one commit; returns the first position. Raises as ``Journal.append`` does.

        ``tracking_may_fall`` is for who has built everything anew, of another history.
        """
        handle = self._handle
        if self._thread != get_ident():
            message = (
                f"{handle.path}: expected a transaction to be left in the thread that entered it, found"
                " another thread; nothing was written, and the lock is released. A generator that"
                " a framework runs may be left in any thread: enter and leave it in one function"
            )
            raise ArgumentError(message)
        commit = prepare_commit(handle.next_commit_id(), rows, identities, tracking, handle.codec)
        commit.tracking_may_fall = tracking_may_fall
        commit.begun = handle.effects.monotonic()
        mark, chain = self._mark, handle.state.chain
        assert mark is not None
        assert chain is not None
        now = max(handle.effects.clock(), chain.timestamp)
        try:
            if roll_is_due(handle.roll_bounds, chain, now):
                mark = self._mark = roll(handle, mark)
            if not admit(handle.state.index, [commit]):
                assert commit.error is not None
                handle.meters.conflicts += 1
                raise commit.error
            self._mark = write_group(handle, mark, [commit], now)
            handle.meters.note_appends([commit], handle.effects.monotonic())
        except AuroraError:
            raise
        except OSError as error:
            message = f"{handle.path}: {error}; nothing of this call was written; `aurora-es doctor` looks at rights and space"
            raise StorageError(message) from error
        except BaseException:
            # Interrupted, perhaps between write and publication: the next owner recovers.
            handle.forget_state()
            raise
        self._published = True
        return commit.first_position

    def _sync_mark_if_due(self) -> None:
        """As a leader of a group commit does once a second, when its lock is released."""
        handle, mark = self._handle, self._mark
        assert mark is not None
        if handle.effects.monotonic() - handle.mark_synced_at <= _MARK_SYNC_SECONDS:
            return
        try:
            handle.sync_mark(mark)
        except AuroraError:
            return  # closed or poisoned meanwhile, by another thread: no affair of this commit
        except OSError as error:
            handle.poison_with(error)
            return
        renew_if_due(handle)

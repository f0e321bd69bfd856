"""The append lock: one thread of one process at a time writes to a journal.

Theory of operation: the thread lock of the handle first (flock does not exclude threads that share
a descriptor), then ``turn``, ``lock``, and ``turn`` is released. If the file named ``lock`` is not
the one that is open, somebody removed it: two owners would be possible, so it is opened again.

While a process appends alone, nobody queues, and it takes ``lock`` without ``turn``, which would
cost two calls on each append. Who comes anew gets ``lock`` between two of its appends; his first
commit is the sign for taking turns from there on. A turn lasts some milliseconds: until then its
owner may take ``lock`` again without queueing, since passing it to another process costs as much
as several commits (row "4 processes": half the rate without). Only fairness depends on ``turn``.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN
from threading import get_ident
from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError, LockTimeoutError
from aurora_es.files.locks import TURN_PAUSES, acquire_flock
from aurora_es.format.names import LOCK
from aurora_es.journal.catch_up import catch_up
from aurora_es.journal.closing import begin_append, end_append
from aurora_es.journal.handle import Descriptors
from aurora_es.journal.logs import logger
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.presence import show_presence
from aurora_es.options import Sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.format.mark import Mark
    from aurora_es.journal.handle import Handle

# What a process may append in a row while others wait: each of them waits for as many turns as
# there are processes before it.
_TURN_SECONDS = 4e-3
# What who waits leaves for later: every catch-up costs as much as ten commits in it (row "4
# processes" of the queue), and what is left is caught up with under the lock.
_BEHIND_BYTES_MAX = 1 << 12
# An owner of ``lock`` that has appended nothing for so long is not at its turn any more.
_STILL_SECONDS = 150e-6
# How long a mutex is waited for before the handle is asked whether it is still its own.
_MUTEX_LOOK_SECONDS = 0.05
_LONG_WAIT_SECONDS = 1.0  # which somebody should know of
_AT_ONCE = LOCK_EX | LOCK_NB


@contextmanager
def append_locked(handle: Handle, deadline: float) -> Iterator[Descriptors]:
    """Hold the append lock of ``handle``, for who has time to see that it is released."""
    lock = AppendLock(handle, deadline)
    try:
        with lock as descriptors:
            yield descriptors
    finally:
        lock.release()


class AppendLock:
    """Context manager that holds the append lock of ``handle``; raises LockTimeoutError.

    A signal handler may raise at the first instruction of ``__exit__``, before anything is released.
    So whoever gets an exception out of the block calls ``release`` once more: see there.
    """

    __slots__ = (
        "_deadline",
        "_descriptors",
        "_handle",
        "_in_turn",
        "_may_hold",
        "_notes",
        "_patience_ends",
        "_seen",
        "_still_since",
        "_waited_seconds",
    )

    def __init__(self, handle: Handle, deadline: float) -> None:
        """Prepare; ``deadline`` is in monotonic seconds."""
        self._handle = handle
        self._deadline = deadline
        self._descriptors: Descriptors | None = None
        self._may_hold = False  # from before the locks are asked for until all are released
        self._in_turn = False  # from before ``turn`` is asked for until it is released
        self._notes = False  # whether this thread was noted by this lock, not by one around it
        self._waited_seconds = 0.0  # for others
        self._seen: Mark | None = None  # newest mark seen while waiting
        self._still_since = 0.0  # monotonic seconds; the mark has not changed since then
        self._patience_ends = 0.0  # monotonic seconds; until then the turn of another one is left

    def __enter__(self) -> Descriptors:
        """Take the locks, in order."""
        try:
            self._notes = get_ident() not in self._handle.appending_threads
            begin_append(self._handle)
            return self._acquire()
        except BaseException:
            # Interrupted perhaps behind the last lock; a nested append has not asked for any.
            self.release()
            self._forget()
            raise

    def _acquire(self) -> Descriptors:
        handle = self._handle
        mutex = handle.append_mutex
        if mutex._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as in threading.Condition
            raise self._timed_out()  # a signal handler that appends in the middle of an append
        self._may_hold = True
        try:
            if not mutex.acquire(blocking=False):
                self._wait_for_thread()
            descriptors = handle.descriptors or handle.attached()
            if (handle.contended and self._has_to_queue()) or not self._try_lock(descriptors):
                self._take_turns(descriptors)
            while not self._is_named(descriptors):
                self._unlock(descriptors.lock_fd)
                descriptors = self._reopen()
                self._take_turns(descriptors)
        except BaseException:
            self.release()
            raise
        self._descriptors = descriptors
        return descriptors

    def release(self) -> None:
        """Release what this holds; once more is harmless, also where a call was interrupted.

        Also when interrupted just behind a call that took a lock: unlocking is harmless. Only the
        mutex itself knows whether it was taken: an interrupt may come behind the wait for it.
        """
        if not self._may_hold:
            return
        mutex = self._handle.append_mutex
        if not mutex._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as above
            self._forget()
            return
        try:
            self._unlock_held()
        except BaseException:
            # Interrupted perhaps in front of the call. What fails twice fails for good: the lock goes
            # with its descriptor then, and this thread must not pass for one that holds it.
            try:
                self._unlock_held()
            finally:
                mutex.release()
                self._forget()
            raise
        # Interrupted before: then this thread still has the mutex, and is called once more.
        mutex.release()
        self._forget()

    def _unlock_held(self) -> None:
        held = self._descriptors or self._handle.descriptors
        if held is None or held.lock_fd < 0:
            return
        try:
            self._unlock(held.lock_fd)
        finally:
            if self._in_turn:
                self._unlock(held.turn_fd)
                self._in_turn = False

    def _forget(self) -> None:
        self._descriptors = None
        if self._notes:
            end_append(self._handle)
        self._may_hold = False

    def _wait_for_thread(self) -> None:
        handle = self._handle
        now = begun = handle.effects.monotonic()
        while True:
            remaining = self._deadline - now
            if remaining <= 0:
                raise self._timed_out()
            # Looked up each time: a transaction that another thread has left leaves a new one.
            if handle.append_mutex.acquire(timeout=min(remaining, _MUTEX_LOOK_SECONDS)):
                break
            now = handle.effects.monotonic()
        self._waited_seconds += handle.effects.monotonic() - begun

    def _timed_out(self) -> LockTimeoutError:
        return LockTimeoutError(
            f"{self._handle.path}: timed out waiting for another thread of this process to finish"
            " its append; nothing was written. Try again, or raise AURORA_LOCK_TIMEOUT"
            " (lock_timeout=)"
        )

    def __exit__(self, *_: object) -> None:
        """Release both locks; the flock goes with its descriptor if that was closed already."""
        self.release()
        if self._waited_seconds > _LONG_WAIT_SECONDS:
            # Behind the release: a handler may take its time, too.
            logger.warning(
                "%s: waited %.1f s for the append lock, which others held",
                self._handle.path,
                self._waited_seconds,
            )

    def _unlock(self, fd: int) -> None:
        try:
            self._handle.files.flock(fd, LOCK_UN)
        except BaseException:
            # Interrupted, perhaps before the call: this handle lives on, and with it the lock.
            self._handle.files.flock(fd, LOCK_UN)
            raise

    def _has_to_queue(self) -> bool:
        """Whether the own turn is over, where others append too."""
        handle = self._handle
        return handle.effects.monotonic() >= handle.turn_ends

    def _try_lock(self, descriptors: Descriptors) -> bool:
        """Take ``lock`` without queueing, which saves two calls."""
        try:
            self._handle.files.flock(descriptors.lock_fd, _AT_ONCE)
        except BlockingIOError:
            return False
        return True

    def _reopen(self) -> Descriptors:
        """Open everything by its name again, if the journal of that name is still ours."""
        handle = self._handle
        manifest = read_manifest(handle.files, handle.path)
        found = "no file" if manifest is None else f"journal {manifest.genesis_id}"
        if manifest is None or manifest.genesis_id != handle.genesis_id.hex():
            raise CorruptionError(
                os.path.join(handle.path, LOCK),
                0,
                expected=f"the lock file of journal {handle.genesis_id.hex()}",
                found=found,
            )
        with handle.index_lock:
            handle.forget_state()
            handle.tail = None
            handle.open_segments = {}
            reopened = Descriptors(handle.files, handle.path, read_only=False)
            show_presence(handle, reopened)
            handle.descriptors = reopened
        return handle.descriptors

    def _take_turns(self, descriptors: Descriptors) -> None:
        """Take ``turn``, then ``lock``, and release ``turn`` for the next one."""
        handle = self._handle
        effects, deadline = handle.effects, self._deadline
        begun = effects.monotonic()
        turn_fd = descriptors.turn_fd
        self._in_turn = True
        try:
            acquire_flock(
                effects,
                turn_fd,
                descriptors.turn_path,
                deadline,
                pauses=TURN_PAUSES,
                meanwhile=self._catch_up,
            )
            self._seen = descriptors.mark.read()
            now = effects.monotonic()
            # Who has little time left needs some of it to take what is free now and then.
            self._patience_ends = now + min(_TURN_SECONDS, (deadline - now) / 2)
            acquire_flock(
                effects,
                descriptors.lock_fd,
                descriptors.lock_path,
                deadline,
                meanwhile=self._leave_turn,
            )
            now = effects.monotonic()
            self._waited_seconds += now - begun
            handle.turn_ends = now + _TURN_SECONDS
        finally:
            self._unlock(turn_fd)
            self._in_turn = False

    def _leave_turn(self) -> bool:
        """Catch up; whether the owner of ``lock`` is at its turn: it appends one after the other.

        It releases ``lock`` between any two. Taken there it would cost both of us as much as several
        commits; those that wait for a disk take longer than that.
        """
        handle = self._handle
        if handle.sync_mode is Sync.ALWAYS:
            return self._catch_up()
        seen = self._seen
        self._catch_up()
        now = handle.effects.monotonic()
        if self._seen is not seen:
            self._still_since = now
        return now < min(self._still_since + _STILL_SECONDS, self._patience_ends)

    def _catch_up(self) -> bool:
        """Walk over what others write while ``lock`` is theirs, and not while it is ours.

        Not for a few commits, which take less time together with those that follow. Returns False.
        """
        handle = self._handle
        descriptors, chain = handle.usable(), handle.state.chain
        if descriptors is None or chain is None:
            return False
        mark = self._seen = descriptors.mark.read()
        if (
            mark.segment_number != chain.segment_number
            or mark.visible_offset - chain.offset >= _BEHIND_BYTES_MAX
        ):
            catch_up(handle, mark)
        return False

    def _is_named(self, descriptors: Descriptors) -> bool:
        """Whether the file named ``lock`` is still the one that is locked."""
        try:
            inode = self._handle.files.stat(descriptors.lock_path).st_ino
        except FileNotFoundError:
            return False
        return inode == descriptors.lock_inode

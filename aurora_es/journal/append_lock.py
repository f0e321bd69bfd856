"""The append lock: one thread of one process at a time writes to a journal.

Theory of operation: the thread lock of the handle first (flock does not exclude threads that share
a descriptor), then ``turn``, ``lock``, and ``turn`` is released. If the file named ``lock`` is not
the one that is open, somebody removed it: two owners would be possible, so it is opened again.
"""

from __future__ import annotations

from fcntl import LOCK_EX, LOCK_NB, LOCK_UN
from typing import TYPE_CHECKING

from aurora_es.errors import LockTimeoutError
from aurora_es.files.locks import TURN_PAUSES, acquire_flock
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.handle import Descriptors

if TYPE_CHECKING:
    from aurora_es.journal.handle import Handle


class AppendLock:
    """Context manager that holds the append lock of ``handle``; raises LockTimeoutError."""

    __slots__ = ("_deadline", "_descriptors", "_handle")

    def __init__(self, handle: Handle, deadline: float) -> None:
        """Prepare; ``deadline`` is in monotonic seconds."""
        self._handle = handle
        self._deadline = deadline
        self._descriptors: Descriptors | None = None

    def __enter__(self) -> Descriptors:
        """Take the locks, in order."""
        handle = self._handle
        if not handle.append_mutex.acquire(blocking=False):
            remaining = self._deadline - handle.effects.monotonic()
            if remaining <= 0 or not handle.append_mutex.acquire(timeout=remaining):
                message = (
                    f"{handle.path}: timed out waiting for another thread of this process to"
                    " finish its append; nothing was written. Try again, or raise"
                    " AURORA_LOCK_TIMEOUT (lock_timeout=)"
                )
                raise LockTimeoutError(message)
        try:
            self._descriptors = self._lock_files()
        except BaseException:
            handle.append_mutex.release()
            raise
        return self._descriptors

    def __exit__(self, *_: object) -> None:
        """Release both locks; the flock goes with its descriptor if that was closed already."""
        descriptors, self._descriptors = self._descriptors, None
        try:
            if descriptors is not None and descriptors.lock_fd >= 0:
                self._unlock(descriptors.lock_fd)
        finally:
            self._handle.append_mutex.release()

    def _unlock(self, fd: int) -> None:
        try:
            self._handle.files.flock(fd, LOCK_UN)
        except BaseException:
            # Interrupted, perhaps before the call: this handle lives on, and with it the lock.
            self._handle.files.flock(fd, LOCK_UN)
            raise

    def _lock_files(self) -> Descriptors:
        handle = self._handle
        files = handle.files
        while True:
            descriptors = handle.descriptors or handle.usable()
            assert descriptors is not None
            try:
                self._take_turns(descriptors)
                if files.stat(descriptors.lock_path).st_ino == descriptors.lock_inode:
                    return descriptors
            except FileNotFoundError:
                pass
            except BaseException:
                # Also when interrupted just behind a call that took a lock.
                self._unlock(descriptors.lock_fd)
                raise
            self._unlock(descriptors.lock_fd)
            handle.descriptors = Descriptors(files, handle.path, read_only=False)

    def _take_turns(self, descriptors: Descriptors) -> None:
        """Take ``lock``; behind ``turn``, once another process has appended.

        While this process appends alone, nobody queues, and the turnstile would only cost two
        calls on each append. Who comes then gets ``lock`` between two of our appends; his commit
        is the sign for taking turns from there on.
        """
        handle = self._handle
        effects = handle.effects
        if not handle.meets_others:
            try:
                handle.files.flock(descriptors.lock_fd, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return
        turn_fd = descriptors.turn_fd
        try:
            acquire_flock(effects, turn_fd, descriptors.turn_path, self._deadline, TURN_PAUSES)
            if handle.meets_others:
                # Next in the row: walk over what others wrote while ``lock`` is still theirs.
                refresh(handle)
            acquire_flock(effects, descriptors.lock_fd, descriptors.lock_path, self._deadline)
        finally:
            self._unlock(turn_fd)

"""The append lock: one thread of one process at a time writes to a journal.

Theory of operation: the thread lock of the handle first (flock does not exclude threads that share
a descriptor), then ``turn``, ``lock``, and ``turn`` is released. If the file named ``lock`` is not
the one that is open, somebody removed it: two owners would be possible, so it is opened again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import CorruptionError, LockTimeoutError
from aurora_es.files.locks import acquire_flock, release_flock
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
                release_flock(self._handle.effects, descriptors.lock_fd)
        finally:
            self._handle.append_mutex.release()

    def _lock_files(self) -> Descriptors:
        handle = self._handle
        effects = handle.effects
        deadline = self._deadline
        while True:
            descriptors = handle.usable()
            assert descriptors is not None
            lock_path = descriptors.lock_path
            acquire_flock(
                effects, descriptors.turn_fd, path=descriptors.turn_path, deadline=deadline
            )
            try:
                acquire_flock(effects, descriptors.lock_fd, path=lock_path, deadline=deadline)
            finally:
                release_flock(effects, descriptors.turn_fd)
            try:
                if effects.files.stat(lock_path).st_ino == descriptors.lock_inode:
                    return descriptors
            except FileNotFoundError:
                # The whole directory is gone, or somebody removed the lock file.
                release_flock(effects, descriptors.lock_fd)
                raise CorruptionError(
                    lock_path, 0, expected="the lock file of an open journal", found="no file"
                ) from None
            release_flock(effects, descriptors.lock_fd)
            handle.descriptors = Descriptors(handle.files, handle.path, read_only=False)

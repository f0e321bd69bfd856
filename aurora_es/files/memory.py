"""``AURORA_PATH=:memory:``: a private temporary directory, on tmpfs where there is one.

It runs the same code as any other store, is shared by name inside the process, and is removed with
the last store that uses it. A process that is killed removes nothing; so each directory is locked as
long as it is used, and whoever makes the next one removes those of his own that nobody has locked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock

_TMPFS = "/dev/shm"  # noqa: S108 - only a parent: mkdtemp makes a private directory in it
_PREFIX = "aurora-es-memory-"


class MemoryDirectory:
    """A temporary directory that is removed when the last reference goes."""

    def __init__(self) -> None:
        """Make the directory."""
        parent = _TMPFS if os.path.isdir(_TMPFS) and os.access(_TMPFS, os.W_OK) else None
        _remove_left_over(parent or tempfile.gettempdir())
        self.path, lock = _locked_directory(parent)
        self._finalizer = weakref.finalize(self, _remove, self.path, os.getpid(), lock)


def _locked_directory(parent: str | None) -> tuple[str, int]:
    """Make a directory and lock it; returns its path and the descriptor that holds the lock."""
    while True:
        path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        if (lock := _lock_of(path)) is not None:
            return path, lock
        # Somebody took it for left over, before it was locked: he removes it.


def _lock_of(path: str) -> int | None:
    """Lock a directory; None if somebody has locked it, or has removed it meanwhile."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        flock(fd, LOCK_EX | LOCK_NB)
        os.lstat(path)
    except OSError:
        os.close(fd)
        return None
    return fd


def _remove_left_over(parent: str) -> None:
    """Remove what killed processes of this user have left."""
    with suppress(OSError):
        for name in os.listdir(parent):
            path = os.path.join(parent, name)
            if not name.startswith(_PREFIX) or os.lstat(path).st_uid != os.geteuid():
                continue
            if (lock := _lock_of(path)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _remove(path: str, owner: int, lock: int) -> None:
    # The child of a fork runs the same finalizer; the directory is its parent's.
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


_directories: weakref.WeakValueDictionary[str, MemoryDirectory] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def _renew_lock_after_fork() -> None:
    # Another thread of the parent may have held it.
    global _lock  # noqa: PLW0603 - one per process
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock_after_fork)


def memory_directory(name: str) -> MemoryDirectory:
    """The process's directory for the application ``name``."""
    with _lock:
        directory = _directories.get(name)
        if directory is None:
            directory = _directories[name] = MemoryDirectory()
        return directory

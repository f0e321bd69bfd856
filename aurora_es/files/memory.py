"""``AURORA_PATH=:memory:``: a private temporary directory, on tmpfs where there is one.

It runs the same code as any other store, is shared by name inside the process, and is removed with
the last store that uses it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref

_TMPFS = "/dev/shm"  # noqa: S108 - only a parent: mkdtemp makes a private directory in it


class MemoryDirectory:
    """A temporary directory that is removed when the last reference goes."""

    def __init__(self) -> None:
        """Make the directory."""
        parent = _TMPFS if os.path.isdir(_TMPFS) and os.access(_TMPFS, os.W_OK) else None
        self.path = tempfile.mkdtemp(prefix="aurora-es-", dir=parent)
        self._finalizer = weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(path: str, owner: int) -> None:
    # The child of a fork runs the same finalizer; the directory is its parent's.
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


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

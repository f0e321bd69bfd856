"""One inotify instance: which watched files changed (Linux).

Theory of operation.  The three calls are reached through ctypes, which is imported with the first
instance only, because many processes never wait.  inotify watches inodes: adding a file twice, by
any of its names, gives the same key (the kernel's watch descriptor), and a key is not given out
again after its removal.  The kernel writes events of this shape, 16 bytes without a name, which
only events of a watched directory have:

    int32 key | uint32 mask | uint32 cookie | uint32 name_bytes | name

An event equal to the last unread one is merged with it, so one file that changes a million times
while nobody reads costs one event.

Concurrency: ``add`` and ``remove`` under the lock of the owner; ``read`` from any threads at once, each
event goes to one of them.  The descriptor is closed with the object, so a thread that holds a
reference to the object can never use a number that meanwhile belongs to another file.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from aurora_es.files._bell import Bell
from aurora_es.late_imports import fork_waits

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inotify"]

_IN_MODIFY = 0x00000002
_IN_ATTRIB = 0x00000004
_IN_DELETE_SELF = 0x00000400
_IN_Q_OVERFLOW = 0x00004000
_IN_IGNORED = 0x00008000  # the kernel ended the watch: removed, file deleted, or unmounted
_WATCHED = _IN_MODIFY | _IN_ATTRIB | _IN_DELETE_SELF

_EVENT = struct.Struct("=iIII")  # native byte order: key, mask, cookie, name_bytes
assert _EVENT.size == 16
_READ_BYTES = 256 * _EVENT.size


class Inotify:
    """An inotify instance; satisfies ``wakeups.FileWatcher``."""

    __slots__ = ("_add", "_errno", "_keys", "_remove", "descriptor")

    def __init__(self) -> None:
        """Open the instance; raises OSError, with EMFILE when the user has too many of them."""
        self.descriptor = -1
        # Keys that events may still come for; changed under the owner's lock, and ``read`` only
        # copies it, which is atomic.
        self._keys: set[int] = set()
        try:
            with fork_waits:
                import ctypes  # here: not every process waits

            libc = ctypes.CDLL(None, use_errno=True)
            initialise = libc.inotify_init1
            initialise.argtypes = (ctypes.c_int,)
            self._add = libc.inotify_add_watch
            self._add.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
            self._remove = libc.inotify_rm_watch
            self._remove.argtypes = (ctypes.c_int, ctypes.c_int)
        except (ImportError, AttributeError) as error:
            raise OSError(errno.ENOSYS, "inotify cannot be called", str(error)) from error
        self._errno: Callable[[], int] = ctypes.get_errno
        descriptor = int(initialise(os.O_NONBLOCK | os.O_CLOEXEC))
        if descriptor < 0:
            number = self._errno()
            raise OSError(number, f"inotify_init1: {os.strerror(number)}")
        self.descriptor = descriptor

    def add(self, path: str) -> int:
        """Watch the file and return its key; raises OSError, with ENOSPC beyond the limit."""
        key = int(self._add(self.descriptor, os.fsencode(path), _WATCHED))
        if key < 0:
            number = self._errno()
            raise OSError(number, f"inotify_add_watch: {os.strerror(number)}", path)
        self._keys.add(key)
        return key

    def remove(self, key: int) -> None:
        """End a watch; a watch that the kernel has ended already is no error."""
        self._keys.discard(key)
        self._remove(self.descriptor, key)

    def read(self) -> dict[int, bool] | None:
        """Take the queued events: each changed file's key, and whether its watch has ended.

        None when there is nothing to read, which also means that another thread was faster.
        """
        try:
            events = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return None
        changes: dict[int, bool] = {}
        offset = 0
        while offset < len(events):
            key, mask, _, name_bytes = _EVENT.unpack_from(events, offset)
            offset += _EVENT.size + name_bytes
            if mask & _IN_Q_OVERFLOW:  # events were lost, of any file
                for any_key in tuple(self._keys):
                    changes.setdefault(any_key, False)
            else:
                changes[key] = changes.get(key, False) or bool(mask & _IN_IGNORED)
        return changes

    def abandon(self) -> None:
        """In a fork child: let go of the parent's instance without touching its watches.

        The number is filled with a bell that nobody rings, because a frame of this thread may be
        about to read from it.
        """
        self._keys = set()
        try:
            silent = Bell.open()
        except OSError:
            return  # out of descriptors: the parent's instance lives as long as this object
        os.dup2(silent.descriptor, self.descriptor, inheritable=False)

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        if self.descriptor >= 0:
            _close(self.descriptor)

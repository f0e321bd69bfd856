"""One kqueue: which watched files changed (macOS).

Theory of operation.  kqueue watches open descriptors, so each watched file is opened once, for
events only; a file asked for by two names is recognised by its device and inode.  ``EV_CLEAR``
delivers every change once, to one reader.  Keys are counted, not descriptor numbers, because
those are given out again.  A kqueue is not inherited by a fork child, the descriptors of the
files are.

Concurrency: ``add`` and ``remove`` under the lock of the owner; ``read`` from any threads at once.

Not run by the tests on Linux: this module is written from the manual page and not yet proven.
"""

from __future__ import annotations

import os
import select
import sys

__all__ = ["Kqueue"]

if sys.platform == "darwin":
    _EVENTS_MAX = 256
    _ENDED = select.KQ_NOTE_DELETE | select.KQ_NOTE_REVOKE
    _WATCHED = select.KQ_NOTE_WRITE | select.KQ_NOTE_EXTEND | select.KQ_NOTE_ATTRIB | _ENDED
    # In a fork child the number of a kqueue may belong to another file, and some versions of
    # Python would close it with the object: keep the object.
    _KEPT_AFTER_FORK: list[select.kqueue] = []

    class Kqueue:
        """A kqueue of files; satisfies ``wakeups.FileWatcher``."""

        __slots__ = ("_files", "_key_last", "_keys", "_queue", "descriptor")

        def __init__(self) -> None:
            """Open the queue; raises OSError."""
            self._queue = select.kqueue()
            self.descriptor = self._queue.fileno()
            self._key_last = 0
            self._keys: dict[tuple[int, int], int] = {}  # (device, inode) -> key
            self._files: dict[int, int] = {}  # key -> descriptor of the file

        def add(self, path: str) -> int:
            """Watch the file and return its key; raises OSError."""
            file = os.open(path, os.O_EVTONLY | os.O_CLOEXEC)
            try:
                status = os.fstat(file)
                identity = (status.st_dev, status.st_ino)
                known = self._keys.get(identity)
                if known is not None and known in self._files:
                    os.close(file)
                    return known
                key = self._key_last = self._key_last + 1
                event = select.kevent(
                    file,
                    filter=select.KQ_FILTER_VNODE,
                    flags=select.KQ_EV_ADD | select.KQ_EV_CLEAR,
                    fflags=_WATCHED,
                    udata=key,
                )
                self._files[key] = file
                self._keys[identity] = key
                self._queue.control([event], 0, 0)
            except OSError:
                self._files = {key: other for key, other in self._files.items() if other != file}
                os.close(file)
                raise
            return key

        def remove(self, key: int) -> None:
            """End a watch; one that has ended already is no error."""
            file = self._files.pop(key, -1)
            self._keys = {name: other for name, other in self._keys.items() if other != key}
            if file >= 0:
                os.close(file)

        def read(self) -> dict[int, bool] | None:
            """Take the queued events: each changed file's key, and whether its watch has ended.

            None when there is nothing to read.
            """
            changes: dict[int, bool] = {}
            for event in self._queue.control(None, _EVENTS_MAX, 0):
                key = int(event.udata)
                ended = bool(event.fflags & _ENDED)
                changes[key] = changes.get(key, False) or ended
                if ended:
                    file = self._files.pop(key, -1)
                    if file >= 0:
                        os.close(file)
            return changes or None

        def abandon(self) -> None:
            """In a fork child: free the files, and never touch the parent's queue."""
            _KEPT_AFTER_FORK.append(self._queue)
            files, self._files, self._keys = self._files, {}, {}
            for file in files.values():
                os.close(file)

        def __del__(self) -> None:
            for file in getattr(self, "_files", {}).values():
                os.close(file)

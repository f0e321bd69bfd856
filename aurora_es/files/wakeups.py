"""Wakes threads that wait for a journal's ``mark`` file to change; has no thread of its own.

Theory of operation.  A process has one kernel watcher (inotify, kqueue), because a user may have
only 128 of them and each one slows every commit down.  A waiter has its *bell*, a descriptor of
its own, and ``wait`` polls both.  The kernel hands each event to one reader only, whichever
waiting thread is first; that thread rings the bells of all other waiters of the changed file.  A
bell stays rung until its waiter hears it, in this ``wait`` or the next.

Why no wake-up is lost.  The caller's cycle is: make the waiter; then, again and again, look at the
mark and ``wait``.  Let C be a change of the mark that no look of this caller has seen.

1. The kernel queues the event after the write is visible, so a look after the event sees C.
2. C came after the watch was set: the waiter was made before the first look, and the look would
   have seen C otherwise.  So there is an event E for C, perhaps merged with an earlier, equal one
   that nobody had read yet, or replaced by an overflow event, which counts for every file.
3. Nobody has read E yet: the watcher is readable, and ``wait`` returns.
4. This waiter's thread read E: its ``wait`` returns at once, and the look that follows sees C.
5. Another thread read E: E was read after the waiter had been entered among the bells of the file
   (an E read before belongs to a C before the first look), and the reader takes the list of bells
   after it has read.  So it rings this bell, and the current or next ``wait`` returns.  Should an
   exception stop the reader between the two (Ctrl-C), it rings all bells of the process instead.
6. ``wait`` silences the bell before it returns, and the caller looks after that.  So a ring is
   silenced in vain only if the look sees what it was rung for.

A thread that finds the watcher readable and then empty returns as well: what another thread took
may concern it, and a look is cheaper than a second sleep.  It may be rung once more for the same
change.

Where no kernel watcher is to be had, or would not see the changes of other machines and layers,
``wait`` sleeps on the bell alone, 1 to 50 ms.

Descriptors are closed by the last reference to the bell or watcher that owns them, not by
``close``: see ``_bell.py``.

The lock guards setting and ending watches.  ``close`` and the garbage collector, which may run
anywhere, even in the thread that holds the lock, only put the waiter on a list and try the lock;
if it is taken, its holder works off the list after releasing it.

A fork child shares the kernel objects of its parent, and would steal its events and rings.  So it
reads and rings none of them: the waiters of before count as closed, the child starts anew.  Their
descriptors close with them, but for those on which another thread of the parent was waiting.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Protocol

from aurora_es.errors import ForkedHandle
from aurora_es.files import mounts
from aurora_es.files._bell import Bell
from aurora_es.late_imports import fork_waits
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FileWatcher", "Ringable", "Waiter", "Wakeups", "process_wakeups"]

POLL_INTERVAL_MS_MIN = 1
POLL_INTERVAL_MS_MAX = 50
_WAIT_S_MAX = 86_400.0  # a longer wait returns early, since poll() takes a 32-bit count of ms

_logger = logging.getLogger(__name__)


class FileWatcher(Protocol):
    """What is asked of the kernel: tell which of some files changed.

    ``add`` and ``remove`` are called under a lock, ``read`` by several threads at once.
    """

    descriptor: int  # readable when ``read`` has something to tell; never blocks

    def add(self, path: str) -> int:
        """Watch a file; the same file gives the same key. Raises OSError."""

    def remove(self, key: int) -> None:
        """End a watch."""

    def read(self) -> dict[int, bool] | None:
        """Return the key of each changed file and whether its watch ended; None: nothing."""

    def abandon(self) -> None:
        """Let go, in a fork child, of what belongs to the parent."""


class Ringable(Protocol):
    """What a waiter is rung by: a ``Bell``, or that of an event loop."""

    descriptor: int  # what ``Waiter.wait`` polls; -1 where nobody may call that

    def ring(self) -> None:
        """Tell the waiter to look; any number of times, from any thread."""

    def silence(self) -> None:
        """Forget all rings so far."""


def open_watcher() -> FileWatcher:
    """Open the kernel's watcher of this system; raises OSError when none is to be had."""
    # Late, because not every process waits.
    if sys.platform == "darwin":
        with fork_waits:
            from aurora_es.files._kqueue import Kqueue

        return Kqueue()
    with fork_waits:
        from aurora_es.files._inotify import Inotify

    return Inotify()


class _Watch:
    """One watched file and the bells of its waiters."""

    __slots__ = ("bells", "ended", "key")

    def __init__(self, key: int) -> None:
        self.key = key
        # Used as a set. Changed under the lock of Wakeups; readers take list(bells), one step.
        self.bells: dict[Ringable, None] = {}
        # Set once, by any thread: the kernel watches the file no more.
        self.ended = False


class Waiter:
    """Waits for one file to change; made by ``Wakeups.waiter``, for one subscription or tailer.

    ``wait`` and ``progress`` are for one thread at a time, the rest is for any thread. A waiter
    that is dropped without ``close`` frees its descriptors.
    """

    __slots__ = ("__weakref__", "_bell", "_poll_interval_ms", "_wakeups", "_watch")

    def __init__(self, wakeups: Wakeups, bell: Ringable) -> None:
        self._wakeups = wakeups
        self._bell: Ringable | None = bell  # set to None by close(), in any thread; never set again
        self._watch: _Watch | None = None  # set once, by Wakeups.waiter
        self._poll_interval_ms = POLL_INTERVAL_MS_MIN

    @property
    def polling(self) -> bool:
        """No kernel watcher is to be had: changes are noticed 1 to 50 ms late.

        Becomes True when the kernel ends the watch (file deleted, file system unmounted).
        """
        return self._watch is None or self._watch.ended

    @property
    def closed(self) -> bool:
        """``close`` was called, or the waiter was made before a fork: ``wait`` does not wait."""
        return self._bell is None or self._wakeups.forked

    @property
    def forked(self) -> bool:
        """The waiter was made by a parent process; here it counts as closed, for good."""
        return self._wakeups.forked

    def wait(self, timeout: float) -> None:
        """Return when the file has changed since the last return, after ``wake``, or in time.

        ``timeout`` is in seconds; a negative one counts as zero. May return early for no reason,
        so the caller looks at the mark itself, and repeats. While ``polling``, returns after at
        most 50 ms. Returns at once, every time, when ``closed``: a loop has to check that.
        """
        bell = self._bell
        if bell is None or self._wakeups.forked:
            return
        watch = self._watch
        if watch is None or watch.ended:
            self._wait_polling(bell, timeout)
        else:
            self._wakeups._wait(bell, timeout)  # noqa: SLF001

    def _wait_polling(self, bell: Ringable, timeout: float) -> None:
        poller = select.poll()
        poller.register(bell.descriptor, select.POLLIN)
        rung = poller.poll(min(max(timeout, 0.0) * 1000, self._poll_interval_ms))
        if not rung:
            self._poll_interval_ms = min(self._poll_interval_ms * 2, POLL_INTERVAL_MS_MAX)
        elif not self._wakeups.forked:
            bell.silence()

    def progress(self) -> None:
        """Tell that the last look at the mark found something new: poll every millisecond again."""
        self._poll_interval_ms = POLL_INTERVAL_MS_MIN

    def wake(self) -> None:
        """Make the current ``wait`` return, or the next one. Never blocks and takes no lock.

        For any thread, also during garbage collection and in a signal handler, any number of
        times; has no effect on a closed waiter.
        """
        bell = self._bell  # the reference keeps the descriptor open until the ring is done
        if bell is not None and not self._wakeups.forked:
            bell.ring()

    def close(self) -> None:
        """End the waiter; idempotent. A ``wait`` in progress returns. Never blocks.

        Descriptors are freed at once, or when that ``wait`` has returned.
        """
        bell, self._bell = self._bell, None
        if bell is None or self._wakeups.forked:
            return
        bell.ring()
        if self._watch is not None:
            self._wakeups._leave(self._watch, bell)  # noqa: SLF001

    def __del__(self) -> None:
        # No ring: a thread inside wait() would hold a reference.
        if self._bell is not None and self._watch is not None:
            self._wakeups._leave(self._watch, self._bell)  # noqa: SLF001


class Wakeups:
    """The kernel watcher of a process and the waiters that share it; for any thread.

    Take it from ``process_wakeups``. The watcher is opened with the first waiter and kept, since
    closing one takes the kernel milliseconds. Tests may pass their own ``open_watcher`` and
    ``file_system_type``.
    """

    def __init__(
        self,
        *,
        open_watcher: Callable[[], FileWatcher] = open_watcher,
        file_system_type: Callable[[str], str] = mounts.file_system_type,
    ) -> None:
        """Open nothing yet."""
        self.forked = False  # set once, in a fork child: this is the parent's
        self._open_watcher = open_watcher
        self._file_system_type = file_system_type
        self._lock = threading.Lock()
        # Under the lock, except that any thread may take out a watch that the kernel has ended.
        self._watches: dict[int, _Watch] = {}
        self._watcher: FileWatcher | None = None  # set once, under the lock
        # Put in by anyone, taken out under the lock.
        self._leaving: deque[tuple[_Watch, Ringable]] = deque()
        self._file_systems: dict[int, str] = {}  # type by device; a mount table is slow to read
        self._polling_told = False  # under the lock
        _instances.add(self)

    def unwatched_waiter(self, bell: Ringable | None = None) -> Waiter:
        """Return a waiter for a file that does not exist yet: it polls. Raises OSError."""
        return Waiter(self, Bell.open() if bell is None else bell)

    def waiter(self, path: str, bell: Ringable | None = None) -> Waiter:
        """Return a waiter for the file at ``path``, which exists.

        Look at the file after this call, not before it. A change that comes after the look ends
        the next ``wait``. Costs one descriptor, unless it is rung by the ``bell`` of another
        waiter: then the ``wait`` of either ends for the changes of both. Raises OSError when the
        file is not there or no descriptor is left, and ForkedHandle on the instance of a parent
        process.
        """
        if self.forked:
            message = "these wake-ups belong to the parent process; open the journal again here (Journal.open)"
            raise ForkedHandle(message)
        device = os.stat(path).st_dev
        file_system = self._file_systems.get(device)
        if file_system is None:
            file_system = self._file_systems[device] = self._file_system_type(path)
        waiter = self.unwatched_waiter(bell)
        with self._lock:
            reason = self._enter(waiter, path, file_system)
            tell = bool(reason) and not self._polling_told
            self._polling_told |= tell
        self._settle()
        if tell:  # outside the lock, which a log handler could want
            _logger.warning(
                "changes of %s are polled for every %d to %d ms: %s (said once per process)",
                path,
                POLL_INTERVAL_MS_MIN,
                POLL_INTERVAL_MS_MAX,
                reason,
            )
        return waiter

    def _enter(self, waiter: Waiter, path: str, file_system: str) -> str:
        """Watch the file for this waiter; return why not, or "". Under the lock."""
        if mounts.needs_polling(file_system):
            return f"file system {file_system or 'of unknown type'} may not report them"
        try:
            if self._watcher is None:
                self._watcher = self._open_watcher()
            key = self._watcher.add(path)
        except OSError as error:
            return f"no kernel watcher, {error}"
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch(key)
        bell = waiter._bell  # noqa: SLF001
        assert bell is not None  # nobody else has seen the waiter yet
        waiter._watch = watch  # noqa: SLF001
        watch.bells[bell] = None
        return ""

    @property
    def descriptor(self) -> int:
        """Readable when ``hear`` has something to tell; -1 before the first watch, or forked."""
        watcher = self._watcher
        return -1 if watcher is None else watcher.descriptor

    def hear(self) -> None:
        """Ring the bells of all waiters whose files have changed; for the loop of a thread."""
        watcher = self._watcher
        if watcher is not None and not self.forked:
            self._receive(watcher, None)

    def _wait(self, bell: Ringable, timeout: float) -> None:
        watcher = self._watcher
        if watcher is None:  # a fork inside a signal handler, just now
            return
        poller = select.poll()
        poller.register(bell.descriptor, select.POLLIN)
        poller.register(watcher.descriptor, select.POLLIN)
        remaining = min(max(timeout, 0.0), _WAIT_S_MAX)
        deadline = time.monotonic() + remaining
        while True:
            ready = poller.poll(remaining * 1000)
            if not ready or self.forked:
                return
            woken = False
            for descriptor, _ in ready:
                if descriptor == bell.descriptor:
                    bell.silence()
                    woken = True
                elif self._receive(watcher, bell):
                    woken = True
            remaining = deadline - time.monotonic()
            if woken or remaining <= 0:
                return

    def _receive(self, watcher: FileWatcher, own: Ringable | None) -> bool:
        """Read events and ring all bells they are for but ``own``; tell if it is to return."""
        try:
            changes = watcher.read()
            return changes is None or self._spread(changes, own)
        except BaseException:
            # Ctrl-C between reading and ringing: whoever the events were for has to look.
            for watch in list(self._watches.values()):
                _ring_all(watch, None)
            raise

    def _spread(self, changes: dict[int, bool], own: Ringable | None) -> bool:
        concerns_own = False
        for key, ended in changes.items():
            watch = self._watches.get(key)
            if watch is None:  # its last waiter has left
                continue
            if ended:  # before ringing, so that the waiters go over to polling
                watch.ended = True
                self._watches.pop(key, None)
            concerns_own |= _ring_all(watch, own)
        return concerns_own

    def _leave(self, watch: _Watch, bell: Ringable) -> None:
        """Take a bell off its watch, now or when the lock is released; blocks on nothing."""
        if not self.forked:
            self._leaving.append((watch, bell))
            self._settle()

    def _settle(self) -> None:
        # Whoever holds the lock comes here after releasing it, so what is put on the list while
        # we fail to get the lock is seen to.
        while self._leaving and self._lock.acquire(blocking=False):
            try:
                while self._leaving:
                    self._remove(*self._leaving[0])
                    self._leaving.popleft()
            finally:
                self._lock.release()

    def _remove(self, watch: _Watch, bell: Ringable) -> None:
        """End the watch with its last bell. Under the lock."""
        watch.bells.pop(bell, None)
        watcher = self._watcher
        if watch.bells or watch.ended or watcher is None:
            return
        watch.ended = True
        self._watches.pop(watch.key, None)
        watcher.remove(watch.key)
        # The end of a watch is an event too; nobody may be left to read them, and they pile up.
        self._receive(watcher, None)

    def _abandon(self) -> None:
        """In a fork child: never touch again what is shared with the parent; takes no lock."""
        self.forked = True
        watcher, self._watcher = self._watcher, None
        for watch in self._watches.values():
            watch.bells.clear()  # the waiters own them now alone
        self._watches.clear()
        self._leaving.clear()
        if watcher is not None:
            watcher.abandon()


def _ring_all(watch: _Watch, own: Ringable | None) -> bool:
    """Ring all bells but ``own``; tell whether that is among them."""
    found_own = False
    for bell in list(watch.bells):
        if bell is own:
            found_own = True
        else:
            bell.ring()
    return found_own


_instances: weakref.WeakSet[Wakeups] = weakref.WeakSet()
_process_wakeups = Wakeups()  # replaced in a fork child only, before other threads exist there


def process_wakeups() -> Wakeups:  # tidy: here the word is a noun
    """Return this process's one instance; a fork child has another than its parent."""
    return _process_wakeups


def _start_anew_in_fork_child() -> None:
    global _process_wakeups  # noqa: PLW0603
    for wakeups in members_of(_instances):
        wakeups._abandon()  # noqa: SLF001
    _process_wakeups = Wakeups()


os.register_at_fork(after_in_child=_start_anew_in_fork_child)

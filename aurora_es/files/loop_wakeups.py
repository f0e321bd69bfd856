"""Waits for files to change inside an event loop; needs no thread.

Theory of operation: a waiter of ``wakeups.py`` is rung by a bell. The bell here belongs to an event
loop: whoever rings it, in whichever thread, makes the loop wake the tasks that wait. The loop
listens to the process's one kernel watcher as it listens to sockets, by ``add_reader``, as long as
it has a waiter; what it reads there it passes on to the bells of all waiters, of threads and of other
loops, too, as any thread does that reads from the watcher.

No wake-up is lost: a task looks at its files and then waits, without giving the loop a chance in
between. A ring comes as a call of the loop, so it finds the task waiting, or the task looks later.
A ring that finds nobody waiting ends the next wait at once, which costs one look.

asyncio and uvloop both have what is used of a loop.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING

from aurora_es.files.wakeups import POLL_INTERVAL_MS_MAX, process_wakeups

if TYPE_CHECKING:
    import asyncio

    from aurora_es.files.wakeups import Waiter, Wakeups

__all__ = ["LoopWaiter"]


class LoopBell:
    """Wakes the tasks of one loop; made in the thread that runs it."""

    descriptor = -1  # nothing to poll: the loop is told

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ring in ``loop``."""
        self._loop = loop
        self._thread = threading.get_ident()
        # The rest is for the thread of the loop only.
        self._rung = False
        self._waiting: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake who waits; from any thread."""
        if threading.get_ident() == self._thread:
            self._tell()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits in it
                self._loop.call_soon_threadsafe(self._tell)

    def silence(self) -> None:
        """Forget all rings so far."""
        self._rung = False

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._rung = not waiting
        for future in waiting:
            _end(future)

    async def heard(self, timeout: float | None) -> None:
        """Return at a ring, or after ``timeout`` seconds; for any number of tasks at once."""
        if self._rung:
            self._rung = False
            return
        future = self._loop.create_future()
        self._waiting.append(future)
        timer = None if timeout is None else self._loop.call_later(timeout, _end, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            if future in self._waiting:
                self._waiting.remove(future)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Listener:
    """Lets one loop listen to the watcher of the process while it has waiters."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wakeups: Wakeups) -> None:
        # A loop keeps what it calls; this must not keep the loop.
        self._loop = weakref.ref(loop)
        self._wakeups = wakeups
        self._waiters = 0
        self._descriptor = -1

    def enter(self) -> None:
        self._waiters += 1
        descriptor = self._wakeups.descriptor
        loop = self._loop()
        if self._descriptor < 0 <= descriptor and loop is not None:
            self._descriptor = descriptor
            loop.add_reader(descriptor, self._wakeups.hear)

    def leave(self) -> None:
        self._waiters -= 1
        loop = self._loop()
        if self._waiters == 0 and self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            if loop is not None and not loop.is_closed():
                loop.remove_reader(descriptor)


_listeners: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Listener] = (
    weakref.WeakKeyDictionary()
)


class LoopWaiter:
    """Waits in one loop for changes of any number of files; for any number of its tasks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait in ``loop``, which runs in this thread; for no file so far."""
        self._bell = LoopBell(loop)
        self._loop = loop
        self._waiters: list[Waiter] = []
        self._listener: _Listener | None = None

    def add(self, path: str) -> None:
        """Wait for changes of the file at ``path``, too, which exists; raises OSError.

        Look at it after this call. A change that comes after the look ends the next ``wait``.
        """
        wakeups = process_wakeups()
        self._waiters.append(wakeups.waiter(path, self._bell))
        if self._listener is None:
            listener = _listeners.get(self._loop)
            if listener is None or listener._wakeups is not wakeups:  # noqa: SLF001
                listener = _listeners[self._loop] = _Listener(self._loop, wakeups)
            listener.enter()
            self._listener = listener

    @property
    def polling(self) -> bool:
        """Some change may go unnoticed: a wait ends after 50 ms at the latest."""
        return any(waiter.polling for waiter in self._waiters)

    async def wait(self, timeout: float | None = None) -> None:
        """Return when a file has changed, after ``wake``, or in ``timeout`` seconds.

        May return early for no reason, so the caller looks itself, and repeats.
        """
        if self.polling:
            longest = POLL_INTERVAL_MS_MAX / 1000
            timeout = longest if timeout is None else min(timeout, longest)
        await self._bell.heard(timeout)

    def wake(self) -> None:
        """End the current waits, or the next one; from any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Watch no file any more; in the thread of the loop. Idempotent; wakes who waits."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.close()
        if self._listener is not None:
            self._listener.leave()
            self._listener = None
        self._bell.ring()

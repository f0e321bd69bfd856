"""Waits until one of some journals has changed: in an event loop, or in a thread.

Theory of operation: as ``journal/following.py``. Watches are set before the caller looks for the
last time, so no change is missed; a lost wake-up costs one poll interval. A journal that does not
exist yet is looked for every 50 ms.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from aurora_es.errors import StorageError
from aurora_es.files._bell import Bell
from aurora_es.files.loop_wakeups import LoopWaiter
from aurora_es.files.wakeups import process_wakeups
from aurora_es.format.names import MARK
from aurora_es.journal.following import POLL_SECONDS_DEFAULT, POLL_SECONDS_MIN
from aurora_es.queue.queue_errors import ReceiveTimeoutError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from aurora_es.files.wakeups import Waiter
    from aurora_es.journal.journal import Journal

_ABSENT_SECONDS = 0.05


class Watches:
    """Which of the journals are watched already."""

    def __init__(self, journals: Sequence[Journal], poll_seconds: float | None) -> None:
        """Watch ``journals`` as soon as each exists."""
        self._unwatched = list(journals)
        self._poll_seconds = (
            POLL_SECONDS_DEFAULT if poll_seconds is None else max(poll_seconds, POLL_SECONDS_MIN)
        )

    def set(self, waiter: LoopWaiter | ThreadWaiter) -> bool:
        """Watch what is not watched yet; returns whether something new is, and has to be looked at.

        Raises StorageError.
        """
        found = [journal for journal in self._unwatched if journal.attach()]
        for journal in found:
            path = os.path.join(journal.handle.path, MARK)
            try:
                waiter.add(path)
            except OSError as error:
                message = (
                    f"{path}: cannot wait for changes: {error}; raise the limit of open files"
                    " (ulimit -n; `aurora-es doctor` shows the others)"
                )
                raise StorageError(message) from error
            self._unwatched.remove(journal)
        return bool(found)

    def bounded(self, seconds: float | None) -> float:
        """How long to wait at most before the next look."""
        longest = _ABSENT_SECONDS if self._unwatched else self._poll_seconds
        return longest if seconds is None else min(seconds, longest)


class LoopWaiting:
    """Lets any number of tasks of one loop wait for changes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journals: Sequence[Journal],
        poll_seconds: float | None,
    ) -> None:
        """Wait for changes of ``journals``; nothing is watched before the first wait."""
        self._watches = Watches(journals, poll_seconds)
        self._waiter = LoopWaiter(loop)

    async def wait(self, seconds: float | None) -> None:
        """Return when there may be news, in ``seconds`` at the latest; the caller looks, and repeats."""
        if not self._watches.set(self._waiter):
            await self._waiter.wait(self._watches.bounded(seconds))

    def wake(self) -> None:
        """End the current waits; from any thread."""
        self._waiter.wake()

    def close(self) -> None:
        """End all waits and watch nothing any more."""
        self._waiter.close()


class ThreadWaiter:
    """One bell for changes of several files."""

    def __init__(self) -> None:
        """Wait for no file so far; raises OSError."""
        self._bell = Bell.open()
        self._waiters: list[Waiter] = []
        self._unwatched = process_wakeups().unwatched_waiter(self._bell)  # while there is no file

    def add(self, path: str) -> None:
        """Wait for changes of the file at ``path``, too; raises OSError."""
        self._waiters.append(process_wakeups().waiter(path, self._bell))

    def wait(self, seconds: float) -> None:
        """Return at a change, after ``wake``, or in ``seconds``."""
        waiters = self._waiters or [self._unwatched]
        # One that has to poll returns soonest.
        next((waiter for waiter in waiters if waiter.polling), waiters[0]).wait(seconds)

    def wake(self) -> None:
        """End the current wait, or the next one; from any thread."""
        self._bell.ring()

    def close(self) -> None:
        """Watch nothing any more, and end the current wait."""
        for waiter in (*self._waiters, self._unwatched):
            waiter.close()


class ThreadWaiting:
    """Lets threads wait for changes.

    Where several wait at once a ring may wake some of them only. So whoever finds more than it takes
    wakes the others, or changes one of the journals.
    """

    def __init__(self, journals: Sequence[Journal], poll_seconds: float | None) -> None:
        """Wait for changes of ``journals``; raises StorageError."""
        self._watches = Watches(journals, poll_seconds)
        self._mutex = threading.Lock()  # of the watches
        try:
            self._waiter = ThreadWaiter()
        except OSError as error:
            message = (
                f"cannot wait for changes: {error}; raise the limit of open files (ulimit -n;"
                " `aurora-es doctor` shows the others)"
            )
            raise StorageError(message) from error

    def wait(self, seconds: float | None) -> None:
        """Return when there may be news, in ``seconds`` at the latest; the caller looks, and repeats."""
        with self._mutex:
            is_new = self._watches.set(self._waiter)
        if not is_new:
            self._waiter.wait(self._watches.bounded(seconds))

    def wake(self) -> None:
        """End the current wait; from any thread."""
        self._waiter.wake()

    def close(self) -> None:
        """End the wait and watch nothing any more."""
        self._waiter.close()


def seconds_to_wait(
    remaining: float | None, timeout: float | None, patience: Callable[[], float | None] | None
) -> float | None:
    """How long to wait for news at most, None: for ever; raises ReceiveTimeoutError at the end.

    ``remaining`` is what is left of ``timeout``; ``patience`` tells in how many seconds something may
    be found without any news.
    """
    seconds = None if patience is None else patience()
    if remaining is None:
        return seconds
    if remaining <= 0:
        message = f"no message came within {timeout} s"
        raise ReceiveTimeoutError(message)
    return remaining if seconds is None else min(seconds, remaining)

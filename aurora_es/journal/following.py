"""Waits until there is more to read; used by tailers, subscriptions and tracking waits.

Theory of operation: no thread of its own. A follower looks at the mark and, if nothing is new,
sleeps on a waiter (inotify or kqueue where to be had, else polling). The waiter is registered
before the mark is looked at, so no wake-up is lost; if one were, it would cost one poll interval.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.errors import HistoryChangedError, StorageError
from aurora_es.files.loop_wakeups import LoopWaiter
from aurora_es.files.wakeups import process_wakeups
from aurora_es.format.names import MARK
from aurora_es.journal.catch_up import refresh

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aurora_es.files.wakeups import Waiter
    from aurora_es.journal.handle import Handle

POLL_SECONDS_DEFAULT = 0.25
POLL_SECONDS_MIN = 0.001
_ABSENT_SECONDS = 0.05  # between two looks, in a loop, for a journal that does not exist yet


class Follower:
    """Waits for positions or commits of one journal; ``stop`` may be called from any thread."""

    def __init__(
        self, handle: Handle, attach: Callable[[], bool], *, poll_interval: float | None
    ) -> None:
        """Follow ``handle``; ``attach`` attaches it once its journal exists."""
        self._handle = handle
        self._attach = attach
        self._poll_seconds = (
            POLL_SECONDS_DEFAULT if poll_interval is None else max(poll_interval, POLL_SECONDS_MIN)
        )
        self._waiter: Waiter | None = None
        self._loop_waiter: LoopWaiter | None = None
        self._attached = False
        self._epoch: int | None = None
        self.stopped = False

    @property
    def path(self) -> str:
        """Directory of the journal that is followed."""
        return self._handle.path

    @property
    def is_following(self) -> bool:
        """Whether anybody may still wait: not stopped, and of this process."""
        return not (self.stopped or self._handle.forked or self._handle.closed)

    def wait_beyond(self, position: int) -> int:
        """Block until a position above ``position`` is visible; returns it, or 0 when stopped.

        Raises HistoryChangedError after a recovery that took back visible records.
        """
        while not self.stopped:
            visible = self.look()
            if visible > position:
                if self._waiter is not None:
                    self._waiter.progress()
                return visible
            self.sleep(self._poll_seconds)
        return 0

    async def wait_beyond_in(self, loop: asyncio.AbstractEventLoop, position: int) -> int:
        """As ``wait_beyond``, for a task of ``loop``, which goes on with others meanwhile."""
        while not self.stopped:
            visible = self.look()
            if visible > position:
                return visible
            waiter = self._loop_waiter
            if waiter is None:
                # Register only, and look once more, as ``sleep`` does.
                self._register_in(loop)
            else:
                await waiter.wait(self._poll_seconds if self._attached else _ABSENT_SECONDS)
        return 0

    def look(self) -> int:
        """The visible position, without waiting; a waiter is registered from here on."""
        handle = self._handle
        if not self._attached:
            self._attached = self._attach()
            if not self._attached:
                return 0
            self._close_waiter()
        visible = refresh(handle)
        if self._epoch is None:
            self._epoch = handle.epoch
        elif self._epoch != handle.epoch:
            message = (
                f"{handle.path}: the epoch changed from {self._epoch} to {handle.epoch}: visible"
                " commits were taken back by a recovery, repair or restore. Start again from a"
                " position that you trust: Journal.tail(after=…), subscribe(gt=…)"
            )
            raise HistoryChangedError(message)
        return visible

    def sleep(self, seconds: float) -> None:
        """Sleep until the mark changes, ``stop`` is called, or ``seconds`` have gone."""
        waiter = self._waiter
        if waiter is None:
            # Register only; the caller looks once more before it sleeps for the first time.
            self._register()
        else:
            waiter.wait(seconds)

    def _register(self) -> None:
        wakeups = process_wakeups()
        mark_path = os.path.join(self._handle.path, MARK)
        try:
            self._waiter = (
                wakeups.waiter(mark_path) if self._attached else wakeups.unwatched_waiter()
            )
        except OSError as error:
            raise _unwatchable(mark_path, error) from error
        if self.stopped:
            self._close_waiter()

    def _register_in(self, loop: asyncio.AbstractEventLoop) -> None:
        mark_path = os.path.join(self._handle.path, MARK)
        waiter = LoopWaiter(loop)
        try:
            if self._attached:
                waiter.add(mark_path)
        except OSError as error:
            raise _unwatchable(mark_path, error) from error
        self._loop_waiter = waiter

    def stop(self) -> None:
        """End the waiting at once; idempotent, from any thread, also in garbage collection."""
        self.stopped = True
        for waiter in (self._waiter, self._loop_waiter):
            if waiter is not None:
                waiter.wake()

    def close(self) -> None:
        """Stop, and free the descriptors; in the thread of the loop, if one waits in a loop."""
        self.stop()
        self._close_waiter()

    def _close_waiter(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.close()
        loop_waiter, self._loop_waiter = self._loop_waiter, None
        if loop_waiter is not None:
            loop_waiter.close()


def _unwatchable(path: str, error: OSError) -> StorageError:
    message = (
        f"{path}: cannot wait for changes: {error}; raise the limit of open files (ulimit -n);"
        " `aurora-es doctor` shows the others"
    )
    return StorageError(message)

"""flock with a time-out, and the turnstile that makes it fair.

Theory of operation: two files, ``turn`` and ``lock``. Who wants to append takes ``turn``, then
``lock``, then releases ``turn``. So at most one process at a time tries for ``lock``, and whoever
has just released it queues behind the next (flock alone is unfair: measured p99 15-22 ms against
2-5 ms). flock has no time-out, therefore both are polled. ``lock`` has one poller at a time, which
begins at 20 microseconds. Those who wait for ``turn`` begin slowly and get faster: a newcomer must
not overtake who has waited longer. After a while of waiting both slow down to 1 ms. A lock dies
with its owner: there are no PID files and nothing is ever stolen.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aurora_es.errors import LockTimeoutError
from aurora_es.files.layer import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aurora_es.files.layer import Effects

# Seconds between two tries; the last one repeats while others append one after the other. A holder
# needs about as long as a sync, so the lock must not lie idle for long while somebody waits.
LOCK_PAUSES = (20e-6, 40e-6, 60e-6)
# Several may wait for their turn while one appends a few times in a row (``append_lock``): each
# try costs the appender processor time, and most are in vain.
TURN_PAUSES = (1e-3, 800e-6, 600e-6)
_BUSY_SECONDS = 0.1
_PAUSE_SECONDS_MAX = 1e-3
_EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB


def acquire_flock(  # noqa: PLR0913 - which lock, until when, and how
    effects: Effects,
    fd: int,
    path: str,
    deadline: float,
    *,
    operation: int = _EXCLUSIVE,
    pauses: tuple[float, ...] = LOCK_PAUSES,
    meanwhile: Callable[[], bool] | None = None,
) -> None:
    """Take a flock, exclusive unless ``operation`` says otherwise, on ``fd`` before ``deadline`` (monotonic seconds).

    ``meanwhile`` is called between two tries; while it returns True, there is none. Raises LockTimeoutError, which names ``path``.
    """
    try:
        effects.files.flock(fd, operation)
    except BlockingIOError:
        _poll_flock(effects, fd, path, deadline, operation, pauses, meanwhile)


def _poll_flock(  # noqa: PLR0913, PLR0917 - the slow half of acquire_flock
    effects: Effects,
    fd: int,
    path: str,
    deadline: float,
    operation: int,
    pauses: tuple[float, ...],
    meanwhile: Callable[[], bool] | None,
) -> None:
    coming = iter(pauses)
    pause = next(coming)
    busy_until = effects.monotonic() + _BUSY_SECONDS
    while True:
        now = effects.monotonic()
        if now >= deadline:
            message = (
                f"timed out waiting for {path}, which another handle or process holds; nothing was"
                " written. Try again, or raise AURORA_LOCK_TIMEOUT (lock_timeout=)"
            )
            raise LockTimeoutError(message)
        effects.sleep(pause)
        pause = next(coming, pause)
        if now > busy_until:
            pause = min(pause * 2, _PAUSE_SECONDS_MAX)
        if meanwhile is not None and meanwhile():
            continue
        try:
            effects.files.flock(fd, operation)
        except BlockingIOError:
            continue
        return


def release_flock(effects: Effects, fd: int) -> None:
    """Release the flock on ``fd``."""
    effects.files.flock(fd, fcntl.LOCK_UN)


@contextmanager
def flocked(
    effects: Effects,
    path: str,
    deadline: float,
    *,
    flags: int = os.O_RDWR | os.O_CREAT,
    operation: int = _EXCLUSIVE,
) -> Iterator[None]:
    """Open the lock file ``path`` and hold a flock on it; raises as ``acquire_flock``, and OSError."""
    fd = open_regular(effects.files, path, flags)
    try:
        acquire_flock(effects, fd, path, deadline, operation=operation)
        try:
            yield
        finally:
            release_flock(effects, fd)
    finally:
        effects.files.close(fd)

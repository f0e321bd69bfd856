"""flock with a time-out, and the turnstile that makes it fair.

Theory of operation: two files, ``turn`` and ``lock``. Who wants to append takes ``turn``, then
``lock``, then releases ``turn``. So at most one process at a time tries for ``lock``, and whoever
has just released it queues behind the next (flock alone is unfair: measured p99 15-22 ms against
2-5 ms). flock has no time-out, therefore both are polled, first after 20 microseconds, then up to
1 ms. A lock dies with its owner: there are no PID files and nothing is ever stolen.
"""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

from aurora_es.errors import LockTimeoutError

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects

_POLL_SECONDS_FIRST = 20e-6
# A holder needs about as long as a sync: poll several times in it, so that the lock never lies
# idle while somebody waits. Whoever has waited long polls less often.
_POLL_SECONDS_BUSY = 160e-6
_BUSY_SECONDS = 0.02
_POLL_SECONDS_MAX = 1e-3
_EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB


def acquire_flock(effects: Effects, fd: int, path: str, deadline: float) -> None:
    """Take an exclusive flock on ``fd`` before ``deadline`` (monotonic seconds).

    Raises LockTimeoutError, which names ``path``.
    """
    try:
        effects.files.flock(fd, _EXCLUSIVE)
    except BlockingIOError:
        _poll_flock(effects, fd, path, deadline)


def _poll_flock(effects: Effects, fd: int, path: str, deadline: float) -> None:
    pause = _POLL_SECONDS_FIRST
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
        try:
            effects.files.flock(fd, _EXCLUSIVE)
        except BlockingIOError:
            pause = min(pause * 2, _POLL_SECONDS_BUSY if now < busy_until else _POLL_SECONDS_MAX)
        else:
            return


def release_flock(effects: Effects, fd: int) -> None:
    """Release the flock on ``fd``."""
    effects.files.flock(fd, fcntl.LOCK_UN)

"""``background.lock``: one process at a time seals, merges, cools and clears away."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from aurora_es.files.layer import open_regular
from aurora_es.files.locks import acquire_flock, release_flock
from aurora_es.format.names import BACKGROUND_LOCK

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects


class BackgroundLock:
    """Context manager that holds the lock; raises LockTimeoutError after ``timeout`` seconds."""

    def __init__(self, effects: Effects, path: str, *, timeout: float) -> None:
        """Prepare for the journal in the directory ``path``."""
        self._effects = effects
        self._path = os.path.join(path, BACKGROUND_LOCK)
        self._timeout = timeout
        self._fd = -1

    def __enter__(self) -> Self:
        """Take the lock."""
        effects = self._effects
        fd = open_regular(effects.files, self._path, os.O_RDWR | os.O_CREAT)
        try:
            acquire_flock(effects, fd, self._path, effects.monotonic() + self._timeout)
        except BaseException:
            effects.files.close(fd)
            raise
        self._fd = fd
        return self

    def __exit__(self, *_: object) -> None:
        """Release it; a dead process has released it already."""
        try:
            release_flock(self._effects, self._fd)
        finally:
            self._effects.files.close(self._fd)

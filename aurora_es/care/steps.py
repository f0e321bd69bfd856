"""Counts the steps or the bytes of long work, for a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Steps:
    """Tells how many steps are done, and of how many."""

    def __init__(self, total: int, progress: Callable[[int, int], object] | None) -> None:
        """Expect ``total`` steps; ``progress`` may be nobody."""
        self._total, self._progress = total, progress
        self._done = 0

    def add(self, count: int) -> None:
        """Expect more."""
        self._total += count

    def done(self) -> None:
        """Tell of one more."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))


class Passes:
    """Tells how many bytes are done, and of how many, over several passes that follow each other."""

    def __init__(self, total: int, progress: Callable[[int, int], object] | None) -> None:
        """Expect ``total`` bytes in all passes; ``progress`` may be nobody."""
        self._total, self._progress = total, progress
        self._done = self._end = 0

    def begin(self, size: int) -> Callable[[int, int], object]:
        """Begin a pass of ``size`` bytes; returns what is told how much of it is done, of how much.

        What it counts need not be the bytes that were expected: its share of them is told.
        """
        begin = self._end
        self._end += size
        self._tell(begin)

        def told(done: int, total: int) -> None:
            self._tell(begin + size * min(done, total) // max(total, 1))

        return told

    def end(self) -> None:
        """Tell that everything is done."""
        self._tell(max(self._total, self._done))

    def _tell(self, done: int) -> None:
        # Never back: what was damaged is copied twice.
        self._done = max(self._done, done)
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))

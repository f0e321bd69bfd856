"""Counts the steps of long work, for a progress bar."""

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

"""Progress on stderr: a bar where a person looks on, a line per row elsewhere."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress(Protocol):
    """Told what is measured, and after each block of it."""

    def begin(self, text: str, blocks: int) -> None:
        """Start a row of so many blocks."""

    def advance(self) -> None:
        """One block is done."""

    def close(self) -> None:
        """No more rows."""


class PlainProgress:
    """One line per row."""

    def begin(self, text: str, blocks: int) -> None:
        """Print the row's name."""
        print(f"measuring {text} ({blocks} blocks)", file=sys.stderr, flush=True)

    def advance(self) -> None:
        """Lines show no blocks."""

    def close(self) -> None:
        """Nothing to tidy."""


class BarProgress:
    """A bar per row, drawn by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar

        self._bar = Bar(console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task: TaskID | None = None

    def begin(self, text: str, blocks: int) -> None:
        """Replace the bar."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(text, total=blocks)

    def advance(self) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.advance(self._task)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def make_progress() -> Progress:
    """A bar if stderr is a terminal and rich is there, else lines."""
    if sys.stderr.isatty() and find_spec("rich") is not None:
        return BarProgress()
    return PlainProgress()

"""A progress bar on the terminal, for work that may take long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from aurora_es.journal import mending


@contextmanager
def progress_shown(what: str) -> Iterator[Callable[[int, int], object] | None]:
    """Yield what is to be told how many steps are done, and of how many; None off a terminal.

    The bar is on stderr and vanishes at the end.
    """
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    if not console.is_terminal or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def bytes_shown(what: str) -> Iterator[Callable[[int, int], object] | None]:
    """As ``progress_shown``, for steps that are bytes: shown are MiB."""
    with progress_shown(f"{what} (MiB)") as progress:
        if progress is None:
            yield None
            return
        yield lambda done, total: progress(done >> 20, -(-total >> 20))


@contextmanager
def mending_shown() -> Iterator[None]:
    """Show a bar while a damaged index run is built anew, in the middle of whatever command."""
    with ExitStack() as stack:
        shown: list[Callable[[int, int], object] | None] = []

        def told(done: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(progress_shown("building an index run anew")))
            if shown[0] is not None:
                shown[0](done, total)

        mending.told = told
        stack.callback(setattr, mending, "told", None)
        yield

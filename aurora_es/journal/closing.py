"""Puts off the closing of a journal in a thread that may hold a lock of any journal.

Theory of operation: closing waits for appends, and finalizers close. The garbage collector runs
them in the middle of any call, also of an append to the very journal that is to be closed, or in
two threads that append and close crosswise. So a thread notes, in the handle, from when on it may
hold a lock, and until it has released it. A journal that is closed meanwhile is closed when that
thread holds nothing any more: no thread waits for itself, and none that holds a lock waits for one.

The notes are sets of thread numbers, which one operation changes, before a lock is asked for and
after it is released: the collector may strike between any two steps.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError
from aurora_es.journal.handle import Handle, all_handles
from aurora_es.journal.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# By thread; each thread looks only at its own entry.
_put_off: dict[int, list[Callable[[], None]]] = {}


def put_off(close: Callable[[], None]) -> bool:
    """Let ``close`` be called later if this thread may hold a lock; returns whether it will be."""
    thread = get_ident()
    if not _may_hold_a_lock(thread):
        return False
    _put_off.setdefault(thread, []).append(close)
    return True


def begin_append(handle: Handle) -> None:
    """Note that this thread is about to ask for the append lock of ``handle``."""
    handle.appending_threads.add(get_ident())


def end_append(handle: Handle) -> None:
    """Note that this thread has released the append lock; closes what was put off."""
    handle.appending_threads.discard(get_ident())
    if _put_off:
        _close_what_was_put_off()


@contextmanager
def indexing(handle: Handle) -> Iterator[None]:
    """Hold ``index_lock``; closes what was put off behind it."""
    thread = get_ident()
    try:
        handle.indexing_threads.add(thread)
        with handle.index_lock:
            yield
    finally:
        handle.indexing_threads.discard(thread)
        if _put_off:
            _close_what_was_put_off()


def _may_hold_a_lock(thread: int) -> bool:
    return any(
        thread in handle.appending_threads or thread in handle.indexing_threads
        for handle in all_handles()
    )


def _close_what_was_put_off() -> None:
    thread = get_ident()
    if thread not in _put_off or _may_hold_a_lock(thread):
        return
    waiting = _put_off[thread]
    while waiting:
        close = waiting.pop(0)
        try:
            close()
        except (AuroraError, OSError) as error:
            # No affair of the call that it came in the middle of.
            logger.warning("a journal was not closed cleanly: %s", error)
    _put_off.pop(thread, None)

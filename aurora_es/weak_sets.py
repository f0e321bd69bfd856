"""Copies weak sets that other threads, or the garbage collector, change at the same time.

Theory of operation: a ``WeakSet`` puts off removals while it is iterated over, but not additions,
nor a removal that another thread has just begun. Either ends the iteration with a RuntimeError,
which in a finalizer or a fork hook would be the end of closing. Then the copy starts again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from weakref import WeakSet

_T = TypeVar("_T")


def members_of(weak_set: WeakSet[_T]) -> list[_T]:
    """All members that live, of some moment during the call."""
    while True:
        try:
            return list(weak_set)
        except RuntimeError:  # changed during the iteration
            continue

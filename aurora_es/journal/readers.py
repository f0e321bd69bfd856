"""Who follows a journal in this process, and how far each is: for metrics.

Theory of operation: a reader is written down when it is made, and forgotten with its last
reference. It is asked how far it is when somebody wants to know, so following costs nothing more.
"""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from aurora_es.journal.following import Follower


class Reader(Protocol):
    """An iterator that follows a journal."""

    def reached(self) -> int:
        """Position up to which everything was returned, or left out; from any thread."""


class _Entry(NamedTuple):
    number: int  # counted from 1 in this process
    kind: str
    follower: Follower


class Following(NamedTuple):
    """A reader that lives and was not stopped; ``number`` tells those of one process apart."""

    number: int
    kind: str
    path: str
    reached: int


_numbers = itertools.count(1)
_entries: weakref.WeakKeyDictionary[Reader, _Entry] = weakref.WeakKeyDictionary()


def note_reader(reader: Reader, kind: str, follower: Follower) -> None:
    """Write down that ``reader`` follows a journal by ``follower``."""
    _entries[reader] = _Entry(next(_numbers), kind, follower)


def readers_of_process() -> list[Following]:
    """All that follow a journal here, in the order in which they began; for any thread."""
    while True:
        try:
            found = list(_entries.items())
        except RuntimeError:  # changed during the iteration
            continue
        return sorted(
            Following(entry.number, entry.kind, entry.follower.path, reader.reached())
            for reader, entry in found
            if entry.follower.is_following
        )

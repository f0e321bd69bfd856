"""``Tailer``: reads a journal and follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from aurora_es.errors import ClosedError
from aurora_es.journal.readers import note_reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.journal.journal import Journal
    from aurora_es.journal.records import StoredRecord

_PAGE_RECORDS = 500


class Tailer:
    """Iterator over the records behind a position; waits at the end. For one thread at a time.

    Raises HistoryChangedError after a recovery that took back visible records.
    """

    def __init__(self, journal: Journal, after: int) -> None:
        """Follow ``journal`` from the record behind ``after`` on."""
        self._journal = journal
        self._position = max(after, 0)
        self._follower = journal.follower()
        self._page: Iterator[StoredRecord] = iter(())
        note_reader(self, "tailer", self._follower)

    def reached(self) -> int:
        """Position up to which everything was returned; from any thread."""
        return self._position

    def __iter__(self) -> Self:
        """Return the tailer itself."""
        return self

    def __next__(self) -> StoredRecord:
        """Return the next record, waiting for it if need be."""
        while not self._follower.stopped:
            stored = next(self._page, None)
            if stored is not None:
                self._position = stored.position
                return stored
            try:
                # What is lost behind it is no record to wait for.
                holes = self._journal.handle.state.index.holes
                self._position = holes.behind(self._position + 1) - 1
                if self._follower.wait_beyond(self._position):
                    self._page = self._journal.read(self._position + 1, limit=_PAGE_RECORDS)
                    self._follower.look()  # the page is of the same history: else this raises
            except ClosedError:
                break  # closed while this thread was looking, and not waiting
        self._follower.close()
        raise StopIteration

    def stop(self) -> None:
        """End the iteration, from any thread; idempotent."""
        self._follower.stop()

    def __enter__(self) -> Self:
        """Return the tailer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and free the descriptors."""
        self._follower.close()

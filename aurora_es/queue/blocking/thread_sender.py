"""``Sender`` for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from aurora_es.errors import ForkedHandle
from aurora_es.queue.appender import NOBODY
from aurora_es.queue.messages import row_of_value, rows_of_values
from aurora_es.queue.queue_errors import (
    SenderClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aurora_es.journal.commit import Row
    from aurora_es.journal.journal import Journal


class Sender:
    """Sends to one queue, from any number of threads; see ``aurora_es.queue.Sender``."""

    def __init__(self, journal: Journal, reopened: Callable[[], Journal]) -> None:
        """Append to ``journal``, in a fork's child to ``reopened()``; ``Queue`` calls this."""
        self._journal = journal
        self._reopened = reopened
        self.closed = False

    def send(
        self, message: Any, *, key: str | None = None, headers: dict[str, Any] | None = None
    ) -> int:
        """Send ``message`` and return its position, once it is durable under the sync mode.

        Raises SenderError (nothing was sent), and what an append of the journal raises.
        """
        self._check_open()
        row = row_of_value(message, key, headers)
        return self._append((row,))

    def send_many(
        self,
        messages: Iterable[Any],
        *,
        key: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> range:
        """Send all ``messages``, or none, as neighbours; returns their positions."""
        self._check_open()
        rows, _ = rows_of_values(messages, key, headers)
        if not rows:
            return range(0)
        first = self._append(rows)
        return range(first, first + len(rows))

    def _append(self, rows: Sequence[Row]) -> int:
        identities = (NOBODY,) * len(rows)
        try:
            return self._journal.append_rows(rows, identities, None)
        except ForkedHandle:
            self._journal = self._reopened()
            return self._journal.append_rows(rows, identities, None)

    def close(self) -> None:
        """Accept no more; idempotent."""
        self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            message = "this sender was closed; acquire another one from an open queue"
            raise SenderClosedError(message)

    def __enter__(self) -> Self:
        """Return the sender itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

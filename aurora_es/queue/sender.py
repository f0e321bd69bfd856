"""``Sender``: sends messages from the tasks of one event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from aurora_es.queue.messages import row_of_value, rows_of_values, size_of_row
from aurora_es.queue.queue_errors import SenderClosedError, SenderFullError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.queue.appender import Appender

_SENDS_IN_A_ROW_MAX = 64  # after which other tasks of the loop get their turn
_AT_ONCE_BYTES_MAX = 1 << 16  # more takes so long that the loop has better things to do


class Sender:
    """Sends to one queue, from any number of tasks of one event loop.

    What one task sends keeps its order. All senders of all tasks, threads and processes may send
    at once; those of one process share syncs.

    Cancelling a send takes the message back, if it is not being written yet; otherwise it is sent
    whole, once. There is no third outcome.
    """

    def __init__(self, appender: Appender) -> None:
        """Send through ``appender``; ``Queue.acquire_sender`` calls this."""
        self._appender = appender
        self._in_a_row = 0
        self.closed = False

    async def send(
        self, message: Any, *, key: str | None = None, headers: dict[str, Any] | None = None
    ) -> int:
        """Send ``message`` and return its position, once it is durable under the queue's sync mode.

        Waits while more bytes are on their way to disk than the queue allows. ``key`` names what
        has to be received in order by a group; ``headers`` are a dictionary of plain values.

        Raises SenderError (nothing was sent), and what an append of the journal raises:
        StorageFullError, LockTimeoutError (nothing was sent), CommitOutcomeUnknownError.
        """
        self._check_open()
        row = row_of_value(message, key, headers)
        appender = self._appender
        self._in_a_row += 1
        if self._in_a_row >= _SENDS_IN_A_ROW_MAX:
            self._in_a_row = 0
            await asyncio.sleep(0)  # before the append: cancelled here, nothing was sent
        if size_of_row(row) < _AT_ONCE_BYTES_MAX and (position := appender.append_at_once((row,))):
            return position
        if appender.is_full:
            await self._wait_for_room()
        return await appender.submit((row,), size_of_row(row))

    def send_nowait(
        self, message: Any, *, key: str | None = None, headers: dict[str, Any] | None = None
    ) -> asyncio.Future[int]:
        """Send ``message`` without waiting for anything; the result tells when it is durable.

        Awaiting the result gives the position. Raises SenderFullError where ``send`` would wait,
        MessageEncodingError, MessageTooLargeError, ArgumentError; all else comes with the result.
        """
        self._check_open()
        row = row_of_value(message, key, headers)
        if self._appender.is_full:
            reason = (
                "as many bytes are on their way to disk as the queue allows; nothing was sent."
                " Await send(), or raise with_unsynced_bytes_max()"
            )
            raise SenderFullError(reason)
        return self._appender.submit((row,), size_of_row(row))

    async def send_many(
        self,
        messages: Iterable[Any],
        *,
        key: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> range:
        """Send all ``messages``, or none, as neighbours; returns their positions.

        ``key`` and ``headers`` are those of each message that is no ``Outgoing`` with its own.
        Raises what ``send`` raises, and TooLargeError for more than 256 MiB at once.
        """
        self._check_open()
        rows, size_bytes = rows_of_values(messages, key, headers)
        if not rows:
            return range(0)
        appender = self._appender
        await asyncio.sleep(0)
        self._check_open()
        first = appender.append_at_once(rows) if size_bytes < _AT_ONCE_BYTES_MAX else 0
        if not first:
            if appender.is_full:
                await self._wait_for_room()
            first = await appender.submit(rows, size_bytes)
        return range(first, first + len(rows))

    async def close(self) -> None:
        """Send what was accepted, and accept no more; idempotent."""
        self.closed = True
        await self._appender.drain()

    async def _wait_for_room(self) -> None:
        await self._appender.room()
        if self.closed:
            # Nothing may be on its way any more whose end would give room to those behind.
            self._appender.pass_room_on()
            self._check_open()

    def _check_open(self) -> None:
        if self.closed:
            message = "this sender was closed; acquire another one from an open queue"
            raise SenderClosedError(message)

    async def __aenter__(self) -> Self:
        """Return the sender itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

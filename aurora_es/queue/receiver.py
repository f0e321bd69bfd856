"""``Receiver``: sees every message of a queue, in the tasks of one event loop.

Theory of operation: a ``MessageReader`` finds messages, and ``LoopWaiting`` waits where there is
none. A receiver that finds one gives it without a switch of tasks; every now and then it lets the
others have their turn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from aurora_es.queue.messages import message_of
from aurora_es.queue.queue_errors import ReceiverClosedError
from aurora_es.queue.reader import value_or_message
from aurora_es.queue.waiting import LoopWaiting, seconds_to_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aurora_es.journal.journal import Journal
    from aurora_es.queue.messages import Message
    from aurora_es.queue.reader import MessageReader, Target

_T = TypeVar("_T")
_FOUND_IN_A_ROW_MAX = 64  # after which other tasks of the loop get their turn


class LoopReceiver:
    """What receivers of an event loop share: waiting, and closing."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journals: Sequence[Journal],
        poll_seconds: float | None,
    ) -> None:
        """Wait in ``loop`` for changes of ``journals``."""
        self._loop = loop
        self._waiting = LoopWaiting(loop, journals, poll_seconds)
        self._in_a_row = 0
        self.closed = False

    async def _found(
        self,
        look: Callable[[], _T | None],
        timeout: float | None,
        patience: Callable[[], float | None] | None = None,
    ) -> _T:
        """What ``look`` finds, as soon as it does; raises ReceiveTimeoutError.

        ``patience`` tells in how many seconds it may find something without any news.
        """
        self._check_open()
        self._in_a_row += 1
        if self._in_a_row >= _FOUND_IN_A_ROW_MAX:
            self._in_a_row = 0
            await asyncio.sleep(0)
        found = look()
        if found is not None:
            return found
        self._in_a_row = 0
        deadline = None if timeout is None else self._loop.time() + timeout
        while True:
            remaining = None if deadline is None else deadline - self._loop.time()
            await self._waiting.wait(seconds_to_wait(remaining, timeout, patience))
            self._check_open()
            found = look()
            if found is not None:
                return found

    def _check_open(self) -> None:
        if self.closed:
            message = "this receiver was closed; subscribe to an open queue again"
            raise ReceiverClosedError(message)

    async def close(self) -> None:
        """End; whoever waits gets ReceiverClosedError. Idempotent."""
        if not self.closed:
            self.closed = True
            self._waiting.close()

    async def __aenter__(self) -> Self:
        """Return the receiver itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()


class Receiver(LoopReceiver):
    """Sees every message, from where it began; for the tasks of one event loop.

    It stands between two messages: ``position`` is that of the one before it. Any number of
    receivers, in any number of processes, see the same messages in the same order. Nothing of it is
    on disk: see ``Queue.subscribe`` with a name for receivers that go on where they were.
    """

    def __init__(
        self,
        reader: MessageReader,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        poll_seconds: float | None,
    ) -> None:
        """Receive through ``reader``; ``Queue.subscribe`` calls this."""
        super().__init__(loop, [journal], poll_seconds)
        self._reader = reader

    @property
    def position(self) -> int:
        """Position of the last message received; the next one is behind it."""
        return self._reader.position

    def lag(self) -> int:
        """How many messages are behind this place."""
        self._check_open()
        return max(self._reader.last_position() - self._reader.position, 0)

    @overload
    async def next(self, type: type[_T], *, timeout: float | None = None) -> _T: ...
    @overload
    async def next(self, type: None = None, *, timeout: float | None = None) -> Message: ...
    @overload
    async def next(self, type: Any, *, timeout: float | None = None) -> Any: ...
    async def next(self, type: Any = None, *, timeout: float | None = None) -> Any:  # noqa: A002
        """Return the next message's value, an object of ``type``; without one, the ``Message``.

        Waits for it, at most ``timeout`` seconds (0: not at all). Raises MessageTypeError, after
        which the same message is still the next one; ReceiveTimeoutError, ReceiverClosedError,
        OvertakenError, HistoryChangedError, CorruptionError.
        """
        reader = self._reader
        entry = await self._found(reader.peek, timeout)
        found = value_or_message(entry, type)
        reader.advance()
        return found

    async def next_batch(self, count: int = 1000, *, timeout: float | None = None) -> list[Message]:
        """Return the next messages, at most ``count``; waits for the first of them only.

        Raises what ``next`` raises.
        """
        taken = await self._found(lambda: self._reader.take_page(count) or None, timeout)
        return [message_of(*entry) for entry in taken]

    @overload
    async def previous(self, type: type[_T]) -> _T: ...
    @overload
    async def previous(self, type: None = None) -> Message: ...
    @overload
    async def previous(self, type: Any) -> Any: ...
    async def previous(self, type: Any = None) -> Any:  # noqa: A002
        """Go back: return the message before this place, and stand before it.

        So ``next`` and ``previous`` in turn give the same message. Never waits. Raises
        StartReachedError before the first message, and what ``next`` raises.
        """
        self._check_open()
        entry = self._reader.look_back()
        found = value_or_message(entry, type)
        self._reader.go_back()
        return found

    def seek(self, target: Target) -> None:
        """Stand before ``START``, ``END``, a position, or the first message from a time on.

        A position that retention has dropped is OvertakenError at the next message; a time before
        all that is left stands for the first message that is. Raises ArgumentError for what is none of
        these, and for a datetime without a zone.
        """
        self._check_open()
        self._reader.seek(target)

    def __aiter__(self) -> Self:
        """Receive without end, as ``Message`` objects; closing ends the iteration."""
        return self

    async def __anext__(self) -> Message:
        """Return the next message."""
        try:
            return await self.next()
        except ReceiverClosedError:
            raise StopAsyncIteration from None

"""``Receiver`` and ``NamedReceiver`` for threads."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from aurora_es.errors import ClosedError, ConflictError, ForkedHandle
from aurora_es.queue.messages import message_of
from aurora_es.queue.named_receiver import Cursor, taken_already
from aurora_es.queue.queue_errors import (
    ReceiverClosedError,
)
from aurora_es.queue.reader import MessageReader, value_or_message
from aurora_es.queue.waiting import ThreadWaiting, seconds_to_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aurora_es.journal.journal import Journal
    from aurora_es.queue.cursors import CursorLog
    from aurora_es.queue.messages import Message
    from aurora_es.queue.reader import Target


_T = TypeVar("_T")


class ThreadReceiver:
    """What receivers of threads share: waiting, and closing."""

    def __init__(self, log: CursorLog, journals: Sequence[Journal]) -> None:
        """Wait for changes of ``journals``."""
        self._log = log
        self._waiting = ThreadWaiting(journals, log.poll_interval)
        self._monotonic = log.messages.handle.effects.monotonic
        self.closed = False

    def _found(
        self,
        look: Callable[[], _T | None],
        timeout: float | None,
        patience: Callable[[], float | None] | None = None,
    ) -> _T:
        """What ``look`` finds, as soon as it does; raises ReceiveTimeoutError."""
        deadline = None if timeout is None else self._monotonic() + timeout
        while True:
            self._check_open()
            try:
                found = look()
                if found is not None:
                    return found
                remaining = None if deadline is None else deadline - self._monotonic()
                self._waiting.wait(seconds_to_wait(remaining, timeout, patience))
            except ClosedError:
                self._check_open()  # another thread has closed the queue in the middle of this
                raise
            except ForkedHandle as error:
                message = (
                    "this receiver belongs to the process that was forked; subscribe() or join()"
                    " again in this one"
                )
                raise ForkedHandle(message) from error

    def _check_open(self) -> None:
        if self.closed:
            message = "this receiver was closed; subscribe to an open queue again"
            raise ReceiverClosedError(message)

    def close(self) -> None:
        """End; a thread that waits gets ReceiverClosedError. Idempotent, from any thread."""
        if not self.closed:
            self.closed = True
            self._waiting.close()

    def __enter__(self) -> Self:
        """Return the receiver itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class Receiver(ThreadReceiver):
    """Sees every message, from where it began; see ``aurora_es.queue.Receiver``."""

    def __init__(self, reader: MessageReader, log: CursorLog) -> None:
        """Receive through ``reader``; ``Queue.subscribe`` calls this."""
        super().__init__(log, [log.messages])
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
    def next(self, type: type[_T], *, timeout: float | None = None) -> _T: ...
    @overload
    def next(self, type: None = None, *, timeout: float | None = None) -> Message: ...
    @overload
    def next(self, type: Any, *, timeout: float | None = None) -> Any: ...
    def next(self, type: Any = None, *, timeout: float | None = None) -> Any:  # noqa: A002
        """Return the next message's value, an object of ``type``; without one, the ``Message``."""
        found = value_or_message(self._found(self._reader.peek, timeout), type)
        self._reader.advance()
        return found

    def next_batch(self, count: int = 1000, *, timeout: float | None = None) -> list[Message]:
        """Return the next messages, at most ``count``; waits for the first of them only."""
        taken = self._found(lambda: self._reader.take_page(count) or None, timeout)
        return [message_of(*entry) for entry in taken]

    @overload
    def previous(self, type: type[_T]) -> _T: ...
    @overload
    def previous(self, type: None = None) -> Message: ...
    @overload
    def previous(self, type: Any) -> Any: ...
    def previous(self, type: Any = None) -> Any:  # noqa: A002
        """Go back: return the message before this place, and stand before it."""
        self._check_open()
        found = value_or_message(self._reader.look_back(), type)
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

    def __iter__(self) -> Self:
        """Receive without end, as ``Message`` objects; closing ends the iteration."""
        return self

    def __next__(self) -> Message:
        """Return the next message."""
        try:
            return self.next()
        except ReceiverClosedError:
            raise StopIteration from None


class NamedReceiver(Receiver):
    """A receiver with a place on disk; see ``aurora_es.queue.NamedReceiver``."""

    def __init__(self, reader: MessageReader, log: CursorLog, cursor: Cursor) -> None:
        """Commit ``cursor``; ``Queue.subscribe`` calls this."""
        super().__init__(reader, log)
        self._cursor = cursor
        self._is_taking = False

    @property
    def name(self) -> str:
        """Name under which the place is kept."""
        return self._cursor.name

    @property
    def committed(self) -> int:
        """Position up to which messages were committed."""
        return self._cursor.committed

    def lag(self) -> int:
        """How many messages are not committed."""
        self._check_open()
        return self._cursor.lag(self._reader)

    def commit(self, position: int | None = None) -> None:
        """Commit all messages up to ``position``, by default all that were received."""
        self._check_open()
        position = self._cursor.place(self._reader, position)
        if position != self._cursor.committed:
            try:
                self._log.append(self._cursor.draft(position))
            except ConflictError as error:
                raise self._cursor.moved() from error
            self._cursor.commit(position)
            self._log.append_due_state()

    @contextmanager
    def take(self, *, timeout: float | None = None) -> Iterator[Message]:
        """Take the next message for a ``with`` block, and commit it behind the block."""
        with self.take_batch(1, timeout=timeout) as messages:
            yield messages[0]

    @contextmanager
    def take_batch(
        self, count: int = 100, *, timeout: float | None = None
    ) -> Iterator[list[Message]]:
        """Take up to ``count`` messages for a ``with`` block, and commit them all behind it.

        If the block raises, nothing is committed, and the same messages are the next ones again.
        """
        if self._is_taking:
            raise taken_already(self.name)
        self._is_taking = True
        try:
            taken = self.next_batch(count, timeout=timeout)
            try:
                yield taken
                self.commit(taken[-1].position)
            except BaseException:
                if not self.closed:
                    self._reader.seek(taken[0].position)
                raise
        finally:
            self._is_taking = False

"""``Queue``: an open queue in one event loop; the one place that assembles its parts."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Self

from aurora_es.errors import ReadOnlyError
from aurora_es.queue.appender import Appender
from aurora_es.queue.queue_errors import QueueClosedError
from aurora_es.queue.reader import START, MessageReader
from aurora_es.queue.receiver import LoopReceiver, Receiver
from aurora_es.queue.sender import Sender
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from aurora_es.journal.journal import Journal
    from aurora_es.queue.reader import Target
    from aurora_es.queue.settings import QueueSettings


class Queue:
    """A queue as the tasks of one event loop use it; ``QueueBuilder`` and ``open_queue`` open one.

    Any number of processes may have the same queue open. A queue belongs to the loop that opened it;
    for threads there is ``aurora_es.queue.blocking``.
    """

    def __init__(
        self, settings: QueueSettings, messages: Journal, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Use the open journal ``messages`` in ``loop``."""
        self.settings = settings
        self.messages = messages
        self.closed = False
        self._loop = loop
        self._appender = Appender(messages, loop, unsynced_bytes_max=settings.unsynced_bytes_max)
        self._senders: weakref.WeakSet[Sender] = weakref.WeakSet()
        self._receivers: weakref.WeakSet[LoopReceiver] = weakref.WeakSet()

    @property
    def path(self) -> str:
        """Directory of the queue."""
        return self.settings.path

    @property
    def last_position(self) -> int:
        """Position of the newest message; 0 when there is none."""
        self._check_open()
        return self.messages.last_position

    @property
    def first_position(self) -> int:
        """Position of the first message that retention has left."""
        self._check_open()
        return self.messages.first_position

    async def acquire_sender(self) -> Sender:
        """Return a new sender. Raises QueueClosedError, ReadOnlyError."""
        self._check_open()
        if self.settings.read_only:
            message = f"{self.path} was opened read-only; open it for sending to send"
            raise ReadOnlyError(message)
        sender = Sender(self._appender)
        self._senders.add(sender)
        return sender

    async def subscribe(self, *, start: Target = START) -> Receiver:
        """Return a receiver that sees every message from ``start`` on.

        ``start`` is ``START`` (the first message that is left), ``END`` (only what comes from now
        on), a position, or a datetime with a zone. Raises ArgumentError, QueueClosedError.
        """
        self._check_open()
        receiver = Receiver(
            MessageReader(self.messages, start),
            self.messages,
            self._loop,
            self.settings.poll_interval,
        )
        self._receivers.add(receiver)
        return receiver

    async def close(self) -> None:
        """Send what was accepted, end all receivers, sync, and release everything; idempotent."""
        if self.closed:
            return
        self.closed = True
        for sender in members_of(self._senders):
            sender.closed = True
        for receiver in members_of(self._receivers):
            await receiver.close()
        try:
            await self._appender.drain()
        finally:
            self._appender.stop()
            await asyncio.to_thread(self.messages.close)

    def _check_open(self) -> None:
        if self.closed:
            message = f"the queue {self.path} was closed; open it again"
            raise QueueClosedError(message)

    async def __aenter__(self) -> Self:
        """Return the queue itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    def __repr__(self) -> str:
        """Name the path and the state."""
        return f"<{type(self).__name__} {self.path!r} {'closed' if self.closed else 'open'}>"

"""``Queue``: an open queue in one event loop; the one place that assembles its parts."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Self, overload

from aurora_es.errors import ConflictError
from aurora_es.queue.appender import Appender
from aurora_es.queue.cursor_records import GROUP, RECEIVER
from aurora_es.queue.cursor_writer import CursorWriter
from aurora_es.queue.group_member import (
    ATTEMPTS_MAX_DEFAULT,
    VISIBILITY_SECONDS_DEFAULT,
    GroupMember,
)
from aurora_es.queue.group_receiver import GroupReceiver
from aurora_es.queue.named_receiver import Cursor, NamedReceiver
from aurora_es.queue.queue_base import QueueBase
from aurora_es.queue.queue_errors import other_loop
from aurora_es.queue.reader import START, MessageReader
from aurora_es.queue.receiver import LoopReceiver, Receiver
from aurora_es.queue.retaining import QueueRetentionReport, retain_queue
from aurora_es.queue.sender import Sender
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from datetime import timedelta

    from aurora_es.queue.cursors import CursorLog
    from aurora_es.queue.reader import Target
    from aurora_es.queue.settings import QueueSettings


class Queue(QueueBase):
    """A queue as the tasks of one event loop use it; ``QueueBuilder`` and ``open_queue`` open one.

    Any number of processes may have the same queue open. A queue belongs to the loop that opened it;
    for threads there is ``aurora_es.queue.blocking``.
    """

    def __init__(
        self, settings: QueueSettings, log: CursorLog, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Use the open journals of ``log`` in ``loop``."""
        super().__init__(settings, log)
        self._loop = loop
        self._appender = Appender(
            log.messages, loop, unsynced_bytes_max=settings.unsynced_bytes_max
        )
        self._cursor_appender = Appender(log.journal, loop)
        self._writer = CursorWriter(log, self._cursor_appender)
        self._senders: weakref.WeakSet[Sender] = weakref.WeakSet()
        self._receivers: weakref.WeakSet[LoopReceiver] = weakref.WeakSet()

    async def acquire_sender(self) -> Sender:
        """Return a new sender. Raises QueueClosedError, ReadOnlyError."""
        self._check_writable()
        self._check_loop()
        sender = Sender(self._appender)
        self._senders.add(sender)
        return sender

    @overload
    async def subscribe(self, name: None = None, *, start: Target = START) -> Receiver: ...
    @overload
    async def subscribe(self, name: str, *, start: Target = START) -> NamedReceiver: ...
    async def subscribe(self, name: str | None = None, *, start: Target = START) -> Receiver:
        """Return a receiver that sees every message from ``start`` on.

        ``start`` is ``START`` (the first message that is left), ``END`` (only what comes from now
        on), a position, or a datetime with a zone. With a ``name`` the receiver goes on where the
        last one of that name has committed; ``start`` is for the first one only. Its messages are
        kept from retention, until ``forget``.

        Raises ArgumentError, QueueClosedError, NameKindError, ReadOnlyError for a name.
        """
        self._check_open()
        self._check_loop()
        poll_seconds = self.settings.poll_interval
        receiver: Receiver
        if name is None:
            reader = MessageReader(self.messages, start)
            receiver = Receiver(reader, self.messages, self._loop, poll_seconds)
        else:
            await self._begin(name, RECEIVER, start)
            cursor = Cursor(self._log, name)
            reader = MessageReader(self.messages, cursor.committed + 1)
            receiver = NamedReceiver(reader, cursor, self._writer, self._loop, poll_seconds)
        self._receivers.add(receiver)
        return receiver

    async def join(  # noqa: PLR0913 - a user's choices, all by name
        self,
        name: str,
        *,
        start: Target = START,
        visibility_timeout: float = VISIBILITY_SECONDS_DEFAULT,
        attempts_max: int | None = ATTEMPTS_MAX_DEFAULT,
        retry_delay: float = 0.0,
        prefetch: int = 1,
    ) -> GroupReceiver:
        """Return a receiver that divides the messages with all others of the group ``name``.

        ``start`` is where the group begins, if this is its first member. A message is handed out
        again after ``visibility_timeout`` seconds without an acknowledgement, and is parked when it
        was handed out ``attempts_max`` times (None: never); after an error in ``take`` it waits for
        ``retry_delay`` seconds. A member claims up to ``prefetch`` messages at once: more take less
        time each, and are with this member while others may have nothing to do.

        Raises ArgumentError, QueueClosedError, NameKindError, ReadOnlyError.
        """
        await self._begin(name, GROUP, start)
        member = GroupMember(
            self._log,
            name,
            visibility_timeout=visibility_timeout,
            attempts_max=attempts_max,
            retry_delay=retry_delay,
            prefetch=prefetch,
        )
        receiver = GroupReceiver(member, self._writer, self._loop, self.settings.poll_interval)
        self._receivers.add(receiver)
        return receiver

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise other_loop(self.path)

    async def _begin(self, name: str, kind: str, start: Target) -> None:
        self._check_writable()
        self._check_loop()
        while (draft := self._log.begin(name, kind, start)) is not None:
            try:
                await self._writer.write(draft)
            except ConflictError:
                continue  # somebody else has begun with it
            await asyncio.to_thread(self._log.journal.sync)
            return

    async def forget(self, name: str) -> None:
        """Forget a named receiver or a group: its messages are not kept for it any more."""
        self._check_writable()
        while (draft := self._log.forget(name)) is not None:
            try:
                await self._writer.write(draft)
            except ConflictError:
                continue
            return

    async def retain(
        self,
        *,
        older_than: timedelta | None = None,
        bytes_max: int | None = None,
        messages_max: int | None = None,
        dry_run: bool = False,
    ) -> QueueRetentionReport:
        """Drop messages older than ``older_than``, or beyond ``bytes_max`` or ``messages_max`` in all.

        Any of the bounds is enough to drop a message, unless a name needs it or an earlier one. Whole
        segments go; the newest sealed one, and what is not sealed yet, stay, so that how exact it is
        depends on the roll cycle. The files go a minute later. ``dry_run`` only tells what would go.

        Raises ArgumentError without a bound, LockTimeoutError, CorruptionError; with nothing changed.
        """
        self._check_writable()
        return await asyncio.to_thread(
            retain_queue,
            self._log,
            older_than=older_than,
            bytes_max=bytes_max,
            messages_max=messages_max,
            dry_run=dry_run,
        )

    async def close(self) -> None:
        """Send what was accepted, end all receivers, sync, and release everything; idempotent."""
        if self.closed:
            return
        if not self._loop.is_closed():
            self._check_loop()
        self.closed = True
        for sender in members_of(self._senders):
            sender.closed = True
        try:
            if not self._loop.is_closed():  # else nobody is left to be told
                await self._drain()
        finally:
            self._appender.stop()
            self._cursor_appender.stop()
            await asyncio.to_thread(self._release)

    async def _drain(self) -> None:
        for receiver in members_of(self._receivers):
            await receiver.close()
        await self._appender.drain()
        await self._cursor_appender.drain()

    def _release(self) -> None:
        """Close the journals when all that was accepted is written, also if ``close`` was cancelled."""
        self._appender.join()
        self._cursor_appender.join()
        self._log.close()

    async def __aenter__(self) -> Self:
        """Return the queue itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

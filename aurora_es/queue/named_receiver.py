"""``NamedReceiver``: goes on where it committed, across restarts and processes.

Theory of operation: each commit of a name has a version, which must be the next one. A commit whose
task is cancelled meanwhile is written all the same, so it is written by a task of its own, which
lives to note the version; the next commit waits for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aurora_es.errors import ConflictError
from aurora_es.queue.cursor_records import RECEIVER, Commit, name_id, versioned_draft
from aurora_es.queue.messages import message_of
from aurora_es.queue.queue_errors import CursorMovedError, ReceiverError
from aurora_es.queue.receiver import Receiver

if TYPE_CHECKING:
    from aurora_es.queue.cursor_records import Draft
    from aurora_es.queue.cursor_writer import CursorWriter
    from aurora_es.queue.cursors import CursorLog
    from aurora_es.queue.messages import Message
    from aurora_es.queue.reader import MessageReader


class Cursor:
    """The committed place of one receiver's name, as that receiver knows it."""

    def __init__(self, log: CursorLog, name: str) -> None:
        """Begin where ``name`` is now; raises NameKindError."""
        with log.lock:
            state = log.known(name, RECEIVER)
            self.committed = state.frontier
            self._version = state.version
        self.name = name
        self._log = log

    def place(self, reader: MessageReader, position: int | None) -> int:
        """What a commit of ``position`` commits: all received by default, and no message to come."""
        position = reader.position if position is None else position
        return max(min(position, reader.last_position()), 0)

    def lag(self, reader: MessageReader) -> int:
        """How many messages are not committed."""
        return max(reader.last_position() - self.committed, 0)

    def draft(self, position: int) -> Draft:
        """What to append to commit ``position``."""
        return versioned_draft(Commit(self.name, position), name_id(self.name), self._version + 1)

    def commit(self, position: int) -> None:
        """The draft is in the journal."""
        self._version += 1
        self.committed = position

    def moved(self) -> CursorMovedError:
        """The error for a draft that was refused."""
        with self._log.lock:
            is_forgotten = self._log.find(self.name) is None
        if is_forgotten:
            message = (
                f"{self.name!r} was forgotten meanwhile; nothing was committed. Subscribe again to"
                " use it anew"
            )
            return CursorMovedError(message)
        message = (
            f"{self.name!r}: another receiver of this name has committed since this one subscribed"
            f" or committed last (at position {self.committed}); nothing was committed. Subscribe"
            " again to go on from there; use a group for several receivers"
        )
        return CursorMovedError(message)


def taken_already(name: str) -> ReceiverError:
    """The error for a ``take`` in the middle of another: its commit would include the other's."""
    message = f"{name!r}: a message is being taken already; take one after the other"
    return ReceiverError(message)


class NamedReceiver(Receiver):
    """A receiver with a place on disk; for the tasks of one event loop, one at a time.

    What was received and not committed is received again after a restart: at least once. Commit
    with ``take``, which does it for each message or batch, or with ``commit``. Two receivers of one
    name must not be at work at once: the one that commits second gets CursorMovedError.
    """

    def __init__(
        self,
        reader: MessageReader,
        cursor: Cursor,
        writer: CursorWriter,
        loop: asyncio.AbstractEventLoop,
        poll_seconds: float | None,
    ) -> None:
        """Commit ``cursor`` by ``writer``; ``Queue.subscribe`` calls this."""
        super().__init__(reader, writer.log.messages, loop, poll_seconds)
        self._cursor = cursor
        self._writer = writer
        self._is_taking = False
        self._committing: asyncio.Task[ConflictError | None] | None = None

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

    async def commit(self, position: int | None = None) -> None:
        """Commit all messages up to ``position``, by default all that were received.

        Returns when that is durable under the queue's sync mode. A position before the committed
        one takes it back. Cancelled in the middle it commits all the same; the messages of a ``take``
        are received again nevertheless, as after any block that did not end well. Raises
        CursorMovedError, and what an append of the journal raises.
        """
        self._check_open()
        await self._settle()
        position = self._cursor.place(self._reader, position)
        if position == self._cursor.committed:
            return
        draft = self._cursor.draft(position)
        try:
            if self._writer.write_at_once(draft):
                self._cursor.commit(position)
                return
        except ConflictError as error:
            raise self._cursor.moved() from error
        self._committing = self._loop.create_task(self._commit_durably(draft, position))
        refusal = await asyncio.shield(self._committing)
        if refusal is not None:
            raise self._cursor.moved() from refusal

    async def _commit_durably(self, draft: Draft, position: int) -> ConflictError | None:
        try:
            await self._writer.write(draft)
            self._cursor.commit(position)
        except ConflictError as error:
            return error  # if nobody waits any more, the next commit meets with it, too
        finally:
            self._committing = None
        return None

    async def _settle(self) -> None:
        """Wait for the commit of a task that was cancelled."""
        if self._committing is not None:
            await asyncio.wait([self._committing])

    async def close(self) -> None:
        """End, when the commits that were begun are on disk; idempotent."""
        await super().close()
        await self._settle()

    def take(self, *, timeout: float | None = None) -> Taking:
        """Take the next message for an ``async with`` block, and commit it behind the block.

        If the block raises, nothing is committed, and the same message is the next one again.
        """
        return Taking(self, 1, timeout)

    def take_batch(self, count: int = 100, *, timeout: float | None = None) -> TakingBatch:
        """Take up to ``count`` messages for an ``async with`` block, and commit them all behind it."""
        return TakingBatch(self, count, timeout)

    async def _begin(self, count: int, timeout: float | None) -> list[Message]:
        if self._is_taking:
            raise taken_already(self.name)
        self._is_taking = True
        try:
            taken = await self._found(lambda: self._reader.take_page(count) or None, timeout)
        except BaseException:
            self._is_taking = False
            raise
        return [message_of(*entry) for entry in taken]

    async def _end(self, taken: list[Message], *, succeeded: bool) -> None:
        self._is_taking = False
        try:
            if succeeded:
                await self.commit(taken[-1].position)
        except BaseException:
            succeeded = False
            raise
        finally:
            if not succeeded and not self.closed:
                self._reader.seek(taken[0].position)


class TakingBatch:
    """The block of ``take_batch``."""

    def __init__(self, receiver: NamedReceiver, count: int, timeout: float | None) -> None:
        """Take when the block begins."""
        self._receiver = receiver
        self._count = count
        self._timeout = timeout
        self._taken: list[Message] = []

    async def __aenter__(self) -> list[Message]:
        """Return the messages."""
        self._taken = await self._receiver._begin(self._count, self._timeout)  # noqa: SLF001
        return self._taken

    async def __aexit__(self, kind: object, *_: object) -> None:
        """Commit them, or take them back."""
        await self._receiver._end(self._taken, succeeded=kind is None)  # noqa: SLF001


class Taking:
    """The block of ``take``."""

    def __init__(self, receiver: NamedReceiver, count: int, timeout: float | None) -> None:
        """Take when the block begins."""
        self._batch = TakingBatch(receiver, count, timeout)

    async def __aenter__(self) -> Message:
        """Return the message."""
        return (await self._batch.__aenter__())[0]

    async def __aexit__(self, *causes: object) -> None:
        """Commit it, or take it back."""
        await self._batch.__aexit__(*causes)

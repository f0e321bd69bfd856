"""``GroupReceiver``: a member of a group whose members divide the messages among them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError, ConflictError
from aurora_es.queue.queue_logs import logger
from aurora_es.queue.receiver import LoopReceiver

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.queue.cursor_records import Claim, Draft
    from aurora_es.queue.cursor_writer import CursorWriter
    from aurora_es.queue.group_member import GroupMember
    from aurora_es.queue.messages import Message
    from aurora_es.queue.reader import Target


class GroupReceiver(LoopReceiver):
    """Receives messages that no other member of its group has; for any number of tasks of one loop.

    A message belongs to its member for the visibility time-out. Unless it is acknowledged by then
    it is handed out again, to whichever member asks: at least once. Messages with one key are
    handed out one after the other, in order. A message that was handed out too often is parked.
    """

    def __init__(
        self,
        member: GroupMember,
        writer: CursorWriter,
        loop: asyncio.AbstractEventLoop,
        poll_seconds: float | None,
    ) -> None:
        """Receive as ``member``; ``Queue.join`` calls this."""
        log = member.log
        super().__init__(loop, [log.messages, log.journal], poll_seconds)
        self._member = member
        self._writer = writer
        self._claiming: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Name of the group."""
        return self._member.name

    def take(self, *, timeout: float | None = None) -> TakingShared:
        """Take a message for an ``async with`` block, and acknowledge it behind the block.

        If the block raises, the message is given back, for another attempt after ``retry_delay``;
        at its last attempt it is parked.
        """
        return TakingShared(self, timeout)

    async def receive(self, *, timeout: float | None = None) -> Message:
        """Return a message, which is to be acknowledged, released, extended or parked.

        Raises ReceiveTimeoutError, ReceiverClosedError, OvertakenError, and what an append of the
        journal raises.
        """
        deadline = None if timeout is None else self._loop.time() + timeout
        while True:
            self._check_open()
            message = self._member.ready_message()
            if message is not None:
                return message
            if await self._claim():
                continue
            seconds = self._member.patience()
            if deadline is not None:
                remaining = deadline - self._loop.time()
                if remaining <= 0:
                    raise self._member.no_message(timeout)
                seconds = remaining if seconds is None else min(seconds, remaining)
            await self._waiting.wait(seconds)

    async def _claim(self) -> bool:
        """Claim, or wait for the claim of another task; returns whether to look again."""
        if self._claiming is None:
            wanted = self._member.claim()
            if wanted is None:
                return False
            try:
                if self._writer.write_at_once(wanted[0]):
                    self._adopt(wanted[1])
                    if not wanted[1].claimed:  # many are passed over, and others wait for the loop
                        await asyncio.sleep(0)
                    return True
            except ConflictError:
                await asyncio.sleep(0)
                return True
            self._claiming = self._loop.create_task(self._claim_durably(*wanted))
        # Cancelled here, a task leaves what is claimed to the next one.
        await asyncio.shield(self._claiming)
        return True

    async def _claim_durably(self, draft: Draft, claim: Claim) -> None:
        try:
            await self._writer.write(draft)
            self._adopt(claim)
        except ConflictError:
            return  # another member was faster
        finally:
            self._claiming = None

    def _adopt(self, claim: Claim) -> None:
        self._member.adopt(claim)
        if len(claim.claimed) > 1:
            self._waiting.wake()

    async def acknowledge(self, *messages: Message) -> None:
        """The messages are done, and are not handed out again; returns when that is durable."""
        await self._writer.write(self._member.acknowledged(messages))

    async def release(self, message: Message, *, delay: float = 0.0) -> None:
        """Give a message back, for another attempt in ``delay`` seconds."""
        await self._writer.write(self._member.released(message, delay))

    async def extend(self, message: Message, seconds: float) -> None:
        """Keep a message for ``seconds`` from now on, instead of the visibility time-out.

        Raises LeaseLostError if it is not with this member any more.
        """
        await self._writer.write(self._member.extended(message, seconds))
        self._member.check_lease(message)

    async def park(self, message: Message, reason: str) -> None:
        """Put a message aside; see ``parked``. Raises LeaseLostError, as ``extend``."""
        self._member.check_lease(message)
        await self._writer.write(self._member.parked(message, reason))

    async def fail(self, message: Message, error: BaseException) -> None:
        """Give a message back, or park it at its last attempt, as ``take`` does."""
        await self._writer.write(self._member.failed(message, error))

    # Looking after the group

    def lag(self) -> int:
        """How many messages no member is done with, parked ones left out."""
        self._check_open()
        return self._member.lag()

    def parked(self) -> list[tuple[Message, str]]:
        """The messages that were put aside, with the reasons."""
        self._check_open()
        return self._member.parked_messages()

    async def redeliver(self, messages: Iterable[Message]) -> None:
        """Hand parked messages out again, as if for the first time."""
        await self._writer.write(self._member.redelivered(messages))

    async def discard(self, messages: Iterable[Message]) -> None:
        """Be done with parked messages."""
        await self._writer.write(self._member.discarded(messages))

    async def seek(self, target: Target) -> None:
        """Let the whole group start anew at ``target``: nothing is held or parked any more."""
        self._check_open()
        while True:
            try:
                await self._writer.write(self._member.moved(target))
            except ConflictError:
                continue  # a member has claimed something meanwhile
            return

    async def close(self) -> None:
        """Give back what was claimed and not handed out, and end; idempotent.

        Messages that were received belong to this member until their time is over: acknowledge or
        release them before.
        """
        if self.closed:
            return
        await super().close()
        if self._claiming is not None:
            await asyncio.wait([self._claiming])
        try:
            for draft in self._member.unused():
                await self._writer.write(draft)
        except AuroraError as error:
            # Their time will be over, and then others get them.
            logger.warning("group %r: messages could not be given back: %s", self.name, error)


class TakingShared:
    """The block of ``take``."""

    def __init__(self, receiver: GroupReceiver, timeout: float | None) -> None:
        """Take when the block begins."""
        self._receiver = receiver
        self._timeout = timeout
        self._message: Message | None = None

    async def __aenter__(self) -> Message:
        """Return the message."""
        self._message = await self._receiver.receive(timeout=self._timeout)
        return self._message

    async def __aexit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        """Acknowledge it, or give it back."""
        assert self._message is not None
        if error is None:
            await self._receiver.acknowledge(self._message)
        else:
            await self._receiver.fail(self._message, error)

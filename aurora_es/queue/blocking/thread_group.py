"""``GroupReceiver`` for threads."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError, ConflictError
from aurora_es.queue.blocking.thread_receiver import ThreadReceiver
from aurora_es.queue.group_member import (
    GroupMember,
)
from aurora_es.queue.queue_errors import ReceiveTimeoutError
from aurora_es.queue.queue_logs import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aurora_es.queue.cursor_records import Draft
    from aurora_es.queue.cursors import CursorLog
    from aurora_es.queue.messages import Message
    from aurora_es.queue.reader import Target


class GroupReceiver(ThreadReceiver):
    """Receives messages that no other member of its group has; for any number of threads.

    See ``aurora_es.queue.GroupReceiver``.
    """

    def __init__(self, log: CursorLog, member: GroupMember) -> None:
        """Receive as ``member``; ``Queue.join`` calls this."""
        super().__init__(log, [log.messages, log.journal])
        self._member = member
        self._mutex = threading.RLock()  # held while the member looks or claims, not while it waits

    @property
    def name(self) -> str:
        """Name of the group."""
        return self._member.name

    @contextmanager
    def take(self, *, timeout: float | None = None) -> Iterator[Message]:
        """Take a message for a ``with`` block, and acknowledge it behind the block.

        If the block raises, the message is given back, or parked at its last attempt.
        """
        message = self.receive(timeout=timeout)
        try:
            yield message
        except BaseException as error:
            self.fail(message, error)
            raise
        self.acknowledge(message)

    def receive(self, *, timeout: float | None = None) -> Message:
        """Return a message, which is to be acknowledged, released, extended or parked."""
        try:
            return self._found(self._claim, timeout, self._member.patience)
        except ReceiveTimeoutError:
            raise self._member.no_message(timeout) from None

    def _claim(self) -> Message | None:
        with self._mutex:
            while (message := self._member.ready_message()) is None:
                wanted = self._member.claim()
                if wanted is None:
                    return None
                try:
                    self._write(wanted[0])
                except ConflictError:
                    continue  # another member was faster
                self._member.adopt(wanted[1])
                if self._member.has_ready:
                    self._waiting.wake()
            return message

    def acknowledge(self, *messages: Message) -> None:
        """The messages are done, and are not handed out again; returns when that is durable."""
        self._write(self._member.acknowledged(messages))

    def release(self, message: Message, *, delay: float = 0.0) -> None:
        """Give a message back, for another attempt in ``delay`` seconds."""
        self._write(self._member.released(message, delay))

    def extend(self, message: Message, seconds: float) -> None:
        """Keep a message for ``seconds`` from now on, instead of the visibility time-out.

        Raises LeaseLostError if it is not with this member any more.
        """
        self._write(self._member.extended(message, seconds))
        self._member.check_lease(message)

    def park(self, message: Message, reason: str) -> None:
        """Put a message aside; see ``parked``. Raises LeaseLostError, as ``extend``."""
        self._member.check_lease(message)
        self._write(self._member.parked(message, reason))

    def fail(self, message: Message, error: BaseException) -> None:
        """Give a message back, or park it at its last attempt, as ``take`` does."""
        self._write(self._member.failed(message, error))

    def _write(self, draft: Draft) -> None:
        self._log.append(draft)
        self._log.append_due_state()

    def lag(self) -> int:
        """How many messages no member is done with, parked ones left out."""
        self._check_open()
        with self._mutex:
            return self._member.lag()

    def parked(self) -> list[tuple[Message, str]]:
        """The messages that were put aside, with the reasons."""
        self._check_open()
        with self._mutex:
            return self._member.parked_messages()

    def redeliver(self, messages: Iterable[Message]) -> None:
        """Hand parked messages out again, as if for the first time."""
        self._write(self._member.redelivered(messages))

    def discard(self, messages: Iterable[Message]) -> None:
        """Be done with parked messages."""
        self._write(self._member.discarded(messages))

    def seek(self, target: Target) -> None:
        """Let the whole group start anew at ``target``: nothing is held or parked any more."""
        self._check_open()
        while True:
            try:
                self._write(self._member.moved(target))
            except ConflictError:
                continue  # a member has claimed something meanwhile
            return

    def close(self) -> None:
        """Give back what was claimed and not handed out, and end; idempotent."""
        if self.closed:
            return
        super().close()
        try:
            with self._mutex:
                for draft in self._member.unused():
                    self._write(draft)
        except AuroraError as error:
            # Their time will be over, and then others get them.
            logger.warning("group %r: messages could not be given back: %s", self.name, error)

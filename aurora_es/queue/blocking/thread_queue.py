"""``Queue`` for threads, and how it is opened."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Self, overload

from aurora_es.errors import ConflictError
from aurora_es.queue.blocking.thread_group import GroupReceiver
from aurora_es.queue.blocking.thread_receiver import NamedReceiver, Receiver, ThreadReceiver
from aurora_es.queue.blocking.thread_sender import Sender
from aurora_es.queue.builder import builder_of
from aurora_es.queue.cursor_records import GROUP, RECEIVER
from aurora_es.queue.group_member import (
    ATTEMPTS_MAX_DEFAULT,
    VISIBILITY_SECONDS_DEFAULT,
    GroupMember,
)
from aurora_es.queue.named_receiver import Cursor
from aurora_es.queue.queue_base import QueueBase
from aurora_es.queue.reader import START, MessageReader
from aurora_es.queue.retaining import QueueRetentionReport, retain_queue
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    import os
    from datetime import timedelta

    from aurora_es.journal.journal import Journal
    from aurora_es.options import CompressionFormat, RollCycle, Sync
    from aurora_es.queue.reader import Target
    from aurora_es.queue.settings import QueueSettings


class Queue(QueueBase):
    """A queue as threads use it; ``open_queue`` opens one.

    In the child of a fork it opens again at the next call, as do its senders, so a server may open it
    before it forks. A receiver stands where the parent's stands: the child subscribes, or joins, again.
    """

    def __init__(self, settings: QueueSettings) -> None:
        """Open the journals, and recover them if need be; raises AuroraError."""
        super().__init__(settings, settings.open())
        self._senders: weakref.WeakSet[Sender] = weakref.WeakSet()
        self._receivers: weakref.WeakSet[ThreadReceiver] = weakref.WeakSet()

    def acquire_sender(self) -> Sender:
        """Return a new sender. Raises QueueClosedError, ReadOnlyError."""
        self._check_writable()
        sender = Sender(self.messages, self._usable_messages)
        self._senders.add(sender)
        return sender

    @overload
    def subscribe(self, name: None = None, *, start: Target = START) -> Receiver: ...
    @overload
    def subscribe(self, name: str, *, start: Target = START) -> NamedReceiver: ...
    def subscribe(self, name: str | None = None, *, start: Target = START) -> Receiver:
        """Return a receiver that sees every message; see ``aurora_es.queue.Queue.subscribe``."""
        self._check_open()
        receiver: Receiver
        if name is None:
            receiver = Receiver(MessageReader(self.messages, start), self._log)
        else:
            self._check_writable()
            self._begin(name, RECEIVER, start)
            cursor = Cursor(self._log, name)
            reader = MessageReader(self.messages, cursor.committed + 1)
            receiver = NamedReceiver(reader, self._log, cursor)
        self._receivers.add(receiver)
        return receiver

    def join(  # noqa: PLR0913 - a user's choices, all by name
        self,
        name: str,
        *,
        start: Target = START,
        visibility_timeout: float = VISIBILITY_SECONDS_DEFAULT,
        attempts_max: int | None = ATTEMPTS_MAX_DEFAULT,
        retry_delay: float = 0.0,
        prefetch: int = 1,
    ) -> GroupReceiver:
        """Return a member of the group ``name``; see ``aurora_es.queue.Queue.join``."""
        self._check_writable()
        self._begin(name, GROUP, start)
        member = GroupMember(
            self._log,
            name,
            visibility_timeout=visibility_timeout,
            attempts_max=attempts_max,
            retry_delay=retry_delay,
            prefetch=prefetch,
        )
        receiver = GroupReceiver(self._log, member)
        self._receivers.add(receiver)
        return receiver

    def _begin(self, name: str, kind: str, start: Target) -> None:
        while (draft := self._log.begin(name, kind, start)) is not None:
            try:
                self._log.append(draft)
            except ConflictError:
                continue  # somebody else has begun with it
            self._log.journal.sync()

    def forget(self, name: str) -> None:
        """Forget a named receiver or a group: its messages are not kept for it any more."""
        self._check_writable()
        while (draft := self._log.forget(name)) is not None:
            try:
                self._log.append(draft)
            except ConflictError:
                continue

    def retain(
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
        return retain_queue(
            self._log,
            older_than=older_than,
            bytes_max=bytes_max,
            messages_max=messages_max,
            dry_run=dry_run,
        )

    def _usable_messages(self) -> Journal:
        self._check_open()
        return self.messages

    def _check_open(self) -> None:
        super()._check_open()
        log = self._log
        if log.messages.handle.forked:
            with log.messages.handle.attach_mutex:  # which a child has renewed
                if self._log is log:
                    self._log = self.settings.open()
                    self.messages = self._log.messages

    def close(self) -> None:
        """End all senders and receivers, sync, and release everything; idempotent."""
        if self.closed:
            return
        self.closed = True
        for sender in members_of(self._senders):
            sender.close()
        for receiver in members_of(self._receivers):
            receiver.close()
        self._log.close()

    def __enter__(self) -> Self:
        """Return the queue itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def open_queue(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    *,
    sync: Sync | None = None,
    roll_cycle: RollCycle | None = None,
    compression: CompressionFormat | None = None,
    cool_after: timedelta | None = None,
    lock_timeout: float | None = None,
    poll_interval: float | None = None,
    read_only: bool = False,
) -> Queue:
    """Open the queue at ``path``, which is a context manager; see ``QueueBuilder`` for the choices.

    Raises AuroraConfigurationError, ForeignDirectoryError, CorruptionError, StorageError.
    """
    builder = builder_of(
        path,
        {
            "sync": sync,
            "roll_cycle": roll_cycle,
            "compression": compression,
            "cool_after": cool_after,
            "lock_timeout": lock_timeout,
            "poll_interval": poll_interval,
        },
    )
    if read_only:
        builder.read_only()
    return Queue(builder.settings)

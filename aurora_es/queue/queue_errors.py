"""Errors of the queue: ``QueueError`` and below it those of senders and of receivers.

What the journal beneath raises (a full disk, a failed sync, corruption) comes as it is: it is an
``AuroraError``, too.
"""

from __future__ import annotations

from aurora_es.errors import (
    AuroraError,
    ClosedError,
    TooLargeError,
    TruncatedError,
)


class QueueError(AuroraError):
    """Base of what the queue raises on its own account."""


class QueueClosedError(QueueError, ClosedError):
    """The queue was closed before this call; open it again."""


def other_loop(path: str) -> QueueError:
    """The error for a call in another event loop than the one that opened the queue."""
    message = (
        f"{path}: the queue belongs to the event loop that opened it; open it again in this one"
        " (open_queue), or use aurora_es.queue.blocking"
    )
    return QueueError(message)


class SenderError(QueueError):
    """Base of what senders raise; nothing was sent."""


class SenderClosedError(SenderError, ClosedError):
    """The sender or its queue was closed before this call; acquire another one."""


class SenderFullError(SenderError):
    """``send_nowait`` found as many bytes on their way to disk as the queue allows; await ``send``."""


class MessageEncodingError(SenderError, TypeError):
    """The message is of a type that cannot be encoded; nothing was sent."""


class MessageTooLargeError(SenderError, TooLargeError):
    """The message exceeds 16 MiB; nothing was sent."""


class ReceiverError(QueueError):
    """Base of what receivers raise; no message is lost by it."""


class ReceiverClosedError(ReceiverError, ClosedError):
    """The receiver or its queue was closed; subscribe again."""


class ReceiveTimeoutError(ReceiverError, TimeoutError):
    """No message came in time."""


class StartReachedError(ReceiverError, LookupError):
    """There is no message before this one."""


class MessageTypeError(ReceiverError, TypeError):
    """The next message is of another type than was asked for; it stays the next one.

    Ask for its own type, take it untyped with ``next()``, or pass over it with ``seek(position)``.
    """

    def __init__(self, message: str, *, position: int, type_name: str) -> None:
        """Keep the message, the ``position`` and the ``type_name`` that was sent."""
        super().__init__(message)
        self.position = position
        self.type_name = type_name


class OvertakenError(ReceiverError, TruncatedError):
    """Retention has dropped what this receiver was to read next; ``retained_from`` is left."""


class CursorMovedError(ReceiverError):
    """Another receiver of the same name has committed meanwhile; this one has to start again."""


class LeaseLostError(ReceiverError):
    """A message of a group is not with this member any more: others may have it, or it is done."""

    def __init__(self, message: str, *, position: int) -> None:
        """Keep the message and the ``position``."""
        super().__init__(message)
        self.position = position


class NameKindError(ReceiverError, ValueError):
    """The name belongs to a named receiver and a group was asked for, or the other way round."""

"""The queue: persistent messages between tasks, threads and processes of one machine.

``QueueBuilder`` or ``open_queue`` opens one for an event loop, ``aurora_es.queue.blocking`` for
threads. Senders append messages; every receiver sees all of them, in one order.
"""

from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.queue.builder import QueueBuilder, open_queue
from aurora_es.queue.cursor_state import NameState
from aurora_es.queue.group_receiver import GroupReceiver
from aurora_es.queue.messages import Message, Outgoing
from aurora_es.queue.named_receiver import NamedReceiver
from aurora_es.queue.queue import Queue
from aurora_es.queue.queue_errors import (
    CursorMovedError,
    LeaseLostError,
    MessageEncodingError,
    MessageTooLargeError,
    MessageTypeError,
    NameKindError,
    OvertakenError,
    QueueClosedError,
    QueueError,
    ReceiverClosedError,
    ReceiverError,
    ReceiveTimeoutError,
    SenderClosedError,
    SenderError,
    SenderFullError,
    StartReachedError,
)
from aurora_es.queue.reader import END, START
from aurora_es.queue.receiver import Receiver
from aurora_es.queue.retaining import QueueRetentionReport
from aurora_es.queue.sender import Sender

__all__ = [
    "END",
    "START",
    "CompressionFormat",
    "CursorMovedError",
    "GroupReceiver",
    "LeaseLostError",
    "Message",
    "MessageEncodingError",
    "MessageTooLargeError",
    "MessageTypeError",
    "NameKindError",
    "NameState",
    "NamedReceiver",
    "Outgoing",
    "OvertakenError",
    "Queue",
    "QueueBuilder",
    "QueueClosedError",
    "QueueError",
    "QueueRetentionReport",
    "ReceiveTimeoutError",
    "Receiver",
    "ReceiverClosedError",
    "ReceiverError",
    "RollCycle",
    "Sender",
    "SenderClosedError",
    "SenderError",
    "SenderFullError",
    "StartReachedError",
    "Sync",
    "open_queue",
]

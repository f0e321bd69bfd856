"""The queue for threads without an event loop: the same, with methods that block.

    from aurora_es.queue.blocking import open_queue

    with open_queue("messages.queue") as queue:
        sender, receiver = queue.acquire_sender(), queue.subscribe()
        sender.send("Hello, world!")
        print(receiver.next(str))

Theory of operation: everything that is not waiting is shared with the queue of event loops. Here a
send is an append of the journal, in the thread that asks for it, and threads that send at once
share a sync by the journal's own group commit. A receiver waits on a descriptor of its own.

A queue and its senders may be used by any number of threads, a receiver by one at a time, a member
of a group by any number.
"""

from aurora_es.queue.blocking.thread_group import GroupReceiver
from aurora_es.queue.blocking.thread_queue import Queue, open_queue
from aurora_es.queue.blocking.thread_receiver import NamedReceiver, Receiver
from aurora_es.queue.blocking.thread_sender import Sender

__all__ = ["GroupReceiver", "NamedReceiver", "Queue", "Receiver", "Sender", "open_queue"]

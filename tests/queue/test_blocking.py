"""The queue for threads: the same messages, names and groups as in an event loop."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aurora_es import ClosedError, ReadOnlyError, RollCycle
from aurora_es.queue import (
    END,
    CursorMovedError,
    LeaseLostError,
    MessageTypeError,
    QueueClosedError,
    ReceiverClosedError,
    ReceiverError,
    ReceiveTimeoutError,
    SenderClosedError,
    StartReachedError,
    Sync,
    blocking,
)
from tests.patience import PATIENCE_SECONDS
from tests.queue.support import Order, opened, run


class Refused(Exception):  # noqa: N818 - raised by tests only
    """Raised in a block."""


def test_send_and_receive(tmp_path: Path) -> None:
    """Values come back by type, in order, forwards and back."""
    with blocking.open_queue(tmp_path / "q", sync=Sync.NEVER) as queue:
        sender, receiver = queue.acquire_sender(), queue.subscribe()
        assert [sender.send("one"), sender.send(Order(2))] == [1, 2]
        assert sender.send_many([3, 4], key="k") == range(3, 5)
        assert sender.send_many([]) == range(0)
        assert receiver.next(str) == "one"
        with pytest.raises(MessageTypeError):
            receiver.next(int)
        assert receiver.next(Order) == Order(2)
        assert [message.key for message in receiver.next_batch()] == ["k", "k"]
        assert (receiver.position, receiver.lag()) == (4, 0)
        assert receiver.previous(int) == 4
        receiver.seek(1)
        with pytest.raises(StartReachedError):
            receiver.previous()
        receiver.seek(END)
        with pytest.raises(ReceiveTimeoutError):
            receiver.next(timeout=0.01)


def test_threads_share_one_queue(tmp_path: Path) -> None:
    """Any number of threads send, and wait for each other's messages."""
    with blocking.open_queue(tmp_path / "q", poll_interval=1000) as queue:

        def numbers(receiver: blocking.Receiver) -> list[int]:
            return sorted(receiver.next(int) for _ in range(40))

        receivers = [queue.subscribe() for _ in range(3)]
        sender = queue.acquire_sender()
        with ThreadPoolExecutor(8) as threads:
            reads = [threads.submit(numbers, one) for one in receivers]
            sends = [threads.submit(sender.send, number) for number in range(40)]
            assert sorted(send.result() for send in sends) == list(range(1, 41))
            assert all(read.result() == list(range(40)) for read in reads)


def test_loops_and_threads_share_one_queue(tmp_path: Path) -> None:
    """A name that a thread used goes on in an event loop."""
    with blocking.open_queue(tmp_path / "q") as queue:
        queue.acquire_sender().send_many(range(5))
        receiver = queue.subscribe("n")
        with receiver.take() as message:
            assert message.decode(int) == 0

    async def main() -> int:
        async with await opened(tmp_path / "q") as queue:
            return await (await queue.subscribe("n")).next(int)

    assert run(main) == 1


def test_named_receivers(tmp_path: Path) -> None:
    """Blocks commit, or take back; of two receivers of a name one is refused."""
    with blocking.open_queue(tmp_path / "q", sync=Sync.NEVER) as queue:
        queue.acquire_sender().send_many(range(10))
        first, second = queue.subscribe("n"), queue.subscribe("n")
        with first.take_batch(3) as messages:
            assert len(messages) == 3
        assert (first.name, first.committed, first.lag()) == ("n", 3, 7)
        with pytest.raises(Refused), first.take():
            raise Refused
        with pytest.raises(CursorMovedError), second.take():
            pass
        with first.take(), pytest.raises(ReceiverError, match="one after the other"):
            first.take().__enter__()
        first.commit(3)
        first.seek(4)
        assert first.next(int) == 3
        first.commit()
        assert queue.names()["n"].frontier == 4
        queue.forget("n")
        queue.forget("n")
        assert queue.names() == {}


def test_groups(tmp_path: Path) -> None:
    """Threads of two members divide the messages; errors give back, and park in the end."""
    with blocking.open_queue(tmp_path / "q", sync=Sync.NEVER) as queue:
        sender = queue.acquire_sender()
        sender.send_many(range(100))
        members = [queue.join("g", prefetch=prefetch) for prefetch in (1, 4)]

        def work(member: blocking.GroupReceiver) -> list[int]:
            seen = []
            try:
                while True:
                    with member.take(timeout=0) as message:
                        seen.append(message.decode(int))
            except ReceiveTimeoutError:
                return seen

        with ThreadPoolExecutor(4) as threads:
            found = [it for seen in threads.map(work, [*members, *members]) for it in seen]
        assert sorted(found) == list(range(100))
        assert members[0].lag() == 0
        sender.send("poison")
        strict = queue.join("g", attempts_max=1)
        with pytest.raises(Refused), strict.take():
            raise Refused("no")
        ((message, reason),) = strict.parked()
        assert (message.decode(str), reason) == ("poison", "Refused: no")
        strict.redeliver([message])
        message = strict.receive(timeout=0)
        strict.extend(message, 10)
        strict.park(message, "again")
        strict.redeliver([message])
        message = strict.receive(timeout=0)
        strict.release(message)
        with pytest.raises(LeaseLostError):
            strict.park(message, "again")
        with pytest.raises(LeaseLostError):
            strict.extend(message, 1)
        with pytest.raises(ReceiveTimeoutError, match="group 'g'"):
            strict.receive(timeout=0)  # it was its only attempt
        strict.discard([message])
        strict.seek(101)
        with strict.take(timeout=0) as message:
            assert message.position == 101


def test_closing_ends_those_who_wait(tmp_path: Path) -> None:
    """A thread that waits is told; whatever was closed is used no more."""
    queue = blocking.open_queue(tmp_path / "q", poll_interval=1000)
    receiver, member, sender = queue.subscribe(), queue.join("g"), queue.acquire_sender()
    outcomes: list[object] = []

    def wait(receive: object) -> None:
        try:
            assert callable(receive)
            outcomes.append(receive())
        except ReceiverClosedError as error:
            outcomes.append(type(error))

    threads = [
        threading.Thread(target=wait, args=(receive,))
        for receive in (receiver.next, member.receive)
    ]
    for thread in threads:
        thread.start()
    queue.close()
    queue.close()
    for thread in threads:
        thread.join()
    assert outcomes == [ReceiverClosedError] * 2
    assert list(receiver) == []
    with pytest.raises(SenderClosedError):
        sender.send(1)
    for call in (queue.acquire_sender, queue.subscribe, queue.names):
        with pytest.raises(QueueClosedError):
            call()
    with pytest.raises(ClosedError):
        queue.join("g")


def test_read_only_and_settings(tmp_path: Path) -> None:
    """A read-only queue receives only; the settings are those of the builder."""
    with blocking.open_queue(tmp_path / "q", roll_cycle=RollCycle.events(2)) as queue:
        queue.acquire_sender().send_many([1, 2])
        queue.acquire_sender().send_many([3, 4])
    with blocking.open_queue(tmp_path / "q", read_only=True) as queue:
        assert [message.decode() for message in queue.subscribe().next_batch()] == [1, 2, 3, 4]
        assert (queue.first_position, queue.last_position) == (1, 4)
        for call in (queue.acquire_sender, lambda: queue.subscribe("n")):
            with pytest.raises(ReadOnlyError):
                call()


def test_a_read_only_thread_waits_for_a_queue(tmp_path: Path) -> None:
    """A queue that does not exist yet is waited for, too."""
    with (
        blocking.open_queue(tmp_path / "q", read_only=True) as reading,
        ThreadPoolExecutor(1) as threads,
    ):
        waiting = threads.submit(reading.subscribe().next, int)
        with blocking.open_queue(tmp_path / "q") as queue:
            queue.acquire_sender().send(7)
            assert waiting.result() == 7


def test_a_queue_that_is_closed_in_the_middle_of_a_look(tmp_path: Path) -> None:
    """The journal is closed under a receiver: it says that it was closed, too."""
    queue = blocking.open_queue(tmp_path / "q")
    receiver = queue.subscribe()

    def close_and_look() -> None:
        queue.close()
        assert queue.messages.last_position

    with pytest.raises(ReceiverClosedError):
        receiver._found(close_and_look, None)
    late = blocking.open_queue(tmp_path / "q")
    with pytest.raises(ReceiverClosedError):
        late.subscribe()._found(late.close, None)  # finds nothing, and would wait


def test_threads_begin_to_wait_at_once(tmp_path: Path) -> None:
    """Any number of threads share a member from their first wait on."""
    for number in range(20):
        with (
            blocking.open_queue(tmp_path / str(number), sync=Sync.NEVER) as queue,
            ThreadPoolExecutor(8) as threads,
        ):
            member = queue.join("g")
            barrier = threading.Barrier(9)

            def take(barrier: threading.Barrier, member: blocking.GroupReceiver) -> int:
                barrier.wait()
                with member.take(timeout=PATIENCE_SECONDS) as message:
                    return message.position

            taken = [threads.submit(take, barrier, member) for _ in range(8)]
            barrier.wait()
            queue.acquire_sender().send_many(range(8))
            assert sorted(one.result() for one in taken) == list(range(1, 9))

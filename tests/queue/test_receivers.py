"""Broadcast receivers: places, types, batches, waiting, backwards."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from aurora_es import Journal, RollCycle, Sync
from aurora_es.journal import background
from aurora_es.journal.retention import retain
from aurora_es.queue import (
    END,
    START,
    MessageTypeError,
    OvertakenError,
    Queue,
    ReceiverClosedError,
    ReceiveTimeoutError,
    StartReachedError,
    open_queue,
)
from tests.journal.support import SECOND, ManualClock, effects_with
from tests.journal.support import START as BEGINNING
from tests.queue.support import Order, builder, every_loop, opened, run


async def queue_of(path: Path, count: int, **choices: Any) -> Queue:
    """Open a queue with the messages 1 to ``count``."""
    queue = await opened(path, **choices)
    async with await queue.acquire_sender() as sender:
        for number in range(1, count + 1):
            await sender.send(number)
    return queue


def test_every_receiver_sees_everything(tmp_path: Path) -> None:
    """Two receivers, one of another handle, get the same messages in the same order."""

    async def main() -> None:
        async with await queue_of(tmp_path / "q", 20) as queue, await opened(tmp_path / "q") as two:
            for one in (queue, queue, two):
                receiver = await one.subscribe()
                assert [await receiver.next(int) for _ in range(20)] == list(range(1, 21))

    run(main)


def test_places(tmp_path: Path) -> None:
    """A receiver begins, and is moved, at the start, the end, a position, or a time."""

    async def main() -> None:
        clock = ManualClock()
        queue = await opened(tmp_path / "q", effects_with(clock=clock))
        sender = await queue.acquire_sender()
        for number in range(1, 6):
            await sender.send(number)
            clock.now += SECOND
        third = dt.datetime.fromtimestamp(BEGINNING / SECOND + 2, dt.UTC)
        for start, expected in ((START, 1), (4, 4), (third, 3), (1, 1)):
            assert await (await queue.subscribe(start=start)).next(int, timeout=0) == expected
        receiver = await queue.subscribe(start=END)
        assert (receiver.position, receiver.lag()) == (5, 0)
        with pytest.raises(ReceiveTimeoutError):
            await receiver.next(timeout=0)
        receiver.seek(2)
        assert (await receiver.next(int), receiver.position, receiver.lag()) == (2, 2, 3)
        receiver.seek(100)
        assert receiver.lag() == 0
        with pytest.raises(ReceiveTimeoutError):
            await receiver.next(timeout=0)
        for wrong in (0, -1, True, "1"):
            with pytest.raises(ValueError, match="expected START"):
                receiver.seek(wrong)  # type: ignore[arg-type]
        with pytest.raises(
            ValueError, match=r"time zone, found datetime.datetime\(2023, 1, 1, 0, 0\)"
        ):
            receiver.seek(dt.datetime(2023, 1, 1))  # noqa: DTZ001 - that is the point
        for zone in (
            dt.UTC,
            dt.timezone(dt.timedelta(hours=14)),
            dt.timezone(-dt.timedelta(hours=12)),
        ):
            receiver.seek(dt.datetime.min.replace(tzinfo=zone))
            assert receiver.position == 0
            receiver.seek(dt.datetime.max.replace(tzinfo=zone))
            assert receiver.position == 5
        await queue.close()

    run(main)


def test_a_wrong_type_loses_nothing(tmp_path: Path) -> None:
    """The error names position and type, and the message is still the next one."""

    async def main() -> None:
        async with await opened(tmp_path / "q") as queue:
            sender = await queue.acquire_sender()
            await sender.send_many(["text", Order(7, 1.5), b"bytes", 3])
            receiver = await queue.subscribe()
            with pytest.raises(
                MessageTypeError, match=r"position 1: expected .* Order, found .* str"
            ):
                await receiver.next(Order)
            assert await receiver.next(str) == "text"
            with pytest.raises(MessageTypeError) as caught:
                await receiver.next(bytes)
            assert (caught.value.position, caught.value.type_name) == (2, "Order")
            assert await receiver.next(Order) == Order(7, 1.5)
            message = await receiver.next()
            assert (message.type_name, message.decode(), message.position) == ("bytes", b"bytes", 3)
            assert await receiver.next(float) == 3.0

    run(main)


def test_next_and_previous(tmp_path: Path) -> None:
    """Going back gives the same messages in reverse, across pages and rolls, down to the first."""

    async def main() -> None:
        queue = await queue_of(tmp_path / "q", 9, roll_cycle=RollCycle.events(2))
        receiver = await queue.subscribe(start=END)
        assert [await receiver.previous(int) for _ in range(9)] == list(range(9, 0, -1))
        with pytest.raises(StartReachedError):
            await receiver.previous()
        assert receiver.position == 0
        assert [await receiver.next(int) for _ in range(3)] == [1, 2, 3]
        assert [await receiver.previous(int), await receiver.next(int)] == [3, 3]
        with pytest.raises(MessageTypeError):
            await receiver.previous(str)
        assert await receiver.next(int) == 4
        receiver.seek(50)
        with pytest.raises(StartReachedError):
            await receiver.previous()
        await queue.close()

    run(main)


def test_batches(tmp_path: Path) -> None:
    """A batch holds what is there, at most so many, and waits for its first message only."""

    async def main() -> None:
        async with await queue_of(tmp_path / "q", 10) as queue:
            receiver = await queue.subscribe()
            sizes = [len(await receiver.next_batch(4)) for _ in range(3)]
            assert (sizes, receiver.position) == ([4, 4, 2], 10)
            with pytest.raises(ValueError, match="count"):
                await receiver.next_batch(0)
            waiting = asyncio.create_task(receiver.next_batch(4))
            await asyncio.sleep(0)
            await (await queue.acquire_sender()).send_many([11, 12])
            assert (await waiting)[0].decode(int) == 11

    run(main)


@every_loop
def test_waiting_receivers_are_woken(tmp_path: Path, loop: str) -> None:
    """Receivers of this handle, of another one, and of another loop's thread all see what comes."""

    async def main() -> None:
        async with (
            open_queue(tmp_path / "q", sync=Sync.NEVER, poll_interval=1000) as queue,
            open_queue(tmp_path / "q", poll_interval=1000) as other,
        ):
            receivers = [await one.subscribe() for one in (queue, queue, other)]
            tasks = [asyncio.create_task(one.next(int)) for one in receivers]
            thread = asyncio.create_task(asyncio.to_thread(run, elsewhere, loop))
            await asyncio.to_thread(ready.wait)
            assert not any(task.done() for task in tasks)
            await (await queue.acquire_sender()).send(1)
            assert await asyncio.gather(*tasks) == [1, 1, 1]
            assert await thread == 1

    async def elsewhere() -> int:
        async with open_queue(tmp_path / "q", poll_interval=1000) as queue:
            receiver = await queue.subscribe()
            task = asyncio.create_task(receiver.next(int))
            await asyncio.sleep(0)
            ready.set()
            return await task

    ready = threading.Event()
    run(main, loop)


def test_a_receiver_needs_no_thread(tmp_path: Path) -> None:
    """However many receivers wait, there are no more threads than before."""

    async def main() -> None:
        async with await queue_of(tmp_path / "q", 1, sync=Sync.NEVER) as queue:
            before = threading.active_count()
            receivers = [await queue.subscribe(start=END) for _ in range(50)]
            tasks = [asyncio.create_task(one.next(int)) for one in receivers]
            await asyncio.sleep(0)
            assert threading.active_count() == before
            await (await queue.acquire_sender()).send(2)
            assert await asyncio.gather(*tasks) == [2] * 50

    run(main)


def test_a_cancelled_receive_takes_nothing(tmp_path: Path) -> None:
    """A task that is cancelled while it waits leaves the message to the next call."""

    async def main() -> None:
        async with await queue_of(tmp_path / "q", 0) as queue:
            receiver = await queue.subscribe()
            for number in range(1, 20):
                task = asyncio.create_task(receiver.next(int))
                await asyncio.sleep(0)
                sending = asyncio.create_task((await queue.acquire_sender()).send(number))
                task.cancel()
                await sending
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await receiver.next(int) == number

    run(main)


def test_iteration_ends_with_the_queue(tmp_path: Path) -> None:
    """``async for`` gives messages until the receiver or its queue is closed."""

    async def main() -> None:
        queue = await queue_of(tmp_path / "q", 3)
        receiver = await queue.subscribe()

        async def follow() -> list[int]:
            return [message.decode(int) async for message in receiver]

        task = asyncio.create_task(follow())
        await (await queue.acquire_sender()).send(4)
        other = await queue.subscribe(start=END)
        waiting = asyncio.create_task(other.next())
        await asyncio.sleep(0)
        await queue.close()
        assert (await task)[:3] == [1, 2, 3]
        with pytest.raises(ReceiverClosedError):
            await waiting
        with pytest.raises(ReceiverClosedError):
            await receiver.next()

    run(main)


def test_time_out(tmp_path: Path) -> None:
    """A receive that is given a time ends after it."""

    async def main() -> None:
        async with await queue_of(tmp_path / "q", 0) as queue:
            receiver = await queue.subscribe()
            for seconds in (0, 0.01):
                with pytest.raises(TimeoutError):
                    await receiver.next(timeout=seconds)

    run(main)


def test_a_read_only_receiver_waits_for_a_queue(tmp_path: Path) -> None:
    """A queue that does not exist yet is waited for, too."""

    async def main() -> None:
        async with await builder(tmp_path / "q").read_only().build() as reading:
            receiver = await reading.subscribe()
            task = asyncio.create_task(receiver.next(int))
            await asyncio.sleep(0)
            async with await queue_of(tmp_path / "q", 1):
                assert await task == 1

    run(main)


def test_waiting_over_a_roll_a_cooling_and_a_retention(tmp_path: Path) -> None:
    """A receiver at the end misses nothing; one that retention overtakes gets an error."""

    async def main() -> None:
        effects = effects_with()
        queue = await queue_of(tmp_path / "q", 6, roll_cycle=RollCycle.events(2))
        waiting, late = await queue.subscribe(start=END), await queue.subscribe()
        sender = await queue.acquire_sender()
        path = os.path.join(queue.path, "messages")
        task = asyncio.create_task(waiting.next(int))
        await asyncio.sleep(0)
        background.seal(path, effects=effects)
        assert background.cool(path, older_than_hours=-1e6, effects=effects)
        await sender.send(7)
        assert await task == 7
        background.seal(path, effects=effects)
        assert retain(path, before_position=5, effects=effects).retained_from == 5
        task = asyncio.create_task(waiting.next(int))
        await asyncio.sleep(0)
        await sender.send_many([8, 9])
        assert await task == 8
        assert queue.first_position == 5
        with pytest.raises(OvertakenError) as caught:
            await late.next(int)
        assert caught.value.retained_from == 5
        late.seek(START)
        assert await late.next(int) == 5
        waiting.seek(5)
        await waiting.next()
        assert await waiting.previous(int) == 5
        with pytest.raises(StartReachedError):
            await waiting.previous()
        await queue.close()

    run(main)


def test_messages_are_records(tmp_path: Path) -> None:
    """The journal beneath shows messages as they were sent."""

    async def main() -> None:
        async with await opened(tmp_path / "q") as queue:
            await (await queue.acquire_sender()).send("text", key="k", headers={"a": 1})

    run(main)
    with Journal.open(tmp_path / "q" / "messages", read_only=True) as journal:
        (stored,) = journal.read()
    record = stored.record
    assert (record.topic, record.state, record.tags) == ("str", b"\xa4text", ("k",))
    assert (record.originator_id, record.metadata) == (None, {"a": 1})

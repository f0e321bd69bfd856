"""Tasks that are cancelled at any moment: nothing half, nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from aurora_es import Sync
from aurora_es.queue import GroupReceiver, Queue, Receiver, ReceiveTimeoutError, Sender
from tests.queue.support import every_loop, opened, run

SHORT = 150
LONG = 10_000


class Scene:
    """What was sent and received, and by whom."""

    def __init__(self, rng: random.Random, queue: Queue, sender: Sender) -> None:
        """Begin with nothing."""
        self.rng = rng
        self.queue = queue
        self.sender = sender
        self.values = itertools.count(1)
        self.acknowledged: dict[int, int] = {}  # position by value
        self.uncertain: set[int] = set()  # sends that were cancelled
        self.done: Counter[int] = Counter()  # blocks of the group that ended well
        self.seen: list[int] = []  # by the broadcast receiver

    async def send(self) -> None:
        """Send one message, in one of three ways."""
        value = next(self.values)
        self.uncertain.add(value)
        way = self.rng.randrange(3)
        if way == 0:
            position = await self.sender.send(value)
        elif way == 1:
            position = await self.sender.send_nowait(value)
        else:
            (position,) = await self.sender.send_many([value])
        self.acknowledged[value] = position
        self.uncertain.remove(value)

    async def take(self, member: GroupReceiver) -> None:
        """Take one message, and stay a while."""
        async with member.take() as message:
            for _ in range(self.rng.randrange(3)):
                await asyncio.sleep(0)
            value = message.decode(int)
        self.done[value] += 1

    async def receive(self, receiver: Receiver) -> None:
        """Receive one message of all."""
        self.seen.append(await receiver.next(int))


async def cancel_often(path: Path, seed: int, count: int, sync: Sync) -> None:
    """Begin ``count`` tasks and cancel most of them, each at a moment of its own."""
    rng = random.Random(seed)
    queue = await opened(path, sync=sync)
    scene = Scene(rng, queue, await queue.acquire_sender())
    members = [await queue.join("g", attempts_max=None, prefetch=prefetch) for prefetch in (1, 4)]
    receiver = await queue.subscribe()
    begun = 0
    while begun < count:
        tasks = [asyncio.create_task(scene.send()) for _ in range(rng.randint(1, 6))]
        tasks += [asyncio.create_task(scene.take(rng.choice(members))) for _ in range(3)]
        tasks += [asyncio.create_task(scene.receive(receiver))]
        rng.shuffle(tasks)
        for task in tasks:
            if rng.random() < 0.8:
                for _ in range(rng.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
                begun += 1
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                if not task.done():
                    await asyncio.wait([task], timeout=0.001)
                    task.cancel()
                await task
    await check(scene, receiver, members)
    await queue.close()


async def check(scene: Scene, receiver: Receiver, members: list[GroupReceiver]) -> None:
    """Compare what was seen with what was sent."""
    await scene.sender.close()
    everything = await scene.queue.subscribe()
    there = [await everything.next(int) for _ in range(scene.queue.last_position)]
    assert len(there) == len(set(there))
    assert {*there} - {*scene.acknowledged} <= scene.uncertain
    for value, position in scene.acknowledged.items():
        assert there[position - 1] == value
    while receiver.lag():
        await scene.receive(receiver)
    assert scene.seen == there
    for member in members:
        await member.close()
    last = await scene.queue.join("g", attempts_max=None)
    with contextlib.suppress(ReceiveTimeoutError):
        while True:
            async with last.take(timeout=0) as message:
                scene.done[message.decode(int)] += 1
    assert last.lag() == 0
    # Done is counted behind the acknowledgement, which a cancellation may have cut short.
    assert set(scene.done) <= set(there)
    assert max(scene.done.values()) == 1


@every_loop
@pytest.mark.parametrize("sync", [Sync.ALWAYS, Sync.NEVER], ids=str)
def test_cancellations(tmp_path: Path, sync: Sync, loop: str) -> None:
    """However tasks are cancelled, every message is there once, seen in order, and taken once."""
    run(lambda: cancel_often(tmp_path / "q", 1, SHORT, sync), loop)


@pytest.mark.reliability
@pytest.mark.timeout(3600)
@every_loop
@pytest.mark.parametrize("sync", [Sync.ALWAYS, Sync.NEVER], ids=str)
def test_ten_thousand_cancellations(tmp_path: Path, sync: Sync, loop: str) -> None:
    """The same, ten thousand times, in queues of a few hundred."""
    for seed in range(LONG // 500):
        run(partial(cancel_often, tmp_path / f"{seed}", seed, 500, sync), loop)

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
from aurora_es.queue import (
    GroupReceiver,
    NamedReceiver,
    Queue,
    Receiver,
    ReceiveTimeoutError,
    Sender,
)
from tests.fault.figures import Figures
from tests.queue.support import every_loop, opened, run

SHORT = 150


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
        self.committed = 0  # blocks of the named receiver that ended well, all in order
        self.cancelled = 0

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

    async def take_named(self, named: NamedReceiver) -> None:
        """Take the message behind the last one committed, whoever was cancelled meanwhile."""
        async with named.take() as message:
            # A cancelled block's commit may have reached the disk, and is then known.
            assert message.position in {self.committed + 1, named.committed + 1}
            self.committed = message.position - 1
            for _ in range(self.rng.randrange(3)):
                await asyncio.sleep(0)
        assert named.committed == message.position
        self.committed = message.position

    async def receive(self, receiver: Receiver) -> None:
        """Receive one message of all."""
        self.seen.append(await receiver.next(int))

    async def cancel_some(self, tasks: list[asyncio.Task[None]]) -> None:
        """Cancel most of the tasks, each at a moment of its own, and wait for the end of all."""
        for task in tasks:
            if self.rng.random() < 0.8:
                for _ in range(self.rng.randrange(6)):
                    await asyncio.sleep(0)
                task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                if not task.done():
                    await asyncio.wait([task], timeout=0.001)
                    task.cancel()
                await task
            self.cancelled += task.cancelled()


async def cancel_often(path: Path, seed: int, count: int, sync: Sync) -> int:
    """Begin tasks until ``count`` of them were cancelled; returns how many."""
    rng = random.Random(seed)
    queue = await opened(path, sync=sync)
    scene = Scene(rng, queue, await queue.acquire_sender())
    members = [await queue.join("g", attempts_max=None, prefetch=prefetch) for prefetch in (1, 4)]
    receiver = await queue.subscribe()
    named = await queue.subscribe("n")
    while scene.cancelled < count:
        tasks = [asyncio.create_task(scene.send()) for _ in range(rng.randint(1, 6))]
        tasks += [asyncio.create_task(scene.take(rng.choice(members))) for _ in range(3)]
        tasks += [asyncio.create_task(scene.receive(receiver))]
        tasks += [asyncio.create_task(scene.take_named(named))]
        rng.shuffle(tasks)
        await scene.cancel_some(tasks)
    await check(scene, receiver, members)
    await check_named(scene, named)
    await queue.close()
    return scene.cancelled


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


async def check_named(scene: Scene, named: NamedReceiver) -> None:
    """The named receiver goes on to the end, and so does the next one of its name."""
    for _ in range(min(named.lag(), 3)):
        await scene.take_named(named)
    await named.close()
    named = await scene.queue.subscribe("n")
    assert named.committed == scene.committed
    while named.lag():
        await scene.take_named(named)
    assert scene.committed == scene.queue.last_position


@every_loop
@pytest.mark.parametrize("sync", [Sync.ALWAYS, Sync.NEVER], ids=str)
def test_cancellations(tmp_path: Path, sync: Sync, loop: str) -> None:
    """However tasks are cancelled, every message is there once, seen in order, and taken once."""
    run(lambda: cancel_often(tmp_path / "q", 1, SHORT, sync), loop)


@pytest.mark.reliability
@pytest.mark.timeout(3600)
@every_loop
@pytest.mark.parametrize("sync", [Sync.ALWAYS, Sync.NEVER], ids=str)
def test_many_cancellations(tmp_path: Path, sync: Sync, loop: str, reliability_factor: int) -> None:
    """The same, a hundred times the reliability factor, in queues of a few hundred."""
    with Figures("E10", f"tasks of a queue, {sync}, {loop}", "cancellation") as figures:
        while figures.trials < 100 * reliability_factor:
            seed = figures.trials
            scene = partial(cancel_often, tmp_path / f"{seed}", seed, 500, sync)
            figures.trials += run(scene, loop)

"""Power cuts under weak sync modes: messages may be lost that were not synced, but no others.

The two journals lose their ends independently: positions are given out a second time while cursors
still speak of the first, or cursors are taken back while their messages are there.
"""

from __future__ import annotations

import random

import pytest

from aurora_es import RollCycle, Sync
from aurora_es.files.layer import Effects
from aurora_es.journal.logs import logger
from aurora_es.queue import GroupReceiver, Message, Queue, QueueBuilder, ReceiveTimeoutError
from aurora_es.queue.queue_logs import logger as queue_logger
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk
from tests.journal.support import SECOND, ManualClock
from tests.queue.support import run

HISTORIES = 60
CUTS = 4


class History:
    """One queue, one disk, and power cuts."""

    def __init__(self, seed: int) -> None:
        """Begin with an empty disk."""
        self.rng = random.Random(seed)
        self.disk = CrashableDisk()
        self.disk.make_directories("/data")
        self.clock = ManualClock()
        self.cycle = self.rng.choice([RollCycle.DAY, RollCycle.events(5)])
        self.next_value = 1

    async def opened(self) -> Queue:
        """Open the queue."""
        return await (
            QueueBuilder("/data/q")
            .allow_network_file_system()
            .with_effects(Effects(CrashableFiles(self.disk), clock=self.clock))
            .with_sync(Sync.NEVER)
            .with_roll_cycle(self.cycle)
            .with_background(enabled=False)
            .build()
        )

    async def run(self) -> None:
        """Send, take, cut the power, and look whether all that is left is delivered."""
        acknowledged: set[int] = set()
        committed: set[int] = set()
        for _ in range(CUTS):
            queue = await self.opened()
            left = await values_of(queue)
            # Whatever is there and was not acknowledged is delivered, by group and by name.
            taken = await drain(await queue.join("g", prefetch=3, attempts_max=None))
            assert {*left} <= {*taken} | acknowledged
            named = await queue.subscribe("n")
            read = [(await named.next(int, timeout=0)) for _ in range(named.lag())]
            assert {*left} <= {*read} | committed
            await self.use(queue, acknowledged, committed)
            queue._appender.stop()
            queue._cursor_appender.stop()
            self.disk.crash(self.rng)
            self.clock.now += 1000 * SECOND

    async def use(self, queue: Queue, acknowledged: set[int], committed: set[int]) -> None:
        """Send and receive, and sync either journal or none at some time."""
        sender, named = await queue.acquire_sender(), await queue.subscribe("n")
        member = await queue.join("g", attempts_max=None, visibility_timeout=0.5)
        self.clock.now += 1000 * SECOND
        for _ in range(self.rng.randint(1, 25)):
            step = self.rng.choice(["send", "send", "take", "take", "commit", "sync", "cursors"])
            if step == "send":
                await sender.send(self.next_value)
                self.next_value += 1
            elif step == "take":
                for message in await messages_of(member, self.rng.randint(1, 5)):
                    await member.acknowledge(message)
                    acknowledged.add(message.decode(int))
            elif step == "commit" and named.lag():
                async with named.take_batch(3, timeout=0) as messages:
                    committed |= {message.decode(int) for message in messages}
            elif step == "sync" and self.rng.random() < 0.3:
                queue.messages.sync()
            elif step == "cursors":
                queue._log.journal.sync()


async def values_of(queue: Queue) -> list[int]:
    """All messages that are there."""
    receiver = await queue.subscribe()
    return [await receiver.next(int, timeout=0) for _ in range(queue.last_position)]


async def messages_of(member: GroupReceiver, count: int) -> list[Message]:
    """Up to ``count`` messages."""
    found: list[Message] = []
    try:
        while len(found) < count:
            found.append(await member.receive(timeout=0))
    except ReceiveTimeoutError:
        return found
    return found


async def drain(member: GroupReceiver) -> list[int]:
    """Everything that a group gives, not acknowledged."""
    found = []
    while True:
        try:
            found.append((await member.receive(timeout=0)).decode(int))
        except ReceiveTimeoutError:
            return found


@pytest.mark.parametrize("part", range(2))
def test_nothing_that_is_left_is_passed_over(
    part: int, reliability_factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message that outlives a power cut was acknowledged, or is delivered again."""
    monkeypatch.setattr(queue_logger, "disabled", True)
    monkeypatch.setattr(logger, "disabled", True)  # accidents are logged, hundreds of times here
    for seed in range(part, HISTORIES * reliability_factor, 2):
        history = History(seed)
        run(history.run)

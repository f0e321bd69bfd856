"""Tasks that follow an application or append to it, cancelled at any moment: nothing is missed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.utils import get_topic

from aurora_es import AsyncApplicationSubscription
from tests.face.domain import Counter, Counters
from tests.face.support import descriptors_open
from tests.fault.figures import Figures
from tests.queue.support import every_loop, run

SHORT = 150
_TICKS = 2
_BEGAN = get_topic(Counter.Began)  # type: ignore[attr-defined]


class Scene:
    """An application, who follows it, and what they have seen."""

    def __init__(self, seed: int, app: Counters) -> None:
        """Begin with one event."""
        self.rng = random.Random(seed)
        self.app = app
        self.cancelled = 0
        self.tried = self.acknowledged = 0  # appends
        app.begin(0)
        self.events: AsyncApplicationSubscription[Any] = AsyncApplicationSubscription(app)
        self.seen: list[int] = []  # by one task after the other, from the same subscription

    async def follow(self) -> None:
        """Take some events of the shared subscription."""
        for _ in range(self.rng.randrange(1, 5)):
            await self.follow_one()

    async def follow_one(self) -> None:
        """Take one event of the shared subscription."""
        _, tracking = await anext(self.events)
        self.seen.append(tracking.notification_id)

    async def begin_to_follow(self) -> None:
        """Follow by a subscription of one's own, from anywhere."""
        first = self.rng.randrange(len(self.seen) + 1)
        async with AsyncApplicationSubscription(self.app, gt=first) as events:
            for number in range(self.rng.randrange(1, 5)):
                _, tracking = await anext(events)
                assert tracking.notification_id == first + number + 1

    async def follow_a_topic(self) -> None:
        """The same for the first event of each counter."""
        topics = [_BEGAN]
        async with AsyncApplicationSubscription(self.app, gt=1, topics=topics) as events:
            for number in range(self.rng.randrange(1, 5)):
                _, tracking = await anext(events)
                assert tracking.notification_id == 2 + number * (_TICKS + 1)

    async def append(self) -> None:
        """Append in a thread, which a cancellation does not stop."""
        self.tried += 1
        await asyncio.to_thread(self.app.begin, _TICKS)
        self.acknowledged += 1

    def tasks(self) -> list[asyncio.Task[None]]:
        """Some tasks; only one at a time takes from the shared subscription."""
        jobs: list[Coroutine[Any, Any, None]] = [self.follow(), self.append()]
        jobs += [self.begin_to_follow() for _ in range(self.rng.randrange(3))]
        jobs += [self.follow_a_topic() for _ in range(self.rng.randrange(2))]
        self.rng.shuffle(jobs)
        return [asyncio.create_task(job) for job in jobs]

    async def cancel_some(self) -> None:
        """Cancel most of some tasks, each at a moment of its own, and wait for the end of all."""
        tasks = self.tasks()
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


async def cancel_often(path: Path, seed: int, count: int, sync: str) -> int:
    """Begin tasks until ``count`` of them were cancelled; returns how many."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(path), "AURORA_SYNC": sync}
    with Counters({**env, "AURORA_ROLL_CYCLE": "40events"}) as app:
        scene = Scene(seed, app)
        async with scene.events:
            while scene.cancelled < count:
                await scene.cancel_some()
            # Appends whose tasks were cancelled go on in their threads.
            await asyncio.get_running_loop().shutdown_default_executor()
            await check(scene)
    return scene.cancelled


async def check(scene: Scene) -> None:
    """Every append is there whole or not at all, and the follower sees everything once, in order."""
    last = scene.app.recorder.max_notification_id() or 0
    appended, rest = divmod(last - 1, _TICKS + 1)
    assert rest == 0
    assert scene.acknowledged <= appended <= scene.tried
    while len(scene.seen) < last:
        await scene.follow_one()
    assert scene.seen == [*range(1, last + 1)]


@every_loop
@pytest.mark.parametrize("sync", ["always", "never"])
def test_cancellations(tmp_path: Path, sync: str, loop: str) -> None:
    """However tasks are cancelled, each event is seen once, in order; no descriptor stays open."""
    run(lambda: cancel_often(tmp_path / "first", 0, 5, sync), loop)
    gc.collect()
    before = descriptors_open()
    run(lambda: cancel_often(tmp_path / "second", 1, SHORT, sync), loop)
    gc.collect()
    assert descriptors_open() == before


@pytest.mark.reliability
@pytest.mark.timeout(3600)
@every_loop
@pytest.mark.parametrize("sync", ["always", "never"])
def test_many_cancellations(tmp_path: Path, sync: str, loop: str, reliability_factor: int) -> None:
    """The same, a hundred times the reliability factor, in applications of a few hundred."""
    with Figures("E10", f"tasks of an application, {sync}, {loop}", "cancellation") as figures:
        while figures.trials < 100 * reliability_factor:
            seed = figures.trials
            scene = partial(cancel_often, tmp_path / f"{seed}", seed, 500, sync)
            figures.trials += run(scene, loop)

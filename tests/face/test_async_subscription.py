"""Events of an application for the tasks of an event loop: without a thread, in order, at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import ProgrammingError, Tracking
from eventsourcing.utils import get_topic

from aurora_es import AsyncApplicationSubscription
from tests.face.domain import Counter, Counters
from tests.face.support import Script, Task, descriptors_open
from tests.patience import PATIENCE_SECONDS

Environment = dict[str, str]
Received = list[tuple[str, int]]


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """A store of the test's own."""
    return {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a loop, but not for ever."""
    return asyncio.run(asyncio.wait_for(main, PATIENCE_SECONDS))


async def receive(events: AsyncApplicationSubscription[Any], count: int) -> Received:
    """Take so many events."""
    received: Received = []
    async for event, tracking in events:
        assert tracking == Tracking("Counters", tracking.notification_id)
        received.append((type(event).__name__, tracking.notification_id))
        if len(received) == count:
            break
    return received


def test_events_with_their_tracking(env: Environment) -> None:
    """All of them in order, then those that come, without a thread of ours."""

    async def main() -> None:
        threads = threading.active_count()
        with Counters(env) as app:
            counter_id = app.begin(250)
            async with AsyncApplicationSubscription(app) as events:
                received = await receive(events, 251)
                assert [number for _, number in received] == [*range(1, 252)]
                assert received[0][0] == "Began"
                waiting = asyncio.ensure_future(receive(events, 2))
                await asyncio.sleep(0)
                assert threading.active_count() == threads
                app.tick(counter_id)
                app.tick(counter_id)
                assert await waiting == [("Ticked", 252), ("Ticked", 253)]

    run(main())


def test_gt_and_topics(env: Environment) -> None:
    """As of the library's subscription."""

    async def main() -> None:
        with Counters(env) as app:
            for _ in range(3):
                app.begin(2)
            began = [get_topic(Counter.Began)]  # type: ignore[attr-defined]
            async with AsyncApplicationSubscription(app, gt=1, topics=began) as events:
                assert await receive(events, 2) == [("Began", 4), ("Began", 7)]
            async with AsyncApplicationSubscription(app, gt=9) as events:
                waiting = asyncio.ensure_future(receive(events, 1))
                app.begin(0)
                assert await waiting == [("Began", 10)]

    run(main())


def test_a_store_that_does_not_exist_yet(env: Environment) -> None:
    """It is followed from its first event on."""

    async def main() -> None:
        with Counters(env) as app:
            async with AsyncApplicationSubscription(app) as events:
                waiting = asyncio.ensure_future(receive(events, 1))
                await asyncio.sleep(0.01)
                app.begin(0)
                assert await waiting == [("Began", 1)]

    run(main())


@pytest.mark.parametrize("how", ["stop", "close", "stop from a thread"])
def test_the_end(env: Environment, how: str) -> None:
    """Stopping and closing end the iteration at once, with the loop at work; nothing stays open."""

    async def main() -> None:
        with Counters(env) as app:
            app.begin(0)
            async with AsyncApplicationSubscription(app) as events:
                waiting = asyncio.ensure_future(receive(events, 5))
                await asyncio.sleep(0)
                if how == "stop":
                    events.stop()
                elif how == "close":
                    app.close()
                else:
                    Task(events.stop).result()
                assert len(await waiting) < 5
                events.stop()

    run(main())
    before = descriptors_open()
    run(main())
    assert descriptors_open() == before


def test_a_cancelled_task_loses_nothing(env: Environment) -> None:
    """What it had not been given is the next one's."""

    async def main() -> None:
        with Counters(env) as app:
            counter_id = app.begin(0)
            async with AsyncApplicationSubscription(app) as events:
                assert await receive(events, 1) == [("Began", 1)]
                waiting = asyncio.ensure_future(receive(events, 1))
                await asyncio.sleep(0.01)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                app.tick(counter_id)
                assert await receive(events, 1) == [("Ticked", 2)]

    run(main())


_WRITER = """
import sys
from tests.face.domain import Counters
with Counters({"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": sys.argv[1]}) as app:
    for line in sys.stdin:
        app.begin(1)
"""


def test_events_of_another_process(env: Environment) -> None:
    """They arrive while other tasks of the loop go on."""

    async def main() -> None:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.001)
                beats += 1

        with Counters(env) as app, Script(_WRITER, env["AURORA_PATH"]) as writer:
            app.begin(0)
            beating = asyncio.ensure_future(beat())
            async with AsyncApplicationSubscription(app, gt=1) as events:
                for number in range(5):
                    writer.tell("begin")
                    received = await receive(events, 2)
                    assert [position for _, position in received] == [
                        2 * number + 2,
                        2 * number + 3,
                    ]
            beating.cancel()
            assert beats > 0

    run(main())


def test_another_backend_is_refused() -> None:
    """It has no journal to wait for."""
    with (
        Counters({"PERSISTENCE_MODULE": "eventsourcing.popo"}) as app,
        pytest.raises(ProgrammingError, match="expected PERSISTENCE_MODULE=aurora_es"),
    ):
        AsyncApplicationSubscription(app)

"""Waiting for files in an event loop: rings, time-outs, other loops and threads."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path

import pytest

from aurora_es.files.loop_wakeups import LoopWaiter
from aurora_es.files.wakeups import process_wakeups
from tests.queue.support import every_loop, run

LONG = 1000.0


def change(path: Path) -> None:
    """Write to a file as the mark is written to."""
    with path.open("r+b") as file:
        file.write(b"x")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a file to watch."""
    made = tmp_path / "mark"
    made.write_bytes(b"0")
    return made


@every_loop
def test_a_change_wakes_every_waiter(path: Path, loop: str) -> None:
    """All tasks of all waiters of the file return, and those of other files do not."""

    async def main() -> None:
        other = path.with_name("other")
        other.write_bytes(b"0")
        waiters = [LoopWaiter(asyncio.get_running_loop()) for _ in range(4)]
        for waiter in waiters[:3]:
            waiter.add(str(path))
        waiters[2].add(str(other))
        waiters[3].add(str(other))
        assert not any(waiter.polling for waiter in waiters)
        tasks = [asyncio.create_task(one.wait(LONG)) for one in (*waiters, waiters[0])]
        await asyncio.sleep(0)
        change(path)
        await asyncio.gather(*tasks[:3], tasks[4])
        assert not tasks[3].done()
        waiters[3].close()
        await tasks[3]
        for waiter in waiters:
            waiter.close()

    run(main, loop)


@every_loop
def test_threads_and_loops_share_the_watcher(path: Path, loop: str) -> None:
    """Whoever reads the events, waiters of threads and of other loops are rung as well."""

    async def main() -> None:
        waiter = LoopWaiter(asyncio.get_running_loop())
        waiter.add(str(path))
        blocking = process_wakeups().waiter(str(path))
        waits = [threading.Thread(target=blocking.wait, args=(LONG,)) for _ in range(1)]
        waits += [threading.Thread(target=run, args=(inner, loop))]
        for thread in waits:
            thread.start()
        await asyncio.to_thread(ready.wait)
        task = asyncio.create_task(waiter.wait(LONG))
        await asyncio.sleep(0)
        change(path)
        await task
        for thread in waits:
            while thread.is_alive():
                change(path)
                await asyncio.to_thread(thread.join, 0.01)
        blocking.close()
        waiter.close()

    async def inner() -> None:
        waiter = LoopWaiter(asyncio.get_running_loop())
        waiter.add(str(path))
        ready.set()
        await waiter.wait(LONG)
        waiter.close()

    ready = threading.Event()
    run(main, loop)


@every_loop
def test_a_ring_before_the_wait_ends_it(path: Path, loop: str) -> None:
    """``wake`` from any thread is heard by the current wait, or by the next one, once."""

    async def main() -> None:
        waiter = LoopWaiter(asyncio.get_running_loop())
        waiter.add(str(path))
        waiter.wake()
        await waiter.wait(LONG)
        task = asyncio.create_task(waiter.wait(LONG))
        await asyncio.sleep(0)
        await asyncio.to_thread(waiter.wake)
        await task
        await waiter.wait(0.001)  # ends by its time
        waiter.close()

    run(main, loop)


def test_a_cancelled_wait_takes_no_ring(path: Path) -> None:
    """A task that is cancelled leaves nothing behind, and the others are rung."""

    async def main() -> None:
        waiter = LoopWaiter(asyncio.get_running_loop())
        waiter.add(str(path))
        first, second = (asyncio.create_task(waiter.wait(LONG)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        change(path)
        await second
        assert not waiter._bell._waiting
        waiter.close()

    run(main)


def test_a_file_that_is_removed_is_polled_for(path: Path) -> None:
    """When the kernel ends the watch, a wait ends after 50 ms at the latest."""

    async def main() -> None:
        waiter = LoopWaiter(asyncio.get_running_loop())
        waiter.add(str(path))
        os.unlink(path)
        await waiter.wait(LONG)
        assert waiter.polling
        await waiter.wait(LONG)
        waiter.close()

    run(main)


def test_a_ring_after_the_loop_has_ended_harms_nothing(path: Path) -> None:
    """Waiters that nobody closed go with their loop."""
    kept: list[LoopWaiter] = []

    async def main() -> None:
        waiter = LoopWaiter(asyncio.get_running_loop())
        waiter.add(str(path))
        kept.append(waiter)

    run(main)
    thread = threading.Thread(target=kept[0].wake)
    thread.start()
    thread.join()
    change(path)
    kept[0].close()
    kept.clear()
    gc.collect()
    run(main)

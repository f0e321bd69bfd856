"""Retention of a queue: by age, size and count; pinned by names."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_es import RollCycle
from aurora_es.journal import background
from aurora_es.queue import OvertakenError, Queue, Sync, blocking
from tests.journal.support import HOUR, ManualClock, effects_with
from tests.queue.support import opened, run


async def ten_segments(path: Path, clock: ManualClock) -> Queue:
    """Open a queue with 20 messages, two in a segment, an hour apart."""
    queue = await opened(
        path, effects_with(clock=clock), roll_cycle=RollCycle.events(2), sync=Sync.NEVER
    )
    sender = await queue.acquire_sender()
    for number in range(1, 21, 2):
        await sender.send_many([number, number + 1])
        clock.now += HOUR
    return queue


def test_by_age_by_count_and_by_size(tmp_path: Path) -> None:
    """Each bound drops whole segments from the front; a dry run drops nothing and says as much."""

    async def main() -> None:
        clock = ManualClock()
        queue = await ten_segments(tmp_path / "q", clock)
        asked = {"messages_max": 15}
        report = await queue.retain(messages_max=15, dry_run=True)
        assert (report.dry_run, report.retained_from, report.dropped_messages) == (True, 5, 4)
        assert queue.first_position == 1
        report = await queue.retain(**asked)  # type: ignore[arg-type]
        assert (report.dry_run, report.retained_from, queue.first_position) == (False, 5, 5)
        report = await queue.retain(older_than=timedelta(hours=6, minutes=30))
        assert (report.retained_from, report.dropped_segments) == (9, 2)
        report = await queue.retain(bytes_max=1)
        assert report.retained_from == 17  # the newest sealed segment and the tail stay
        assert report.dropped_bytes > 0
        with pytest.raises(ValueError, match="found none of them"):
            await queue.retain()
        await queue.close()

    run(main)


def test_names_keep_what_they_need(tmp_path: Path) -> None:
    """Nothing is dropped that a receiver has not committed, or a group is not done with."""

    async def main() -> None:
        queue = await ten_segments(tmp_path / "q", ManualClock())
        named, member = await queue.subscribe("n"), await queue.join("g")
        other = await queue.subscribe()
        await other.next()
        report = await queue.retain(bytes_max=1)
        assert (report.retained_from, report.needed_from) == (1, {"n": 1, "g": 1})
        await named.commit(12)
        taken = [await member.receive() for _ in range(10)]
        await member.acknowledge(*taken[:4], *taken[5:])
        report = await queue.retain(bytes_max=1)
        assert (report.retained_from, report.needed_from) == (5, {"n": 13, "g": 5})
        await member.park(taken[4], "to be looked at")
        assert (await queue.retain(bytes_max=1)).needed_from["g"] == 5
        assert member.parked()[0][0].decode(int) == 5
        await member.discard([taken[4]])
        assert (await queue.retain(bytes_max=1)).retained_from == 11
        await queue.forget("g")
        assert (await queue.retain(bytes_max=1)).retained_from == 13
        other.seek(2)
        with pytest.raises(OvertakenError):
            await other.next()
        await queue.close()

    run(main)


def test_cursors_are_retained_too(tmp_path: Path) -> None:
    """What a folded state stands for goes; a handle that was behind goes on."""
    path = tmp_path / "q"
    with blocking.open_queue(path, sync=Sync.NEVER) as queue:
        queue.acquire_sender().send_many(range(40_000))
        late = blocking.open_queue(path)
        assert late.subscribe("other").name == "other"
        assert set(late.names()) == {"other"}
        named = queue.subscribe("x" * 200)
        while queue._log.journal.last_position < 34_000:
            with named.take():
                pass
        assert queue._log.journal.statistics().segments > 2
        queue.retain(messages_max=1)
        assert queue._log.journal.first_position > 1
        assert late.names() == queue.names()
        late.close()


def test_old_cursors_go_by_themselves(tmp_path: Path) -> None:
    """Once they are sealed, the next folded state drops what is before it; from a loop, too."""

    async def main() -> None:
        async with await opened(tmp_path / "q", sync=Sync.NEVER) as queue:
            await (await queue.acquire_sender()).send_many(range(40_000))
            named = await queue.subscribe("x" * 200)
            journal = queue._log.journal
            while journal.last_position < 34_000:
                async with named.take():
                    pass
            assert journal.first_position == 1
            background.seal(journal.handle.path)
            journal.renew()
            for _ in range(1_001):
                async with named.take():
                    pass
            while journal.first_position == 1:
                await asyncio.sleep(0)
            assert queue.names()["x" * 200].frontier == named.committed

    run(main)

"""Named receivers: they go on where they committed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aurora_es import ReadOnlyError
from aurora_es.queue import (
    END,
    CursorMovedError,
    NamedReceiver,
    NameKindError,
    Queue,
    QueueError,
    ReceiverError,
    ReceiveTimeoutError,
    Sync,
)
from tests.queue.support import builder, every_loop, every_sync, opened, run


async def filled(path: Path, count: int, sync: Sync | None = None) -> Queue:
    """Open a queue and send 1 to ``count``, if it is new."""
    queue = await (opened(path) if sync is None else opened(path, sync=sync))
    if not queue.last_position:
        await (await queue.acquire_sender()).send_many(range(1, count + 1))
    return queue


class Refused(Exception):  # noqa: N818 - raised by tests only
    """Raised in a block."""


async def refuse(taking: Any, error: BaseException) -> int:
    """Take in a block that raises ``error``; returns a position, or how many were taken."""
    try:
        async with taking as taken:
            raise error
    except type(error):
        return len(taken) if isinstance(taken, list) else taken.position


@every_loop
@every_sync
def test_a_name_goes_on_where_it_committed(tmp_path: Path, sync: Sync, loop: str) -> None:
    """What was committed is not received again; what was only received is."""

    async def main(first: int) -> None:
        async with await filled(tmp_path / "q", 10, sync) as queue:
            receiver = await queue.subscribe("billing")
            assert isinstance(receiver, NamedReceiver)
            assert (receiver.name, receiver.committed) == ("billing", first)
            async with receiver.take() as message:
                assert message.decode(int) == first + 1
            async with receiver.take_batch(2) as messages:
                assert [message.decode(int) for message in messages] == [first + 2, first + 3]
            assert receiver.lag() == 7 - first
            assert await receiver.next(int) == first + 4  # not committed

    run(lambda: main(0), loop)
    run(lambda: main(3), loop)


def test_a_block_that_raises_commits_nothing(tmp_path: Path) -> None:
    """The message, or the whole batch, is the next one again."""

    async def main() -> None:
        async with await filled(tmp_path / "q", 5) as queue:
            receiver = await queue.subscribe("n")
            assert await refuse(receiver.take(), Refused()) == 1
            assert await refuse(receiver.take(), asyncio.CancelledError()) == 1
            assert await refuse(receiver.take_batch(3), Refused()) == 3
            assert await refuse(receiver.take(), Refused()) == 1
            assert receiver.committed == 0
            assert await receiver.next(int) == 1
            await receiver.commit()
            assert receiver.committed == 1

    run(main)


def test_one_is_taken_after_the_other(tmp_path: Path) -> None:
    """A second task cannot commit what the first one is still at work on."""

    async def main() -> None:
        async with await filled(tmp_path / "q", 5) as queue:
            receiver = await queue.subscribe("n")
            async with receiver.take():
                with pytest.raises(ReceiverError, match="one after the other"):
                    async with receiver.take():
                        raise AssertionError
            async with receiver.take() as message:
                assert message.position == 2
            receiver.seek(END)
            waiting = asyncio.create_task(refuse(receiver.take(), Refused()))
            await asyncio.sleep(0)
            with pytest.raises(ReceiverError, match="one after the other"):
                async with receiver.take():
                    raise AssertionError
            await (await queue.acquire_sender()).send(6)
            assert await waiting == 6
            with pytest.raises(ReceiveTimeoutError):
                async with (await queue.subscribe("m", start=END)).take(timeout=0):
                    raise AssertionError

    run(main)


def test_two_receivers_of_one_name(tmp_path: Path) -> None:
    """The one that commits second is refused, and goes on after it subscribed again."""

    async def main() -> None:
        async with await filled(tmp_path / "q", 5) as queue, await opened(tmp_path / "q") as other:
            first, second = await queue.subscribe("n"), await other.subscribe("n")
            async with first.take():
                pass
            with pytest.raises(CursorMovedError, match="another receiver of this name"):
                async with second.take():
                    pass
            assert second.committed == 0
            again = await other.subscribe("n")
            assert await again.next(int) == 2

    run(main)


def test_the_start_is_for_the_first_time(tmp_path: Path) -> None:
    """Where a name begins is said once; commits may also go back."""

    async def main() -> None:
        async with await filled(tmp_path / "q", 5) as queue:
            receiver = await queue.subscribe("n", start=END)
            assert receiver.lag() == 0
            with pytest.raises(ReceiveTimeoutError):
                async with receiver.take(timeout=0):
                    raise AssertionError
            await receiver.commit(2)
            assert (await queue.subscribe("n", start=END)).position == 2
            await queue.forget("n")
            await queue.forget("n")
            assert queue.names() == {}
            assert (await queue.subscribe("n")).position == 0

    run(main)


def test_kinds_and_names(tmp_path: Path) -> None:
    """A name belongs to receivers or to a group; reading needs none."""

    async def main() -> None:
        async with await filled(tmp_path / "q", 1) as queue:
            await queue.subscribe("n")
            await queue.join("g")
            with pytest.raises(NameKindError, match="is the name of a receiver"):
                await queue.join("n")
            with pytest.raises(NameKindError):
                await queue.subscribe("g")
            for wrong in ("", "x" * 201, 3):
                with pytest.raises(ValueError, match="name"):
                    await queue.subscribe(wrong)  # type: ignore[arg-type]
            assert {name: state.kind for name, state in queue.names().items()} == {
                "n": "receiver",
                "g": "group",
            }
            group = await queue.join("g")
            await queue.forget("g")
            with pytest.raises(QueueError, match="forgotten"):
                await group.receive(timeout=0)
        async with await builder(tmp_path / "q").read_only().build() as queue:
            with pytest.raises(ReadOnlyError):
                await queue.subscribe("n")

    run(main)


def test_a_commit_of_a_forgotten_name_says_so(tmp_path: Path) -> None:
    """The error does not speak of another receiver where there was none."""

    async def main() -> None:
        async with await filled(tmp_path / "q", 3) as queue:
            receiver = await queue.subscribe("n")
            await receiver.next()
            await queue.forget("n")
            with pytest.raises(CursorMovedError, match="forgotten"):
                await receiver.commit()

    run(main)

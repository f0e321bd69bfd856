"""Receivers and groups go on behind messages that a repair found lost."""

from __future__ import annotations

from pathlib import Path

from aurora_es.care import repair
from aurora_es.queue import START
from aurora_es.queue.reader import LOST_TYPE
from tests.queue.support import opened, run

COUNT, DAMAGED = 9, 4


def damage(path: Path) -> tuple[int, ...]:
    """Flip a byte of the fifth message and repair the journal; returns the lost positions."""
    journal = path / "messages"
    (segment,) = journal.glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[data.index(b"message %d" % DAMAGED)] ^= 1
    segment.write_bytes(data)
    ((first, last),) = repair(journal).lost
    return tuple(range(first, last + 1))


def test_lost_messages_hold_nobody_up(tmp_path: Path) -> None:
    """A receiver passes over them; a group is told of them, one by one."""
    path = tmp_path / "queue"

    async def send() -> None:
        async with await opened(path) as queue, await queue.acquire_sender() as sender:
            for number in range(COUNT):
                await sender.send(b"message %d" % number)

    async def receive() -> None:
        async with await opened(path) as queue:
            receiver = await queue.subscribe(start=START)
            received = [await receiver.next(bytes) for _ in range(COUNT - 1)]
            assert received == [b"message %d" % at for at in range(COUNT) if at != DAMAGED]
            group = await queue.join("workers", start=START)
            types = {}
            for _ in range(COUNT):
                async with group.take() as message:
                    types[message.position] = message.type_name
            assert [one for one, name in types.items() if name == LOST_TYPE] == [*lost]
            assert [*types] == [*range(1, COUNT + 1)]

    run(send)
    lost = damage(path)
    assert lost == (DAMAGED + 1,)
    run(receive)

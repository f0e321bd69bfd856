"""A persistent chat in terminals: ``python -m examples.messaging.chat ROOM NAME``.

Whoever enters sees what was said before, then what is said. A name goes on where it was when it
left. ``python -m examples.messaging.chat ROOM`` without a name only follows, as ``tail -f`` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import TextIO

import msgspec

from aurora_es.queue import Message, Queue, open_queue

HISTORY = 10


class Said(msgspec.Struct):
    """One line of somebody."""

    who: str
    text: str


def line_of(message: Message) -> str:
    """How a message is shown."""
    said = message.decode(Said)
    return f"{message.timestamp:%H:%M:%S} {said.who}: {said.text}"


async def follow(queue: Queue, name: str | None, output: TextIO) -> None:
    """Show what was missed, and then everything, until the queue is closed."""
    if name is None:
        start = max(queue.last_position - HISTORY, 0) + 1
        async for message in await queue.subscribe(start=start):
            print(line_of(message), file=output, flush=True)
        return
    receiver = await queue.subscribe(name)
    while True:
        async with receiver.take_batch() as messages:
            for message in messages:
                print(line_of(message), file=output, flush=True)


async def lines_of(source: TextIO) -> AsyncIterator[str]:
    """Lines that somebody types; a thread waits for them, so that the loop goes on."""
    while line := await asyncio.to_thread(source.readline):
        yield line.rstrip("\n")


async def chat(room: str, name: str | None, source: TextIO, output: TextIO) -> None:
    """Be in a room until the source of lines ends; without a name until interrupted."""
    async with open_queue(room) as queue:
        following = asyncio.create_task(follow(queue, name, output))
        if name is None:
            await following
            return
        sender = await queue.acquire_sender()
        async for text in lines_of(source):
            if text:
                await sender.send(Said(name, text))
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


def main(arguments: list[str]) -> None:
    """Enter a room."""
    if len(arguments) not in {1, 2}:
        raise SystemExit(__doc__)
    room, name = arguments[0], arguments[1] if len(arguments) > 1 else None
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(chat(room, name, sys.stdin, sys.stdout))


if __name__ == "__main__":
    main(sys.argv[1:])

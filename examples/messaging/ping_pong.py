"""Two processes play ping-pong over two queues: ``python -m examples.messaging.ping_pong [ROUNDS]``.

Each player waits until the ball comes, and sends it back. Nothing polls: a player that waits is
woken by the kernel when the other one has sent.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import msgspec

from aurora_es.queue import Sync, open_queue

ROUNDS = 1_000


class Ball(msgspec.Struct):
    """What is played with."""

    round: int


async def play(directory: Path, *, begins: bool, rounds: int) -> list[float]:
    """Play one side; the side that begins returns how many seconds each round took."""
    names = ("pings", "pongs") if begins else ("pongs", "pings")
    seconds = []
    async with (
        open_queue(directory / names[0], sync=Sync.NEVER) as there,
        open_queue(directory / names[1], sync=Sync.NEVER) as back,
    ):
        sender = await there.acquire_sender()
        receiver = await back.subscribe()
        for number in range(1, rounds + 1):
            started = perf_counter()
            if begins:
                await sender.send(Ball(number))
                ball = await receiver.next(Ball)
            else:
                ball = await receiver.next(Ball)
                await sender.send(ball)
            assert ball.round == number
            seconds.append(perf_counter() - started)
    return seconds


async def match(directory: Path, rounds: int) -> list[float]:
    """Start the other player as a process, and play."""
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __spec__.name if __spec__ else __name__,
        "--other",
        str(directory),
        str(rounds),
    )
    seconds = await play(directory, begins=True, rounds=rounds)
    await other.wait()
    return seconds


def main(arguments: list[str]) -> None:
    """Play a match, or the other side of one."""
    if arguments[:1] == ["--other"]:
        asyncio.run(play(Path(arguments[1]), begins=False, rounds=int(arguments[2])))
        return
    rounds = int(arguments[0]) if arguments else ROUNDS
    with tempfile.TemporaryDirectory() as directory:
        seconds = sorted(asyncio.run(match(Path(directory), rounds)))
    half, most = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    print(f"{rounds} rounds: half took at most {half * 1e6:.0f} µs, 99 % {most * 1e6:.0f} µs")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The example by which the interface was agreed on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from aurora_es.queue import CompressionFormat, QueueBuilder, RollCycle, open_queue
from tests.patience import PATIENCE_SECONDS
from tests.queue.support import run

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = """
import asyncio
from aurora_es.queue import CompressionFormat, QueueBuilder, RollCycle

async def main() -> None:
    queue = await (
        QueueBuilder("messages.queue").with_roll_cycle(RollCycle.DAY).with_compression(CompressionFormat.LZ4).build()
    )
    sender = await queue.acquire_sender()
    receiver = await queue.subscribe()
    await sender.send("Hello, world!")
    print(await receiver.next(str))

asyncio.run(main())
"""


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    """It prints what was sent, each time from the start, though nobody closes anything."""
    for _ in range(2):
        finished = subprocess.run(
            [sys.executable, "-W", "error", "-c", EXAMPLE],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        assert (finished.stdout, finished.stderr) == ("Hello, world!\n", "")


def test_the_short_form(tmp_path: Path) -> None:
    """``open_queue`` is a block, and a receiver an iterator."""

    async def main() -> list[str]:
        seen: list[str] = []
        async with open_queue(
            tmp_path / "q", roll_cycle=RollCycle.DAY, compression=CompressionFormat.LZ4
        ) as queue:
            sender, receiver = await queue.acquire_sender(), await queue.subscribe()
            await asyncio.gather(sender.send("one"), sender.send("two"))
            async for message in receiver:
                seen.append(message.decode(str))
                if len(seen) == 2:
                    break
        return seen

    assert run(main) == ["one", "two"]
    assert QueueBuilder(tmp_path / "q").settings.path == str(tmp_path / "q")

"""A member of a group that works until it is killed. Arguments: path, name, file of what it did.

Before it acknowledges a message it appends a line ``did <position> <value>`` to the file, behind
that ``acknowledged <position> <value>``. Its clock is the file ``clock`` beside that: the times of its
claims are over when the test says so, and not when the machine stalls.
"""

import asyncio
import os
import sys
from pathlib import Path

from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.queue import QueueBuilder
from tests.patience import PATIENCE_SECONDS

VISIBILITY_SECONDS = 0.3


def look_at_clock(path: Path) -> int:
    """Microseconds that the file says."""
    return int(path.read_text("ascii"))


async def main(path: str, name: str, told_path: str) -> None:
    """Take, tell, acknowledge."""
    told = os.open(told_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    clock = Path(told_path).parent / "clock"
    effects = Effects(SystemFiles(), clock=lambda: look_at_clock(clock))
    builder = QueueBuilder(path).with_effects(effects).with_lock_timeout(PATIENCE_SECONDS)
    async with await builder.build() as queue:
        member = await queue.join(
            name, visibility_timeout=VISIBILITY_SECONDS, attempts_max=None, prefetch=2
        )
        while True:
            message = await member.receive()
            text = f"{message.position} {message.decode(str)}"
            os.write(told, f"did {text}\n".encode())
            await member.acknowledge(message)
            os.write(told, f"acknowledged {text}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A member of a group that works until it is killed. Arguments: path, name, file of what it did.

Before it acknowledges a message it appends a line ``did <position> <value>`` to the file, behind
that ``acknowledged <position> <value>``.
"""

import asyncio
import os
import sys

from aurora_es.queue import open_queue

VISIBILITY_SECONDS = 0.3


async def main(path: str, name: str, told_path: str) -> None:
    """Take, tell, acknowledge."""
    told = os.open(told_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with open_queue(path, lock_timeout=30) as queue:
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

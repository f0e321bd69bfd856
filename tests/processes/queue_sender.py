"""A process that sends until it is killed. Arguments: path, name, file of acknowledgements.

Behind each send it appends a line ``<value> <position>`` to the file. It sends no faster than the
group is done with messages, so that a test that stops it has little left to look at.
"""

import asyncio
import itertools
import os
import random
import sys

from aurora_es.queue import open_queue
from tests.patience import PATIENCE_SECONDS

LAG_MAX = 100


async def main(path: str, name: str, told_path: str) -> None:
    """Send and tell, from four tasks."""
    told = os.open(told_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    async with open_queue(path, lock_timeout=PATIENCE_SECONDS) as queue:
        sender, member = await queue.acquire_sender(), await queue.join("group")

        async def send(task: int) -> None:
            numbers = itertools.count(1)
            while True:
                if member.lag() > LAG_MAX:
                    await asyncio.sleep(0.01)
                    continue
                value = f"{name}.{task}-{next(numbers)}"
                position = await sender.send(value, key=random.choice([None, name]))
                os.write(told, f"{value} {position}\n".encode())

        await asyncio.gather(*(send(task) for task in range(4)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

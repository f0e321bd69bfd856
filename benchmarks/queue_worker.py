"""Another process of the queue's benchmarks: receives stamped messages, or sends as fast as it can.

Arguments: what ("receive", "many" or "one-by-one"), path, count. Says "ready", waits for a line,
and answers with one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic, monotonic_ns
from typing import Any

from aurora_es.queue import END, open_queue

from .queue_work import MESSAGE, send_many, send_one_by_one


async def _receive(path: str, count: int) -> list[float]:
    """Seconds between the sender's stamp and the arrival of each message."""
    async with open_queue(path) as queue:
        receiver = await queue.subscribe(start=END)
        print("ready", flush=True)
        found = []
        for _ in range(count):
            stamp = int((await receiver.next(bytes))[:20])
            found.append((monotonic_ns() - stamp) / 1e9)
        return found


async def _send(what: str, path: str, count: int) -> list[float]:
    """When it began and ended."""
    async with open_queue(path) as queue:
        sender = await queue.acquire_sender()
        await sender.send(MESSAGE)
        print("ready", flush=True)
        sys.stdin.readline()
        began = monotonic()
        await (send_many if what == "many" else send_one_by_one)(sender, count)
        return [began, monotonic()]


def main(what: str, path: str, count: int) -> None:
    """Obey."""
    work: Any = _receive(path, count) if what == "receive" else _send(what, path, count)
    print(json.dumps(asyncio.run(work)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

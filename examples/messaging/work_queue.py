"""A work queue with a crash in the middle: ``python -m examples.messaging.work_queue``.

Two workers divide thirty invoices. One of them dies in the middle of an invoice, without a word;
its invoice is handed out again when its time is over. One invoice cannot be done at all: after
three attempts it is parked, with the reason, and the others go on. Invoices of one customer are done
in order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

import msgspec

from aurora_es.queue import ReceiveTimeoutError, open_queue

INVOICES = 30
CUSTOMERS = 5
UNPAYABLE = 13
FATAL = 17  # the first worker that gets it dies
GROUP = "billing"
VISIBILITY_SECONDS = 1.0
IDLE_SECONDS = 3.0


class Invoice(msgspec.Struct):
    """A piece of work."""

    number: int
    customer: str


def bill(invoice: Invoice, worker: str, attempts: int) -> None:
    """Do the work; real work would have to bear being done twice."""
    if invoice.number == UNPAYABLE:
        message = f"customer {invoice.customer} has moved"
        raise ValueError(message)
    if invoice.number == FATAL and attempts == 1:
        print(f"worker {worker} dies in the middle of invoice {invoice.number}", flush=True)
        os._exit(1)
    print(f"worker {worker} did invoice {invoice.number} of {invoice.customer}", flush=True)


async def work(path: Path, worker: str) -> None:
    """Work until nothing has come for a while."""
    async with open_queue(path) as queue:
        member = await queue.join(GROUP, visibility_timeout=VISIBILITY_SECONDS, attempts_max=3)
        while True:
            try:
                async with member.take(timeout=IDLE_SECONDS) as message:
                    bill(message.decode(Invoice), worker, message.attempts)
            except ReceiveTimeoutError:
                return
            except ValueError as error:
                print(f"worker {worker} could not do it: {error}", flush=True)


async def run(path: Path) -> tuple[int, list[int]]:
    """Send invoices, start two workers, wait for them; what is left, and what was parked."""
    async with open_queue(path) as queue:
        async with await queue.acquire_sender() as sender:
            for number in range(1, INVOICES + 1):
                customer = f"customer {number % CUSTOMERS}"
                await sender.send(Invoice(number, customer), key=customer)
        module = __spec__.name if __spec__ else __name__
        workers = [
            await asyncio.create_subprocess_exec(sys.executable, "-m", module, str(path), name)
            for name in ("A", "B")
        ]
        for worker in workers:
            await worker.wait()
        group = await queue.join(GROUP)
        parked = group.parked()
        for message, reason in parked:
            print(f"parked after {message.attempts} attempts: {message.decode(Invoice)}: {reason}")
        return group.lag(), [message.decode(Invoice).number for message, _ in parked]


def main(arguments: list[str]) -> None:
    """Be a worker, or run the whole scene."""
    logging.basicConfig(format="%(message)s")  # shows what is parked
    if arguments:
        asyncio.run(work(Path(arguments[0]), arguments[1]))
        return
    with tempfile.TemporaryDirectory() as directory:
        left, parked = asyncio.run(run(Path(directory) / "invoices"))
    print(f"{INVOICES - left - len(parked)} done, {len(parked)} parked, {left} left")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Run the example of three processes: ``python -m examples.three_processes``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

from eventsourcing.persistence import ProcessRecorder

from examples.order_system.system import Orders, Shipping
from examples.three_processes.system import Billing

_ORDERS = 40
_SECONDS = 120.0  # a machine may be busy; only what hangs waits that long


def main() -> int:
    """Run the example in AURORA_PATH, or in a temporary directory; returns the exit status."""
    if path := os.environ.get("AURORA_PATH"):
        return run(path)
    with tempfile.TemporaryDirectory(prefix="three-processes-") as path:
        return run(path)


def run(path: str) -> int:
    """Take orders while the others run, kill one of them, and count; returns 0 if all is right."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": path}
    print(f"The store of all applications is at {path}.")
    with ExitStack() as stack:
        billing = stack.enter_context(process("Billing", env))
        shipping = stack.enter_context(process("Shipping", env))
        hear(billing, "Billing works")
        hear(shipping, "Shipping works")
        standing_by = stack.enter_context(process("Shipping", env))
        hear(standing_by, "Shipping stands by")
        print("Shipping and Billing run in processes of their own; a second Shipping stands by.")
        orders = stack.enter_context(Orders(env=env))
        order_ids = [pay_one(orders, number) for number in range(_ORDERS // 2)]
        shipping.kill()
        print(f"{len(order_ids)} orders were paid, and the first Shipping was killed.")
        hear(standing_by, "Shipping works")
        order_ids += [pay_one(orders, number) for number in range(_ORDERS // 2)]
        print("The second one took over; as many orders were paid again.")
        return count(env, order_ids)


def pay_one(orders: Orders, number: int) -> UUID:
    """Place an order and pay it."""
    order_id = orders.place(f"article {number}")
    orders.pay(order_id, f"{number} High Street")
    return order_id


def count(env: dict[str, str], order_ids: list[UUID]) -> int:
    """Wait for the end of the chain, and look whether every order was shipped and billed once."""
    with Orders(env=env) as orders, Shipping(env=env) as shipping, Billing(env=env) as billing:
        wait(shipping.recorder, "Orders", orders.recorder.max_notification_id())
        wait(billing.recorder, "Shipping", shipping.recorder.max_notification_id())
        shipments = shipping.recorder.max_notification_id() or 0
        bills = billing.recorder.max_notification_id() or 0
        print(f"{shipments} shipments, {bills} bills, for all paid orders that this store knows.")
        missing = [
            order_id
            for order_id in order_ids
            if shipping.shipment(order_id) is None or not billing.is_billed(order_id)
        ]
        print(f"Of the {len(order_ids)} orders of this run {len(missing)} are not billed.")
        return 0 if not missing and shipments == bills else 1


def wait(recorder: ProcessRecorder, leader: str, notification_id: int | None) -> None:
    """Wait until a follower, in whichever process, has seen so much of its leader."""
    recorder.wait(leader, notification_id, timeout=_SECONDS)


@contextmanager
def process(name: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run an application in a process of its own, until the block ends."""
    command = [sys.executable, "-m", "examples.three_processes.process", name]
    with subprocess.Popen(
        command,
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def hear(started: subprocess.Popen[str], expected: str) -> None:
    """Read what a process says until it says this."""
    assert started.stdout is not None
    for line in started.stdout:
        if line.strip() == expected:
            return
    message = f"the process ended before it said {expected!r}"
    raise RuntimeError(message)


if __name__ == "__main__":
    sys.exit(main())

"""Run the order-system example: ``python -m examples.order_system``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from uuid import UUID

from eventsourcing.system import SingleThreadedRunner

from examples.order_system.system import Orders, Shipping, order_system


def main() -> int:
    """Run the example in AURORA_PATH, or in a temporary directory; returns the exit status."""
    if path := os.environ.get("AURORA_PATH"):
        return run(path)
    with tempfile.TemporaryDirectory(prefix="order-system-") as path:
        return run(path)


def run(path: str) -> int:
    """Take orders with shipping up, down, and up again; returns 0 if all paid ones are shipped."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": path}
    print(f"The store of both applications is at {path}.")
    order_ids = take_orders_with_shipping_up(env)
    order_ids += take_orders_with_shipping_down(env)
    return restart(env, order_ids)


def take_orders_with_shipping_up(env: dict[str, str]) -> list[UUID]:
    """Run the system: a payment is followed by its shipment before `pay` returns."""
    with SingleThreadedRunner[UUID](order_system, env=env) as runner:
        orders, shipping = runner.get(Orders), runner.get(Shipping)
        book_id, _unpaid_id = orders.place("book"), orders.place("lamp")
        print("A book and a lamp were ordered.")
        orders.pay(book_id, "1 High Street")
        shipment = shipping.shipment(book_id)
        assert shipment is not None
        print(f"The book was paid: shipment to {shipment.address} planned.")
    return [book_id]


def take_orders_with_shipping_down(env: dict[str, str]) -> list[UUID]:
    """Take orders with the one application alone, as if shipping had crashed."""
    with Orders(env=env) as orders:
        order_ids = [orders.place(article) for article in ("chair", "table")]
        for order_id in order_ids:
            orders.pay(order_id, "2 Low Road")
    print("While shipping was down, a chair and a table were ordered and paid.")
    return order_ids


def restart(env: dict[str, str], order_ids: Iterable[UUID]) -> int:
    """Run the system again and let it catch up; returns 0 if each order has its shipment."""
    with SingleThreadedRunner[UUID](order_system, env=env) as runner:
        orders, shipping = runner.get(Orders), runner.get(Shipping)
        resumed_after = shipping.recorder.max_tracking_id(Orders.name)
        # The next payment would wake shipping as well; this is for the events that are there now.
        shipping.pull_and_process(Orders.name)
        last_id = orders.recorder.max_notification_id()
        print(f"Shipping is up again: it went on after event {resumed_after}, up to {last_id}.")

        shipments = [shipping.shipment(order_id) for order_id in order_ids]
        planned = [shipment for shipment in shipments if shipment is not None]
        print(f"{len(shipments)} orders were paid, {len(planned)} shipments of theirs are planned.")
        return 0 if len(planned) == len(shipments) else 1


if __name__ == "__main__":
    sys.exit(main())

"""An order system: two applications, one of which follows the other, on one ``AURORA_PATH``.

Run it with ``python -m examples.order_system``. The store goes into ``AURORA_PATH``, or without
that into a temporary directory that is removed at the end.

What it shows:

- ``Orders`` takes orders. ``Shipping`` is a *process application*: for every order that is paid it
  plans a shipment. Both are ordinary applications of the library, wired by its ``System`` and run
  by its ``SingleThreadedRunner``; each has a directory of its own below ``AURORA_PATH``.
- A shipment and the position of the event that led to it are recorded in **one commit**. So each
  paid order is shipped once: not twice after a crash, and not never.
- **Restart resumes**: orders that are paid while no runner is up are shipped by the next one, which
  goes on after the last position it has recorded.
"""

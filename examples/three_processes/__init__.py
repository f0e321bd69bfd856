"""A system of three applications in three processes, which share nothing but ``AURORA_PATH``.

Run it with ``python -m examples.three_processes``. The store goes into ``AURORA_PATH``, or without
that into a temporary directory that is removed at the end.

What it shows:

- ``Orders``, ``Shipping`` and ``Billing`` are one ``System`` of the library. ``Shipping`` follows
  ``Orders``, and ``Billing`` follows ``Shipping``: nothing is billed before it is shipped.
- Each runs in a **process of its own** by ``SystemProcess``. They are woken by each other's commits
  within milliseconds; nobody sends anything to anybody.
- **Take-over**: the process of ``Shipping`` is killed in the middle of it, and one that stood by goes
  on in its place. Every paid order is shipped once and billed once, all the same.
"""

"""Applications that run on aurora_es, each started with ``python -m examples.<name>``.

- ``examples.git_history``: the demo (``make demo``): a git history in a store, followed live.
- ``examples.bank_accounts``: one application with snapshots, transfers and a conflict.
- ``examples.order_system``: two applications in one system, one of them a process application.
- ``examples.messaging``: the queue: ``ping_pong`` between two processes, a ``work_queue`` with a
  crash in the middle, and a ``chat`` for terminals.
- ``examples.prometheus_endpoint``: metrics for Prometheus, by the standard library alone.
"""

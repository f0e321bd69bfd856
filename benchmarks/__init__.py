"""Benchmarks: aurora_es beside the library's SQLite and in-memory recorders.

Run with ``python -m benchmarks``. Theory of operation: every row opens the stores it needs, gives
each the same history, and then lets them work *in turn*, block by block (A B C, B C A, C A B, ...),
so that a machine that slows down slows down all of them. A figure is the median over the blocks;
a ratio is the median of the ratios of the blocks that ran side by side. No figure is ever asserted.

Reading the source, from the bottom: ``events`` (what is stored), ``sqlite_synchronous`` and
``stores`` (the stores), ``measure`` (clocks, blocks, medians), ``rows`` (results and
targets), ``progress``, ``workers`` and ``worker`` (other processes), ``session`` (scale, life of
the stores), ``bench_*`` (the rows), ``registry``, ``report`` and ``machine``, ``__main__``. The rows of scale
have ``scale_events``, ``scale_stores``, ``scale_worker`` and ``scale_plot`` of their own.

Workloads shaped like real ones are ``python -m benchmarks.workloads``: ``workload_events``,
``workload_stores``, ``workload_reader``, ``workload_kinds``, ``workload_dcb``, ``workloads``. ``page``,
``latency_plot`` and ``ratio_plot`` write docs/benchmarks.md from what all of them keep.
"""

"""The names of the benchmarks, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable

from . import bench_application as application
from . import bench_domain as domain
from . import bench_insert, bench_parallel, bench_read, bench_scale, bench_subscription
from .rows import Row
from .session import Session

Benchmark = Callable[[Session], list[Row]]

BENCHMARKS: dict[str, Benchmark] = {
    "insert-1-durable": bench_insert.one_event_durable,
    "insert-1-never": bench_insert.one_event_never,
    "insert-100-durable": bench_insert.hundred_durable,
    "insert-100-never": bench_insert.hundred_never,
    "threads-32": bench_parallel.threads_32,
    "processes-4": bench_parallel.processes_4,
    "aggregate-100": bench_read.aggregate_of_100,
    "last-event": bench_read.last_event,
    "pages-10": bench_read.pages_of_10,
    "pages-100": bench_read.pages_of_100,
    "pages-1000": bench_read.pages_of_1000,
    "pages-100-single": bench_read.pages_of_100_singles,
    "wake-up": bench_subscription.wake_up,
    "idle": bench_subscription.idle,
    "create-save": application.create_and_save,
    "replay-100": application.replay_100,
    "replay-1000": application.replay_1000,
    "mapper": domain.mapper,
    "replay-domain": domain.replay_domain,
    "save-domain": domain.save_domain,
    "projection": domain.projection,
    "read-your-writes": domain.read_your_writes,
    "growth": bench_scale.scale,
}
GROWTH = "growth"

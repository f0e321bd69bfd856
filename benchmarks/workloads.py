"""Workloads shaped like real ones, percentiles first: ``python -m benchmarks.workloads``.

Many small streams, hot ones, mixed reads and writes, a reader that catches up, events of many
sizes, decisions with dynamic consistency boundaries. All stores are measured in one run, in turn,
on one disk, each told to sync as the others are. ``python -m benchmarks.page`` makes the page and
the plots of the documentation from the JSON that this keeps.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from math import floor, log
from pathlib import Path
from statistics import median
from typing import Any

from . import workload_kinds as kinds
from .machine import machine_facts
from .measure import percentile
from .report import write_json
from .rows import format_value
from .stores import Sync
from .workload_dcb import decisions, umadb_missing
from .workload_kinds import QUICK, Blocks, Load
from .workload_stores import UMADB, event_stores, postgres_facts, postgres_missing, sync_words

RESULTS = Path(__file__).resolve().parent / "results"
PERCENTS = (50.0, 90.0, 99.0, 99.9)
HISTOGRAM_STEP = 1.02  # each bucket reaches this much further than the one before
_PEER_PACKAGES = ("psycopg", "umadb")

Workload = Callable[[Path, Sync, Load], Blocks]


def _with_event_stores(work: Callable[[kinds.Stores, Load], Blocks]) -> Workload:
    def run(directory: Path, sync: Sync, load: Load) -> Blocks:
        with event_stores(directory, "stores", sync) as stores:
            return work(stores, load)

    run.__doc__ = work.__doc__
    return run


WORKLOADS: dict[str, tuple[str, Workload]] = {
    "small-streams": ("Many small streams", _with_event_stores(kinds.small_streams)),
    "hot-streams": ("Hot streams", _with_event_stores(kinds.hot_streams)),
    "mixed": ("Mixed reads and writes", _with_event_stores(kinds.mixed)),
    "catch-up": ("A reader catches up", _with_event_stores(kinds.catch_up)),
    "sizes": ("Events of 100 B to 64 KiB", _with_event_stores(kinds.sizes)),
    "dcb": ("Decisions with dynamic consistency boundaries", decisions),
}


def figures_of(name: str, sync: Sync, blocks: Blocks) -> Iterator[dict[str, Any]]:
    """What is kept of each operation and store: percentiles of all calls, and all of them coarsely."""
    for operation in kinds.operations(blocks):
        for store, samples in blocks.items():
            found = [block[operation] for block in samples if block.get(operation)]
            calls = [seconds for block in found for seconds in block]
            if not calls:
                continue
            yield {
                "workload": name,
                "sync": sync,
                "operation": operation,
                "store": store,
                "calls": len(calls),
                "percentiles": {f"{it:g}": percentile(calls, it) for it in PERCENTS},
                "max": max(calls),
                "block_percentiles": {
                    f"{it:g}": [percentile(block, it) for block in found] for it in (50.0, 99.0)
                },
                "histogram": histogram(calls),
            }


def histogram(calls: list[float]) -> str:
    """``bucket:calls`` for each bucket, from ``HISTOGRAM_STEP ** bucket`` microseconds on."""
    counts = Counter(floor(log(max(it, 1e-9) * 1e6, HISTOGRAM_STEP)) for it in calls)
    return " ".join(f"{bucket}:{counts[bucket]}" for bucket in sorted(counts))


def counts_of(text: str) -> dict[int, int]:
    """What a kept histogram says: calls by bucket."""
    pairs = (pair.split(":") for pair in text.split())
    return {int(bucket): int(count) for bucket, count in pairs}


@contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="workloads-", dir=parent)).resolve()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def missing_peers() -> dict[str, str]:
    """The peers that cannot be measured, and why."""
    found = {"PostgreSQL": postgres_missing(), UMADB: umadb_missing()}
    return {name: why for name, why in found.items() if why}


def measure(names: list[str], syncs: list[Sync], load: Load, parent: Path) -> dict[str, Any]:
    """Run workloads one after the other, each in a directory of its own."""
    rows: list[dict[str, Any]] = []
    with _directory(parent) as facts_directory:
        facts = machine_facts(facts_directory)
    for name in names:
        for sync in syncs:
            print(f"measuring {name}, {sync}", file=sys.stderr, flush=True)
            with _directory(parent) as directory:
                found = list(figures_of(name, sync, WORKLOADS[name][1](directory, sync, load)))
            rows += found
            for row in found:
                print(line(row), flush=True)
    return {
        "command": shlex.join(["python", "-m", "benchmarks.workloads", *sys.argv[1:]]),
        "quick": load is QUICK,
        "machine": {
            **facts,
            "postgresql": postgres_facts(),
            "packages": {**facts["packages"], **_versions()},
            "machine": platform.machine(),
        },
        "load": asdict(load),
        "sync_words": {sync: sync_words(sync) for sync in syncs},
        "missing": missing_peers(),
        "rows": rows,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PEER_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def line(row: dict[str, Any]) -> str:
    """One row of the table in the terminal."""
    figures = [format_value(it, "seconds").rjust(9) for it in row["percentiles"].values()]
    spread = row["block_percentiles"]["99"]
    return (
        f"{row['workload']:14} {row['sync']:8} {row['operation'][:40]:40} {row['store']:11}"
        f" {' '.join(figures)}  p99 of blocks {format_value(min(spread), 'seconds')} to"
        f" {format_value(max(spread), 'seconds')}, median {format_value(median(spread), 'seconds')}"
    )


def main() -> None:
    """Measure what is asked for, and keep it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workloads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="small counts: shows that it runs, not how fast")
    add("--workloads", default=",".join(WORKLOADS), help=f"of {', '.join(WORKLOADS)}")
    add("--sync", default="durable,never", help="of durable, never")
    add("--json", type=Path, help="default: benchmarks/results/workloads.json")
    add(
        "--directory", type=Path, default=RESULTS, help="where the stores live (default: this disk)"
    )
    options = parser.parse_args()
    names = options.workloads.split(",")
    if unknown := [name for name in names if name not in WORKLOADS]:
        parser.error(f"no such workload: {', '.join(unknown)}; there are: {', '.join(WORKLOADS)}")
    syncs: list[Sync] = ["durable", "never"]
    wanted = [sync for sync in syncs if sync in options.sync.split(",")]
    for name, why in missing_peers().items():
        print(f"{name} is not measured: {why}", file=sys.stderr)
    report = measure(names, wanted, QUICK if options.quick else Load(), options.directory)
    # A quick run must not replace the figures of a full one.
    name = "quick-workloads.json" if options.quick else "workloads.json"
    write_json(report, options.json or RESULTS / name)


if __name__ == "__main__":
    main()

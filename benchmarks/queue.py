"""Measures the queue beside other queues of Python: ``python -m benchmarks.queue [--quick]``.

All work in turn, block by block, in one run; a figure is the median of its blocks. "durable" is
``sync=always`` beside SQLite's ``synchronous=FULL`` and Redis' ``appendfsync always``, "never" is
``sync=never`` beside ``OFF`` and ``no``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from aurora_es.queue import Sync, open_queue

from . import queue_work as work
from .machine import machine_facts
from .queue_peers import MultiprocessingQueue, peers, say_what_is_missing

RESULTS = Path(__file__).resolve().parent / "results"
SIZES = (40, 160, 220, 512)
TASKS = 64
OURS = "aurora_es"
FLOOR = "write + fdatasync"  # of as many bytes, into zeros: nothing that is durable is faster
_MODES = {"durable": Sync.ALWAYS, "never": Sync.NEVER}

Figures = dict[str, list[float]]


class Bench:
    """One run: its directory, how much is measured, and the table."""

    def __init__(self, directory: Path, *, quick: bool) -> None:
        self.directory = directory
        self.blocks = 2 if quick else 5
        self.scale = 0.02 if quick else 1.0
        self.rows: list[dict[str, Any]] = []

    def count(self, full: int) -> int:
        """How many of something, in this run."""
        return max(int(full * self.scale), TASKS)

    def path(self) -> Path:
        """A new directory."""
        return Path(tempfile.mkdtemp(dir=self.directory))

    def add(
        self, name: str, sync: str, unit: str, figures: Figures, target: str, *, reached: bool
    ) -> None:
        """Keep a row, and print it."""
        medians = {who: median(found) for who, found in figures.items()}
        row = {"work": name, "sync": sync, "unit": unit, "figures": figures, "medians": medians}
        self.rows.append({**row, "target": target, "reached": reached})
        cells = [f"{who} {_text(value, unit)}" for who, value in medians.items()]
        verdict = "-" if not target else f"{target}: {'yes' if reached else 'NO'}"
        print(f"| {name} | {sync} | {' | '.join(cells)} | {verdict} |", flush=True)


def _text(value: float, unit: str) -> str:
    return f"{value * 1e6:.1f} µs" if unit == "seconds" else f"{value:,.0f}/s"


def _ours(bench: Bench, sync: str, run: Callable[[Any, Any], Any]) -> Any:
    """Run a coroutine function with a sender and a receiver of a new queue."""

    async def main() -> Any:
        async with open_queue(bench.path() / "queue", sync=_MODES[sync]) as queue:
            sender, receiver = await queue.acquire_sender(), await queue.subscribe()
            await work.round_trips(sender, receiver, 100, 200)  # warm
            return await run(sender, receiver)

    return asyncio.run(main())


def round_trips(bench: Bench) -> None:
    """Send and receive in one task."""
    for size in SIZES:
        halves: Figures = {}
        tails: Figures = {}
        count = bench.count(3_000)
        for _ in range(bench.blocks):
            found = {OURS: _ours(bench, "never", lambda s, r: work.round_trips(s, r, size, count))}  # noqa: B023 - called at once
            for name, make in peers("never").items():
                with ExitStack() as stack:
                    peer = make(bench.path(), "never")
                    stack.callback(peer.close)
                    found[name] = work.peer_round_trips(peer, size, count // 4)
            for name, seconds in found.items():
                halves.setdefault(name, []).append(work.p50(seconds))
                tails.setdefault(name, []).append(work.p99(seconds))
        reached = median(halves[OURS]) <= 50e-6
        name = f"send + receive, one task, {size} B"
        bench.add(f"{name}, p50", "never", "seconds", halves, "50 µs", reached=reached)
        bench.add(f"{name}, p99", "never", "seconds", tails, "", reached=True)


def other_process(bench: Bench) -> None:
    """From one process to another, which waits."""
    halves: Figures = {}
    tails: Figures = {}
    count = bench.count(2_000)
    for _ in range(bench.blocks):
        path = bench.path() / "queue"
        _make(path)
        found = {OURS: asyncio.run(work.one_process_to_another(path, count))}
        pipe = MultiprocessingQueue(path, "never")
        found["multiprocessing"] = work.pipe_to_another(pipe, count)
        pipe.close()
        for name, seconds in found.items():
            halves.setdefault(name, []).append(work.p50(seconds))
            tails.setdefault(name, []).append(work.p99(seconds))
    name = "one process to another"
    reached = median(halves[OURS]) <= 150e-6, median(tails[OURS]) <= 1e-3
    bench.add(f"{name}, p50", "never", "seconds", halves, "150 µs", reached=reached[0])
    bench.add(f"{name}, p99", "never", "seconds", tails, "1 ms", reached=reached[1])


def _make(path: Path) -> None:
    async def main() -> None:
        async with open_queue(path, sync=Sync.NEVER):
            pass

    asyncio.run(main())


def throughput(bench: Bench) -> None:
    """Messages of 100 bytes, from one process and from four."""
    many: Figures = {}
    single: Figures = {}
    many_4: Figures = {}
    single_4: Figures = {}
    for _ in range(bench.blocks):
        count = bench.count(200_000)
        found = _ours(bench, "never", lambda s, _: work.send_many(s, max(count, work.BATCH)))  # noqa: B023
        many.setdefault(OURS, []).append(found)
        count_1 = bench.count(20_000)
        found = _ours(bench, "never", lambda s, _: work.send_one_by_one(s, count_1))  # noqa: B023
        single.setdefault(OURS, []).append(found)
        for name, make in peers("never").items():
            peer = make(bench.path(), "never")
            if name != "multiprocessing":  # which only puts into a list, for its thread
                found = work.peer_sends(peer, count_1 // 4)
                single.setdefault(name, []).append(found)
            peer.close()
        for what, size, into in (("many", count, many_4), ("one-by-one", count_1, single_4)):
            path = bench.path() / "queue"
            _make(path)
            into.setdefault(OURS, []).append(
                work.processes_send(path, what, 4, max(size // 4, work.BATCH))
            )
    ours, ours_1 = median(many[OURS]), median(single[OURS])
    bench.add("send_many, one sender", "never", "", many, "10^5/s", reached=ours >= 1e5)
    bench.add("send, one sender", "never", "", single, "3 x 10^4/s", reached=ours_1 >= 3e4)
    reached = median(many_4[OURS]) >= ours, median(single_4[OURS]) >= ours_1
    bench.add("send_many, 4 processes", "never", "", many_4, "one sender's", reached=reached[0])
    bench.add("send, 4 processes", "never", "", single_4, "one sender's", reached=reached[1])


def durable(bench: Bench) -> None:
    """Durable sends, from one task and from 64; peers from one thread and from 64."""
    one: Figures = {}
    many: Figures = {}
    for _ in range(bench.blocks):
        count, count_64 = bench.count(500), bench.count(12_800)
        found = _ours(bench, "durable", lambda s, _: work.send_one_by_one(s, count))  # noqa: B023
        one.setdefault(OURS, []).append(found)
        one.setdefault(FLOOR, []).append(work.floor_writes(bench.path(), count))
        found = _ours(bench, "durable", lambda s, _: work.send_from_tasks(s, TASKS, count_64))  # noqa: B023
        many.setdefault(OURS, []).append(found)
        for name, make in peers("durable").items():
            peer = make(bench.path(), "durable")
            one.setdefault(name, []).append(work.peer_sends(peer, count))
            if name != "litequeue":  # one connection, for one thread
                found = work.peer_sends_from_threads(peer, TASKS, count * 2)
                many.setdefault(name, []).append(found)
            peer.close()
    ratio = median(many[OURS]) / median(one[OURS])
    bench.add("durable sends, 1 task", "durable", "", one, "", reached=True)
    bench.add(
        "durable sends, 64 tasks",
        "durable",
        "",
        many,
        f"10 x 1 task ({ratio:.1f} x)",
        reached=ratio >= 10,
    )
    for text, figures in (("64 tasks", many), ("1 task", one)):
        others = [median(found) for name, found in figures.items() if name not in {OURS, FLOOR}]
        if not others:
            continue  # none is installed: nothing to be better than
        times = median(figures[OURS]) / max(others)
        # What is synced one by one is never faster than the disk, whoever sends it.
        floor = figures.get(FLOOR)
        possible = f"; the disk gives {median(floor) / max(others):.1f} x" if floor else ""
        bench.add(
            f"against the best durable peer, {text}",
            "durable",
            "",
            figures,
            f"3 x ({times:.1f} x{possible})",
            reached=times >= 3,
        )


def replays(bench: Bench) -> None:
    """A million messages, sent a thousand at a time, received in batches."""
    figures: Figures = {}
    count = max(bench.count(1_000_000), work.BATCH)

    async def main(sender: Any, receiver: Any) -> float:
        await work.send_many(sender, count)
        return await work.replay(receiver, count // work.BATCH * work.BATCH)

    for _ in range(min(bench.blocks, 3)):
        figures.setdefault(OURS, []).append(_ours(bench, "never", main))
    reached = median(figures[OURS]) >= 5e5
    bench.add("replay of 10^6 in batches", "never", "", figures, "5 x 10^5/s", reached=reached)


ROWS: dict[str, Callable[[Bench], None]] = {
    "round-trips": round_trips,
    "other-process": other_process,
    "throughput": throughput,
    "durable": durable,
    "replay": replays,
}


def main() -> None:
    """Measure the rows that are asked for, and keep them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shows that it runs, not how fast")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/queue.json")
    parser.add_argument("--directory", type=Path, default=RESULTS, help="where the queues live")
    options = parser.parse_args()
    say_what_is_missing()
    options.directory.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="queues-", dir=options.directory)).resolve()
    try:
        bench = Bench(directory, quick=options.quick)
        for name in options.rows.split(","):
            ROWS[name](bench)
        report = {"quick": options.quick, "machine": machine_facts(directory), "rows": bench.rows}
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    path = options.json or RESULTS / ("quick-queue.json" if options.quick else "queue.json")
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

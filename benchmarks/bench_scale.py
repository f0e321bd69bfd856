"""Rows of scale: what costs become from 10^4 to 10^7 events; sync never, processes of their own.

For each size the stores are filled, ours is sealed and merged, both are read; then ours is cooled
and read again. Copies of ours, which share its files, are sealed beside inserts, built anew from
nothing, and cooled with the other codec. No figure includes starting the interpreter or importing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from .measure import percentile, run_in_turn
from .rows import Row, Target, Unit, compare, faster
from .scale_events import LONG_AGGREGATES
from .scale_stores import ScaleStores, journal_path, linked_copy, roll_cycle, tend
from .session import Session
from .workers import Worker

_OPENINGS = 5
_READS = 300
_REPLAYS = 20
_PAGES = 50
_TOUCHED = 100_000
_INSERTS = 100_000
_KEPT_BYTES = {"lz4": 0.32, "zstd": 0.25}

Command = dict[str, object]
Workers = Mapping[str, Worker]


def scale(session: Session) -> list[Row]:
    """All rows, size by size."""
    rows: list[Row] = []
    for size in session.growth_sizes:
        stores = ScaleStores.make(session, size)
        try:
            rows += _Size(session, stores).rows()
        finally:
            stores.remove()
    return rows


def _at_most(text: str, limit: float) -> Target:
    return Target(text, limit, of="aurora", sense="at_most")


class _Size:
    """The rows of one size."""

    def __init__(self, session: Session, stores: ScaleStores) -> None:
        self.session = session
        self.stores = stores
        self.size = stores.size
        self.at = f"{stores.size:,} events"

    def rows(self) -> list[Row]:
        """Fill and measure, step by step."""
        filled: dict[str, list[float]] = {
            kind: [self.size / took] for kind, took in self.stores.fill().items()
        }
        rows = [self._row("fill", "filling, both at a time", "per_second", filled)]
        if "aurora" not in self.stores.paths:
            return rows
        ours = self.stores.paths["aurora"]
        rows += self._beside_sealing(ours)
        rows += self._sealed(ours)
        rows += self._opened()
        rows += self._read()
        rows += self._memory()
        rows += self._rebuilt(ours)
        if find_spec("zstandard") is not None:
            rows.append(self._cooled(self._copy(ours), "zstd"))
        rows.append(self._cooled(ours, "lz4"))
        rows += self._read_cooled()
        return [*rows, *self._tail_index()]

    def _row(
        self,
        name: str,
        work: str,
        unit: Unit,
        figures: Mapping[str, Sequence[float]],
        target: Target | None = None,
        **details: Any,
    ) -> Row:
        details = {"size": self.size, "roll_cycle": roll_cycle(self.size), **details}
        key, work = f"scale-{self.size}-{name}", f"{self.at}: {work}"
        return compare(key, work, "never", unit, figures, target=target, details=details)

    def _copy(self, path: Path) -> Path:
        return linked_copy(path, self.session.path("copy"))

    # Writing and tending

    def _beside_sealing(self, ours: Path) -> list[Row]:
        """One-event inserts at rest, and while a background run seals and merges."""
        copy = self._copy(ours)
        before = tend(copy, "sizes")["segment_count"]
        self.session.progress.begin(f"inserting beside sealing at {self.at}", 3)
        calls: list[list[float]] = []
        rates: list[float] = []
        shares: list[float] = []
        with self.stores.open("aurora", copy, writer=1) as worker:
            path = str(journal_path(copy))
            for beside in (None, path, None):
                found = worker.ask(command="insert_beside", path=beside, count=_INSERTS)
                calls.append(found["seconds"])
                rates.append(len(found["seconds"]) / found["elapsed"])
                shares.append(found["child_share"])
                self.session.progress.advance()
        sealed = tend(copy, "sizes")["segment_count"] - before
        shutil.rmtree(copy)
        p99 = [percentile(taken, 99) for taken in calls]
        slower = p99[1] / median((p99[0], p99[2]))
        kept = rates[1] / median((rates[0], rates[2]))
        details = {
            "p99_seconds": p99,
            "per_second": rates,
            "inserts": [len(taken) for taken in calls],
            "sealed_segments": sealed,
            "background_share_of_a_core": shares[1],
        }
        return [
            self._row(
                "busy-p99",
                "insert p99 while sealing and merging, against at rest",
                "times",
                {"aurora": [slower]},
                _at_most("5 x", 5),
                **details,
            ),
            self._row(
                "busy-rate",
                "insert throughput while sealing and merging, against at rest",
                "share",
                {"aurora": [kept]},
                Target("60 %", 0.6, of="aurora"),
                **details,
            ),
        ]

    def _sealed(self, ours: Path) -> list[Row]:
        """Seal and merge what is left; how long the last segments took."""
        self.session.progress.begin(f"sealing at {self.at}", 2)
        before = tend(ours, "sizes")
        sealed = tend(ours, "tend", what="seal")
        self.session.progress.advance()
        tend(ours, "tend", what="merge")
        self.session.progress.advance()
        after = tend(ours, "sizes")
        events = after["events"] - before["events"]
        if not events:
            return []
        rate = {"aurora": [events / sealed["seconds"]]}
        text = "sealing and merging, last segments"
        peak = sealed["peak_bytes"]
        return [self._row("seal", text, "per_second", rate, peak_bytes=peak, **after)]

    def _rebuilt(self, ours: Path) -> list[Row]:
        """All runs built anew from the segments."""
        self.session.progress.begin(f"building all runs at {self.at}", 1)
        copy = self._copy(ours)
        built = tend(copy, "rebuild")
        shutil.rmtree(copy)
        self.session.progress.advance()
        rate = built["events"] / built["seconds"]
        target = Target("200 k/s", 2e5, of="aurora")
        text = "building all runs from nothing"
        return [
            self._row("rebuild", text, "per_second", {"aurora": [rate]}, target),
            self._row(
                "rebuild-memory",
                f"{text}, peak of memory",
                "bytes",
                {"aurora": [float(built["peak_bytes"])]},
            ),
        ]

    def _cooled(self, path: Path, codec: str) -> Row:
        """Cool all sealed segments; bytes per event against SQLite's file."""
        self.session.progress.begin(f"cooling with {codec} at {self.at}", 1)
        done = tend(path, "tend", what="cool", codec=codec)
        sizes = tend(path, "sizes")
        if path != self.stores.paths["aurora"]:
            shutil.rmtree(path)
        self.session.progress.advance()
        kept = sizes["segments"] + sizes["tables"] + sizes["runs"]
        figures = {"aurora": [kept / sizes["events"]]}
        if "sqlite" in self.stores.paths:
            files = self.stores.paths["sqlite"].iterdir()
            figures["sqlite"] = [sum(one.stat().st_size for one in files) / self.size]
        target = Target(f"{_KEPT_BYTES[codec]} of it", 1 / _KEPT_BYTES[codec])
        text = f"bytes per event, cooled with {codec}"
        rate = sizes["events"] / done["seconds"]
        details = {"cooled_per_second": rate, "peak_bytes": done["peak_bytes"], **sizes}
        return self._row(f"bytes-{codec}", text, "bytes", figures, target, **details)

    # Opening

    def _opened(self) -> list[Row]:
        """Time to the first answer in a new process, after a close and after a kill."""
        rows = []
        for name, text, limit in (
            ("open", "open after a clean close", 0.3),
            ("open-killed", "open after kill -9", 2.0),
        ):
            self.session.progress.begin(f"{text} at {self.at}", _OPENINGS * len(self.stores.paths))
            parts: dict[str, Callable[[None], float]] = {
                kind: self._opening(kind, killed=name != "open") for kind in self.stores.paths
            }
            seconds = run_in_turn(
                parts, lambda: None, blocks=_OPENINGS, advance=self.session.progress.advance
            )
            target = _at_most(f"{limit:g} s", limit)
            rows.append(self._row(name, text, "seconds", seconds, target))
        return rows

    def _opening(self, kind: Any, *, killed: bool) -> Callable[[None], float]:
        def run(_: None) -> float:
            if killed:
                with self.stores.open(kind) as victim:
                    victim.kill()
            with self.stores.open(kind) as worker:
                seconds: float = worker.opened["seconds"]
                return seconds

        return run

    def _memory(self) -> list[Row]:
        """Resident memory after many random reads."""
        self.session.progress.begin(f"memory at {self.at}", len(self.stores.paths))
        resident: dict[str, list[float]] = {}
        for kind in self.stores.paths:
            with self.stores.open(kind) as worker:
                command = self._random(command="touch", count=_TOUCHED)
                resident[kind] = [worker.ask(**command)["resident_bytes"]]
            self.session.progress.advance()
        text = "memory above imports, open and 100,000 random reads later"
        return [self._row("memory", text, "bytes", resident, _at_most("100 MB", 100e6))]

    # Reading

    def _random(self, **command: Any) -> Command:
        seed = self.session.random.randrange(1 << 30)
        return {"aggregates": self.stores.history.aggregates, "seed": seed, **command}

    def _measure(
        self,
        workers: Workers,
        name: str,
        work: str,
        command: Callable[[], Command],
        target: Target | None = None,
        blocks: int | None = None,
    ) -> Row:
        def part(worker: Worker) -> Callable[[Command], float]:
            return lambda found: median(worker.ask(**found)["seconds"])

        blocks = blocks or self.session.scale.growth_blocks
        parts = {kind: part(worker) for kind, worker in workers.items()}
        self.session.progress.begin(f"{work} at {self.at}", blocks * len(parts))
        found = run_in_turn(
            parts,
            command,
            blocks=blocks,
            advance=self.session.progress.advance,
            warm_blocks=min(blocks - 1, 1),
        )
        return self._row(name, f"{work}, p50", "seconds", found, target)

    def _read(self) -> list[Row]:
        """Everything that is read of raw segments."""
        with ExitStack() as stack:
            workers: dict[str, Worker] = {
                kind: stack.enter_context(self.stores.open(kind)) for kind in self.stores.paths
            }
            last = self._measure(workers, "last", "last event of an aggregate", self._last_events)
            absent = self._measure(
                workers,
                "absent",
                "look-up of an absent aggregate",
                lambda: _without(self._random(command="absent", count=_READS), "aggregates"),
                _at_most("20 µs", 20e-6),
            )
            replay = self._measure(
                workers, "replay", "replay of 100 spread events, raw", self._replays, faster(1)
            )
            page = self._measure(workers, "page", "random page of 100", self._pages)
            topic = self._measure(
                workers,
                "topic",
                "1 topic in 10,000 events, all of the journal",
                lambda: {"command": "rare_topic", "limit": 10_000},
                faster(100),
            )
            rows = [
                _with_target(last, "last-us", "", _at_most("20 µs", 20e-6)),
                _with_target(last, "last", " (against SQLite)", faster(2.5)),
                absent,
                replay,
                page,
                topic,
            ]
            return rows + self._moments(workers["aurora"])

    def _last_events(self) -> Command:
        return self._random(command="last_events", count=_READS)

    def _replays(self) -> Command:
        numbers = [self.session.random.randrange(LONG_AGGREGATES) for _ in range(_REPLAYS)]
        return {"command": "replays", "numbers": numbers}

    def _pages(self) -> Command:
        starts = [self.session.random.randint(1, self.size - 99) for _ in range(_PAGES)]
        return {"command": "pages", "starts": starts, "size": 100}

    def _moments(self, worker: Worker) -> list[Row]:
        command = _without(self._random(command="position_at", count=_READS), "aggregates")
        if worker.ask(**command)["seconds"] is None:
            return []
        target = _at_most("1 ms", 1e-3)
        work = "position of a moment"
        return [self._measure({"aurora": worker}, "moment", work, lambda: command, target)]

    def _read_cooled(self) -> list[Row]:
        """What is read of packed, compressed segments, here those of one-event commits."""
        with ExitStack() as stack:
            workers: dict[str, Worker] = {
                kind: stack.enter_context(self.stores.open(kind)) for kind in self.stores.paths
            }
            rows = [
                self._measure(
                    workers,
                    "replay-cooled",
                    "replay of 100 spread events, cooled",
                    self._replays,
                    faster(0.5),
                ),
                self._measure(workers, "page-cooled", "random page of 100, cooled", self._pages),
            ]
            singles = min(self.stores.history.singles, 100_000)
            memory = stack.enter_context(self.stores.open("memory", self.session.path("memory")))
            memory.ask(
                command="fill_history",
                size=self.size,
                first=1,
                last=singles,
                singles_until=0,
                batch=100,
            )
            workers["memory"] = memory
            pages = self._measure(
                workers,
                "packed",
                "pages of 100, packed one-event commits",
                lambda: self._walk(singles),
                faster(3.5),
            )
            above = Target("faster", 1.0, sense="more_than")
            against = {kind: found for kind, found in pages.figures.items() if kind != "sqlite"}
            key, work = f"{pages.key}-memory", f"{pages.work}, against in-memory"
            details = pages.details
            rows += [
                pages,
                compare(
                    key,
                    work,
                    "never",
                    "seconds",
                    against,
                    target=above,
                    against="memory",
                    details=details,
                ),
            ]
            return rows

    def _walk(self, last: int) -> Command:
        """Successive pages from a random place on, as a follower reads them."""
        pages = min(_PAGES, last // 100)
        start = self.session.random.randint(1, last - 100 * pages + 1)
        starts = [start + 100 * page for page in range(pages)]
        return {"command": "pages", "starts": starts, "size": 100}

    def _tail_index(self) -> list[Row]:
        """Memory of the tail index, which does not depend on the size: in the last one only."""
        if self.size != self.session.growth_sizes[-1]:
            return []
        rows = []
        with Worker(None, Path(), "never", module="benchmarks.scale_worker") as worker:
            for batch in (1, 100):
                found = worker.ask(command="tail_index", batch=batch)["bytes_per_event"]
                work = f"tail index, memory per event, {batch}-event commits"
                details = {"batch": batch}
                key = f"scale-tail-index-{batch}"
                figures = {"aurora": [found]}
                rows.append(compare(key, work, None, "bytes", figures, details=details))
        return rows


def _without(command: Command, name: str) -> Command:
    return {key: value for key, value in command.items() if key != name}


def _with_target(row: Row, name: str, text: str, target: Target) -> Row:
    key = row.key.rpartition("-")[0] + "-" + name
    return compare(
        key, row.work + text, row.sync, row.unit, row.figures, target=target, details=row.details
    )

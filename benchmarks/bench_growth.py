"""Rows: how costs grow with the store, from 10^4 events up; sync never, processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from .measure import run_in_turn
from .rows import Row, Unit, compare
from .session import Session
from .stores import Kind, kinds_available
from .workers import Worker

COMMIT_EVENTS = 10
_OPENINGS = 5
_READS = 200
_INSERTS = 200
_PAGES = 50

Command = dict[str, object]


def growth(session: Session) -> list[Row]:
    """Insert, last event, page, opening and memory at each size."""
    kinds = kinds_available(memory=False)
    paths = {kind: session.path("growth") for kind in kinds}
    rows, filled = [], 0
    for size in session.growth_sizes:
        session.progress.begin(f"filling to {size:,} events", len(kinds))
        for kind in kinds:
            _fill(kind, paths[kind], filled // COMMIT_EVENTS, size // COMMIT_EVENTS)
            session.progress.advance()
        rows += _opened_rows(session, paths, size)
        rows += _worked_rows(session, paths, size)
        filled = size
    return rows


def _fill(kind: Kind, path: Path, done: int, wanted: int) -> None:
    with Worker(kind, path, "never") as worker:
        worker.ask(command="fill", first=done, count=wanted - done, size=COMMIT_EVENTS)


def _opened_rows(session: Session, paths: dict[Kind, Path], size: int) -> list[Row]:
    """What a new process pays before its first event."""
    at = f"{size:,} events"
    session.progress.begin(f"opening at {at}", _OPENINGS * len(paths))
    openings: dict[str, Callable[[None], tuple[float, float]]] = {
        kind: _opening(kind, path) for kind, path in paths.items()
    }
    opened = run_in_turn(openings, lambda: None, blocks=_OPENINGS, advance=session.progress.advance)
    seconds = {kind: [opening[0] for opening in found] for kind, found in opened.items()}
    resident = {kind: [opening[1] for opening in found] for kind, found in opened.items()}
    return [
        _row(f"growth-{size}-open", f"{at}: open", "seconds", seconds),
        _row(f"growth-{size}-memory", f"{at}: memory once open", "bytes", resident),
    ]


def _worked_rows(session: Session, paths: dict[Kind, Path], size: int) -> list[Row]:
    """What calls cost in a process that has the store open."""
    at, blocks = f"{size:,} events", session.scale.growth_blocks
    with ExitStack() as stack:
        # A writer number of its own for each size: these inserts stay in the store.
        workers = {
            kind: stack.enter_context(Worker(kind, path, "never", writer=len(str(size))))
            for kind, path in paths.items()
        }

        def measure(name: str, work: str, command: Callable[[], Command]) -> Row:
            def part(worker: Worker) -> Callable[[Command], float]:
                return lambda found: median(worker.ask(**found)["seconds"])

            parts: dict[str, Callable[[Command], float]] = {
                kind: part(worker) for kind, worker in workers.items()
            }
            session.progress.begin(f"{work} at {at}", blocks * len(parts))
            figures = run_in_turn(parts, command, blocks=blocks, advance=session.progress.advance)
            return _row(f"growth-{size}-{name}", f"{at}: {work}, p50", "seconds", figures)

        rows = [
            measure("insert", "one-event insert", _inserts),
            measure("last", "last event", lambda: _last_events(session, size)),
            measure("page", "page of 100", lambda: _pages(session, size)),
        ]
        resident: dict[str, list[float]] = {
            kind: [worker.ask(command="resident")["resident_bytes"]]
            for kind, worker in workers.items()
        }
    work = f"{at}: memory after these"
    return [*rows, _row(f"growth-{size}-memory-used", work, "bytes", resident)]


def _opening(kind: Kind, path: Path) -> Callable[[None], tuple[float, float]]:
    """Open the store in a new process, look up one event, and close it again."""

    def run(_: None) -> tuple[float, float]:
        with Worker(kind, path, "never") as worker:
            return worker.opened["seconds"], worker.opened["resident_bytes"]

    return run


def _inserts() -> Command:
    return {"command": "insert_singles", "count": _INSERTS}


def _last_events(session: Session, size: int) -> Command:
    aggregates = size // COMMIT_EVENTS
    seed = session.random.randrange(1 << 30)
    return {"command": "last_events", "count": _READS, "aggregates": aggregates, "seed": seed}


def _pages(session: Session, size: int) -> Command:
    starts = [session.random.randint(1, size - 99) for _ in range(_PAGES)]
    return {"command": "pages", "starts": starts, "size": 100}


def _row(key: str, work: str, unit: Unit, figures: Mapping[str, Sequence[float]]) -> Row:
    return compare(key, work, "never", unit, figures)

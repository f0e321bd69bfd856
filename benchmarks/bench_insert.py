"""Rows: one event at a time and a hundred at a time, by one thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from statistics import median

from eventsourcing.persistence import StoredEvent

from aurora_es.files.floor import FLOOR_BYTES, Floor
from aurora_es.files.layer import SYSTEM_EFFECTS

from .measure import percentile, percentiles, run_in_turn, time_calls
from .rows import Row, Target, above_floor, compare, faster
from .session import Session
from .stores import Sync

Commits = list[list[StoredEvent]]
Part = Callable[[Commits], list[float]]


def _store_parts(session: Session, sync: Sync) -> dict[str, Part]:
    def part(insert: Callable[[Sequence[StoredEvent]], object]) -> Part:
        return lambda commits: time_calls(insert, commits)

    stores = session.warm_set(sync).stores
    return {kind: part(store.recorder.insert_events) for kind, store in stores.items()}


def _stores_only(blocks: Mapping[str, list[list[float]]]) -> dict[str, list[list[float]]]:
    return {kind: found for kind, found in blocks.items() if not kind.startswith("floor")}


def _pooled(blocks: Mapping[str, list[list[float]]]) -> dict[str, dict[str, float]]:
    """Percentiles over all blocks together: they see rare stalls that a block's p99 may miss."""
    pooled = {}
    for name, found in blocks.items():
        seconds = [value for block in found for value in block]
        pooled[name] = {f"p{p:g}": percentile(seconds, p) for p in (50, 90, 99, 99.9)}
    return pooled


def one_event_durable(session: Session) -> list[Row]:
    """One-event durable inserts beside the two floors."""
    scale = session.scale
    parts = _store_parts(session, "durable")
    source = session.warm_set("durable").source
    path = session.path("floor")
    written_bytes = FLOOR_BYTES * scale.inserts * (scale.blocks + 2)
    with ExitStack() as stack:
        growing = Floor.make(SYSTEM_EFFECTS, str(path / "growing"))
        stack.enter_context(closing(growing))
        zeroed = Floor.make(SYSTEM_EFFECTS, str(path / "zeroed"), zeroed_bytes=written_bytes)
        stack.enter_context(closing(zeroed))
        parts["floor_growing"] = lambda commits: growing.run(len(commits))
        parts["floor_zeroed"] = lambda commits: zeroed.run(len(commits))
        session.progress.begin("one-event durable inserts", scale.blocks * len(parts))
        blocks = run_in_turn(
            parts,
            lambda: source.singles(scale.inserts),
            blocks=scale.blocks,
            advance=session.progress.advance,
        )
    key, work = "insert-1-durable", "one-event insert"
    stores = _stores_only(blocks)
    figures = {p: {k: percentiles(v, p) for k, v in stores.items()} for p in (50, 90, 99)}
    goal = Target("at most 1.3 x", 1.3, of="aurora", sense="at_most")
    pooled = _pooled(blocks)
    floors = {p: percentiles(blocks[f"floor_{p}"], 50) for p in ("zeroed", "growing")}
    return [
        compare(
            f"{key}-p50",
            f"{work}, p50",
            "durable",
            "seconds",
            figures[50],
            target=faster(1.4),
            details={"pooled_seconds": pooled},
        ),
        compare(f"{key}-p90", f"{work}, p90", "durable", "seconds", figures[90]),
        compare(f"{key}-p99", f"{work}, p99", "durable", "seconds", figures[99]),
        above_floor(
            f"{key}-zeroed",
            "p50 over floor: zeroed file",
            figures[50],
            floors["zeroed"],
            target=goal,
        ),
        above_floor(
            f"{key}-growing", "p50 over floor: growing file", figures[50], floors["growing"]
        ),
    ]


def one_event_never(session: Session) -> list[Row]:
    """One-event inserts without sync."""
    scale = session.scale
    source = session.warm_set("never").source
    parts = _store_parts(session, "never")
    session.progress.begin("one-event inserts without sync", scale.blocks * len(parts))
    blocks = run_in_turn(
        parts,
        lambda: source.singles(scale.inserts * 2),
        blocks=scale.blocks,
        advance=session.progress.advance,
    )
    figures = {kind: percentiles(found, 50) for kind, found in blocks.items()}
    target = Target("2.5 x (aim 3.5)", 2.5)
    key, work = "insert-1-never", "one-event insert, p50"
    details = {"pooled_seconds": _pooled(blocks)}
    return [compare(key, work, "never", "seconds", figures, target=target, details=details)]


def _hundred(session: Session, sync: Sync, target: Target) -> list[Row]:
    scale = session.scale
    source = session.warm_set(sync).source
    parts = _store_parts(session, sync)
    session.progress.begin(f"inserts of 100, {sync}", scale.blocks * len(parts))
    blocks = run_in_turn(
        parts,
        lambda: source.commits(scale.batches, 100),
        blocks=scale.blocks,
        advance=session.progress.advance,
    )
    figures = {kind: [median(block) for block in found] for kind, found in blocks.items()}
    key, work = f"insert-100-{sync}", "insert of 100 events, p50"
    details = {"pooled_seconds": _pooled(blocks)}
    return [compare(key, work, sync, "seconds", figures, target=target, details=details)]


def hundred_durable(session: Session) -> list[Row]:
    """Inserts of 100 events of one aggregate, durable."""
    return _hundred(session, "durable", faster(2.5))


def hundred_never(session: Session) -> list[Row]:
    """Inserts of 100 events of one aggregate, without sync."""
    return _hundred(session, "never", faster(4))

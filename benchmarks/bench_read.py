"""Rows: aggregates, last events and pages of notifications, read by one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder

from .measure import run_in_turn, time_calls
from .rows import Row, Target, compare, faster
from .session import ReadSet, Session

Part = Callable[[Any], list[float]]


def _run(
    session: Session, text: str, reader: Callable[[ApplicationRecorder], Part], prepare: Any
) -> dict[str, list[list[float]]]:
    stores = session.read_set().stores
    parts: dict[str, Part] = {k: reader(store.recorder) for k, store in stores.items()}
    session.progress.begin(text, session.scale.blocks * len(parts))
    return run_in_turn(
        parts, prepare, blocks=session.scale.blocks, advance=session.progress.advance
    )


def _rates(blocks: dict[str, list[list[float]]], events: int) -> dict[str, list[float]]:
    return {kind: [events / median(block) for block in found] for kind, found in blocks.items()}


def _some(session: Session, ids: Sequence[UUID | str]) -> list[UUID | str]:
    return session.random.choices(ids, k=session.scale.reads)


def aggregate_of_100(session: Session) -> list[Row]:
    """All events of an aggregate of 100 that was written in one commit."""

    def reader(recorder: ApplicationRecorder) -> Part:
        return lambda ids: time_calls(recorder.select_events, ids)

    ids = session.read_set().aggregates
    work = "read a 100-event aggregate (one commit)"
    blocks = _run(session, work, reader, lambda: _some(session, ids))
    rates = _rates(blocks, 100)
    return [compare("aggregate-100", work, None, "per_second", rates, target=faster(4))]


def last_event(session: Session) -> list[Row]:
    """The last event of an aggregate, from a commit of its own and from a commit of 100."""

    def reader(recorder: ApplicationRecorder) -> Part:
        select = recorder.select_events
        return lambda ids: time_calls(lambda i: select(i, desc=True, limit=1), ids)

    def measure(ids: list[UUID | str], text: str) -> dict[str, list[float]]:
        blocks = _run(session, text, reader, lambda: _some(session, ids))
        return {kind: [median(block) for block in found] for kind, found in blocks.items()}

    work = "last event of an aggregate"
    stores = session.read_set()
    small = measure(stores.small_aggregates, work)
    large = measure(stores.aggregates, f"{work}, 100-event commits")
    return [
        compare("last-event", f"{work}, p50", None, "seconds", small, target=faster(7)),
        compare("last-event-of-100", f"{work}, in a 100-event commit", None, "seconds", large),
    ]


def _read_pages(recorder: ApplicationRecorder, starts: Sequence[int], size: int) -> list[float]:
    select = recorder.select_notifications
    seconds = []
    for start in starts:
        started = perf_counter()
        page = select(start, size)
        seconds.append(perf_counter() - started)
        if len(page) != size:
            msg = f"expected {size} notifications from {start}, found {len(page)}"
            raise RuntimeError(msg)
    return seconds


def _walk(session: Session, first: int, last: int, size: int) -> list[int]:
    """Starts of successive pages from a random place on, as a follower reads them."""
    pages_max = (last - first + 1) // size
    pages = max(1, min(pages_max, session.scale.pages_events // size))
    start = session.random.randint(first, last - pages * size + 1)
    return [start + page * size for page in range(pages)]


def _pages(
    session: Session, size: int, prepare: Callable[[ReadSet], list[int]], text: str
) -> dict[str, list[float]]:
    def reader(recorder: ApplicationRecorder) -> Part:
        return lambda starts: _read_pages(recorder, starts, size)

    stores = session.read_set()
    return _rates(_run(session, text, reader, lambda: prepare(stores)), size)


def _in_batches(stores: ReadSet) -> tuple[int, int]:
    """The first and the last position that were written by commits of 100."""
    return stores.singles + 1, stores.singles + 100 * len(stores.aggregates)


def pages_of_10(session: Session) -> list[Row]:
    """Pages of 10 out of commits of 100: walking on, and at random places."""

    def at_random(stores: ReadSet) -> list[int]:
        first, last = _in_batches(stores)
        return [session.random.randint(first, last - 9) for _ in range(session.scale.reads)]

    walked = _pages(session, 10, lambda s: _walk(session, *_in_batches(s), 10), "pages of 10")
    jumped = _pages(session, 10, at_random, "pages of 10 at random places")
    work = "page of 10, 100-event commits"
    return [
        compare("pages-10", work, None, "per_second", walked, target=faster(2.5)),
        compare("pages-10-random", f"{work}, random places", None, "per_second", jumped),
    ]


def pages_of_100(session: Session) -> list[Row]:
    """Pages of 100 out of commits of 100, against SQLite and against memory."""
    rates = _pages(session, 100, lambda s: _walk(session, *_in_batches(s), 100), "pages of 100")
    work = "page of 100, 100-event commits"
    memory = {kind: found for kind, found in rates.items() if kind != "sqlite"}
    above = Target("faster", 1.0, sense="more_than")
    return [
        compare("pages-100", work, None, "per_second", rates, target=faster(3.5)),
        compare(
            "pages-100-memory",
            f"{work}, against in-memory",
            None,
            "per_second",
            memory,
            target=above,
            against="memory",
        ),
    ]


def pages_of_1000(session: Session) -> list[Row]:
    """Pages of 1000 out of commits of 100."""
    rates = _pages(session, 1000, lambda s: _walk(session, *_in_batches(s), 1000), "pages of 1000")
    work = "page of 1000, 100-event commits"
    return [compare("pages-1000", work, None, "per_second", rates, target=faster(3.5))]


def pages_of_100_singles(session: Session) -> list[Row]:
    """Pages of 100 out of one-event commits."""
    text = "pages of 100 from one-event commits"
    rates = _pages(session, 100, lambda s: _walk(session, 1, s.singles, 100), text)
    work = "page of 100, one-event commits (unsealed tail)"
    return [compare("pages-100-single", work, None, "per_second", rates, target=faster(1.6))]

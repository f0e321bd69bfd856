"""Rows: a subscriber in another process, woken and idle. The library's SQLite recorder has none."""

from __future__ import annotations

from time import monotonic, sleep
from time import monotonic_ns as now_ns

from eventsourcing.persistence import StoredEvent

from .events import NUMBERS_PER_WRITER, EventSource, aggregate_id, make_stamped_state
from .measure import percentile
from .rows import Row, Target
from .session import Session
from .stores import Store, Sync, aurora_missing
from .workers import Worker, WorkerError

_PAUSE_SECONDS = 0.005
_UNCOUNTED = 20
"""The first wake-ups, which load code."""
_PARTS = 5
"""Figures are percentiles of each fifth of the wake-ups."""

Wakes = list[float]


def wake_up(session: Session) -> list[Row]:
    """From before the insert, and from its return, to the arrival in the other process."""
    work = "wake-up in another process"
    from_start_never, _ = _wakes(session, "never")
    from_start, from_return = _wakes(session, "durable")
    goal = Target("100 µs", 100e-6, of="aurora", sense="at_most")
    started, returned = "from insert's start", "from insert's return"
    rows = [
        _row("wake-up", f"{work}, {started}, p50", "never", from_start_never, 50, target=goal),
        _row("wake-up-p99", f"{work}, {started}, p99", "never", from_start_never, 99),
    ]
    for key, text, wakes in (
        ("wake-up-durable-insert", started, from_start),
        ("wake-up-durable", returned, from_return),
    ):
        target = goal if text == returned else None
        rows.append(_row(key, f"{work}, {text}, p50", "durable", wakes, 50, target=target))
        rows.append(_row(f"{key}-p99", f"{work}, {text}, p99", "durable", wakes, 99))
    return rows


def _row(
    key: str, work: str, sync: Sync, wakes: Wakes, percent: float, *, target: Target | None = None
) -> Row:
    size = max(1, len(wakes) // _PARTS)
    # The rest of an uneven division joins the last part.
    edges = [*range(0, max(1, len(wakes) - size + 1), size)][:_PARTS]
    ends = [*edges[1:], len(wakes)]
    parts = [wakes[a:b] for a, b in zip(edges, ends, strict=True)] if wakes else []
    figures = {"aurora": [percentile(part, percent) for part in parts]}
    details = {"count": len(wakes), "seconds_max": max(wakes, default=None)}
    return Row(key, work, sync, "seconds", figures, target=target, details=details)


def _wakes(session: Session, sync: Sync) -> tuple[Wakes, Wakes]:
    """Write slowly, so that the subscriber sleeps in between, and compare the clocks."""
    count = session.scale.wake_ups + _UNCOUNTED
    session.progress.begin(f"wake-ups, {sync}", count)
    if aurora_missing() is not None:
        return [], []
    path = session.path("wake-up")
    store = session.open("aurora", path, sync)
    for events in EventSource().singles(session.scale.warm_inserts):
        store.recorder.insert_events(events)
    head = store.recorder.max_notification_id() or 0
    with Worker("aurora", path, sync) as worker:
        limit_seconds = 30 + count * _PAUSE_SECONDS * 4
        worker.tell(command="subscribe", gt=head, count=count, limit_seconds=limit_seconds)
        worker.answer()
        sleep(0.2)
        returned = _write_slowly(session, store, count)
        received = worker.answer()["received"]
    if len(received) != count:
        msg = f"the subscriber got {len(received)} of {count} events"
        raise WorkerError(msg)
    counted = received[_UNCOUNTED:]
    from_start = [(arrived - stamp) / 1e9 for stamp, arrived in counted]
    # Below zero: the subscriber had it before the writer's call was back.
    from_return = [(arrived - returned[stamp]) / 1e9 for stamp, arrived in counted]
    return from_start, from_return


def _write_slowly(session: Session, store: Store, count: int) -> dict[int, int]:
    """Insert stamped events in a steady pace; when each insert returned, by its stamp."""
    returned = {}
    originator_id = aggregate_id(NUMBERS_PER_WRITER)
    insert = store.recorder.insert_events
    due = monotonic()
    for version in range(1, count + 1):
        due += _PAUSE_SECONDS
        sleep(max(0.0, due - monotonic()))
        stamp = now_ns()
        state = make_stamped_state(stamp)
        insert([StoredEvent(originator_id, version, "bank.domain:Account.Transacted", state)])
        returned[stamp] = now_ns()
        session.progress.advance()
    return returned


def idle(session: Session) -> list[Row]:
    """The share of a core that a subscription takes while nothing is written."""
    session.progress.begin("idle subscription", 1)
    target = Target("under 0.1 %", 0.001, of="aurora", sense="at_most")
    shares: list[float] = []
    if aurora_missing() is None:
        path = session.path("idle")
        store = session.open("aurora", path, "durable")
        for events in EventSource().singles(session.scale.warm_inserts):
            store.recorder.insert_events(events)
        head = store.recorder.max_notification_id() or 0
        with Worker("aurora", path, "durable") as worker:
            found = worker.ask(command="idle", gt=head, seconds=session.scale.idle_seconds)
        shares.append(found["share"])
    session.progress.advance()
    work = "idle subscription, share of a core"
    return [Row("idle", work, None, "share", {"aurora": shares}, target=target)]

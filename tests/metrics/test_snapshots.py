"""What a snapshot sees: subscriptions, queues, sealed segments, recoveries, and no parent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from eventsourcing.dcb.api import DCBQuery

from aurora_es import ArgumentError, AsyncApplicationSubscription, Journal, RollCycle, Sync
from aurora_es.format.names import MANIFEST
from aurora_es.journal.background import work
from aurora_es.metrics import (
    Extent,
    ReceiverMetrics,
    Snapshot,
    SubscriptionMetrics,
    snapshot,
)
from tests.face.domain import Counter, Counters
from tests.face.support import Script, events, factory_on
from tests.journal.support import message, open_with, patch, segment_paths
from tests.patience import PATIENCE_SECONDS


def lags(root: Path) -> dict[str, tuple[int, int]]:
    """Position and lag of each kind of subscription."""
    found = snapshot(root).subscriptions
    return {one.kind: (one.position, one.lag_records) for one in found}


def test_a_subscription_lags_by_what_it_has_not_returned(tmp_path: Path) -> None:
    """Record by record, though it reads pages, and whoever appends; stopped it is gone."""
    recorder = factory_on(tmp_path).application_recorder()
    recorder.insert_events(events(700))
    subscription = recorder.subscribe(gt=100)
    assert lags(tmp_path) == {"subscription": (100, 600)}
    for taken in range(1, 601):
        next(subscription)
        assert lags(tmp_path) == {"subscription": (100 + taken, 600 - taken)}
    recorder.insert_events(events(5, first=701))
    assert lags(tmp_path) == {"subscription": (700, 5)}
    subscription.stop()
    assert lags(tmp_path) == {}


def test_what_topics_leave_out_is_no_lag(tmp_path: Path) -> None:
    """A subscription to topics that nobody records is not behind, once it has looked."""
    recorder = factory_on(tmp_path).application_recorder()
    recorder.insert_events(events(20))
    subscription = recorder.subscribe(topics=["topic"])
    for _ in range(20):
        next(subscription)
    assert lags(tmp_path) == {"subscription": (20, 0)}


def test_tailers_and_dcb_subscriptions_are_seen(tmp_path: Path) -> None:
    """Each kind of iterator says how far it is, and numbers tell them apart."""
    factory = factory_on(tmp_path)
    journal = Journal.open(tmp_path / "j", sync=Sync.NEVER)
    journal.append([message(), message(), message()])
    tailer = journal.tail(after=1)
    next(tailer)
    subscription = factory.dcb_recorder().subscribe(DCBQuery())
    found = snapshot(tmp_path).subscriptions
    assert [(one.kind, one.position, one.lag_records) for one in found] == [
        ("tailer", 2, 1),
        ("subscription", 0, 0),
    ]
    assert found[0].number < found[1].number
    assert found[0].path == str(tmp_path / "j")
    subscription.stop()
    tailer.stop()


def test_an_asynchronous_subscription_is_seen(tmp_path: Path) -> None:
    """The same for the tasks of an event loop."""

    async def main() -> None:
        app = Counters({"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path)})
        for _ in range(3):
            app.save(Counter())
        async with AsyncApplicationSubscription(app) as subscription:
            await anext(subscription)
            assert lags(tmp_path) == {"async subscription": (1, 2)}
        assert lags(tmp_path) == {}
        app.close()

    asyncio.run(main())


def test_names_of_a_queue_lag_whoever_receives(tmp_path: Path) -> None:
    """Receivers by what they have committed, groups by what nobody is done with."""
    from aurora_es.queue.blocking import open_queue

    with open_queue(tmp_path / "q") as queue:
        sender = queue.acquire_sender()
        for number in range(10):
            sender.send(number)
        receiver = queue.subscribe("billing")
        with receiver.take_batch(4):
            pass
        member = queue.join("workers")
        held, parked = (
            member.receive(timeout=PATIENCE_SECONDS),
            member.receive(timeout=PATIENCE_SECONDS),
        )
        member.park(parked, "unreadable")
        expected = [
            ReceiverMetrics(
                path=str(tmp_path / "q"),
                name="billing",
                kind="receiver",
                lag_messages=6,
                held_messages=0,
                parked_messages=0,
            ),
            ReceiverMetrics(
                path=str(tmp_path / "q"),
                name="workers",
                kind="group",
                lag_messages=9,
                held_messages=1,
                parked_messages=1,
            ),
        ]
        assert list(snapshot(tmp_path / "q").receivers) == expected
        assert snapshot(tmp_path / "other").receivers == ()
        member.release(held)
    assert snapshot(tmp_path).receivers == ()


def test_segments_are_counted_by_state(tmp_path: Path) -> None:
    """As the manifest and the mark say now, and as the statistics count them."""
    with Journal.open(tmp_path / "j", roll_cycle=RollCycle.events(2), background=False) as journal:
        for _ in range(9):
            journal.append([message()])
        before = snapshot(tmp_path).journals[0].extent
        assert before is not None
        assert (before.segments, before.rolled_segments, before.runs) == (5, 4, 0)
        work(str(tmp_path / "j"))
        after = snapshot(tmp_path).journals[0].extent
        journal.renew()
        statistics = journal.statistics()
        assert after is not None
        for field in (
            "segments",
            "rolled_segments",
            "sealed_segments",
            "cooled_segments",
            "runs",
            "tail_bytes",
            "unsynced_bytes",
            "last_position",
            "last_commit",
            "epoch",
        ):
            assert getattr(after, field) == getattr(statistics, field), field
        assert after.sealed_segments == 4
        assert after.sealed_bytes == statistics.segment_bytes - statistics.tail_bytes


def test_a_recovery_is_counted(tmp_path: Path) -> None:
    """With the bytes that it cut."""
    with open_with(tmp_path / "j", sync=Sync.NEVER) as journal:
        journal.append([message()])
        end = journal.statistics().tail_bytes
    patch(segment_paths(tmp_path / "j")[0], end, b"half a frame")
    with open_with(tmp_path / "j"):
        (found,) = snapshot(tmp_path).journals
    assert (found.recoveries, found.cut_bytes, found.adopted_commits) == (1, 12, 0)


def test_an_unborn_and_a_damaged_journal_have_no_extent(tmp_path: Path) -> None:
    """A snapshot raises for no journal: others still have to be seen."""
    unborn = open_with(tmp_path / "unborn")
    damaged = open_with(tmp_path / "damaged")
    damaged.append([message()])
    (tmp_path / "damaged" / MANIFEST).write_bytes(b"nothing that anybody wrote")
    found = snapshot(tmp_path)
    assert [one.extent for one in found.journals] == [None, None]
    assert found.journal(str(tmp_path / "damaged")).appended_commits == 1
    unborn.close()
    damaged.close()


def test_only_what_is_under_a_directory_is_seen(tmp_path: Path) -> None:
    """A name that only begins alike is another directory."""
    for name in ("a", "ab"):
        open_with(tmp_path / name, sync=Sync.NEVER).append([message()])
    journals = [open_with(tmp_path / name) for name in ("a", "ab")]
    assert [one.path for one in snapshot(tmp_path / "a").journals] == [str(tmp_path / "a")]
    assert len(snapshot(tmp_path).journals) == 2
    with pytest.raises(ArgumentError, match="expected a journal that is open"):
        snapshot(tmp_path / "a").journal(str(tmp_path / "ab"))
    for journal in journals:
        journal.close()


def test_snapshots_of_processes_are_added_up(tmp_path: Path) -> None:
    """Counts of one journal add up; names of one queue are one; subscriptions are all kept."""
    journal = open_with(tmp_path / "j", sync=Sync.NEVER)
    journal.append([message()])
    one = snapshot(tmp_path)
    journal.append([message()])
    other = snapshot(tmp_path)
    subscription = SubscriptionMetrics(path="j", kind="tailer", number=1, position=1, lag_records=1)
    receiver = ReceiverMetrics(
        path="q", name="n", kind="group", lag_messages=1, held_messages=0, parked_messages=0
    )
    extra = Snapshot(journals=(), subscriptions=(subscription,), receivers=(receiver,))
    both = one + extra + other + extra
    (found,) = both.journals
    assert found.appended_commits == 3
    assert found.extent == other.journals[0].extent
    assert isinstance(found.extent, Extent)
    assert both.subscriptions == (subscription, subscription)
    assert both.receivers == (receiver,)
    journal.close()


_FORKED = """
import os, sys
from aurora_es import Journal, Record, Sync
from aurora_es.metrics import snapshot
from aurora_es.queue.blocking import open_queue

journal = Journal.open(sys.argv[1] + "/j", sync=Sync.NEVER)
journal.append([Record(topic="t", state=b"")])
tailer = journal.tail()
next(tailer)
queue = open_queue(sys.argv[1] + "/q")
queue.subscribe("name")
pid = os.fork()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    found = snapshot()
    assert found.journal(journal.handle.path).appended_commits == 1
    assert len(found.receivers) == len(found.subscriptions) == 1
else:
    code = 1
    try:
        found = snapshot()
        assert (found.journals, found.subscriptions, found.receivers) == ((), (), ()), found
        with Journal.open(sys.argv[1] + "/j") as again:
            again.append([Record(topic="t", state=b"")] * 2)
            (found,) = snapshot().journals
            assert (found.appended_commits, found.appended_records) == (1, 2), found
            assert found.extent.last_position == 3
        code = 0
    finally:
        os._exit(code)
"""


def test_a_child_counts_from_zero(tmp_path: Path) -> None:
    """What a parent has open is not the child's, and what the child counts is not the parent's."""
    Script(_FORKED, str(tmp_path)).end()

"""Subscriptions inside one process: what they yield, when they wait, and how they end."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from eventsourcing.persistence import ApplicationRecorder, ProgrammingError, Subscription

from aurora_es import AuroraApplicationRecorder, AuroraFactory
from aurora_es.files.mounts import file_system_type, needs_polling
from tests.face.support import (
    UUID_2,
    OpenFactory,
    Script,
    Task,
    descriptors_open,
    event,
    events,
    factory_on,
)
from tests.face.watching import NO_POLLING, SleepWatcher

Follow = Subscription[ApplicationRecorder]

# Waits for a second at the end of a store, or for one to appear, and tells the part of a core that it
# took, and how often in a second it fell asleep.
_IDLE = """
import sys, threading, time
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory
from aurora_es.journal.following import Follower
sleeps, sleep, rests = 0, Follower.sleep, threading.Event()
def counted(follower, seconds):
    global sleeps
    sleeps += 1
    if sleeps > 1:  # the first one only registers
        rests.set()
    sleep(follower, seconds)
Follower.sleep = counted
factory = AuroraFactory(Environment("App", {"AURORA_PATH": sys.argv[1]}))
recorder = factory.application_recorder()
if sys.argv[2] == "existing":
    recorder.insert_events([StoredEvent("a", 1, "t", b"")])
subscription = recorder.subscribe(gt=1)
thread = threading.Thread(target=lambda: list(subscription))
thread.start()
assert rests.wait(180)
begin, before, sleeps = time.monotonic(), time.process_time(), 0
threading.Event().wait(1.0)
used, seconds = time.process_time() - before, time.monotonic() - begin
print(used / seconds, sleeps / seconds)
subscription.stop()
thread.join()
factory.close()
"""


def ids_of(subscription: Follow, count: int) -> list[int]:
    """Take so many notifications."""
    return [next(subscription).id for _ in range(count)]


def all_ids_of(subscription: Follow) -> list[int]:
    """Take notifications until the subscription ends."""
    return [notification.id for notification in subscription]


def test_everything_recorded_comes_in_order(open_factory: OpenFactory) -> None:
    """Old and new notifications come as ``select_notifications`` gives them."""
    recorder = open_factory(AURORA_ROLL_CYCLE="100events", **NO_POLLING).application_recorder()
    for first in range(1, 1300, 130):
        recorder.insert_events(events(130, first=first))
    subscription = recorder.subscribe()
    found = [next(subscription) for _ in range(1300)]
    recorder.insert_events(events(3, UUID_2))
    found += [next(subscription) for _ in range(3)]
    assert found == recorder.select_notifications(1, 2000)
    subscription.stop()


@pytest.mark.parametrize(
    ("gt", "first"), [(None, 1), (-5, 1), (0, 1), (1, 2), (499, 500), (1199, 1200)]
)
def test_it_begins_behind_gt(open_factory: OpenFactory, gt: int | None, first: int) -> None:
    """``gt`` is left out, all behind it come."""
    recorder = open_factory().application_recorder()
    recorder.insert_events(events(1200))
    subscription = recorder.subscribe(gt=gt)
    assert ids_of(subscription, 1201 - first) == [*range(first, 1201)]
    subscription.stop()


def test_gt_beyond_the_head_waits(open_factory: OpenFactory, sleepers: SleepWatcher) -> None:
    """Nothing comes until the head is beyond it, then only what is."""
    recorder = open_factory(**NO_POLLING).application_recorder()
    recorder.insert_events(events(3))
    subscription = recorder.subscribe(gt=5)
    following = Task(ids_of, subscription, 2)
    sleepers.await_sleep()
    recorder.insert_events(events(2, first=4))
    sleepers.await_sleep()
    assert following.is_running
    recorder.insert_events(events(2, first=6))
    assert following.result() == [6, 7]
    subscription.stop()


def test_a_negative_gt_on_an_empty_store_waits(
    open_factory: OpenFactory, sleepers: SleepWatcher
) -> None:
    """It goes to sleep as any other, instead of looking again and again."""
    recorder = open_factory(**NO_POLLING).application_recorder()
    recorder.insert_events([])
    subscription = recorder.subscribe(gt=-1)
    following = Task(lambda: list(subscription))
    sleepers.await_sleep()
    subscription.stop()
    assert following.result() == []


def test_topics_filter(open_factory: OpenFactory, sleepers: SleepWatcher) -> None:
    """Only the topics asked for come, however far they lie apart."""
    recorder = open_factory(**NO_POLLING).application_recorder()
    wanted = [3, 700, 1300, 1301]
    for first in (1, 501, 1001):
        recorder.insert_events(
            [
                event(at, topic="wanted" if at in wanted else "other")
                for at in range(first, first + 500)
            ]
        )
    subscription = recorder.subscribe(topics=["wanted", "unknown"])
    assert ids_of(subscription, 4) == wanted
    following = Task(ids_of, subscription, 2)
    sleepers.await_sleep()
    recorder.insert_events([event(1501, topic="other")])
    sleepers.await_sleep()
    recorder.insert_events([event(1502, topic="wanted"), event(1503, topic="unknown")])
    assert following.result() == [1502, 1503]
    subscription.stop()


def test_several_topics_fill_pages_exactly(open_factory: OpenFactory) -> None:
    """A page that is full in the middle of other events loses none of them."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(at, topic="ab"[at % 2]) for at in range(1, 2001)])
    subscription = recorder.subscribe(topics=["a"])
    assert ids_of(subscription, 1000) == [*range(2, 2001, 2)]
    subscription.stop()


# Ending


def test_stop_wakes_a_sleeper(open_factory: OpenFactory, sleepers: SleepWatcher) -> None:
    """Stopping from another thread ends the iteration at once; stopping again changes nothing."""
    recorder = open_factory(**NO_POLLING).application_recorder()
    recorder.insert_events(events(2))
    subscription = recorder.subscribe()
    following = Task(all_ids_of, subscription)
    sleepers.await_sleep()
    subscription.stop()
    assert following.result() == [1, 2]
    subscription.stop()
    assert list(subscription) == []
    recorder.insert_events([event(3)])
    assert next(subscription, None) is None


def test_stop_drops_what_was_read_ahead(open_factory: OpenFactory) -> None:
    """After ``stop`` nothing comes any more, though a page was at hand."""
    recorder = open_factory().application_recorder()
    recorder.insert_events(events(10))
    subscription = recorder.subscribe()
    assert next(subscription).id == 1
    subscription.stop()
    assert list(subscription) == []


def test_stop_by_the_iterating_thread(open_factory: OpenFactory) -> None:
    """A loop may stop its own subscription."""
    recorder = open_factory().application_recorder()
    recorder.insert_events(events(10))
    seen = []
    with recorder.subscribe() as subscription:
        for notification in subscription:
            seen.append(notification.id)
            if notification.id == 3:
                subscription.stop()
    assert seen == [1, 2, 3]


def test_leaving_the_context_ends_it(open_factory: OpenFactory, sleepers: SleepWatcher) -> None:
    """A thread that iterates without ``with`` ends when another one leaves the context."""
    recorder = open_factory(**NO_POLLING).application_recorder()
    recorder.insert_events(events(1))
    with recorder.subscribe() as subscription:
        following = Task(all_ids_of, subscription)
        sleepers.await_sleep()
    assert following.result() == [1]


def test_the_context_is_entered_once(open_factory: OpenFactory) -> None:
    """The library's own errors for entering twice and for leaving without entering."""
    subscription = open_factory().application_recorder().subscribe()
    with pytest.raises(ProgrammingError, match="Not already entered"):
        subscription.__exit__(None, None, None)
    with subscription, pytest.raises(ProgrammingError, match="Already entered"):
        subscription.__enter__()
    assert list(subscription) == []


CLOSINGS: dict[str, Callable[[AuroraFactory, AuroraApplicationRecorder], None]] = {
    "recorder": lambda factory, recorder: recorder.close(),
    "factory": lambda factory, recorder: factory.close(),
}


@pytest.mark.parametrize("closing", CLOSINGS)
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
@pytest.mark.parametrize("state", ["absent", "existing"])
def test_closing_ends_a_sleeper(
    open_factory: OpenFactory,
    sleepers: SleepWatcher,
    closing: str,
    shared: bool,  # noqa: FBT001 - pytest passes it by name
    state: str,
) -> None:
    """Closing recorder or factory ends iteration, also if others have the journal open."""
    factory = open_factory(**NO_POLLING)
    recorder = factory.application_recorder()
    other = open_factory(**NO_POLLING).application_recorder() if shared else None
    if state == "existing":
        recorder.insert_events(events(2))
    subscription = recorder.subscribe()
    following = Task(all_ids_of, subscription)
    sleepers.await_sleep()
    CLOSINGS[closing](factory, recorder)
    assert following.result() == ([1, 2] if state == "existing" else [])
    if other is not None:
        assert len(other.insert_events(events(1, first=3)) or ()) == 1


def test_closing_ends_what_does_not_sleep(open_factory: OpenFactory) -> None:
    """A subscription whose next page would come from a closed recorder ends, too."""
    factory = open_factory()
    recorder = factory.application_recorder()
    recorder.insert_events(events(1000))
    subscription = recorder.subscribe()
    assert next(subscription).id == 1
    factory.close()
    assert list(subscription) == []


def test_closing_between_two_looks_ends_it(open_factory: OpenFactory) -> None:
    """A thread that finds the recorder closed before it is told so just ends."""
    recorder = open_factory().application_recorder()
    recorder.insert_events(events(1))
    subscription = recorder.subscribe()
    recorder._lease._closed = True  # as in the middle of ``close`` in another thread
    assert list(subscription) == []
    recorder._lease._closed = False


def test_one_of_several_ends(open_factory: OpenFactory, sleepers: SleepWatcher) -> None:
    """Stopping one subscription, or closing another factory, leaves the others alone."""
    factory, other = open_factory(**NO_POLLING), open_factory(**NO_POLLING)
    recorder = factory.application_recorder()
    first, second, third = recorder.subscribe(), recorder.subscribe(), recorder.subscribe()
    others = other.application_recorder().subscribe()
    recorder.insert_events(events(1))
    following = [Task(all_ids_of, one) for one in (first, second, others)]
    sleepers.await_sleep(3)
    first.stop()
    other.close()
    assert following[0].result() == following[2].result() == [1]
    recorder.insert_events(events(1, first=2))
    sleepers.await_sleep()
    second.stop()
    assert following[1].result() == [1, 2]
    assert ids_of(third, 2) == [1, 2]
    third.stop()


# Descriptors and CPU


def sleeping_subscription(recorder: AuroraApplicationRecorder) -> Follow:
    """A subscription that has registered for changes, as one that waited has."""
    subscription = recorder.subscribe(gt=recorder.max_notification_id())
    follower = vars(subscription)["_follower"]
    follower.look()
    follower.sleep(0)
    follower.look()
    follower.sleep(0)
    return subscription


@pytest.mark.parametrize("state", ["absent", "existing"])
def test_descriptors_are_freed(open_factory: OpenFactory, state: str) -> None:
    """Stopped or dropped, a subscription leaves no descriptor behind."""
    recorder = open_factory().application_recorder()
    if state == "existing":
        recorder.insert_events(events(1))
    sleeping_subscription(recorder).stop()  # opens what the process keeps
    before = descriptors_open()
    kept = [sleeping_subscription(recorder) for _ in range(10)]
    dropped = [sleeping_subscription(recorder) for _ in range(10)]
    assert descriptors_open() >= before + 20
    for subscription in kept:
        subscription.stop()
    assert descriptors_open() == before + 10
    dropped.clear()
    assert descriptors_open() == before


def test_ended_by_closing_descriptors_are_freed(open_factory: OpenFactory) -> None:
    """A subscription that ends with its recorder frees them when its thread has noticed."""
    before = descriptors_open()
    factory = open_factory()
    recorder = factory.application_recorder()
    recorder.insert_events(events(1))
    sleeping_subscription(recorder).stop()
    subscription = sleeping_subscription(recorder)
    factory.close()
    assert list(subscription) == []
    gc.collect()
    # The kernel's watcher stays with the process, once there was any.
    assert descriptors_open() <= before + 1


@pytest.mark.parametrize("state", ["absent", "existing"])
def test_an_idle_subscription_uses_little_cpu(tmp_path: Path, state: str) -> None:
    """It looks some twenty times in a second at most; the benchmarks measure exactly what it takes."""
    with Script(_IDLE, str(tmp_path), state) as script:
        used, sleeps = map(float, script.hear().split())
        script.end()
    assert used < 0.1
    assert sleeps < 40


# A store that does not exist yet


def test_it_waits_for_a_store_to_appear(open_factory: OpenFactory, sleepers: SleepWatcher) -> None:
    """Subscribing makes nothing; the first append of another factory is noticed."""
    recorder = open_factory(**NO_POLLING).application_recorder()
    subscription = recorder.subscribe()
    following = Task(ids_of, subscription, 3)
    sleepers.await_sleep()
    assert not os.path.exists(recorder.store.path)
    writer = open_factory(**NO_POLLING).application_recorder()
    writer.insert_events(events(2))
    writer.insert_events(events(1, first=3))
    assert following.result() == [1, 2, 3]
    # From here on it is woken, where the kernel tells of changes.
    sleepers.polling = False
    following = Task(ids_of, subscription, 1)
    sleepers.await_sleep()
    writer.insert_events(events(1, first=4))
    assert following.result() == [4]
    assert sleepers.polling == needs_polling(file_system_type(recorder.store.root))
    subscription.stop()


def test_many_threads_subscribe_and_stop_at_once(tmp_path: Path) -> None:
    """Subscribing, iterating and stopping in all orders disturbs nobody."""
    factory = factory_on(tmp_path, **NO_POLLING)
    recorder = factory.application_recorder()
    recorder.insert_events(events(700))
    barrier = threading.Barrier(8)

    def follow() -> int:
        barrier.wait()
        count = 0
        for _ in range(20):
            with recorder.subscribe(gt=count * 10) as subscription:
                stopper = Task(subscription.stop) if count % 2 else None
                for notification in subscription:
                    if notification.id == 700:
                        break
                if stopper is not None:
                    stopper.result()
            count += 1
        return count

    assert [task.result() for task in [Task(follow) for _ in range(8)]] == [20] * 8
    factory.close()

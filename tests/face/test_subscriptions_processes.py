"""Subscriptions to what other threads and other processes record."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from eventsourcing.persistence import ApplicationRecorder, Notification, Subscription

from tests.face.support import OpenFactory, Script, Task, event, events, factory_on
from tests.face.watching import NO_POLLING

_WRITER = """
import sys
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory
root, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
recorder = AuroraFactory(Environment("App", {"AURORA_PATH": root})).application_recorder()
print("ready", flush=True)
for line in sys.stdin:
    first, step = map(int, line.split())
    for version in range(first, first + count, step):
        recorder.insert_events(
            [StoredEvent(name, at, "t", b"") for at in range(version, version + step)]
        )
    print("done", flush=True)
recorder.close()
"""

_SUBSCRIBER = """
import sys
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory
env = {"AURORA_PATH": sys.argv[1], "AURORA_POLL_INTERVAL": "3600"}
factory = AuroraFactory(Environment("App", env))
subscription = factory.application_recorder().subscribe()
print("ready", flush=True)
for notification in subscription:
    print(notification.id, notification.originator_id, notification.originator_version, flush=True)
    if notification.topic == "end":
        break
factory.close()
"""
_COUNT = 60
_STEP = 3


def take(subscription: Subscription[ApplicationRecorder], count: int) -> list[Notification]:
    """Take so many notifications."""
    return [next(subscription) for _ in range(count)]


def check_order(found: list[Notification], first: int = 1) -> None:
    """No gap, no duplicate, and each writer's events in the order in which it wrote them."""
    assert [one.id for one in found] == [*range(first, first + len(found))]
    versions = defaultdict(list)
    for one in found:
        versions[one.originator_id].append(one.originator_version)
    for seen in versions.values():
        assert seen == [*range(seen[0], seen[0] + len(seen))]


@pytest.mark.parametrize("cycle", ["7events", "day"])
def test_writers_in_threads_and_processes(
    tmp_path: Path, open_factory: OpenFactory, cycle: str
) -> None:
    """Two processes and two threads write, over rolls; every subscriber sees one order."""
    settings = {"AURORA_ROLL_CYCLE": cycle, **NO_POLLING}
    first, second = open_factory(**settings), open_factory(**settings)
    reader = open_factory(AURORA_READ_ONLY="y", **NO_POLLING)
    recorders = [factory.application_recorder() for factory in (first, second, reader)]
    subscriptions = [recorder.subscribe() for recorder in recorders]
    total = 4 * _COUNT
    following = [Task(take, one, total) for one in subscriptions]
    late_subscription = recorders[1].subscribe(gt=100)
    late = Task(take, late_subscription, total - 100)

    def write(number: int) -> None:
        for version in range(1, _COUNT + 1, _STEP):
            recorders[number].insert_events(events(_STEP, f"thread {number}", first=version))

    scripts = [Script(_WRITER, str(tmp_path), f"process {at}", str(_COUNT)) for at in range(2)]
    with scripts[0], scripts[1]:
        for script in scripts:
            assert script.hear() == "ready"
            script.tell(f"1 {_STEP}")
        threads = [Task(write, at) for at in range(2)]
        for thread in threads:
            thread.result()
        for script in scripts:
            assert script.hear() == "done"
            script.end()
    found = [task.result() for task in following]
    check_order(found[0])
    assert found[0] == found[1] == found[2] == recorders[0].select_notifications(1, total)
    assert late.result() == found[0][100:]
    for subscription in [*subscriptions, late_subscription]:
        subscription.stop()


def test_a_subscriber_in_another_process(tmp_path: Path, open_factory: OpenFactory) -> None:
    """It waits for the store to appear, and every commit here wakes it there."""
    with Script(_SUBSCRIBER, str(tmp_path)) as script:
        assert script.hear() == "ready"
        recorder = open_factory(AURORA_ROLL_CYCLE="2events").application_recorder()
        for version in range(1, 8):
            recorder.insert_events([event(version, "a")])
            assert script.hear() == f"{version} a {version}"
        recorder.insert_events([event(8, "a", topic="end")])
        assert script.hear() == "8 a 8"
        assert script.end() == ""


def test_one_commit_at_a_time_from_another_process(tmp_path: Path) -> None:
    """Each commit of another process wakes a subscription here; no wake-up is lost."""
    factory = factory_on(tmp_path, AURORA_ROLL_CYCLE="5events", **NO_POLLING)
    subscription = factory.application_recorder().subscribe()
    with Script(_WRITER, str(tmp_path), "other", "1") as script:
        assert script.hear() == "ready"
        for version in range(1, 40):
            following = Task(lambda: next(subscription))
            script.tell(f"{version} 1")
            assert following.result().originator_version == version
            assert script.hear() == "done"
        script.end()
    factory.close()

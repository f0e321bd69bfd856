"""``wait``: until another thread or process has tracked a notification."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from eventsourcing.persistence import InterfaceError, Tracking, WaitInterruptedError

from aurora_es import AuroraTrackingRecorder
from aurora_es.files.mounts import file_system_type, needs_polling
from tests.face.support import OpenFactory, Script, Task, descriptors_open, event
from tests.face.watching import NO_POLLING, SleepWatcher
from tests.patience import PATIENCE_SECONDS

_TRACKER = """
import sys
from eventsourcing.persistence import Tracking
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory
factory = AuroraFactory(Environment("App", {"AURORA_PATH": sys.argv[1]}))
recorder = factory.process_recorder() if sys.argv[2] == "process" else factory.tracking_recorder()
print("ready", flush=True)
for line in sys.stdin:
    recorder.insert_tracking(Tracking("up", int(line)))
factory.close()
"""
KINDS = ["tracking", "process"]


def recorder_of(open_factory: OpenFactory, kind: str, **settings: str) -> AuroraTrackingRecorder:
    """A recorder of either kind, with a store that exists."""
    factory = open_factory(**NO_POLLING, **settings)
    recorder = factory.process_recorder() if kind == "process" else factory.tracking_recorder()
    recorder.insert_tracking(Tracking("other", 1))
    return recorder


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_tracked_already_needs_no_waiting(open_factory: OpenFactory, kind: str) -> None:
    """An id at or above the one asked for will do, and no id at all is always there."""
    recorder = recorder_of(open_factory, kind)
    recorder.insert_tracking(Tracking("up", 5))
    recorder.wait("up", 5, timeout=0)
    recorder.wait("up", 4, timeout=0)
    recorder.wait("unknown", None, timeout=0)


@pytest.mark.parametrize("kind", KINDS)
def test_another_thread_tracks(
    open_factory: OpenFactory, sleepers: SleepWatcher, kind: str
) -> None:
    """The wait goes on over what is not enough, and ends with what is."""
    recorder = recorder_of(open_factory, kind)
    waiting = Task(recorder.wait, "up", 3, PATIENCE_SECONDS)
    sleepers.await_sleep()
    recorder.insert_tracking(Tracking("up", 2))
    sleepers.await_sleep()
    recorder.insert_tracking(Tracking("other", 9))
    sleepers.await_sleep()
    assert waiting.is_running
    recorder.insert_tracking(Tracking("up", 4))
    waiting.result()


def test_it_sleeps_until_it_is_woken(
    tmp_path: Path, open_factory: OpenFactory, sleepers: SleepWatcher
) -> None:
    """The kernel tells of the commit where it can, so that a wait takes no polling interval."""
    if needs_polling(file_system_type(str(tmp_path))):
        pytest.skip("the kernel does not tell of all changes on this file system")
    recorder = recorder_of(open_factory, "tracking")
    waiting = Task(recorder.wait, "up", 3, PATIENCE_SECONDS)
    sleepers.await_sleep()
    recorder.insert_tracking(Tracking("up", 3))
    waiting.result()
    assert not sleepers.polling


def test_events_track_as_well(open_factory: OpenFactory, sleepers: SleepWatcher) -> None:
    """Tracking recorded with events ends the wait of another factory's recorder."""
    recorder = recorder_of(open_factory, "process", AURORA_ROLL_CYCLE="1events")
    waiting = Task(recorder.wait, "up", 2, PATIENCE_SECONDS)
    sleepers.await_sleep()
    process = open_factory(**NO_POLLING).process_recorder()
    process.insert_events([event(1)], tracking=Tracking("up", 1))
    process.insert_events([event(2)], tracking=Tracking("up", 2))
    waiting.result()


@pytest.mark.parametrize("kind", KINDS)
def test_another_process_tracks(
    tmp_path: Path, open_factory: OpenFactory, sleepers: SleepWatcher, kind: str
) -> None:
    """The commit in the other process ends the wait here."""
    recorder = recorder_of(open_factory, kind)
    with Script(_TRACKER, str(tmp_path), kind) as script:
        assert script.hear() == "ready"
        for notification_id in (1, 5, 6):
            waiting = Task(recorder.wait, "up", notification_id, PATIENCE_SECONDS)
            sleepers.await_sleep()
            script.tell(str(notification_id))
            waiting.result()
        script.end()
    assert recorder.max_tracking_id("up") == 6


def test_a_store_that_does_not_exist_yet(open_factory: OpenFactory, sleepers: SleepWatcher) -> None:
    """The first append of somebody else is noticed by polling."""
    factory = open_factory(**NO_POLLING)
    recorder = factory.tracking_recorder()
    waiting = Task(recorder.wait, "up", 1, PATIENCE_SECONDS)
    sleepers.await_sleep()
    open_factory().tracking_recorder().insert_tracking(Tracking("up", 1))
    waiting.result()


@pytest.mark.parametrize("timeout", [-1, 0, 0.05])
def test_it_times_out(open_factory: OpenFactory, timeout: float) -> None:
    """The error is the one that the library raises, with its text."""
    recorder = recorder_of(open_factory, "tracking")
    with pytest.raises(TimeoutError, match="notification 3 from application 'up'"):
        recorder.wait("up", 3, timeout=timeout)
    interrupt = threading.Event()
    with pytest.raises(TimeoutError):
        recorder.wait("up", 3, timeout=timeout, interrupt=interrupt)


@pytest.mark.parametrize("state", ["absent", "existing"])
def test_an_interrupt_ends_it(
    open_factory: OpenFactory, sleepers: SleepWatcher, state: str
) -> None:
    """Setting the event wakes a waiting thread promptly."""
    if state == "existing":
        recorder_of(open_factory, "tracking")
    recorder = open_factory(**NO_POLLING).tracking_recorder()
    interrupt = threading.Event()
    waiting = Task(lambda: recorder.wait("up", 3, timeout=PATIENCE_SECONDS, interrupt=interrupt))
    sleepers.await_sleep()
    interrupt.set()
    with pytest.raises(WaitInterruptedError):
        waiting.result()
    with pytest.raises(WaitInterruptedError):
        recorder.wait("up", 3, timeout=PATIENCE_SECONDS, interrupt=interrupt)


def test_tracking_beats_an_interrupt(open_factory: OpenFactory) -> None:
    """What is there is found, though the interrupt is set."""
    recorder = recorder_of(open_factory, "tracking")
    interrupt = threading.Event()
    interrupt.set()
    recorder.wait("other", 1, timeout=0, interrupt=interrupt)


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_closing_ends_it(
    open_factory: OpenFactory,
    sleepers: SleepWatcher,
    shared: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    """Closing the recorder under a wait is InterfaceError, as for any call after it."""
    other = recorder_of(open_factory, "tracking") if shared else None
    recorder = (
        recorder_of(open_factory, "tracking")
        if other is None
        else open_factory(**NO_POLLING).tracking_recorder()
    )
    waiting = Task(recorder.wait, "up", 3, PATIENCE_SECONDS)
    sleepers.await_sleep()
    recorder.close()
    with pytest.raises(InterfaceError):
        waiting.result()


def test_a_wait_leaves_no_descriptor_behind(open_factory: OpenFactory) -> None:
    """However it ends."""
    recorder = recorder_of(open_factory, "tracking")
    with pytest.raises(TimeoutError):
        recorder.wait("up", 1, timeout=0.001)  # opens what the process keeps
    before = descriptors_open()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            recorder.wait("up", 1, timeout=0.001)
    assert descriptors_open() == before

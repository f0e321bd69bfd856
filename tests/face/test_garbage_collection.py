"""Applications and subscriptions that are dropped in cycles, collected wherever it may happen.

``__del__`` of the library's applications and subscriptions closes and stops. The collector runs it
in any thread, also in the middle of an append.
"""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import InterfaceError
from eventsourcing.projection import ApplicationSubscription

from aurora_es import AuroraApplicationRecorder
from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.journal import sharing, syncing
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import Record
from aurora_es.recorders import AuroraRecorder
from aurora_es.testing.faulty import FaultyFiles
from tests.face.domain import Counters, ProjectedTotals
from tests.face.support import Task, descriptors_open, event, events, factory_on
from tests.face.watching import NO_POLLING, SleepWatcher
from tests.patience import PATIENCE_SECONDS

# Whoever waits for a lock waits longer than the test does.
_PATIENT = {"AURORA_LOCK_TIMEOUT": "600"}


class Cycle:
    """Something that only the collector can free, with all that it holds."""

    def __init__(self, *things: object) -> None:
        """Close the circle."""
        self.things = (self, *things)


class ClosingCycle(Cycle):
    """The same for recorders, which it closes.

    The library's applications do so through their factory, which knows its recorders weakly; but
    the collector clears the weak references among garbage first, in most versions of Python.
    """

    def __init__(self, *recorders: AuroraRecorder) -> None:
        """Keep the recorders."""
        super().__init__()
        self.recorders = recorders

    def __del__(self) -> None:
        """Close them."""
        for recorder in self.recorders:
            recorder.close()


class Hook:
    """Calls back in the middle of a call: before an operation on a file."""

    def __init__(self, files: FaultyFiles) -> None:
        """Use the file layer that all journals of the test have."""
        self._files = files
        self.called = threading.Event()

    def arm(self, operation: str, callback: Callable[[], object]) -> None:
        """Call back before the next ``operation``, of others than the threads of intervals."""

        def is_of_a_call() -> bool:
            return threading.current_thread().name != "aurora-sync"

        self.arm_if(operation, is_of_a_call, callback)

    def arm_if(
        self, operation: str, condition: Callable[[], bool], callback: Callable[[], object]
    ) -> None:
        """Call back before the next ``operation`` at which ``condition`` holds."""

        def look(name: str) -> None:
            if name == operation and condition():
                self._files.hook = None
                callback()
                self.called.set()

        self._files.hook = look

    def arm_always(self, operation: str, callback: Callable[[], object]) -> None:
        """Call back before every ``operation``."""

        def look(name: str) -> None:
            if name == operation:
                callback()

        self._files.hook = look


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """Let a test act in the middle of an append."""
    faulty = FaultyFiles(SystemFiles(), random.Random(0))
    monkeypatch.setattr(sharing, "SYSTEM_EFFECTS", Effects(faulty))
    return Hook(faulty)


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Let the collector run when the test says so, and leave nothing for the next one."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def recorder(tmp_path: Path, hook: Hook) -> Iterator[AuroraApplicationRecorder]:
    """A recorder with a store of its own."""
    factory = factory_on(tmp_path / "own", **_PATIENT)
    recorder = factory.application_recorder()
    recorder.insert_events([event(1)])
    yield recorder
    factory.close()


def env_of(root: Path, **settings: str) -> dict[str, str]:
    """Settings of an application."""
    return {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": str(root),
        **_PATIENT,
        **NO_POLLING,
        **settings,
    }


def drop_everything(root: Path, sync: str = "always") -> list[weakref.ref[Any]]:
    """Open all kinds of things, use them, and drop them without closing, in cycles."""
    env = env_of(root, AURORA_SYNC=sync)
    application, projection = Counters(env), ProjectedTotals(env)
    application.begin(2)
    subscription = ApplicationSubscription(application)
    next(subscription)
    waiting = application.recorder.subscribe(gt=100)
    follower = vars(waiting)["_follower"]
    for _ in range(3):
        follower.look()
        follower.sleep(0)
    Cycle(application, subscription, waiting)
    Cycle(projection)
    events, snapshots = (
        factory_on(root, "Closed", AURORA_SYNC=sync, **_PATIENT).aggregate_recorder(purpose)
        for purpose in ("events", "snapshots")
    )
    for recorder in (events, snapshots):
        recorder.insert_events([event(1, uuid4())])
    ClosingCycle(events, snapshots)
    return [weakref.ref(one) for one in (application, subscription, waiting, projection, events)]


def collect(things: list[weakref.ref[Any]]) -> None:
    """Run the collector; everything must be gone."""
    gc.collect()
    assert [one() for one in things if one() is not None] == []


@pytest.mark.parametrize("sync", ["always", "never", "10ms"])
def test_nothing_needs_to_be_closed(tmp_path: Path, sync: str) -> None:
    """Dropped applications, projections and subscriptions warn of nothing and free everything."""
    collect(drop_everything(tmp_path / "first", sync))  # opens what the process keeps
    for thread in threading.enumerate():
        if thread.name == "aurora-sync":
            thread.join(PATIENCE_SECONDS)
    before = descriptors_open()
    for _ in range(3):
        collect(drop_everything(tmp_path / "second", sync)[:1])
    for thread in threading.enumerate():
        if thread.name == "aurora-sync":
            thread.join(PATIENCE_SECONDS)
    assert descriptors_open() == before
    with Counters(env_of(tmp_path / "second", AURORA_SYNC=sync)) as application:
        assert application.recorder.max_notification_id() == 9


@pytest.mark.parametrize("operation", ["flock", "pread", "pwrite", "fdatasync"])
@pytest.mark.parametrize("sync", ["always", "never", "10ms"])
def test_collecting_in_the_middle_of_an_append(
    tmp_path: Path, recorder: AuroraApplicationRecorder, hook: Hook, operation: str, sync: str
) -> None:
    """The appending thread closes other applications' journals, and goes on."""
    things = drop_everything(tmp_path / "garbage", sync)
    hook.arm(operation, lambda: collect(things))
    assert Task(lambda: recorder.insert_events([event(2)])).result() == [2]
    assert hook.called.is_set()


@pytest.mark.parametrize("operation", ["pwrite", "fdatasync"])
def test_collecting_users_of_the_same_journal(tmp_path: Path, hook: Hook, operation: str) -> None:
    """Garbage that has leased the journal which is being appended to does no harm."""
    application = Counters(env_of(tmp_path))
    counter_id = application.begin(0)
    things = drop_everything(tmp_path)
    hook.arm(operation, lambda: collect(things))
    assert Task(lambda: application.tick(counter_id)).result() == 5
    assert hook.called.is_set()
    application.close()


def test_collecting_in_another_thread(
    tmp_path: Path, recorder: AuroraApplicationRecorder, hook: Hook
) -> None:
    """While one thread is in the middle of an append, another one collects."""
    things = drop_everything(tmp_path / "garbage")
    hook.arm("pwrite", lambda: Task(lambda: collect(things)).result())
    assert recorder.insert_events([event(2)]) == [2]
    assert hook.called.is_set()


def test_collecting_while_another_thread_closes(
    tmp_path: Path,
    recorder: AuroraApplicationRecorder,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One thread waits for the append to end, and in the append garbage wants to be closed."""
    things = drop_everything(tmp_path / "garbage")
    closes = threading.Event()
    close = Journal.close

    def watched(journal: Journal) -> None:
        closes.set()
        close(journal)

    def act() -> None:
        monkeypatch.setattr(Journal, "close", watched)
        closing.append(Task(recorder.close))
        assert closes.wait(PATIENCE_SECONDS)
        collect(things)

    closing: list[Task[None]] = []
    hook.arm("pwrite", act)
    assert Task(lambda: recorder.insert_events([event(2)])).result() == [2]
    closing[0].result()


def test_collecting_while_another_thread_opens(
    tmp_path: Path, recorder: AuroraApplicationRecorder, hook: Hook
) -> None:
    """Opening may take long, as it recovers; no append and no collector waits for it."""
    seed = factory_on(tmp_path / "other")
    seed.application_recorder().insert_events(events(3))
    seed.close()
    things = drop_everything(tmp_path / "garbage")
    opens, go_on = threading.Event(), threading.Event()

    def act() -> None:
        factory = factory_on(tmp_path / "other", **_PATIENT)

        def pause() -> None:
            opens.set()
            assert go_on.wait(PATIENCE_SECONDS)

        def open_slowly() -> None:
            # In the middle of opening, until the append below is done.
            hook.arm("stat", pause)
            factory.application_recorder()
            factory.close()

        opening.append(Task(open_slowly))
        assert opens.wait(PATIENCE_SECONDS)
        collect(things)

    opening: list[Task[None]] = []
    hook.arm("pwrite", act)
    assert Task(lambda: recorder.insert_events([event(2)])).result() == [2]
    go_on.set()
    opening[0].result()


class CollectingTable(weakref.WeakValueDictionary[Any, Any]):
    """A table of journals in the middle of whose use garbage is collected."""

    def get(self, key: Any, default: Any = None) -> Any:
        """Look up, and collect."""
        found = super().get(key, default)
        gc.collect()
        return found

    def items(self) -> Iterator[tuple[Any, Any]]:  # type: ignore[override]
        """Iterate, and collect on the way."""
        for item in super().items():
            yield item
            gc.collect()


def test_collecting_while_a_journal_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage that gives a journal back, in the middle of the same for another one, harms nobody."""
    monkeypatch.setattr(sharing._shared, "_journals", CollectingTable())
    recorders = [factory_on(tmp_path / name).application_recorder() for name in "abcd"]
    for recorder in recorders:
        recorder.insert_events([event(1)])
    journals = [recorder.journal for recorder in recorders]
    first, *others = recorders
    ClosingCycle(*others)
    del recorder, recorders, others
    first.close()
    assert [journal.handle.closed for journal in journals] == [True] * 4
    assert len(sharing._shared._journals) == 0


def test_an_application_collected_in_its_own_append(tmp_path: Path, hook: Hook) -> None:
    """Who keeps only the recorder may lose the application in the middle of an append."""
    application = Counters(env_of(tmp_path))
    application.begin(0)
    recorder = application.recorder
    Cycle(application)
    things: list[weakref.ref[Any]] = [weakref.ref(application)]
    del application
    hook.arm("pwrite", lambda: collect(things))
    assert Task(lambda: recorder.insert_events([event(1)])).result() == [2]
    assert hook.called.is_set()


@pytest.mark.parametrize("operation", ["flock", "pread", "pwrite"])
# An interval of a minute: its own thread would meet the collector before the append does.
@pytest.mark.parametrize("sync", ["always", "never", "60000ms"])
def test_a_recorder_closed_by_garbage_in_its_own_append(
    tmp_path: Path, hook: Hook, operation: str, sync: str
) -> None:
    """The append is finished at once, and then the recorder is closed."""
    recorder = factory_on(tmp_path, AURORA_SYNC=sync, **_PATIENT).application_recorder()
    recorder.insert_events([event(1)])
    handle = recorder.journal.handle
    ClosingCycle(recorder)
    hook.arm_if(operation, handle.append_mutex._is_owned, gc.collect)  # type: ignore[attr-defined]
    assert Task(lambda: recorder.insert_events([event(2)])).result() == [2]
    assert hook.called.is_set()
    assert handle.closed
    with pytest.raises(InterfaceError):
        recorder.insert_events([event(3)])
    again = factory_on(tmp_path).application_recorder()
    assert again.max_notification_id() == 2
    again.close()


# Of a minute: the thread of the interval must not be the one that catches up.
@pytest.mark.parametrize("sync", ["always", "never", "60000ms"])
def test_a_recorder_closed_by_garbage_in_its_own_read(
    tmp_path: Path, hook: Hook, sync: str
) -> None:
    """A read that catches up with another process is finished, and then the recorder is closed."""
    recorder = factory_on(tmp_path, AURORA_SYNC=sync, **_PATIENT).application_recorder()
    recorder.insert_events([event(1)])
    handle = recorder.journal.handle
    with Journal.open(handle.path) as other:
        other.append([Record(topic="topic", state=b"")])
    ClosingCycle(recorder)
    hook.arm_if("pread", handle.index_lock.locked, gc.collect)
    assert Task(recorder.max_notification_id).result() == 2
    assert hook.called.is_set()
    assert handle.closed


def test_a_recorder_closed_by_garbage_in_the_sync_of_its_interval(
    tmp_path: Path, hook: Hook
) -> None:
    """The thread that syncs catches up too; it closes what is garbage once it holds no lock."""
    recorder = factory_on(tmp_path, AURORA_SYNC="60000ms", **_PATIENT).application_recorder()
    recorder.insert_events([event(1)])
    handle = recorder.journal.handle
    with Journal.open(handle.path) as other:
        other.append([Record(topic="topic", state=b"")])
        ClosingCycle(recorder)
        hook.arm_if("pread", handle.index_lock.locked, gc.collect)
        Task(syncing._sync_once, handle).result()
        assert hook.called.is_set()
        assert handle.closed
        with pytest.raises(InterfaceError):
            recorder.max_notification_id()
        assert other.last_position == 2


@pytest.mark.parametrize("sync", ["always", "never", "10ms"])
def test_closing_crosswise(tmp_path: Path, hook: Hook, sync: str) -> None:
    """Two threads append, and each closes, in the middle of it, what the other appends to."""
    pair = [
        factory_on(tmp_path / name, AURORA_SYNC=sync, **_PATIENT).application_recorder()
        for name in "ab"
    ]
    for recorder in pair:
        recorder.insert_events([event(1)])
    handles = [recorder.journal.handle for recorder in pair]
    both_append = threading.Barrier(2)
    closing: dict[int, AuroraRecorder] = {}

    def close_the_other() -> None:
        other = closing.pop(threading.get_ident(), None)
        if other is not None:
            both_append.wait(PATIENCE_SECONDS)
            other.close()

    def append(own: AuroraApplicationRecorder, other: AuroraRecorder) -> object:
        closing[threading.get_ident()] = other
        return own.insert_events([event(2)])

    hook.arm_always("pwrite", close_the_other)
    first, second = pair
    appending = [Task(append, first, second), Task(append, second, first)]
    assert [each.result() for each in appending] == [[2], [2]]
    assert [handle.closed for handle in handles] == [True, True]


def test_a_sleeping_subscription_of_a_dropped_application(
    tmp_path: Path, sleepers: SleepWatcher
) -> None:
    """It may go on, as it holds the recorder, or end; it does not hang."""
    application = Counters(env_of(tmp_path))
    application.begin(1)
    subscription = application.recorder.subscribe()
    following = Task(lambda: [one.id for one in subscription])
    sleepers.await_sleep()
    Cycle(application)
    things: list[weakref.ref[Any]] = [weakref.ref(application)]
    del application
    collect(things)
    with Counters(env_of(tmp_path)) as another:
        another.begin(0)
        subscription.stop()
    assert following.result() in ([1, 2], [1, 2, 3])


def test_automatic_collections_during_appends(tmp_path: Path) -> None:
    """With the collector running all the time, threads append, drop applications and subscribe."""
    gc.enable()
    thresholds = gc.get_threshold()
    gc.set_threshold(50, 2, 2)

    def work(number: int) -> int:
        recorder = factory_on(tmp_path / "own", **_PATIENT).application_recorder()
        for version in range(1, 16):
            drop_everything(tmp_path / f"garbage {version % 3}")
            recorder.insert_events([event(version, f"thread {number}")])
        recorder.close()
        return version

    try:
        tasks = [Task(work, at) for at in range(3)]
        assert [task.result() for task in tasks] == [15, 15, 15]
    finally:
        gc.set_threshold(*thresholds)
    factory = factory_on(tmp_path / "own")
    assert factory.application_recorder().max_notification_id() == 45
    factory.close()

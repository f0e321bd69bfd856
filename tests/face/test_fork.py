"""After a fork recorders reopen by themselves in the child; subscriptions of before do not."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.face.support import SCRATCH, Script, factory_on
from tests.fault.figures import Figures

_SCRIPT_SECONDS = 600.0  # only one that hangs takes so long: some fork many times
_PREPARE = """
import os, sys, threading
from eventsourcing.persistence import (
    InterfaceError, StoredEvent, Tracking, WaitInterruptedError,
)
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory

def event(name, version):
    return StoredEvent(name, version, "t", b"")

def factory_of(**settings):
    settings.setdefault("AURORA_PATH", sys.argv[1])
    settings.setdefault("AURORA_BACKGROUND", "n")  # see tests/conftest.py
    return AuroraFactory(Environment("App", settings))

def in_child(job):
    # Returns a function that waits for the child.
    pid = os.fork()
    if pid:
        return lambda: check(os.waitpid(pid, 0)[1])
    code = 1
    try:
        job()
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)

def check(status):
    assert status == 0, f"the child ended with {status}"
"""

# Everything that was open before the fork, used in the child and in the parent, again and again.
_BOTH_APPEND = """
factory = factory_of(AURORA_SYNC=sys.argv[2], AURORA_ROLL_CYCLE="10events")
recorder, tracking = factory.process_recorder(), factory.tracking_recorder()
snapshots = factory.aggregate_recorder("snapshots")
length, forks = int(sys.argv[3]), int(sys.argv[4])

def child(number):
    name, at = f"child {number}", 2 * number + 2
    assert recorder.max_notification_id() > number * (2 * length + 1)
    assert recorder.select_events(f"parent {number}", limit=1) == [event(f"parent {number}", 0)]
    assert recorder.max_tracking_id("up") == at - 1
    for version in range(length):
        recorder.insert_events([event(name, version)])
    recorder.insert_events([], tracking=Tracking("up", at))
    snapshots.insert_events([event(name, 0)])
    tracking.insert_tracking(Tracking("up", at))
    assert absent.select_events(name) == []
    absent.insert_events([event(name, 0)])
    assert len(recorder.select_events(name)) == length
    factory.close()
    try:
        recorder.max_notification_id()
    except InterfaceError:
        pass
    else:
        raise AssertionError("closed, and yet it reads")

for number in range(forks):
    name, at = f"parent {number}", 2 * number + 1
    absent = factory.aggregate_recorder(f"absent{number}")
    recorder.insert_events([event(name, 0)], tracking=Tracking("up", at))
    snapshots.insert_events([event(name, 0)])
    tracking.insert_tracking(Tracking("up", at))
    wait = in_child(lambda: child(number))
    for version in range(1, length + 1):
        recorder.insert_events([event(name, version)])
    wait()
    assert recorder.max_notification_id() == (number + 1) * (2 * length + 1)
    assert recorder.max_tracking_id("up") == tracking.max_tracking_id("up") == at + 1
    assert len(snapshots.select_events(f"child {number}")) == 1
    assert len(absent.select_events(f"child {number}")) == 1
recorder.insert_events([event("last", 0)])
factory.close()
"""

# A subscription made before is finished in the child, a new one works; the parent's goes on.
_SUBSCRIPTIONS = """
factory = factory_of(AURORA_POLL_INTERVAL="3600")
recorder = factory.process_recorder()
if sys.argv[2] == "existing":
    recorder.insert_events([event("parent", 0)])
subscription = recorder.subscribe()
seen = []
if sys.argv[2] == "existing":
    seen.append(next(subscription).originator_version)
    try:
        recorder.wait("nobody", 1, timeout=0.001)
    except TimeoutError:
        pass

def follow():
    for notification in subscription:
        seen.append(notification.originator_version)
        if notification.topic == "end":
            break

thread = threading.Thread(target=follow)
thread.start()

def child():
    for _ in range(2):
        try:
            next(subscription)
        except (InterfaceError, StopIteration):
            pass
        else:
            raise AssertionError("the parent's subscription yields in the child")
    subscription.stop()
    assert list(subscription) == []
    mine = recorder.subscribe()
    recorder.insert_events([event("child", 1)])
    while next(mine).originator_id != "child":
        pass
    mine.stop()
    waiting = threading.Thread(target=lambda: recorder.wait("up", 1, timeout=180))
    waiting.start()
    recorder.insert_tracking(Tracking("up", 1))
    waiting.join(180)
    assert not waiting.is_alive()

wait = in_child(child)
wait()
recorder.insert_events([StoredEvent("parent", 2, "end", b"")])
thread.join(180)
assert not thread.is_alive()
assert seen == ([0] if sys.argv[2] == "existing" else []) + [1, 2], seen
factory.close()
"""

# Forks, eight at a time, while other threads are in the middle of appends, openings and closings.
_BUSY = """
factory = factory_of(AURORA_LOCK_TIMEOUT="180", AURORA_SYNC=sys.argv[2])
waves = int(sys.argv[3])
recorder = factory.application_recorder()
recorder.insert_events([event("first", 0)])
stopping = threading.Event()
counts = [0, 0]

def append(number):
    while not stopping.wait(0.001):  # or the children get no turn of two cores
        recorder.insert_events([event(f"thread {number}", counts[number])])
        counts[number] += 1

def open_and_close():
    while not stopping.wait(0.001):
        other = AuroraFactory(Environment("Other", {"AURORA_PATH": sys.argv[1]}))
        other.application_recorder().max_notification_id()
        AuroraFactory(Environment("Memory", {"AURORA_PATH": ":memory:"}))
        other.close()

threads = [threading.Thread(target=append, args=(number,)) for number in range(2)]
threads.append(threading.Thread(target=open_and_close))
for thread in threads:
    thread.start()

def child(number):
    for version in range(3):
        recorder.insert_events([event(f"child {number}", version)])
    assert len(recorder.select_events(f"child {number}")) == 3
    # By a name of its own: what the parent has open at the fork is shared with it.
    fresh = AuroraFactory(Environment(f"Memory {number}", {"AURORA_PATH": ":memory:"}))
    fresh.application_recorder().insert_events([event("child", 0)])
    fresh.close()
    AuroraFactory(Environment("Other", {"AURORA_PATH": sys.argv[1]})).application_recorder().insert_events([event(f"child {number}", 0)])

for wave in range(waves):
    waits = [in_child(lambda: child(number)) for number in range(8 * wave, 8 * wave + 8)]
    for wait in waits:
        wait()
stopping.set()
for thread in threads:
    thread.join()
assert recorder.max_notification_id() == 1 + waves * 8 * 3 + sum(counts)
factory.close()
"""

# A child of a child, and a child that ends as an ordinary process does.
_GENERATIONS = """
factory = factory_of(AURORA_SYNC="20ms")
recorder = factory.application_recorder()
recorder.insert_events([event("first", 0)])

def grandchild():
    recorder.insert_events([event("third", 0)])

def child():
    wait = in_child(grandchild)
    recorder.insert_events([event("second", 0)])
    wait()
    recorder.insert_events([event("second", 1)])

in_child(child)()
pid = os.fork()
if pid == 0:
    recorder.insert_events([event("fourth", 0)])
    sys.exit(0)
check(os.waitpid(pid, 0)[1])
assert recorder.max_notification_id() == 5
print("parent")
"""

_MEMORY = """
factory = factory_of(AURORA_PATH=":memory:")
recorder = factory.application_recorder()
recorder.insert_events([event("parent", 0)])
root = factory.store.root
pid = os.fork()
if pid == 0:
    assert recorder.max_notification_id() == 1
    recorder.insert_events([event("child", 0)])
    factory.close()
    del factory, recorder
    sys.exit(0)
check(os.waitpid(pid, 0)[1])
assert os.path.isdir(root)
assert recorder.max_notification_id() == 2
factory.close()
del factory, recorder
assert not os.path.isdir(root)
"""

# Other threads hold, at the fork, the locks that openings need.
_HELD = """
from aurora_es.files import memory
from aurora_es.journal import sharing
factory = factory_of()
recorder = factory.application_recorder()
recorder.insert_events([event("parent", 0)])
handle = recorder.journal.handle
locks = [
    memory._lock, sharing._shared._lock, handle.attach_mutex, handle.append_mutex, handle.index_lock
]
held, release = threading.Event(), threading.Event()

def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    release.wait()
    for lock in locks:
        lock.release()

def child():
    assert recorder.insert_events([event("child", 0)]) == [2]
    for path in (sys.argv[1], ":memory:"):
        other = AuroraFactory(Environment("Other", {"AURORA_PATH": path}))
        assert other.application_recorder().insert_events([event("child", 0)]) == [1]
        other.close()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
wait = in_child(child)
wait()
release.set()
thread.join()
assert recorder.max_notification_id() == 2
factory.close()
"""

# What was closed, or had failed, before the fork stays so in the child.
_CLOSED = """
factory = factory_of()
recorder, other = factory.application_recorder(), factory.application_recorder()
other.insert_events([event("parent", 0)])
recorder.close()

def child():
    try:
        recorder.max_notification_id()
    except InterfaceError:
        pass
    else:
        raise AssertionError("closed, and yet it reads")
    recorder.close()
    assert other.insert_events([event("child", 0)]) == [2]

in_child(child)()
assert other.max_notification_id() == 2
factory.close()
"""

# A thread imports late, which takes its time, while another one forks.
_IMPORT = """
from importlib.util import find_spec

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name != sys.argv[3]:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        execute = spec.loader.exec_module

        def execute_slowly(module):
            importing.set()
            threading.Event().wait(0.2)  # that a fork waits cannot be seen from outside
            execute(module)
            executed.append(name)

        spec.loader.exec_module = execute_slowly
        return spec

importing, executed = threading.Event(), []
sys.meta_path.insert(0, Slow())
factory = factory_of(AURORA_COMPRESSION=sys.argv[2])
recorder = factory.process_recorder()

def use():
    recorder.insert_events([StoredEvent("parent", 0, "t", bytes(1000))])
    subscription = recorder.subscribe()
    next(subscription)
    subscription._follower.sleep(0)  # registers
    subscription._follower.sleep(0)
    subscription.stop()

def child():
    assert executed
    recorder.insert_events([StoredEvent("child", 0, "t", bytes(1000))])
    subscription = recorder.subscribe()
    assert {next(subscription).originator_id for _ in range(2)} == {"parent", "child"}
    waiting = threading.Thread(target=lambda: recorder.wait("up", 1, timeout=180))
    waiting.start()
    recorder.insert_tracking(Tracking("up", 1))
    waiting.join(180)
    assert not waiting.is_alive()

thread = threading.Thread(target=use)
thread.start()
assert importing.wait(180)
wait = in_child(child)
thread.join()
wait()
factory.close()
"""


def run(source: str, *arguments: str) -> str:
    """Run a script that must end well and complain of nothing."""
    with Script(_PREPARE + source, *arguments) as script:
        return script.end(_SCRIPT_SECONDS)


def both_append(root: Path, sync: str, length: int, forks: int) -> None:
    """Fork, and append in both; everything is there once, in order."""
    run(_BOTH_APPEND, str(root), sync, str(length), str(forks))
    recorder = factory_on(root).application_recorder()
    for number in range(forks):
        for name, count in (("parent", length + 1), ("child", length)):
            found = recorder.select_events(f"{name} {number}")
            assert [one.originator_version for one in found] == [*range(count)]
    recorder.close()


@pytest.mark.parametrize("sync", ["always", "never", "20ms"])
def test_parent_and_child_append(tmp_path: Path, sync: str) -> None:
    """Recorders of before the fork work in both, at the same time, and closing is separate."""
    both_append(tmp_path, sync, 30, 1)


@pytest.mark.parametrize("state", ["absent", "existing"])
def test_subscriptions(tmp_path: Path, state: str) -> None:
    """In the child the parent's end or raise, and new ones work; the parent's sees the child."""
    run(_SUBSCRIPTIONS, str(tmp_path), state)


def test_forks_beside_busy_threads(tmp_path: Path) -> None:
    """Locks that other threads held at the fork stop nobody, and nothing is lost."""
    run(_BUSY, str(tmp_path), "always", "1")


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_many_forks(reliability_factor: int) -> None:
    """The same many times, where syncs cost nothing, for forks are what is counted."""
    modes, count = ("always", "never", "20ms"), -(-reliability_factor // 2)
    with Figures("E10", "forks beside busy threads", "fork") as figures:
        for number in range(count):
            with TemporaryDirectory(dir=SCRATCH) as root:
                run(_BUSY, root, modes[number % 3], "3")
            figures.trials += 3 * 8
    with Figures("E10", "forks, parent and child append", "fork") as figures:
        for number in range(count):
            with TemporaryDirectory(dir=SCRATCH) as root:
                both_append(Path(root), modes[number % 3], 10, 20)
            figures.trials += 20


def test_locks_held_at_the_fork(tmp_path: Path) -> None:
    """The threads that hold them do not exist in the child; it has locks of its own."""
    run(_HELD, str(tmp_path))


def test_children_of_children(tmp_path: Path) -> None:
    """Each generation reopens; a child that exits normally takes nothing with it."""
    assert run(_GENERATIONS, str(tmp_path)) == "parent\n"


def test_a_memory_store(tmp_path: Path) -> None:
    """The child uses its parent's directory and does not remove it."""
    run(_MEMORY, str(tmp_path))


def test_closed_stays_closed(tmp_path: Path) -> None:
    """A fork opens nothing that was closed."""
    run(_CLOSED, str(tmp_path))


@pytest.mark.parametrize(
    ("compression", "module"),
    [
        ("lz4", "lz4.block"),
        ("snappy", "cramjam"),
        ("none", "ctypes"),
        ("none", "ctypes._endian"),
        ("none", "aurora_es.files._inotify"),
    ],
)
def test_a_fork_in_the_middle_of_a_late_import(
    tmp_path: Path, compression: str, module: str
) -> None:
    """It waits for the import, so that the child finds a whole module and no lock of a thread."""
    run(_IMPORT, str(tmp_path), compression, module)

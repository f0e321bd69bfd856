"""Waiters that are closed, dropped or inherited: nothing leaked, nothing shared with a fork child."""

import gc
import threading
from pathlib import Path

import pytest

from aurora_es.files._bell import Bell
from aurora_es.files.wakeups import Wakeups, process_wakeups
from tests.files.marks import (
    JOIN_S,
    PATIENCE_S,
    Mark,
    in_thread,
    kernel_wakeups,
    linux_only,
    open_descriptors,
    output_of,
    waited_s,
    watched_files,
)


def test_a_closed_waiter_does_not_wait(wakeups: Wakeups, mark: Mark) -> None:
    """Closing twice is no error, and nothing that is called afterwards is."""
    waiter = wakeups.waiter(mark.path)
    assert not waiter.closed
    for _ in range(2):
        waiter.close()
        assert waiter.closed
        assert not waiter.forked
        waiter.wake()
        waiter.progress()
        assert waited_s(waiter) < PATIENCE_S


def test_closing_ends_a_wait_in_progress(wakeups: Wakeups, mark: Mark) -> None:
    """A thread that waits again and again ends when another one closes the waiter."""
    waiter = wakeups.waiter(mark.path)
    waits = threading.Semaphore(0)

    def wait_until_closed() -> float:
        longest = 0.0
        while not waiter.closed:
            waits.release()
            longest = max(longest, waited_s(waiter))
        return longest

    waiting = in_thread(wait_until_closed)
    assert waits.acquire(timeout=PATIENCE_S)
    waiter.close()
    assert waiting.result(JOIN_S) < PATIENCE_S


def test_a_file_that_is_not_there_cannot_be_waited_for(wakeups: Wakeups, tmp_path: Path) -> None:
    """A missing mark is an error at once, not a wait without end."""
    with pytest.raises(FileNotFoundError):
        wakeups.waiter(str(tmp_path / "missing"))


def test_a_late_ring_does_not_reach_a_file_that_got_the_number(mark: Mark, tmp_path: Path) -> None:
    """A bell in use by wake keeps its descriptor although the waiter is closed meanwhile."""
    waiter = kernel_wakeups().waiter(mark.path)
    bell = waiter._bell
    assert bell is not None
    waiter.close()
    with open(tmp_path / "segment", "wb", buffering=0) as segment:
        assert segment.fileno() != bell.descriptor
        bell.ring()
        assert segment.tell() == 0


@linux_only
def test_closed_and_dropped_waiters_free_their_descriptors(wakeups: Wakeups, mark: Mark) -> None:
    """Descriptors are freed by close, by the last reference, and by the cycle collector."""
    gc.collect()  # what other tests have left
    keeper = wakeups.waiter(mark.path)  # opens the kernel's watcher
    before = open_descriptors()
    waiters = [wakeups.waiter(mark.path) for _ in range(10)]
    assert open_descriptors() == before + 10
    for waiter in waiters:
        waiter.close()
    assert open_descriptors() == before
    waiters = [wakeups.waiter(mark.path) for _ in range(10)]
    del waiters, waiter
    assert open_descriptors() == before
    cycle: list[object] = [wakeups.waiter(mark.path)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert open_descriptors() == before
    keeper.close()
    assert open_descriptors() == before - 1


@linux_only
def test_the_last_waiter_of_a_file_ends_its_watch(mark: Mark, other_mark: Mark) -> None:
    """The kernel watches a file as long as somebody waits for it, and leaves no events behind."""
    wakeups = kernel_wakeups()
    first, second = wakeups.waiter(mark.path), wakeups.waiter(mark.path)
    other = wakeups.waiter(other_mark.path)
    assert watched_files(wakeups) == 2
    first.close()
    assert watched_files(wakeups) == 2
    second.close()
    assert watched_files(wakeups) == 1
    del other
    assert watched_files(wakeups) == 0
    assert wakeups._watcher is not None
    assert wakeups._watcher.read() is None
    again = wakeups.waiter(mark.path)
    mark.write(1)
    assert waited_s(again) < PATIENCE_S


@linux_only
def test_a_waiter_dropped_while_the_lock_is_held_is_seen_to_later(
    mark: Mark, other_mark: Mark
) -> None:
    """Garbage collection never waits for the lock, and whoever holds it settles what is due."""
    wakeups = kernel_wakeups()
    waiter = wakeups.waiter(mark.path)
    with wakeups._lock:
        del waiter
        assert watched_files(wakeups) == 1
    other = wakeups.waiter(other_mark.path)
    assert watched_files(wakeups) == 1
    other.close()
    assert not wakeups._watches


def test_wake_and_close_need_no_lock_during_garbage_collection(mark: Mark) -> None:
    """A finalizer that runs in the thread that holds the lock may wake and close."""
    wakeups = kernel_wakeups()
    waiter, closed = wakeups.waiter(mark.path), wakeups.waiter(mark.path)

    class Dropped:
        def __del__(self) -> None:
            waiter.wake()
            closed.close()

    cycle: list[object] = [Dropped()]
    cycle.append(cycle)
    with wakeups._lock:
        del cycle
        gc.collect()
    assert waited_s(waiter) < PATIENCE_S
    assert closed.closed


def test_a_pipe_serves_where_eventfd_is_missing(
    monkeypatch: pytest.MonkeyPatch, mark: Mark
) -> None:
    """More wakes than a pipe holds are no error, and one wait takes them all."""
    monkeypatch.setattr(Bell, "open", Bell.open_pipe)
    waiter = kernel_wakeups().waiter(mark.path)
    for _ in range(10_000):
        waiter.wake()
    assert waited_s(waiter) < PATIENCE_S
    assert waited_s(waiter, 0.05) >= 0.05
    waiter.close()


def test_a_process_that_ends_with_waiters_is_silent(mark: Mark) -> None:
    """Waiters in globals, in cycles and in a daemon thread's wait print nothing at exit."""
    script = """
import sys, threading
from aurora_es.files.wakeups import process_wakeups
waiter = process_wakeups().waiter(sys.argv[1])
cycle = [process_wakeups().waiter(sys.argv[1])]
cycle.append(cycle)
sys.modules["kept"] = process_wakeups().waiter(sys.argv[1])
started = threading.Event()
def wait():
    own = process_wakeups().waiter(sys.argv[1])
    started.set()
    own.wait(180)
threading.Thread(target=wait, daemon=True).start()
started.wait(180)
"""
    assert output_of(script, mark.path) == ""


def test_nothing_of_the_kernel_is_loaded_before_somebody_waits() -> None:
    """Importing the module does not pay for a watcher."""
    script = """
import sys
import aurora_es.files.wakeups
print([name for name in sys.modules if name.endswith(("_inotify", "_kqueue"))])
"""
    assert output_of(script) == "[]\n"


# Forks


def test_there_is_one_instance_for_the_process(mark: Mark) -> None:
    """All callers share the instance, and its waiters work."""
    assert process_wakeups() is process_wakeups()
    waiter = process_wakeups().waiter(mark.path)
    mark.write(1)
    assert waited_s(waiter) < PATIENCE_S
    waiter.close()


FORK_SCRIPT = """
import gc, os, sys, threading, time
from pathlib import Path
from aurora_es.errors import ForkedHandle
from aurora_es.files.wakeups import process_wakeups
from tests.files.marks import Mark, PATIENCE_S, waited_s

def watchers():
    links = (os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
             if os.path.islink(f"/proc/self/fd/{name}"))
    return sum("inotify" in link for link in links)

mark = Mark(Path(sys.argv[1]))
inherited = process_wakeups()
inherited._file_system_type = lambda path: "ext4"
waiter, background = inherited.waiter(mark.path), inherited.waiter(mark.path)
started = threading.Event()
def wait_in_background():
    while not background.closed:
        started.set()
        background.wait(PATIENCE_S)
thread = threading.Thread(target=wait_in_background)
thread.start()
started.wait(PATIENCE_S)
with inherited._lock:
    child = os.fork()
    if child == 0:
        assert waiter.forked and waiter.closed and background.closed
        assert waited_s(waiter) < PATIENCE_S and waited_s(background) < PATIENCE_S
        waiter.wake()
        try:
            inherited.waiter(mark.path)
        except ForkedHandle:
            pass
        else:
            raise AssertionError
        anew = process_wakeups()
        anew._file_system_type = lambda path: "ext4"
        assert anew is not inherited and process_wakeups() is anew
        assert watchers() == 0
        own = anew.waiter(mark.path)
        assert watchers() == 1 and not own.polling
        mark.write(1)
        assert waited_s(own) < PATIENCE_S
        count = len(os.listdir("/proc/self/fd"))
        waiter.close()
        del waiter
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == count - 1
        own.close()
        print("child", flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
assert not waiter.forked and not waiter.closed and process_wakeups() is inherited
mark_seen = waited_s(waiter) < PATIENCE_S
background.close()
thread.join(PATIENCE_S)
mark.write(2)
assert mark_seen and waited_s(waiter) < PATIENCE_S and watchers() == 1
print("parent", flush=True)
"""


@linux_only
def test_a_fork_child_starts_anew_and_takes_nothing_from_its_parent(mark: Mark) -> None:
    """The child's inherited waiters are closed, its own work; the parent loses no wake-up."""
    assert output_of(FORK_SCRIPT, mark.path) == "child\nparent\n"

"""Waiting for a mark: no wake-up lost, nothing leaked, nothing shared with a fork child."""

import errno
import gc
import logging
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import pytest

from aurora_es.files._bell import Bell
from aurora_es.files.wakeups import Waiter, Wakeups, process_wakeups

ROOT = Path(__file__).parents[2]
PATIENCE_S = 5.0  # a wait that lasts this long was not woken
JOIN_S = 60.0
ROUNDS = 2_000

Result = TypeVar("Result")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def kernel_wakeups() -> Wakeups:
    """Return wake-ups that ask the kernel wherever the tests' directory is."""
    return Wakeups(file_system_type=lambda path: "ext4")


def polled_wakeups() -> Wakeups:
    """Return wake-ups that poll wherever the tests' directory is."""
    return Wakeups(file_system_type=lambda path: "overlay")


class Mark:
    """A file with a counter that is overwritten in place, as a journal's mark is."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.write_bytes(bytes(8))
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, value: int) -> None:
        """Publish a value."""
        os.pwrite(self._descriptor, value.to_bytes(8, "little"), 0)

    def look(self) -> int:
        """Return the value published last."""
        return int.from_bytes(os.pread(self._descriptor, 8, 0), "little")

    def close(self) -> None:
        """Free the descriptor."""
        os.close(self._descriptor)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Mark]:
    """Return a mark."""
    mark = Mark(tmp_path / "mark")
    yield mark
    mark.close()


@pytest.fixture
def other_mark(tmp_path: Path) -> Iterator[Mark]:
    """Return the mark of another journal."""
    mark = Mark(tmp_path / "other")
    yield mark
    mark.close()


@pytest.fixture(params=[kernel_wakeups, polled_wakeups], ids=["kernel", "polled"])
def wakeups(request: pytest.FixtureRequest) -> Wakeups:
    """Return wake-ups of each kind."""
    made = request.param()
    assert isinstance(made, Wakeups)
    return made


def waited_s(waiter: Waiter, timeout: float = PATIENCE_S) -> float:
    """Wait once and return how long that took."""
    start = time.monotonic()
    waiter.wait(timeout)
    return time.monotonic() - start


def wait_for(waiter: Waiter, mark: Mark, value: int) -> int:
    """Look and wait until the mark has a value; return how many waits were not woken."""
    missed = 0
    while mark.look() < value:
        missed += waited_s(waiter) >= PATIENCE_S
    waiter.progress()
    return missed


def in_thread(function: Callable[[], Result]) -> "Future[Result]":
    """Run a function in a thread of its own."""
    executor = ThreadPoolExecutor(1)
    future = executor.submit(function)
    executor.shutdown(wait=False)
    return future


def open_descriptors() -> int:
    """Count this process's descriptors."""
    return len(os.listdir("/proc/self/fd"))


def watched_files(wakeups: Wakeups) -> int:
    """Count the files that the kernel watches for these wake-ups."""
    assert wakeups._watcher is not None
    text = Path(f"/proc/self/fdinfo/{wakeups._watcher.descriptor}").read_text("ascii")
    return text.count("inotify wd:")


@contextmanager
def python(script: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a script in another process, with its input and output as pipes."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output_of(script: str, *arguments: str) -> str:
    """Run a script in another process and return all that it printed, errors included."""
    with python(script, *arguments) as process:
        output, errors = process.communicate(timeout=JOIN_S)
        return output + errors


def stream(pipe: IO[str] | None) -> IO[str]:
    """Return a pipe of a subprocess, which exists."""
    assert pipe is not None
    return pipe


class FakeWatcher:
    """A kernel watcher that says what a test wants."""

    def __init__(
        self, read: Callable[[], dict[int, bool] | None], *, add_error: int | None = None
    ) -> None:
        self._bell = Bell.open()
        self._bell.ring()
        self.descriptor = self._bell.descriptor
        self._add_error = add_error
        self.read = read

    def add(self, path: str) -> int:
        """Give each path a key."""
        if self._add_error is not None:
            raise OSError(self._add_error, os.strerror(self._add_error))
        return hash(path)

    def remove(self, key: int) -> None:
        """Forget nothing."""

    def abandon(self) -> None:
        """Share nothing."""


# Waiting and waking


def test_a_change_before_the_wait_ends_it(wakeups: Wakeups, mark: Mark) -> None:
    """What happens between the look at the mark and the wait is not lost."""
    waiter = wakeups.waiter(mark.path)
    for value in range(1, 4):
        mark.write(value)
        assert waited_s(waiter) < PATIENCE_S


def test_a_change_by_another_process_ends_the_wait(wakeups: Wakeups, mark: Mark) -> None:
    """A writer in another process wakes a waiter of this one."""
    script = "import sys\nsys.stdin.readline()\nopen(sys.argv[1], 'r+b').write(b'\\1')"
    waiter = wakeups.waiter(mark.path)
    with python(script, mark.path) as writer:
        waiting = in_thread(lambda: wait_for(waiter, mark, 1))
        stream(writer.stdin).write("\n")
        stream(writer.stdin).flush()
        assert waiting.result(JOIN_S) == 0
    assert mark.look() == 1


def test_a_wait_without_a_change_ends_in_time(mark: Mark) -> None:
    """With nothing to tell, a wait lasts as long as asked and not longer."""
    waiter = kernel_wakeups().waiter(mark.path)
    assert not waiter.polling
    assert waited_s(waiter, 0.05) >= 0.05
    for timeout in (0.0, -1.0, -math.inf):
        assert waited_s(waiter, timeout) < PATIENCE_S


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 3e6])
def test_a_wait_may_be_as_long_as_it_likes(wakeups: Wakeups, mark: Mark, timeout: float) -> None:
    """Time-outs that the system call cannot express are no error."""
    waiter = wakeups.waiter(mark.path)
    waiter.wake()
    assert waited_s(waiter, timeout) < PATIENCE_S


def test_wake_ends_the_next_wait_once(mark: Mark) -> None:
    """Any number of wakes before a wait end that wait, and no later one."""
    waiter = kernel_wakeups().waiter(mark.path)
    for _ in range(1_000):
        waiter.wake()
    assert waited_s(waiter) < PATIENCE_S
    assert waited_s(waiter, 0.05) >= 0.05


def test_wake_ends_a_wait_in_progress(mark: Mark) -> None:
    """Two threads take turns 2,000 times by wake alone."""
    wakeups = kernel_wakeups()
    waiters = [wakeups.waiter(mark.path) for _ in range(2)]

    rounds = [0, 0]  # each thread's own; read by the other

    def take_turns(own: int, other: int) -> float:
        longest = 0.0
        for done in range(1, ROUNDS + 1):
            rounds[own] = done
            waiters[other].wake()
            while rounds[other] < done:
                longest = max(longest, waited_s(waiters[own]))
        return longest

    turns = [in_thread(partial(take_turns, own, 1 - own)) for own in range(2)]
    assert max(turn.result(JOIN_S) for turn in turns) < PATIENCE_S


def test_another_file_does_not_end_the_wait(mark: Mark, other_mark: Mark) -> None:
    """An event of another journal's mark is taken and passed on, and the wait goes on."""
    wakeups = kernel_wakeups()
    waiter, other = wakeups.waiter(mark.path), wakeups.waiter(other_mark.path)
    other_mark.write(1)
    assert waited_s(waiter, 0.05) >= 0.05
    assert waited_s(other) < PATIENCE_S


def test_the_reader_of_an_event_wakes_all_other_waiters_of_the_file(mark: Mark) -> None:
    """The kernel tells one thread; each of the others returns from its next wait."""
    wakeups = kernel_wakeups()
    waiters = [wakeups.waiter(mark.path) for _ in range(5)]
    mark.write(1)
    assert all(waited_s(waiter) < PATIENCE_S for waiter in waiters)
    assert all(waited_s(waiter, 0.02) >= 0.02 for waiter in waiters)


def test_two_names_of_one_file_are_one_file(mark: Mark, tmp_path: Path) -> None:
    """A waiter by way of a link is woken like one by the file's own name."""
    link = tmp_path / "link"
    link.symlink_to(mark.path)
    wakeups = kernel_wakeups()
    waiter, linked = wakeups.waiter(mark.path), wakeups.waiter(str(link))
    mark.write(1)
    assert waited_s(linked) < PATIENCE_S
    assert waited_s(waiter) < PATIENCE_S


@linux_only
def test_an_overflow_of_the_kernel_queue_wakes_everybody(
    mark: Mark, other_mark: Mark, tmp_path: Path
) -> None:
    """When the kernel drops events, all waiters look, also those whose event was dropped."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text("ascii"))
    if limit > 200_000:
        pytest.skip("this machine's queue is very long")
    third_mark = Mark(tmp_path / "third")
    wakeups = kernel_wakeups()
    waiter, other = wakeups.waiter(mark.path), wakeups.waiter(other_mark.path)
    third = wakeups.waiter(third_mark.path)
    for value in range(limit // 2 + 100):
        mark.write(value)
        other_mark.write(value)
    third_mark.write(1)  # its event is lost
    for each in (third, waiter, other):
        assert waited_s(each) < PATIENCE_S
    third_mark.close()


def test_an_exception_between_reading_and_ringing_wakes_everybody(
    mark: Mark, other_mark: Mark
) -> None:
    """Ctrl-C in the thread that took an event does not cost the others their wake-up."""
    interrupts = [KeyboardInterrupt]

    def interrupted() -> None:
        while interrupts:
            raise interrupts.pop()

    wakeups = Wakeups(
        open_watcher=lambda: FakeWatcher(interrupted), file_system_type=lambda path: "ext4"
    )
    waiters = [wakeups.waiter(each.path) for each in (mark, mark, other_mark)]
    with pytest.raises(KeyboardInterrupt):
        waiters[0].wait(PATIENCE_S)
    for waiter in waiters:
        bell = waiter._bell
        assert bell is not None
        assert os.read(bell.descriptor, 8)


def test_an_event_that_another_thread_took_ends_the_wait(mark: Mark) -> None:
    """A watcher that was readable and is empty may have told another thread of our file."""
    wakeups = Wakeups(
        open_watcher=lambda: FakeWatcher(lambda: None), file_system_type=lambda path: "ext4"
    )
    assert waited_s(wakeups.waiter(mark.path)) < PATIENCE_S


def test_a_deleted_file_is_waited_for_by_polling(mark: Mark, tmp_path: Path) -> None:
    """The end of a watch wakes its waiters, which then do without."""
    path = tmp_path / "doomed"
    doomed = Mark(path)
    wakeups = kernel_wakeups()
    waiters = [wakeups.waiter(doomed.path) for _ in range(2)]
    doomed.close()
    path.unlink()
    assert all(waited_s(waiter) < PATIENCE_S for waiter in waiters)
    assert all(waited_s(waiter) < PATIENCE_S for waiter in waiters)
    assert all(waiter.polling for waiter in waiters)
    waiters[0].wake()
    assert waited_s(waiters[0]) < PATIENCE_S
    assert not wakeups.waiter(mark.path).polling


# Closing


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
def test_a_waiter_dropped_while_the_lock_is_held_is_seen_to_later(mark: Mark) -> None:
    """Garbage collection never waits for the lock, and whoever holds it settles what is due."""
    wakeups = kernel_wakeups()
    waiter = wakeups.waiter(mark.path)
    with wakeups._lock:
        del waiter
        assert watched_files(wakeups) == 1
    wakeups.waiter(mark.path).close()
    assert watched_files(wakeups) == 0
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
    own.wait(60)
threading.Thread(target=wait, daemon=True).start()
started.wait(60)
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


# Polling


@pytest.mark.parametrize("file_system", ["nfs4", "overlay", "9p", "fuse.sshfs", ""])
def test_file_systems_that_raise_no_events_are_polled(mark: Mark, file_system: str) -> None:
    """On network, stacked and unknown file systems no kernel watcher is even tried."""
    waiter = Wakeups(file_system_type=lambda path: file_system).waiter(mark.path)
    assert waiter.polling
    assert waited_s(waiter, 60.0) < PATIENCE_S


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOSYS])
def test_polling_when_the_kernel_gives_no_watcher(mark: Mark, number: int) -> None:
    """A user who has too many watchers still gets every change."""

    def refuse() -> FakeWatcher:
        raise OSError(number, os.strerror(number))

    wakeups = Wakeups(open_watcher=refuse, file_system_type=lambda path: "ext4")
    waiter = wakeups.waiter(mark.path)
    assert waiter.polling
    mark.write(1)
    assert waited_s(waiter) < PATIENCE_S


def test_polling_when_the_kernel_watches_no_more_files(mark: Mark) -> None:
    """A user who watches too many files still gets every change."""
    wakeups = Wakeups(
        open_watcher=lambda: FakeWatcher(lambda: None, add_error=errno.ENOSPC),
        file_system_type=lambda path: "ext4",
    )
    assert wakeups.waiter(mark.path).polling


def test_polling_slows_down_while_idle_and_speeds_up_on_progress(mark: Mark) -> None:
    """The interval doubles from 1 to 50 ms, stays there, and progress brings it back to 1 ms."""
    waiter = polled_wakeups().waiter(mark.path)
    intervals = []
    for _ in range(8):
        intervals.append(waiter._poll_interval_ms)
        assert waited_s(waiter) >= intervals[-1] / 1000
    assert intervals == [1, 2, 4, 8, 16, 32, 50, 50]
    waiter.wake()
    waiter.wait(PATIENCE_S)
    assert waiter._poll_interval_ms == 50
    waiter.progress()
    assert waiter._poll_interval_ms == 1


def test_polling_is_told_once(
    mark: Mark, other_mark: Mark, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the file and the reason the first time, and is not repeated."""
    wakeups = polled_wakeups()
    with caplog.at_level(logging.DEBUG, logger="aurora_es.files.wakeups"):
        for each in (mark, other_mark, mark):
            wakeups.waiter(each.path)
    (record,) = caplog.records
    assert mark.path in record.getMessage()
    assert "overlay" in record.getMessage()
    assert record.levelno == logging.WARNING


# Many threads, many processes


def follow_turns(wakeups: Wakeups, *, own: Mark, other: Mark) -> int:
    """Answer each value of the other mark with the same of the own; count missed wake-ups."""
    waiter = wakeups.waiter(other.path)
    missed = 0
    for value in range(1, ROUNDS + 1):
        missed += wait_for(waiter, other, value)
        own.write(value)
    return missed


def test_no_wake_up_is_missed_between_threads(mark: Mark, other_mark: Mark) -> None:
    """In 2,000 rounds of question and answer, with others taking events, no wait times out."""
    wakeups = kernel_wakeups()
    thieves = [wakeups.waiter(each.path) for each in (mark, other_mark, mark, other_mark)]

    def take_events(waiter: Waiter) -> None:
        while not waiter.closed:
            waiter.wait(PATIENCE_S)

    taking = [in_thread(partial(take_events, thief)) for thief in thieves]
    waiter = wakeups.waiter(other_mark.path)
    answering = in_thread(lambda: follow_turns(wakeups, own=other_mark, other=mark))
    missed = 0
    for value in range(1, ROUNDS + 1):
        mark.write(value)
        missed += wait_for(waiter, other_mark, value)
    assert answering.result(JOIN_S) == 0
    assert missed == 0
    for thief in thieves:
        thief.close()
    for future in taking:
        future.result(JOIN_S)


def test_no_wake_up_is_missed_between_processes(mark: Mark, other_mark: Mark) -> None:
    """In 2,000 rounds of question and answer between two processes no wait times out."""
    script = """
import sys
from pathlib import Path
from tests.files.test_wakeups import Mark, follow_turns, kernel_wakeups
own, other = (Mark(Path(path)) for path in sys.argv[1:])
print("ready", flush=True)
print(follow_turns(kernel_wakeups(), own=own, other=other), flush=True)
"""
    waiter = kernel_wakeups().waiter(other_mark.path)
    with python(script, other_mark.path, mark.path) as answering:
        assert stream(answering.stdout).readline() == "ready\n"
        missed = 0
        for value in range(1, ROUNDS + 1):
            mark.write(value)
            missed += wait_for(waiter, other_mark, value)
        assert stream(answering.stdout).readline() == "0\n"
    assert missed == 0


def test_many_threads_wait_for_one_file(wakeups: Wakeups, mark: Mark) -> None:
    """Each of 32 threads sees each of 50 values, and no wait times out."""
    rounds = 50
    barrier = threading.Barrier(33, timeout=JOIN_S)

    def follow() -> int:
        waiter = wakeups.waiter(mark.path)
        missed = 0
        for value in range(1, rounds + 1):
            barrier.wait()
            missed += wait_for(waiter, mark, value)
        waiter.close()
        return missed

    following = [in_thread(follow) for _ in range(32)]
    for value in range(1, rounds + 1):
        barrier.wait()
        mark.write(value)
    assert [future.result(JOIN_S) for future in following] == [0] * 32


def test_waiters_come_and_go_while_others_wait(mark: Mark, other_mark: Mark) -> None:
    """Setting and ending watches in four threads costs a steady follower no wake-up."""
    wakeups = kernel_wakeups()
    ended = threading.Event()

    def come_and_go() -> int:
        count = 0
        while not ended.is_set():
            waiter = wakeups.waiter(other_mark.path)
            waiter.wait(0)
            if count % 2:
                waiter.close()
            count += 1
        return count

    coming = [in_thread(come_and_go) for _ in range(4)]
    waiter = wakeups.waiter(mark.path)
    for value in range(1, 501):
        writing = in_thread(partial(mark.write, value))
        assert wait_for(waiter, mark, value) == 0
        writing.result(JOIN_S)
    ended.set()
    assert all(future.result(JOIN_S) for future in coming)
    waiter.close()
    assert not wakeups._watches
    assert not wakeups._leaving


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
from tests.files.test_wakeups import Mark, PATIENCE_S, waited_s

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

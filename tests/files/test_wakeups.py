"""Waiting for a mark and being woken, by the kernel or by polling."""

import errno
import logging
import math
import os
from functools import partial
from pathlib import Path

import pytest

from aurora_es.files.wakeups import Wakeups
from tests.files.marks import (
    JOIN_S,
    PATIENCE_S,
    ROUNDS,
    FakeWatcher,
    Mark,
    in_thread,
    kernel_wakeups,
    linux_only,
    polled_wakeups,
    python,
    stream,
    wait_for,
    waited_s,
)


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
    assert not wakeups._watches
    waiters[0].wake()
    assert waited_s(waiters[0]) < PATIENCE_S
    assert not wakeups.waiter(mark.path).polling


# Polling


@pytest.mark.parametrize("file_system", ["nfs4", "overlay", "9p", "fuse.sshfs", ""])
def test_file_systems_that_raise_no_events_are_polled(mark: Mark, file_system: str) -> None:
    """On network, stacked and unknown file systems no kernel watcher is even tried."""
    waiter = Wakeups(file_system_type=lambda path: file_system).waiter(mark.path)
    assert waiter.polling
    assert waited_s(waiter, JOIN_S) < PATIENCE_S


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


def test_a_file_that_is_not_there_yet_is_polled_for() -> None:
    """A waiter without a file is woken and closed like any other."""
    waiter = kernel_wakeups().unwatched_waiter()
    assert waiter.polling
    assert waited_s(waiter, JOIN_S) < PATIENCE_S
    waiter.wake()
    assert waited_s(waiter, JOIN_S) < PATIENCE_S
    waiter.close()
    assert waiter.closed

"""Many threads and processes at once: no wake-up is missed."""

import threading
from functools import partial

from aurora_es.files.wakeups import Waiter, Wakeups
from tests.files.marks import (
    JOIN_S,
    PATIENCE_S,
    ROUNDS,
    Mark,
    follow_turns,
    in_thread,
    kernel_wakeups,
    python,
    stream,
    wait_for,
)


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
from tests.files.marks import Mark, follow_turns, kernel_wakeups
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

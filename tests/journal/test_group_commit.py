"""Appends of many threads: one write and one sync, and everybody's own verdict."""

import errno
import fcntl
import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aurora_es import (
    ClosedError,
    CommitOutcomeUnknownError,
    ConflictError,
    LockTimeoutError,
    Record,
    RollCycle,
    Sync,
)
from tests.journal.support import (
    Call,
    Crowd,
    ScriptedFiles,
    effects_with,
    error_of,
    event,
    message,
    open_with,
    run_threads,
    segment_paths,
    states,
)
from tests.patience import PATIENCE_SECONDS

THREADS = 8


def commits_of(count: int) -> list[list[Record]]:
    """Make commits of one, two and three records that say whose they are."""
    return [
        [message(f"{number}.{part}".encode()) for part in range(number % 3 + 1)]
        for number in range(count)
    ]


def check(journal_states: list[bytes], commits: list[list[Record]], given: list[Any]) -> None:
    """Each commit is where its caller was told, adjacent, and there is nothing else."""
    for commit, positions in zip(commits, given, strict=True):
        found = [journal_states[position - 1] for position in positions]
        assert found == [record.state for record in commit]
    everything = sorted(itertools.chain.from_iterable(given))
    assert everything == list(range(1, len(journal_states) + 1))


def test_waiting_appends_share_one_write_and_one_sync(tmp_path: Path) -> None:
    """Commits that queued behind a sync are written together, each adjacent, none left out."""
    files = ScriptedFiles()
    crowd = Crowd(files, files.calls.clear)
    commits = commits_of(THREADS + 1)
    with open_with(tmp_path / "journal", crowd.effects()) as journal:
        given = crowd.append(journal, commits)
        data_writes = [
            arguments
            for name, arguments in files.calls
            if name == "pwrite" and len(arguments[1]) > 64
        ]
        assert len(data_writes) == 1
        assert [name for name, _ in files.calls].count("fdatasync") == 1
        check(states(journal), commits, given)
        assert journal.statistics().last_commit == len(commits)


def test_a_sync_acknowledges_nobody_whose_bytes_came_after_it_began(tmp_path: Path) -> None:
    """Who queues during a sync is acknowledged by a later one: each write has its own behind it."""
    files = ScriptedFiles()
    crowd = Crowd(files, lambda: None)
    with open_with(tmp_path / "journal", crowd.effects()) as journal:

        def acknowledged(commit: list[Record]) -> Any:
            positions = journal.append(commit)
            with_data = [arguments for name, arguments in calls_on_tail() if name == "pwrite"]
            assert any(commit[0].state in arguments[1] for arguments in with_data)
            for at, (name, arguments) in enumerate(calls_on_tail()):
                if name == "pwrite" and commit[0].state in arguments[1]:
                    assert "fdatasync" in {later for later, _ in calls_on_tail()[at + 1 :]}
            return positions

        def calls_on_tail() -> list[tuple[str, tuple[Any, ...]]]:
            tail = journal.handle.tail
            assert tail is not None
            return [call for call in [*files.calls] if call[1] and call[1][0] == tail.fd]

        commits = [[message(b"state %d" % number)] for number in range(THREADS)]
        given = crowd.call(journal, [partial(acknowledged, commit) for commit in commits])
        assert not [one for one in given if isinstance(one, BaseException)]
        check(states(journal), commits, given)


@pytest.mark.parametrize("threads", [2, 32])
def test_positions_of_many_threads_are_unique_and_gapless(tmp_path: Path, threads: int) -> None:
    """However threads meet, each gets the positions of its own records."""
    commits = commits_of(threads * 10)

    def run(begin: int) -> list[range]:
        return [journal.append(commit) for commit in commits[begin : begin + 10]]

    with open_with(tmp_path / "journal") as journal:
        given = run_threads(partial(run, number * 10) for number in range(threads))
        check(states(journal), commits, list(itertools.chain.from_iterable(given)))
    with open_with(tmp_path / "journal") as journal:
        assert journal.statistics().last_commit == len(commits)


def test_one_of_many_wins_a_version(tmp_path: Path) -> None:
    """In one group, the first claim to a version is written and the others are conflicts."""
    files = ScriptedFiles()
    crowd = Crowd(files, lambda: None)
    with open_with(tmp_path / "journal", crowd.effects()) as journal:
        first, *given = crowd.append(
            journal, [[message()], *([event("a", 1, b"%d" % n)] for n in range(THREADS))]
        )
        assert first == range(1, 2)
        winners = [one for one in given if isinstance(one, range)]
        losers = [one for one in given if isinstance(one, ConflictError)]
        assert (len(winners), len(losers)) == (1, THREADS - 1)
        assert all(loser.conflicts[0][:2] == ("a", 1) for loser in losers)
        assert "by a commit of the same moment" in str(losers[0])
        assert len(states(journal)) == 2


def test_a_conflict_with_a_group_that_fails_is_no_conflict(tmp_path: Path) -> None:
    """What a loser conflicted with may not be on disk after all, so its outcome is unknown too."""
    files = ScriptedFiles()
    crowd = Crowd(files, lambda: files.fail("fdatasync", error_of(errno.EIO)))
    path = tmp_path / "journal"
    commits = [[event("fact", 1)], [event("a", 1)], [event("a", 1)], [event("fact", 1)]]
    journal = open_with(path, crowd.effects())
    first, second, third, fourth = crowd.append(journal, commits)
    assert first == range(1, 2)
    assert isinstance(second, CommitOutcomeUnknownError)
    assert isinstance(third, CommitOutcomeUnknownError)
    assert isinstance(fourth, ConflictError)  # with what was on disk before
    journal.close()
    with open_with(path) as journal, pytest.raises(ConflictError):
        journal.append([event("a", 1)])


def test_a_group_stops_at_the_rolls_cap(tmp_path: Path) -> None:
    """Commits that waited together are spread over segments as if they had come one by one."""
    files = ScriptedFiles()
    crowd = Crowd(files, lambda: None)
    commits = [[message(b"%d" % number)] for number in range(8)]
    roll_cycle = RollCycle.events(3)
    with open_with(tmp_path / "journal", crowd.effects(), roll_cycle=roll_cycle) as journal:
        given = crowd.append(journal, commits)
        check(states(journal), commits, given)
    bases = [int(Path(path).name[11:31]) for path in segment_paths(tmp_path / "journal")]
    assert bases == [1, 4, 7]


# Time-outs


@pytest.mark.parametrize("names", [["lock"], ["lock", "turn"]])
def test_a_lock_held_elsewhere_times_out(tmp_path: Path, names: list[str]) -> None:
    """The error names the file that somebody holds; nothing is written, and later appends work.

    Who finds ``lock`` taken queues at ``turn``, so there is where the second in the row waits.
    """
    path = tmp_path / "journal"
    with open_with(path, lock_timeout=0.02) as journal:
        journal.append([message(b"a")])
        held = [os.open(path / name, os.O_RDWR) for name in names]
        for fd in held:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(LockTimeoutError, match=rf"{path}/{names[-1]}, which another handle"):
            journal.append([message(b"b")])
        for fd in held:
            os.close(fd)
        assert journal.append([message(b"c")]) == range(2, 3)
        assert states(journal) == [b"a", b"c"]


def test_the_queue_times_out(tmp_path: Path) -> None:
    """A thread behind one that is stuck gives up in time, and its records are never written."""
    files = ScriptedFiles()
    stuck, given_up = threading.Event(), threading.Event()

    def stick(call: Call, fd: int) -> Any:
        stuck.set()
        assert given_up.wait(PATIENCE_SECONDS)
        return call()

    def give_up() -> None:
        assert stuck.wait(PATIENCE_SECONDS)
        with pytest.raises(LockTimeoutError, match="in the queue behind other threads"):
            journal.append([message(b"late")])
        given_up.set()

    effects = effects_with(files)
    with open_with(tmp_path / "journal", effects, lock_timeout=0.05) as journal:
        journal.append([message(b"a")])
        files.reactions["fdatasync"] = stick
        jobs: list[Callable[[], Any]] = [
            lambda: journal.append([message(b"b")]),
            give_up,
        ]
        assert run_threads(jobs)[0] == range(2, 3)
        assert journal.append([message(b"c")]) == range(3, 4)
        assert states(journal) == [b"a", b"b", b"c"]


def test_who_was_taken_waits_for_the_verdict(tmp_path: Path) -> None:
    """A time-out does not strike a commit that is being written: its caller gets the position."""
    files = ScriptedFiles()

    def slow(call: Call, fd: int) -> Any:
        now[0] += 0.3  # a slow disk: six times the lock time-out
        threading.Event().wait(0.3)  # in which those who wait look at the time
        return call()

    now = [0.0]  # it stands still until all of them are taken
    crowd = Crowd(files, lambda: files.reactions.update(fdatasync=slow))
    crowd.watch.clock = lambda: now[0]
    commits = commits_of(4)
    with open_with(tmp_path / "journal", crowd.effects(), lock_timeout=0.05) as journal:
        given = crowd.append(journal, commits)
        check(states(journal), commits, given)


def test_an_append_in_the_middle_of_an_append_of_its_own_thread_times_out(tmp_path: Path) -> None:
    """A signal handler that appends then would wait for itself: it is told at once."""
    with open_with(tmp_path / "journal", lock_timeout=60) as journal:
        journal.append([message()])
        with journal.handle.append_mutex, pytest.raises(LockTimeoutError, match="another thread"):
            journal.append([message()])
        journal.append([message()])
        assert journal.last_position == 2


def test_the_thread_lock_times_out(tmp_path: Path) -> None:
    """Locks of files exclude no threads: a sync in another thread is waited for, and not for ever."""
    files = ScriptedFiles()
    syncing, given_up = threading.Event(), threading.Event()

    def stick(call: Call, fd: int) -> Any:
        syncing.set()
        assert given_up.wait(PATIENCE_SECONDS)
        return call()

    def give_up() -> None:
        assert syncing.wait(PATIENCE_SECONDS)
        files.calls.clear()
        try:
            with pytest.raises(LockTimeoutError, match="another thread"):
                journal.append([message(b"late")])
            assert "pwrite" not in {name for name, _ in files.calls}
        finally:
            given_up.set()

    effects = effects_with(files)
    with open_with(tmp_path / "journal", effects, sync=Sync.NEVER, lock_timeout=0.02) as journal:
        journal.append([message(b"a")])
        files.reactions["fdatasync"] = stick
        assert run_threads([journal.sync, give_up]) == [None, None]
        files.obey()
        journal.append([message(b"b")])
        assert states(journal) == [b"a", b"b"]


# Closing under appends


def test_closing_in_the_middle_of_its_own_append(tmp_path: Path) -> None:
    """It is put off behind the append, whose answer it does not change, mark due for a sync or not."""
    files = ScriptedFiles()
    now = [0.0]

    def close(call: Call, fd: int) -> Any:
        del files.reactions["fdatasync"]
        journal.close()
        now[0] += 10.0
        return call()

    journal = open_with(
        tmp_path / "journal", replace(effects_with(files), monotonic=lambda: now[0])
    )
    journal.append([message()])
    files.reactions["fdatasync"] = close
    assert journal.append([message()]) == range(2, 3)
    assert journal.handle.closed
    with pytest.raises(ClosedError):
        journal.append([message()])
    with open_with(tmp_path / "journal", read_only=True) as reader:
        assert reader.last_position == 2


def test_a_failure_of_putting_off_is_not_the_appends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong in a closing that was put off is logged; the append has succeeded."""
    files = ScriptedFiles()

    def close(call: Call, *arguments: Any) -> Any:
        files.reactions["pwrite"] = lambda call, *arguments: call()
        files.reactions["fdatasync"] = fail
        journal.close()
        return call()

    def fail(call: Call, fd: int) -> Any:
        raise OSError(errno.EIO, "broken")

    journal = open_with(tmp_path / "journal", effects_with(files), sync=Sync.NEVER)
    journal.append([message()])
    files.reactions["pwrite"] = close
    assert journal.append([message()]) == range(2, 3)
    assert journal.handle.closed
    assert "was not closed cleanly" in caplog.text


def test_closing_waits_for_the_append_in_flight(tmp_path: Path) -> None:
    """A commit that is being synced when its journal is closed is published and acknowledged."""
    files = ScriptedFiles()
    is_syncing, may_sync = threading.Event(), threading.Event()

    def hold_up(call: Call, fd: int) -> Any:
        is_syncing.set()
        assert may_sync.wait(PATIENCE_SECONDS)
        return call()

    def close() -> None:
        journal.close()
        with open_with(tmp_path / "journal", read_only=True) as reader:
            seen.extend(states(reader))

    seen: list[bytes] = []
    journal = open_with(tmp_path / "journal", effects_with(files))
    journal.append([message(b"a")])
    files.reactions["fdatasync"] = hold_up
    closing = threading.Thread(target=close)

    def close_meanwhile() -> None:
        assert is_syncing.wait(PATIENCE_SECONDS)
        files.reactions.clear()
        closing.start()
        closing.join(0.1)  # it may not end: the append has not
        may_sync.set()

    given, _ = run_threads([lambda: journal.append([message(b"b")]), close_meanwhile])
    closing.join(PATIENCE_SECONDS)
    assert given == range(2, 3)
    with pytest.raises(ClosedError):
        journal.append([message(b"c")])
    assert seen == [b"a", b"b"]


def test_closing_under_many_appends(tmp_path: Path) -> None:
    """Each append that a closing journal met is either acknowledged and there, or refused."""
    path = tmp_path / "journal"
    journal = open_with(path)
    journal.append([message(b"first")])
    begun = threading.Semaphore(0)

    def run(name: bytes) -> list[bytes]:
        acknowledged = []
        try:
            for number in itertools.count():
                state = b"%s.%d" % (name, number)
                journal.append([message(state)])
                acknowledged.append(state)
                begun.release()
        except ClosedError:
            pass
        return acknowledged

    def close() -> None:
        for _ in range(20):
            assert begun.acquire(timeout=PATIENCE_SECONDS)
        journal.close()

    *acknowledged, _ = run_threads([*(partial(run, b"%d" % n) for n in range(4)), close])
    with open_with(path) as reopened:
        assert reopened.statistics().recoveries == 0
        expected = sorted([b"first", *itertools.chain.from_iterable(acknowledged)])
        assert sorted(states(reopened)) == expected

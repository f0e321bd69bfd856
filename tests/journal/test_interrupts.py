"""Interrupts that come at awkward moments, to the leader of a group or to one who waits.

``test_every_call_fails`` interrupts every system call; here are the moments between them.
"""

import itertools
import threading
from pathlib import Path
from typing import Any

import pytest

from aurora_es import Journal, StorageError
from aurora_es.format.mark import Mark
from aurora_es.journal import group as group_module
from aurora_es.journal.append import write_group
from aurora_es.journal.commit import PreparedCommit, prepare_commit, tracking_data
from aurora_es.journal.group import GroupCommit
from aurora_es.journal.handle import Handle
from tests.journal.support import (
    Call,
    Crowd,
    ScriptedFiles,
    effects_with,
    message,
    open_with,
    run_threads,
    states,
)
from tests.patience import PATIENCE_SECONDS

COMMITS = [[message(b"%d" % number)] for number in range(4)]


def check_all_but_one_acknowledged(given: list[Any], journal: Journal) -> None:
    """One caller was interrupted, the others got their positions, and all commits are there."""
    interrupted = [one for one in given if isinstance(one, KeyboardInterrupt)]
    acknowledged = [one for one in given if isinstance(one, range)]
    assert (len(interrupted), len(acknowledged)) == (1, 3)
    assert len(states(journal)) == 4


def test_a_leader_interrupted_before_it_wakes_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits that were published are acknowledged, though the leader did not come to say it."""
    wake = GroupCommit._wake
    interrupts = itertools.count()

    def wake_or_be_interrupted(self: GroupCommit, group: list[PreparedCommit]) -> None:
        if len(group) > 1 and next(interrupts) == 0:
            raise KeyboardInterrupt
        wake(self, group)

    monkeypatch.setattr(GroupCommit, "_wake", wake_or_be_interrupted)
    crowd = Crowd(ScriptedFiles(), lambda: None)
    with open_with(tmp_path / "journal", crowd.effects()) as journal:
        check_all_but_one_acknowledged(crowd.append(journal, COMMITS), journal)


def test_a_reader_that_catches_up_with_an_interrupted_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that reads in the middle of it does not take from the others what was published."""
    forget, interrupts = Handle.forget_state, itertools.count()

    def write_and_be_interrupted(handle: Handle, mark: Mark, commits: Any, timestamp: int) -> Mark:
        published = write_group(handle, mark, commits, timestamp)
        if len(commits) > 1 and next(interrupts) == 0:
            monkeypatch.setattr(Handle, "forget_state", forget_and_let_read)
            raise KeyboardInterrupt
        return published

    def forget_and_let_read(handle: Handle) -> None:
        monkeypatch.setattr(Handle, "forget_state", forget)
        forget(handle)
        run_threads([lambda: journal.last_position])

    monkeypatch.setattr(group_module, "write_group", write_and_be_interrupted)
    crowd = Crowd(ScriptedFiles(), lambda: None)
    with open_with(tmp_path / "journal", crowd.effects()) as journal:
        check_all_but_one_acknowledged(crowd.append(journal, COMMITS), journal)


def test_a_waiter_that_is_interrupted_leaves_the_queue(tmp_path: Path) -> None:
    """An interrupt while nobody has taken the commit means that it is never written."""
    files = ScriptedFiles()
    is_syncing, may_sync = threading.Event(), threading.Event()

    def hold_up(call: Call, fd: int) -> Any:
        files.reactions.clear()
        is_syncing.set()
        assert may_sync.wait(PATIENCE_SECONDS)
        return call()

    with open_with(tmp_path / "journal", effects_with(files)) as journal:
        journal.append([message(b"first")])
        files.reactions["fdatasync"] = hold_up

        def wait_in_vain() -> None:
            assert is_syncing.wait(PATIENCE_SECONDS)
            group = journal._group
            with pytest.raises(KeyboardInterrupt):
                interrupted_append(journal, group)
            may_sync.set()

        run_threads([lambda: journal.append([message(b"second")]), wait_in_vain])
        journal.append([message(b"third")])
        assert states(journal) == [b"first", b"second", b"third"]


def interrupted_append(journal: Journal, group: GroupCommit) -> None:
    """Append, and be interrupted as soon as the commit is in the queue."""

    def patience(commit: PreparedCommit, deadline: float) -> float:
        raise KeyboardInterrupt

    group._patience = patience  # type: ignore[method-assign]
    try:
        journal.append([message(b"never")])
    finally:
        del group._patience


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupted_append_can_be_followed_by_anything(tmp_path: Path, moment: str) -> None:
    """With nobody waiting, the next call on the handle recovers, whatever it is."""
    path = tmp_path / "journal"
    for number in range(3):
        files = ScriptedFiles()
        with open_with(path, effects_with(files, reserve_bytes=0)) as journal:
            before = journal.last_position
            if not before:
                journal.append([message(b"first")])
                before = 1
            files.fail("fdatasync", KeyboardInterrupt(), late=moment == "after")
            with pytest.raises(KeyboardInterrupt):
                journal.append([message(b"interrupted")])
            files.obey()
            assert journal.last_position == before  # not published
            if number == 0:
                journal.append([message(b"next")])
            elif number == 1:
                journal.sync()
        with open_with(path) as again:
            found = states(again)
            # A commit that is complete is adopted: its caller was told nothing.
            assert found[before] == b"interrupted"
            assert len(found) == before + (2 if number == 0 else 1)


def test_interrupts_while_an_interrupted_append_unlocks(tmp_path: Path) -> None:
    """However often the unlocking is interrupted, the threads of this process are not shut out."""
    files = ScriptedFiles()
    with open_with(tmp_path / "journal", effects_with(files), lock_timeout=0.2) as journal:
        journal.append([message(b"first")])
        files.fail("stat", KeyboardInterrupt())
        files.fail("flock", KeyboardInterrupt(), times=2, after=1)
        with pytest.raises(KeyboardInterrupt):
            journal.append([message(b"never")])
        files.obey()
        assert not journal.handle.append_mutex._is_owned()  # type: ignore[attr-defined]
        journal.append([message(b"second")])
        assert states(journal) == [b"first", b"second"]


def test_a_thread_that_was_opening_the_journal_takes_it_back(tmp_path: Path) -> None:
    """Who appends meanwhile in another thread is told so, and may try again at once."""
    with open_with(tmp_path / "journal") as journal:
        journal.append([message(b"first")])
        descriptors, journal.handle.descriptors = journal.handle.descriptors, None
        with pytest.raises(StorageError, match="another thread was stopped while it opened"):
            journal._group.append(prepared(journal))
        journal.handle.descriptors = descriptors
        assert not journal.handle.append_mutex._is_owned()  # type: ignore[attr-defined]
        journal.append([message(b"second")])
        assert states(journal) == [b"first", b"second"]


def prepared(journal: Journal) -> PreparedCommit:
    """Make a commit without records."""
    return prepare_commit(journal.handle.next_commit_id(), [], [], tracking_data("a", 1), 0)


class InterruptedMutex:
    """A mutex behind whose acquisition an interrupt comes."""

    def __init__(self, inner: Any) -> None:
        """Wrap a mutex."""
        self.inner = inner

    def acquire(self, *_: Any, **__: Any) -> bool:
        """Take it, and be interrupted before anybody knows."""
        assert self.inner.acquire()
        raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Any:
        """All else is the mutex's."""
        return getattr(self.inner, name)


def test_an_interrupt_just_behind_the_mutex_shuts_nobody_out(tmp_path: Path) -> None:
    """As if a signal came while the thread waited for the interpreter with the mutex in its hands."""
    with open_with(tmp_path / "journal", lock_timeout=0.5) as journal:
        journal.append([message(b"first")])
        mutex: Any = journal.handle.append_mutex
        journal.handle.append_mutex = InterruptedMutex(mutex)  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            journal.append([message(b"interrupted")])
        journal.handle.append_mutex = mutex
        run_threads([lambda: journal.append([message(b"second")])])
        assert states(journal) == [b"first", b"second"]

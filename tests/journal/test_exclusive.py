"""The append lock held while somebody decides: others wait, faults and interrupts leave no trace."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from aurora_es import (
    ArgumentError,
    AuroraError,
    ConflictError,
    Journal,
    LockTimeoutError,
    ReadOnlyError,
    Record,
    RollCycle,
)
from aurora_es.format.payload import TrackingData
from aurora_es.testing.faulty import Fault, FaultyFiles, SimulatedInterrupt
from tests.face.support import Task
from tests.journal.support import QuickFiles, effects_with, open_with
from tests.patience import PATIENCE_SECONDS

ROW = (None, None, "topic", b"state")


def test_an_append_in_the_lock(tmp_path: Path) -> None:
    """It is a commit like any other, and makes the journal if need be."""
    with Journal.open(tmp_path / "j") as journal:
        with journal.exclusive() as held:
            assert held.append([ROW], [(None, None)], TrackingData("up", 1)) == 1
            assert journal.last_position == 1
        journal.append([Record(topic="topic", state=b"more")])
        with journal.exclusive() as held:
            assert journal.last_position == 2
            with pytest.raises(ConflictError):
                held.append([], [], TrackingData("up", 1))
            assert held.append([ROW, ROW], [(None, None)] * 2, TrackingData("up", 2)) == 3
    with Journal.open(tmp_path / "j") as journal:
        assert [stored.record.state for stored in journal.read()] == [
            b"state",
            b"more",
            b"state",
            b"state",
        ]
        assert journal.tracking() == {"up": 2}


def test_others_wait(tmp_path: Path) -> None:
    """Threads of the process wait in front of the lock, or give up in time; what they add is last."""
    with Journal.open(tmp_path / "j", lock_timeout=0.05) as journal:
        journal.append([Record(topic="topic", state=b"1")])
        with journal.exclusive() as held:
            with pytest.raises(LockTimeoutError):
                Task(journal.append, [Record(topic="topic", state=b"never")]).result()
            held.append([ROW], [(None, None)], None)
    with Journal.open(tmp_path / "j") as journal:
        entered = threading.Event()

        def append() -> range:
            entered.set()
            return journal.append([Record(topic="topic", state=b"3")])

        with journal.exclusive() as held:
            task = Task(append)
            entered.wait(PATIENCE_SECONDS)
            assert held.append([ROW], [(None, None)], None) == 3
        assert task.result() == range(4, 5)


def test_another_thread_leaves(tmp_path: Path) -> None:
    """As with the halves of a framework's generator: nothing is committed, and the lock is free."""
    with (
        Journal.open(tmp_path / "j", lock_timeout=0.05) as journal,
        Journal.open(tmp_path / "j", lock_timeout=0.05) as other,
    ):
        journal.append([Record(topic="topic", state=b"1")])
        held = journal.exclusive()
        Task(held.__enter__).result()
        with pytest.raises(LockTimeoutError):
            other.append([Record(topic="topic", state=b"never")])
        with pytest.raises(ArgumentError, match="nothing was written, and the lock is released"):
            held.append([ROW], [(None, None)], None)
        held.__exit__()
        assert Task(other.append, [Record(topic="topic", state=b"2")]).result() == range(2, 3)
        with journal.exclusive() as again:
            held.__exit__()  # of what was given back: nothing
            del held
            with pytest.raises(LockTimeoutError):
                Task(other.append, [Record(topic="topic", state=b"never")]).result()
            again.append([ROW], [(None, None)], None)
        assert Task(journal.append, [Record(topic="topic", state=b"4")]).result() == range(4, 5)


def test_who_waits_while_another_thread_leaves(tmp_path: Path) -> None:
    """It goes on at once, and does not wait for a mutex that nobody releases."""
    with Journal.open(tmp_path / "j", lock_timeout=30.0) as journal:
        journal.append([Record(topic="topic", state=b"1")])
        held = journal.exclusive()
        entered, waits, is_over = (threading.Event() for _ in range(3))

        def enter() -> None:
            held.__enter__()
            entered.set()
            is_over.wait(PATIENCE_SECONDS)  # else the next thread may have the same number

        first = Task(enter)
        assert entered.wait(PATIENCE_SECONDS)
        mutex = journal.handle.append_mutex

        class Waited:
            def acquire(self, **options: Any) -> bool:
                if "timeout" in options:
                    waits.set()
                return mutex.acquire(**options)

            def __getattr__(self, name: str) -> Any:
                return getattr(mutex, name)

        journal.handle.append_mutex = held._held = Waited()  # type: ignore[assignment]
        second = Task(journal.append, [Record(topic="topic", state=b"2")])
        assert waits.wait(PATIENCE_SECONDS)
        held.__exit__()
        assert second.result() == range(2, 3)
        is_over.set()
        first.result()


def test_a_thread_that_went_away_without_leaving(tmp_path: Path) -> None:
    """Whichever thread drops what it held releases the lock, and the one that entered may go on."""
    with Journal.open(tmp_path / "j", lock_timeout=0.05) as journal:
        journal.append([Record(topic="topic", state=b"1")])
        held = [journal.exclusive()]
        held[0].__enter__()
        Task(held.clear).result()
        assert not journal.handle.appending_threads
        assert journal.append([Record(topic="topic", state=b"2")]) == range(2, 3)
        assert Task(journal.append, [Record(topic="topic", state=b"3")]).result() == range(3, 4)


def test_a_child_that_drops_its_parent_s_lock(tmp_path: Path) -> None:
    """The lock of the fork's parent stays taken, whichever thread of the child drops its copy."""
    with (
        Journal.open(tmp_path / "j") as journal,
        Journal.open(tmp_path / "j", lock_timeout=0.05) as other,
    ):
        journal.append([Record(topic="topic", state=b"1")])
        held = [journal.exclusive()]
        Task(held[0].__enter__).result()
        child = os.fork()
        if child == 0:
            held.clear()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(LockTimeoutError):
            other.append([Record(topic="topic", state=b"never")])
        held.clear()


def test_segments_roll_in_the_lock(tmp_path: Path) -> None:
    """The rule of the roll cycle holds for these appends, too."""
    with Journal.open(tmp_path / "j", roll_cycle=RollCycle.events(2), background=False) as journal:
        for _ in range(5):
            with journal.exclusive() as held:
                held.append([ROW], [(None, None)], None)
            journal.tend()
        assert journal.statistics().segments == 3


def test_a_read_only_journal_is_refused(tmp_path: Path) -> None:
    """Before any lock."""
    with Journal.open(tmp_path / "j") as journal:
        journal.append([Record(topic="topic", state=b"1")])
    with Journal.open(tmp_path / "j", read_only=True) as journal, pytest.raises(ReadOnlyError):
        journal.exclusive()


_FAULTS = [
    Fault("interrupt", "before"),
    Fault("interrupt", "middle"),
    Fault("interrupt", "after"),
    Fault("error"),
]


@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: f"{fault.kind} {fault.moment}")
def test_every_call_fails(tmp_path: Path, fault: Fault) -> None:
    """Whatever strikes whichever call: the commit is whole or not there, and the next one works."""
    for number in range(100):
        path = tmp_path / str(number)
        files = FaultyFiles(QuickFiles(), random.Random(number))
        with open_with(path, effects_with(files, reserve_bytes=0)) as journal:
            journal.append([Record(topic="topic", state=b"first")])
            files.arm(fault, number)
            acknowledged = strike(journal)
            files.disarm()
            if files.struck is None:
                assert acknowledged
                return
            if not isinstance(journal.handle.poison, BaseException):
                journal.append([Record(topic="topic", state=b"last")], tracking=("up", 2))
        with open_with(path) as journal:
            found = [stored.record.state for stored in journal.read()]
            assert found.count(b"state") in ({2} if acknowledged else {0, 2})
            assert found[0] == b"first"
            assert journal.tracking().get("up", 0) in {0, 1, 2}
            assert (b"last" in found) == (journal.tracking().get("up") == 2)
            if b"last" not in found:
                assert journal.tracking().get("up", 0) == found.count(b"state") // 2
    pytest.fail("there is no end of calls")


def strike(journal: Journal) -> bool:
    """Append two records and tracking in the lock; returns whether it was acknowledged."""
    try:
        with journal.exclusive() as held:
            held.append([ROW, ROW], [(None, None)] * 2, TrackingData("up", 1))
            return True
    except (AuroraError, OSError, SimulatedInterrupt):
        return False

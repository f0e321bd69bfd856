"""The append lock held while somebody decides: others wait, faults and interrupts leave no trace."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from aurora_es import (
    ConflictError,
    Journal,
    LockTimeoutError,
    ReadOnlyError,
    Record,
    RollCycle,
)
from aurora_es.format.payload import TrackingData
from tests.face.support import Task

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
            entered.wait(10)
            assert held.append([ROW], [(None, None)], None) == 3
        assert task.result() == range(4, 5)


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

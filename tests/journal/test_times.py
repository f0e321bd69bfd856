"""The last position at a time: what is asked, and how little is read for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from aurora_es import ArgumentError, Journal, Record, RollCycle, Sync
from aurora_es.journal.background import cool, seal
from aurora_es.journal.records import datetime_of, timestamp_of
from tests.journal.support import (
    SECOND,
    START,
    ManualClock,
    ScriptedFiles,
    effects_with,
    open_with,
)

COUNT = 4_000


def fill(path: Path) -> None:
    """Append one record each second."""
    clock = ManualClock()
    cycle = RollCycle.events(COUNT // 4)
    with open_with(path, effects_with(clock=clock), sync=Sync.NEVER, roll_cycle=cycle) as journal:
        for _ in range(COUNT):
            journal.append([Record(topic="t", state=b"")])
            clock.now += SECOND


@pytest.mark.parametrize("state", ["in memory", "sealed", "cooled"])
def test_few_reads_find_it(tmp_path: Path, state: str) -> None:
    """Each look halves what is left: some header per look, and at most one whole frame."""
    fill(tmp_path)
    if state != "in memory":
        seal(str(tmp_path))
    if state == "cooled":
        cool(str(tmp_path))
    files = ScriptedFiles()
    with open_with(tmp_path, effects_with(files), read_only=True) as journal:
        for position in range(0, COUNT + 1, 97):
            when = datetime_of(START + (position - 1) * SECOND)
            journal.position_at(when)  # opens the segment
            files.calls.clear()
            assert journal.position_at(when) == position
            assert journal.position_at(when + timedelta(seconds=0.5)) == position
            reads = [name for name, _ in files.calls if name == "pread"]
            assert len(reads) <= 2 * (2 * 13 + 2)


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    """It would mean another moment on each machine; so would what is no time."""
    with Journal.open(tmp_path / "journal") as journal:
        wrong: Any
        for wrong in (datetime(2026, 1, 1), "2026-01-01T00:00:00Z", 5, None):  # noqa: DTZ001
            with pytest.raises(ArgumentError, match="expected a datetime with a time zone, found"):
                journal.position_at(wrong)
        with pytest.raises(ArgumentError, match="expected a datetime with a time zone"):
            journal.read(as_of=datetime(2026, 1, 1))  # noqa: DTZ001


def test_every_zone_means_the_same_moment(tmp_path: Path) -> None:
    """A time is compared by what it means; of an empty journal nothing was there at any time."""
    with Journal.open(tmp_path / "journal") as journal:
        assert journal.position_at(datetime.now(UTC)) == 0
        assert [*journal.read(as_of=datetime.max.replace(tzinfo=UTC))] == []
    fill(tmp_path / "other")
    with Journal.open(tmp_path / "other") as journal:
        when = datetime_of(START + 4 * SECOND)
        east = timezone(timedelta(hours=5, minutes=30))
        assert journal.position_at(when.astimezone(east)) == 5
        assert journal.position_at(datetime.max.replace(tzinfo=UTC)) == COUNT
        assert journal.position_at(datetime.min.replace(tzinfo=UTC)) == 0
        assert [stored.position for stored in journal.read(4, as_of=when)] == [4, 5]
        assert [stored.position for stored in journal.read(4, stop=4, as_of=when)] == [4]


def test_a_time_is_read_to_the_microsecond() -> None:
    """What a record is given as its time names that very commit."""
    for timestamp in (0, 1, START, START + 1, (1 << 53) + 1):
        assert timestamp_of(datetime_of(timestamp)) == timestamp
    assert timestamp_of(datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)) == -1

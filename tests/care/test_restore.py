"""Restore: to the end, to a position, to a time; a new epoch, and nothing half done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aurora_es import (
    ArgumentError,
    CorruptionError,
    ForeignDirectoryError,
    Journal,
    RollCycle,
    Sync,
)
from aurora_es.care import backup, restore, verify
from aurora_es.care.restore_point import Point
from aurora_es.care.truncated_copy import copy_up_to
from aurora_es.files.layer import SYSTEM_EFFECTS, Effects, Files
from aurora_es.format.mark import Mark
from aurora_es.journal import background
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.retention import retain
from tests.journal.support import SECOND, ManualClock, effects_with, message, open_with, states


def _fill(path: Path, count: int) -> None:
    with Journal.open(path, roll_cycle=RollCycle.events(3), sync=Sync.NEVER) as journal:
        for at in range(count):
            journal.append([message(b"%d" % at)])


@pytest.mark.parametrize("prepare", ["raw", "seal", "cool"])
def test_every_position_can_be_restored(tmp_path: Path, prepare: str) -> None:
    """What is kept has the digest of the source; appends and reads go on behind it."""
    source = tmp_path / "journal"
    _fill(source, 10)
    if prepare != "raw":
        background.seal(str(source))
        background.merge(str(source), everything=True)
    if prepare == "cool":
        background.cool(str(source))
    backup(source, tmp_path / "backup")
    for position in [*range(11), None]:
        target = tmp_path / f"restored-{position}"
        report = restore(tmp_path / "backup", target, position=position)
        last = 10 if position is None else position
        assert report.journals[0].position == last
        found = verify(target, until=last)
        assert found.is_whole, found.findings
        assert found.digest == verify(source, until=last).digest
        with Journal.open(target) as journal:
            assert states(journal) == [b"%d" % at for at in range(last)]
            assert journal.append([message(b"new")]) == range(last + 1, last + 2)
            manifest = read_manifest(SYSTEM_EFFECTS.files, str(target))
            assert manifest is not None
            assert manifest.epoch > 1
            assert manifest.epochs == [(manifest.epoch, last + 1)]
        background.work(str(target))
        assert verify(target).is_whole


@pytest.mark.parametrize("prepare", ["raw", "cool"])
def test_what_is_left_of_a_journal_can_be_restored(tmp_path: Path, prepare: str) -> None:
    """Of its first segment that is left, too, and then the newest one is a fresh one behind that."""
    source = tmp_path / "journal"
    _fill(source, 10)
    background.seal(str(source))
    if prepare == "cool":
        background.cool(str(source), older_than_hours=-1)
    retain(source, before_position=7)
    backup(source, tmp_path / "backup")
    for position in (5, 6):
        with pytest.raises(ArgumentError, match="expected a point at or behind position 7"):
            restore(tmp_path / "backup", tmp_path / "none", position=position)
    for position in (7, 8, 9, 10):
        target = tmp_path / f"restored-{position}"
        restore(tmp_path / "backup", target, position=position)
        with Journal.open(target) as journal:
            assert (journal.first_position, journal.last_position) == (7, position)
            assert states(journal, start=7) == [b"%d" % at for at in range(6, position)]
            journal.append([message(b"new")])
        background.work(str(target))
        assert verify(target).is_whole


def test_journals_are_cut_to_one_time(tmp_path: Path) -> None:
    """No tracking record lies beyond what is left of its upstream, whatever the clock said."""
    root = tmp_path / "store"
    upstream, downstream = root / "Up" / "events", root / "Down" / "tracking"
    for path in (upstream, downstream):
        path.parent.mkdir(parents=True)
    times = []
    with Journal.open(upstream, sync=Sync.NEVER) as up, Journal.open(downstream) as down:
        for at in range(1, 8):
            up.append([message(b"%d" % at)])
            down.append([], tracking=("Up", at))
            times.append(datetime.now(UTC))
    backup(root, tmp_path / "backup")
    for at, time in enumerate(times, 1):
        target = tmp_path / f"restored-{at}"
        restore(tmp_path / "backup", target, time=time)
        with Journal.open(target / "Up" / "events", read_only=True) as up:
            assert up.last_position == at
        with Journal.open(target / "Down" / "tracking", read_only=True) as down:
            assert down.tracking() == {"Up": at}


def test_a_slow_clock_lets_no_follower_be_ahead(tmp_path: Path) -> None:
    """Its commits are older than the time asked for, and what they track is not: they are cut, too."""
    root = tmp_path / "store"
    upstream, downstream = root / "Up" / "events", root / "Down" / "tracking"
    for path in (upstream, downstream):
        path.parent.mkdir(parents=True)
    clock = ManualClock()
    slow = effects_with(clock=lambda: clock.now - 3600 * SECOND)
    with (
        open_with(upstream, effects_with(clock=clock), sync=Sync.NEVER) as up,
        open_with(downstream, slow, sync=Sync.NEVER) as down,
    ):
        for at in range(1, 8):
            clock.now += SECOND
            up.append([message(b"%d" % at)])
            down.append([], tracking=("Up", at))
    backup(root, tmp_path / "backup")
    time = datetime.fromtimestamp((clock.now - 3 * SECOND) / SECOND, UTC)
    restore(tmp_path / "backup", tmp_path / "restored", time=time)
    with Journal.open(tmp_path / "restored" / "Up" / "events", read_only=True) as up:
        assert up.last_position == 4
    with Journal.open(tmp_path / "restored" / "Down" / "tracking", read_only=True) as down:
        assert down.tracking() == {"Up": 4}


def test_a_target_with_files_is_refused(tmp_path: Path) -> None:
    """Nothing is ever restored over what is there."""
    _fill(tmp_path / "journal", 2)
    backup(tmp_path / "journal", tmp_path / "backup")
    with pytest.raises(ForeignDirectoryError):
        restore(tmp_path / "backup", tmp_path / "journal")


def test_what_lacks_a_commit_is_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that is whole by itself and says less than the backup is found by its digest."""
    _fill(tmp_path / "journal", 4)
    backup(tmp_path / "journal", tmp_path / "backup")

    def copy_less(
        effects: Effects,
        point: Point,
        target: str,
        *,
        epoch: int,
        place: Callable[[Files, str, str], object],
    ) -> Mark:
        less = replace(point, commit=point.commit - 1, position=point.position - 1)
        return copy_up_to(effects, less, target, epoch=epoch, place=place)

    # The package has a function of the module's name.
    module = sys.modules["aurora_es.care.restore"]
    monkeypatch.setattr(module, "copy_up_to", copy_less)
    with pytest.raises(CorruptionError, match="as the backup has it"):
        restore(tmp_path / "backup", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    monkeypatch.undo()
    assert restore(tmp_path / "backup", tmp_path / "restored").journals[0].position == 4

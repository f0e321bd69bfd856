"""Compaction of snapshots and tracking, and that nothing else is compacted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_es import ArgumentError, Journal, RollCycle, Sync
from aurora_es.journal.background import merge, seal
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.compaction import compact
from tests.journal.support import SECOND, ManualClock, effects_with, event, message, open_with


def snapshots(path: Path) -> dict[str, list[int]]:
    """Versions of each aggregate's snapshots, in order."""
    found: dict[str, list[int]] = {}
    with open_with(path) as journal:
        for stored in journal.read(journal.first_position):
            record = stored.record
            assert record.originator_version is not None
            found.setdefault(str(record.originator_id), []).append(record.originator_version)
    return found


@settings(max_examples=20)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30), st.integers(1, 3))
def test_the_newest_snapshots_stay(
    tmp_path_factory: pytest.TempPathFactory, made: list[str], keep: int
) -> None:
    """Of every aggregate the newest n are as before; no segment is left that could go."""
    path = tmp_path_factory.mktemp("App") / "snapshots"
    effects = effects_with()
    with open_with(path, roll_cycle=RollCycle.events(2), sync=Sync.NEVER) as journal:
        for at, owner in enumerate(made, 1):
            journal.append([event(owner, 10 * at)])
    seal(str(path), effects=effects)
    before = snapshots(path)
    report = compact(path, keep_snapshots=keep, effects=effects)
    after = snapshots(path)
    for owner, versions in before.items():
        assert after[owner][-keep:] == versions[-keep:]
        assert after[owner] == versions[-len(after[owner]) :]
    assert report.dropped_positions == len(made) - sum(map(len, after.values()))
    assert compact(path, keep_snapshots=keep, effects=effects).dropped_segments == 0
    merge(str(path), everything=True, effects=effects)
    assert snapshots(path) == after


def test_an_aggregate_without_a_newer_snapshot_keeps_its_segment(tmp_path: Path) -> None:
    """Segments go from the front only: what is behind a needed one stays with it."""
    path = tmp_path / "snapshots"
    with open_with(path, roll_cycle=RollCycle.events(1)) as journal:
        for owner, version in (("a", 1), ("a", 2), ("rare", 1), ("a", 3), ("a", 4), ("a", 5)):
            journal.append([event(owner, version)])
    seal(str(path))
    assert compact(path, dry_run=True).dropped_segments == 2
    assert len(snapshots(path)["a"]) == 5
    assert compact(path).dropped_segments == 2
    assert snapshots(path) == {"rare": [1], "a": [3, 4, 5]}


def test_newer_snapshots_in_the_tail_do_not_count(tmp_path: Path) -> None:
    """A power cut may take back the tail; then the snapshot before it has to be there."""
    path = tmp_path / "snapshots"
    with open_with(path, roll_cycle=RollCycle.events(1)) as journal:
        for version in range(1, 4):
            journal.append([event("a", version)])
    seal(str(path))  # versions 1 and 2
    assert compact(path, keep_snapshots=2).dropped_segments == 0
    assert compact(path, keep_snapshots=1).dropped_segments == 1


def test_tracking_keeps_its_table(tmp_path: Path) -> None:
    """Each segment begins with the whole table, so all sealed ones but the newest go."""
    path = tmp_path / "App" / "tracking"
    path.parent.mkdir()
    clock = ManualClock()
    with open_with(path, effects_with(clock=clock), roll_cycle=RollCycle.MINUTE) as journal:
        journal.append([], tracking=("Once", 7))
        for number in range(1, 7):
            clock.now += 60 * SECOND
            journal.append([], tracking=("Bank", number))
    assert seal(str(path)) == 6
    assert compact(path).dropped_segments == 5
    clear_away(effects_with(), str(path), at_once=True)
    for _ in range(2):
        with open_with(path) as journal:
            assert journal.tracking() == {"Bank": 6, "Once": 7}
    assert compact(path).dropped_segments == 0


@pytest.mark.parametrize("purpose", ["events", "dcb", "mine"])
def test_history_is_never_compacted(tmp_path: Path, purpose: str) -> None:
    """Any other journal is refused."""
    path = tmp_path / purpose
    with Journal.open(path) as journal:
        journal.append([message()])
    with pytest.raises(ArgumentError, match="never compacted"):
        compact(path)


def test_one_snapshot_has_to_stay(tmp_path: Path) -> None:
    """Keeping none is refused, and so is a directory without a journal."""
    with pytest.raises(ArgumentError, match="keep_snapshots"):
        compact(tmp_path / "snapshots", keep_snapshots=0)
    with pytest.raises(ArgumentError, match="expected the journal"):
        compact(tmp_path / "snapshots")

"""What ``Journal.statistics`` tells, and that it does not read the journal."""

from __future__ import annotations

from pathlib import Path

from aurora_es import Journal, RollCycle, Sync
from aurora_es.journal.background import cool, merge, seal
from tests.journal.support import (
    SECOND,
    ManualClock,
    ScriptedFiles,
    effects_with,
    event,
    open_with,
)


def test_segments_are_counted_by_state(tmp_path: Path) -> None:
    """Tail, rolled, sealed and cooled segments, runs and sizes are those of the files."""
    path = tmp_path / "j"
    with Journal.open(path, roll_cycle=RollCycle.events(2), sync=Sync.NEVER) as journal:
        for version in range(1, 7):
            journal.append([event("a", version)])
        seal(str(path))
        cool(str(path))
        for version in range(7, 11):
            journal.append([event("a", version)])
        seal(str(path))
        for version in range(11, 16):
            journal.append([event("a", version)])
        journal.renew()
        found = journal.statistics()
    assert (found.events, found.retained_from, found.last_position) == (15, 1, 15)
    assert (found.cooled_segments, found.sealed_segments, found.rolled_segments) == (2, 2, 3)
    assert found.segments == 8
    sizes = {file.name: file.stat().st_size for file in path.iterdir()}
    listed = [name for name in sizes if name.endswith(".segment")]
    raw = {name.replace(".r1", "") for name in listed if ".r1" in name}
    last = max(listed)
    assert found.segment_bytes == found.tail_bytes + sum(
        sizes[name] for name in listed if name not in raw | {last}
    )
    merge(str(path), everything=True)
    with Journal.open(path, read_only=True) as journal:
        found = journal.statistics()
    assert found.runs == 1
    (run,) = path.glob("*-0000000001-0000000004.index")
    assert found.run_bytes == run.stat().st_size


def test_the_rate_is_that_of_the_newest_part(tmp_path: Path) -> None:
    """Events since the newest sealed segment began, by the time that passed."""
    clock = ManualClock()
    path = tmp_path / "j"
    with open_with(path, effects_with(clock=clock), roll_cycle=RollCycle.events(2)) as journal:
        assert journal.statistics().events_per_second is None
        for version in range(1, 6):
            journal.append([event("a", version)])
            clock.now += SECOND // 2
        assert journal.statistics().events_per_second is None
        seal(str(path))
        journal.renew()
        # Positions 3 to 5, at 1.0, 1.5 and 2.0 s.
        assert journal.statistics().events_per_second == 3 / 1.0


def test_nothing_is_read_but_mark_and_sizes(tmp_path: Path) -> None:
    """However long the journal is, statistics cost one read, and one look at each run's size."""
    path = tmp_path / "j"
    files = ScriptedFiles()
    with open_with(path, effects_with(files), roll_cycle=RollCycle.events(2)) as journal:
        for version in range(1, 50):
            journal.append([event("a", version)])
        seal(str(path))
        journal.renew()
        journal.statistics()
        files.calls.clear()
        journal.statistics()
        names = [name for name, _ in files.calls]
        assert names.count("pread") <= 2
        assert len(names) < 20


def test_unsynced_bytes_are_told(tmp_path: Path) -> None:
    """Under Sync.NEVER what was appended is not known to be on disk until it is synced."""
    with Journal.open(tmp_path / "j", sync=Sync.NEVER) as journal:
        journal.append([event("a", 1)])
        before = journal.statistics()
        journal.sync()
        after = journal.statistics()
    assert before.unsynced_bytes > 0
    assert not before.durable
    assert after.unsynced_bytes == 0
    assert after.seconds_since_sync is not None

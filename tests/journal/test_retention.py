"""Retention: what goes, what stays, and what is refused afterwards."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_es import (
    ArgumentError,
    ConflictError,
    CorruptionError,
    Journal,
    RollCycle,
    StillNeededError,
    StoredRecord,
    Sync,
    TruncatedError,
)
from aurora_es.format.names import MANIFEST
from aurora_es.journal.background import cool, merge, seal, work
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.creation import Settings
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.retention import retain, truncated_originators
from tests.journal.support import (
    HOUR,
    SECOND,
    START,
    ManualClock,
    QuickFiles,
    effects_with,
    event,
    flip,
    message,
    open_with,
    run_threads,
    snapshot,
)


def fill(path: Path, *, ids: int = 3, events: int = 24, per_segment: int = 2) -> list[StoredRecord]:
    """Append events of a few originators in turn, seal, and return what can be read."""
    cycle = RollCycle.events(per_segment)
    with open_with(path, roll_cycle=cycle, sync=Sync.NEVER) as journal:
        for number in range(events):
            topic = f"t{number % 5}"
            journal.append([event(f"id-{number % ids}", number // ids + 1, topic=topic)])
        seal(str(path), effects=effects_with())
        return list(journal.read())


def check(path: Path, kept: list[StoredRecord]) -> None:
    """Compare every way to read with what has to be left."""
    first = kept[0].position
    with open_with(path) as journal:
        assert journal.first_position == first
        assert list(journal.read(first)) == kept
        if first > 1:
            with pytest.raises(TruncatedError, match=f"retained from position {first} on"):
                next(journal.read(first - 1))
        counts = Counter(stored.record.originator_id for stored in kept)
        del counts[None]
        listed = {one.originator_id: one for one in journal.originator_ids()}
        assert {name: one.record_count for name, one in listed.items()} == counts
        assert journal.topics() == Counter(stored.record.topic for stored in kept)
        statistics = journal.statistics()
        assert (statistics.retained_from, statistics.events) == (first, len(kept))
        for owner in counts:
            versions = [
                stored.record.originator_version
                for stored in kept
                if stored.record.originator_id == owner
            ]
            assert owner is not None
            assert listed[owner].last_version == versions[-1]
            for version in range(1, (versions[-1] or 0) + 1):
                with pytest.raises(ConflictError):
                    journal.append([event(owner, version)])


@settings(max_examples=12)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=3),
    st.sampled_from(["nothing", "merge", "merge all", "cool"]),
    st.integers(1, 3),
)
def test_what_is_left_reads_as_before(
    tmp_path_factory: pytest.TempPathFactory, bounds: list[int], between: str, per_segment: int
) -> None:
    """However runs and dropped segments lie, the rest of the journal is the same as before."""
    path = tmp_path_factory.mktemp("j")
    kept = fill(path, per_segment=per_segment)
    effects = effects_with(clock=ManualClock(START + HOUR))  # all is old enough to be cooled
    for bound in bounds:
        if between == "cool":
            cool(str(path), effects=effects)
        elif between != "nothing":
            merge(str(path), everything=between == "merge all", effects=effects)
        report = retain(path, before_position=bound, effects=effects)
        kept = kept[report.dropped_positions :]
        assert kept[0].position == report.retained_from <= max(bound, kept[0].position)
        check(path, kept)
        clear_away(effects, str(path), at_once=True)
        check(path, kept)
        for run in path.glob("*.index"):
            flip(run, 0)
        check(path, kept)
        with open_with(path) as journal:
            journal.append([message()])
            kept += journal.read(kept[-1].position + 1)
        seal(str(path), effects=effects)


def test_the_newest_sealed_segment_stays(tmp_path: Path) -> None:
    """Whatever is asked for, one sealed segment and what is behind it stay."""
    path = tmp_path / "j"
    kept = fill(path)
    report = retain(path, before_position=1000, bytes_max=0)
    assert report.dropped_segments == 10
    check(path, kept[20:])
    assert retain(path, bytes_max=0).dropped_segments == 0


def test_each_bound_drops_what_is_beyond_it(tmp_path: Path) -> None:
    """Age counts from a segment's last commit, position from its last record, size from all."""
    clock = ManualClock()
    effects = effects_with(clock=clock)
    path = tmp_path / "j"
    with open_with(path, effects, roll_cycle=RollCycle.events(1)) as journal:
        for version in range(1, 11):
            journal.append([event("a", version)])
            clock.now += SECOND
    seal(str(path))
    # Segment n was committed 11 - n seconds ago.
    older = retain(path, older_than=timedelta(seconds=7), dry_run=True, effects=effects)
    assert older.dropped_segments == 3
    before = retain(path, before_position=3, dry_run=True)
    assert before.dropped_segments == 2
    assert before.retained_from == 3
    sizes = [file.stat().st_size for file in sorted(path.glob("*.segment"))]
    assert retain(path, bytes_max=sum(sizes), dry_run=True).dropped_segments == 0
    assert retain(path, bytes_max=sum(sizes) - 1, dry_run=True).dropped_segments == 1
    assert retain(path, bytes_max=sum(sizes[4:]), dry_run=True).dropped_segments == 4
    both = retain(path, bytes_max=sum(sizes[4:]), before_position=3, dry_run=True)
    assert both.dropped_segments == 4
    assert both.dropped_bytes == sum(sizes[:4])


def test_a_dry_run_names_who_loses_events_and_changes_nothing(tmp_path: Path) -> None:
    """Counts and ids of originators whose first events would go; files are as before."""
    path = tmp_path / "j"
    fill(path)
    with Journal.open(path) as journal:
        journal.append([event("late", 1)])
    before = snapshot(path)
    report = retain(path, before_position=3, dry_run=True)
    assert snapshot(path) == before
    assert (report.originator_count, sorted(map(str, report.originator_ids))) == (
        2,
        ["id-0", "id-1"],
    )
    assert sorted(map(str, truncated_originators(path, 4))) == ["id-0", "id-1", "id-2"]
    assert (report.dropped_positions, report.retained_from, report.dry_run) == (2, 3, True)


def test_a_bound_is_needed_and_a_journal(tmp_path: Path) -> None:
    """Without a bound, or a journal, nothing is done."""
    with pytest.raises(ArgumentError, match="older_than, before_position or bytes_max"):
        retain(tmp_path)
    with pytest.raises(ArgumentError, match="expected a journal, found none"):
        retain(tmp_path, bytes_max=0)
    assert not os.listdir(tmp_path)


def test_files_go_a_minute_later(tmp_path: Path) -> None:
    """Segments, tables and runs are removed by the next background run after a minute."""
    clock = ManualClock()
    effects = effects_with(clock=clock)
    path = tmp_path / "j"
    fill(path)
    names = set(os.listdir(path))
    retain(path, before_position=9, effects=effects)
    assert names <= set(os.listdir(path))
    clock.now += 61 * SECOND
    assert work(str(path), effects=effects).removed_files >= 8
    left = [name for name in os.listdir(path) if name.endswith((".segment", ".frames"))]
    assert not [name for name in left if int(name[:10]) < 5]


def test_another_process_that_does_not_know_yet(tmp_path: Path) -> None:
    """A journal that was open before reads on, and what is gone is a typed error there, too."""
    path = tmp_path / "j"
    kept = fill(path)
    effects = effects_with()
    with Journal.open(path, read_only=True) as reader, Journal.open(path) as appender:
        assert reader.last_position == 24
        retain(path, before_position=13, effects=effects)
        clear_away(effects, str(path), at_once=True)
        assert list(reader.read(13)) == kept[12:]
        with pytest.raises(TruncatedError):
            list(reader.read(1))
        with pytest.raises(ConflictError):
            appender.append([event("id-0", 1)])
        appender.append([event("id-0", 9)])
        assert reader.first_position == 13
        assert [one.record_count for one in reader.originator_ids()].count(4) == 2


def test_a_lost_segment_is_no_dropped_one(tmp_path: Path) -> None:
    """A missing file behind the retained position is corruption."""
    path = tmp_path / "j"
    fill(path)
    retain(path, before_position=5)
    next(path.glob("0000000005-*.segment")).unlink()
    with Journal.open(path, read_only=True) as journal, pytest.raises(CorruptionError):
        list(journal.read(5))


def test_two_retentions_at_a_time(tmp_path: Path) -> None:
    """One waits for the other; together they drop what the farther one asks for."""
    path = tmp_path / "j"
    kept = fill(path)
    reports = run_threads([partial(retain, path, before_position=at) for at in (9, 15)])
    assert sum(report.dropped_positions for report in reports) == 14
    check(path, kept[14:])


def application(root: Path, name: str, purpose: str = "events") -> Journal:
    """Open a journal of an application below ``root``, as its recorder would."""
    return Journal(
        effects_with(),
        str(root / name / purpose),
        Settings(sync=Sync.NEVER, roll_cycle=RollCycle.events(1), name=name),
        new_parents_max=2,
    )


@pytest.mark.parametrize("purpose", ["events", "tracking"])
def test_what_another_application_has_yet_to_read_stays(tmp_path: Path, purpose: str) -> None:
    """Refused, with nothing changed, until the follower has read all that is to go."""
    with application(tmp_path, "Bank") as bank, application(tmp_path, "View", purpose) as view:
        for version in range(1, 8):
            bank.append([event("a", version)])
        view.append([], tracking=("Bank", 2))
        view.append([], tracking=("Other", 1))
        path = tmp_path / "Bank" / "events"
        seal(str(path))
        before = snapshot(tmp_path)
        for dry_run in (True, False):
            with pytest.raises(StillNeededError, match=r"'Bank' up to 2 only.*position 3"):
                retain(path, before_position=4, dry_run=dry_run)
        assert {name: state.content for name, state in snapshot(tmp_path).items()} == {
            name: state.content for name, state in before.items()
        }
        assert retain(path, before_position=3).retained_from == 3
        view.append([], tracking=("Bank", 4))
        assert retain(path, before_position=5).retained_from == 5


class Killed(BaseException):
    """Stands for a kill at a call."""


def test_killed_anywhere_nothing_or_everything_is_dropped(tmp_path: Path) -> None:
    """At whichever file operation a retention dies, the journal is whole, before or after."""
    at = 0
    done = False
    while not done:
        path = tmp_path / str(at)
        kept = fill(path, events=12)
        merge(str(path), everything=True)
        files = _KillingFiles(at)
        try:
            retain(path, before_position=5, effects=effects_with(files))
            done = True
        except Killed:
            pass
        manifest = read_manifest(QuickFiles(), str(path))
        assert manifest is not None
        assert manifest.retained_from in {1, 5}
        check(path, kept[manifest.retained_from - 1 :])
        at += 1
    assert at > 10


class _KillingFiles(QuickFiles):
    def __init__(self, calls: int) -> None:
        self.calls = calls

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name in {"pwrite", "rename", "unlink", "open", "sync_directory", "fsync"}:
            if self.calls == 0:
                raise Killed
            self.calls -= 1
        return found


def test_the_manifest_that_retention_writes_is_readable_text(tmp_path: Path) -> None:
    """``retained_from`` stands in the manifest."""
    path = tmp_path / "j"
    fill(path)
    retain(path, before_position=7)
    assert b'"retained_from":7' in (path / MANIFEST).read_bytes()

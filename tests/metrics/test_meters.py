"""Counts of appends and syncs: exact by a clock that a test moves, and lost by nobody."""

from __future__ import annotations

import gc
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import ArgumentError, ConflictError, RollCycle, StorageFullError, Sync
from aurora_es.journal.exclusive import ExclusiveAppend
from aurora_es.journal.meters import BUCKET_COUNT, Meters, bucket_ends, bucket_of
from aurora_es.journal.syncing import _sync_once as sync_once
from aurora_es.metrics import Histogram, JournalMetrics
from aurora_es.metrics import snapshot as metrics_snapshot
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
)

TENTHS_MS = 100  # microseconds


class SteppedTime:
    """A monotonic clock that only a test moves, in microseconds."""

    def __init__(self) -> None:
        """Begin at a time that is none."""
        self.microseconds = 1_000_000

    def __call__(self) -> float:
        """Tell the time in seconds."""
        return self.microseconds / 1e6


class Stage:
    """A journal whose writes and syncs take as long as a test says."""

    def __init__(self, path: Path, sync: Sync, **arguments: Any) -> None:
        """Open it, and make it with one append that takes no time."""
        self.time = SteppedTime()
        self.files = ScriptedFiles()
        effects = replace(effects_with(self.files), monotonic=self.time)
        self.journal = open_with(path, effects, sync=sync, **arguments)
        self.journal.append([message()])

    def takes(self, name: str, microseconds: int) -> None:
        """Let each call ``name`` take time."""

        def reaction(call: Call, *_: object) -> Any:
            self.time.microseconds += microseconds
            return call()

        self.files.reactions[name] = reaction

    def metrics(self) -> JournalMetrics:
        """What was counted."""
        gc.collect()  # handles of processes that other tests have killed answer to nobody
        return metrics_snapshot().journal(self.journal.handle.path)


def seen(histogram: Histogram) -> dict[float, int]:
    """The bounds under which anything was counted."""
    bounds = (*histogram.bounds, float("inf"))
    return {bounds[n]: count for n, count in enumerate(histogram.counts) if count}


@given(st.integers(-5, 1 << 30))
def test_a_bucket_is_found_by_its_ends(value: int) -> None:
    """The arithmetic on bits gives what a search among the ends gives."""
    assert len(bucket_ends()) == BUCKET_COUNT - 1
    assert bucket_of(value) == bisect_right(bucket_ends(), value)


@given(st.lists(st.floats(-1.0, 100.0), max_size=30))
def test_appends_are_counted_in_the_bucket_of_their_time(durations: list[float]) -> None:
    """The loop that is paid by every append counts as the plain function does."""
    meters = Meters()
    group = [
        SimpleNamespace(begun=-seconds, record_count=2, stored_bytes=3) for seconds in durations
    ]
    meters.note_appends(cast("Any", group), 0.0)
    expected = [0] * BUCKET_COUNT
    for seconds in durations:
        expected[bucket_of(int(seconds * 1e6))] += 1
    assert meters.append_counts == expected
    assert meters.append_seconds == pytest.approx(sum(durations))
    assert (meters.appended_commits, meters.appended_records, meters.appended_bytes) == (
        len(group),
        2 * len(group),
        3 * len(group),
    )


@given(st.lists(st.integers(1, 60_000_000), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_an_eighth_off_at_most(values: list[int], share: float) -> None:
    """A quantile lies in the bucket of the value that sorting finds, or where the next one is."""
    counts = [0] * BUCKET_COUNT
    for value in values:
        counts[bucket_of(value)] += 1
    ends = bucket_ends()
    histogram = Histogram(tuple(map(float, ends)), tuple(counts), sum(values))
    place = max(-(-share * len(values) // 1), 1)
    found = histogram.quantile(share)
    # A product of floats may round to a neighbour in the order.
    possible = {bucket_of(v) for v in sorted(values)[max(int(place) - 2, 0) : int(place) + 1]}
    assert any((ends[n - 1] if n else 0) <= found <= ends[n] for n in possible)


def test_a_quantile_of_nothing_and_of_too_much() -> None:
    """Without values it is zero, above the last bound it is that; a share is between 0 and 1."""
    assert Histogram((1.0, 2.0), (0, 0, 0), 0.0).quantile(0.5) == 0.0
    assert Histogram((1.0, 2.0), (0, 0, 1), 9.0).quantile(0.5) == 2.0
    with pytest.raises(ArgumentError, match="share"):
        Histogram((1.0,), (0, 0), 0.0).quantile(1.5)


def test_an_append_counts_its_time_and_that_of_its_sync(tmp_path: Path) -> None:
    """Under ``always`` both are counted: 300 µs in all, 200 of them in the sync."""
    stage = Stage(tmp_path / "j", Sync.ALWAYS)
    stage.takes("pwrite", 50)  # of the commit, and of the mark
    stage.takes("fdatasync", 200)
    before = stage.metrics()
    stage.journal.append([message(), message()])
    after = stage.metrics()
    assert after.append_seconds.sum - before.append_seconds.sum == pytest.approx(300e-6)
    assert after.sync_seconds.sum - before.sync_seconds.sum == pytest.approx(200e-6)
    assert seen(after.append_seconds) == {1e-6: 1, 320e-6: 1}
    assert seen(after.sync_seconds) == {1e-6: 1, 224e-6: 1}
    assert (after.appended_commits, after.appended_records) == (2, 3)
    assert seen(after.commits_per_sync) == {1.0: 2}


def test_a_group_counts_each_commit_and_one_sync(tmp_path: Path) -> None:
    """Eight commits behind one that is held up are made durable by one sync."""
    files = ScriptedFiles()
    crowd = Crowd(files, lambda: None)
    journal = open_with(tmp_path / "j", crowd.effects(), sync=Sync.ALWAYS)
    crowd.append(journal, [[message()] for _ in range(9)])
    found = metrics_snapshot().journal(journal.handle.path)
    assert found.appended_commits == found.append_seconds.count == 9
    assert found.sync_seconds.count == 2
    assert seen(found.commits_per_sync) == {1.0: 1, 9.0: 1}
    assert found.commits_per_sync.sum == 9


def test_no_count_is_lost_between_threads(tmp_path: Path) -> None:
    """Appends of many threads are all counted, without a lock of their own."""
    journal = open_with(tmp_path / "j", sync=Sync.NEVER)

    def append_some() -> None:
        for _ in range(50):
            journal.append([message()])

    run_threads([append_some] * 8)
    found = metrics_snapshot().journal(journal.handle.path)
    assert found.append_seconds.count == found.appended_commits == found.appended_records == 400
    assert found.extent is not None
    assert 0 < found.extent.tail_bytes - found.appended_bytes < 1000  # header, opening frame


def test_one_sync_counts_what_was_appended_since_the_last(tmp_path: Path) -> None:
    """Under a weak mode ``sync`` makes many commits durable; one without news counts none."""
    stage = Stage(tmp_path / "j", Sync.NEVER)
    for _ in range(4):
        stage.journal.append([message()])
    stage.takes("fdatasync", 1000)
    assert stage.metrics().sync_seconds.count == 0
    stage.journal.sync()
    stage.journal.sync()
    found = stage.metrics()
    assert found.sync_seconds.count == 1
    assert seen(found.commits_per_sync) == {5.0: 1}
    assert found.extent is not None
    assert found.extent.unsynced_bytes == 0


def test_a_roll_counts_its_sync(tmp_path: Path) -> None:
    """The segment that ends is synced in every mode, and its commits are durable then."""
    stage = Stage(tmp_path / "j", Sync.NEVER, roll_cycle=RollCycle.events(3))
    for _ in range(4):
        stage.journal.append([message()])
    found = stage.metrics()
    assert (found.rolls, found.sync_seconds.count) == (1, 1)
    assert seen(found.commits_per_sync) == {3.0: 1}
    assert found.extent is not None
    assert (found.extent.segments, found.extent.rolled_segments) == (2, 1)


def test_refused_appends_are_no_appends(tmp_path: Path) -> None:
    """A conflict is counted as such, a full disk as nothing."""
    stage = Stage(tmp_path / "j", Sync.ALWAYS)
    stage.journal.append([event("a", 1)])
    with pytest.raises(ConflictError):
        stage.journal.append([event("a", 1)])
    stage.files.fail("pwrite", error_of(28))
    with pytest.raises(StorageFullError):
        stage.journal.append([event("a", 2)])
    found = stage.metrics()
    assert (found.appended_commits, found.append_seconds.count, found.conflicts) == (2, 2, 1)


def test_an_exclusive_append_counts_like_any_other(tmp_path: Path) -> None:
    """Views append under a lock that they hold already."""
    stage = Stage(tmp_path / "j", Sync.NEVER)
    exclusive = ExclusiveAppend(stage.journal.handle)
    stage.takes("pwrite", TENTHS_MS)
    with exclusive as lock:
        lock.append([(None, None, "t", b"")], [(None, None)], None)
    found = stage.metrics()
    assert (found.appended_commits, found.append_seconds.count) == (2, 2)
    assert found.append_seconds.sum == pytest.approx(2 * TENTHS_MS / 1e6)


def test_a_failed_sync_makes_a_final_handle_and_no_count(tmp_path: Path) -> None:
    """What failed is no sync; the handle that it made final is shown until it is closed."""
    stage = Stage(tmp_path / "j", Sync.ALWAYS)
    stage.files.fail("fdatasync", error_of(5))
    with pytest.raises(Exception, match="sync failed"):
        stage.journal.append([message()])
    found = stage.metrics()
    assert (found.final_handles, found.appended_commits, found.sync_seconds.count) == (1, 1, 1)
    assert found.extent is None
    stage.journal.close()
    with pytest.raises(ArgumentError, match="expected a journal that is open"):
        stage.metrics()


def test_two_handles_of_one_journal_are_added_up(tmp_path: Path) -> None:
    """Counts add up, and the journal is described once, as the newer look sees it."""
    first = open_with(tmp_path / "j", sync=Sync.NEVER)
    first.append([message()])
    second = open_with(tmp_path / "j")
    second.append([message()])
    second.append([message(), message()])
    (found,) = metrics_snapshot(tmp_path).journals
    assert (found.handles, found.appended_commits, found.appended_records) == (2, 3, 4)
    assert found.append_seconds.count == 3
    assert found.extent is not None
    assert (found.extent.last_commit, found.extent.last_position) == (3, 4)


def test_the_thread_of_a_mode_counts_its_syncs(tmp_path: Path) -> None:
    """What was appended while it synced counts for its next one."""
    stage = Stage(tmp_path / "j", Sync.parse("60000ms"))
    stage.journal.append([message()])

    def append_meanwhile(call: Call, *_: object) -> Any:
        del stage.files.reactions["fdatasync"]
        stage.journal.append([message()])
        stage.time.microseconds += TENTHS_MS
        return call()

    stage.files.reactions["fdatasync"] = append_meanwhile
    sync_once(stage.journal.handle)
    assert seen(stage.metrics().sync_seconds) == {112e-6: 1}
    assert seen(stage.metrics().commits_per_sync) == {2.0: 1}
    sync_once(stage.journal.handle)
    assert seen(stage.metrics().commits_per_sync) == {1.0: 1, 2.0: 1}
    stage.journal.close()

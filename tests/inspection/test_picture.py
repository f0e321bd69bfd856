"""Segments, runs and rates: the same as counting everything."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from aurora_es import ArgumentError, Journal, Record
from aurora_es.inspection.picture import read_picture
from aurora_es.inspection.rates import read_rates
from aurora_es.journal import background
from tests.inspection.support import BEGIN, looked_at, make_timed


def one() -> list[Record]:
    """A commit."""
    return [Record(topic="t", state=b"x" * 50)]


def test_tiers_positions_and_times_of_segments(tmp_path: Path) -> None:
    """Tail, rolled, sealed and cooled ones, without a gap, each with its first and last time."""
    path = make_timed(tmp_path / "j", [one() for _ in range(60)], roll=10, sealed=45)
    background.cool(str(path), older_than_hours=-1)
    with looked_at(path) as journal:
        picture = read_picture(journal)
        times = [stored.timestamp for stored in journal.read()]
    in_use = [segment for segment in picture.segments if segment.state != "obsolete"]
    tiers = [segment.state for segment in in_use]
    assert set(tiers) == {"cooled", "rolled", "tail"}
    position = 1
    for segment in in_use:
        assert segment.base_position == position
        assert segment.last_position is not None
        first, last = segment.base_position, segment.last_position
        if last >= first:
            assert segment.first_timestamp == times[first - 1]
            assert segment.last_timestamp == times[last - 1]
        assert segment.size_bytes == (path / segment.file_name).stat().st_size
        position = last + 1
    assert position == picture.last_position + 1 == 61
    assert picture.runs[0].base_position == 1
    assert picture.runs[-1].last_position == in_use[tiers.index("rolled")].base_position - 1
    assert all(run.size_bytes for run in picture.runs)


def test_an_empty_tail_has_no_times(tmp_path: Path) -> None:
    """And neither has a journal without records."""
    with Journal.open(tmp_path / "j") as journal:
        journal.create()
    with looked_at(tmp_path / "j") as journal:
        picture = read_picture(journal)
        assert [one.first_timestamp for one in picture.segments] == [None]
        assert read_rates(journal) == []


def test_rates_are_counted_without_reading(tmp_path: Path) -> None:
    """Each record falls into one stretch of time, and the sum is all of them."""
    commits = [one() * (5 if at < 10 else 1) for at in range(40)]
    with looked_at(make_timed(tmp_path / "j", commits, roll=10, sealed=30)) as journal:
        rates = read_rates(journal, buckets=4)
        assert sum(bucket.record_count for bucket in rates) == 80
        assert [bucket.first_position for bucket in rates] == [1, 51, 61, 71]
        assert rates[0].record_count == 50
        assert rates[0].records_per_second == pytest.approx(5, rel=0.05)
        within = read_rates(
            journal,
            since=BEGIN + timedelta(seconds=9.5),
            until=BEGIN + timedelta(seconds=19.5),
            buckets=10,
        )
        assert [bucket.record_count for bucket in within] == [1] * 10
        assert read_rates(journal, since=BEGIN + timedelta(days=1), buckets=3) == []
        with pytest.raises(ArgumentError, match="buckets"):
            read_rates(journal, buckets=0)

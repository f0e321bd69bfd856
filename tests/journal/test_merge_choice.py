"""Which runs are merged next."""

from __future__ import annotations

import pytest

from aurora_es.format.manifest import IndexRun, Manifest
from aurora_es.journal import merge


def run(level: int, first: int, last: int, records: int = 10) -> IndexRun:
    """A run over segments of equally many records."""
    return IndexRun(
        level=level,
        first_segment=first,
        last_segment=last,
        base_position=(first - 1) * records + 1,
        last_position=last * records,
        source_digest="",
        rises=True,
    )


def manifest_of(*runs: IndexRun) -> Manifest:
    """A manifest that lists ``runs``."""
    return Manifest(
        generation=1,
        genesis_id="0" * 32,
        epoch=0,
        name=None,
        sync="always",
        roll_cycle="day",
        compression="none",
        created_at=0,
        runs=[*runs],
    )


def test_two_of_one_level_are_merged_the_lowest_level_first() -> None:
    """Neighbours of one level, in order, however the manifest lists them; else nothing."""
    old, middle, new = run(1, 1, 2), run(0, 3, 3), run(0, 4, 4)
    assert merge.runs_to_merge(manifest_of(new, middle, old)) == [middle, new]
    assert merge.runs_to_merge(manifest_of(old, new)) == []
    assert merge.runs_to_merge(manifest_of()) == []


def test_no_run_grows_beyond_what_one_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that would be too large together stay as they are, and do not stop smaller ones."""
    monkeypatch.setattr(merge, "_RECORDS_MAX", 40)
    large = [run(2, 1, 3), run(2, 4, 6)]
    assert merge.runs_to_merge(manifest_of(*large)) == []
    small = [run(0, 7, 7), run(0, 8, 8)]
    assert merge.runs_to_merge(manifest_of(*large, *small)) == small
    later = [run(3, 7, 8), run(3, 9, 10)]
    assert merge.runs_to_merge(manifest_of(*large, *later)) == later

"""Counting originators from hashes of their ids, against a plain set of them."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from aurora_es import Journal, RollCycle, Sync
from aurora_es.index.keys import key_range
from aurora_es.journal import counting
from aurora_es.journal.background import merge, seal
from aurora_es.journal.counting import OriginatorCount, count_originators
from tests.journal.support import event

HOT = UUID(int=1 << 100)


def count(journal: Journal, sample_keys: int = counting.SAMPLE_KEYS) -> OriginatorCount:
    """Count with an index that has everything."""
    _ = journal.last_position
    return count_originators(journal.handle, sample_keys=sample_keys)


@pytest.fixture(params=["tail", "sealed", "merged"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """A journal of 5,000 originators, half of them with records in several segments."""
    path = tmp_path / "j"
    cycle = RollCycle.DAY if request.param == "tail" else RollCycle.events(900)
    with Journal.open(path, sync=Sync.NEVER, roll_cycle=cycle) as journal:
        for number in range(5_000):
            one = UUID(int=number)
            journal.append([event(one, 1), event(HOT, number)])
        for number in range(0, 5_000, 2):
            journal.append([event(UUID(int=number), 2)])
    if request.param != "tail":
        seal(str(path))
    if request.param == "merged":
        merge(str(path))
    return Journal.open(path, read_only=True)


def test_few_are_counted_exactly(journal: Journal) -> None:
    """Whatever number of segments has records of one, and however many there are."""
    with journal:
        assert count(journal) == OriginatorCount(count=5_001, is_exact=True)


def test_many_are_counted_nearly(journal: Journal) -> None:
    """From a tenth of them; the standard error is four percent then."""
    with journal:
        found = count(journal, 500)
        assert not found.is_exact
        assert 4_000 < found.count < 6_000


def test_nothing_is_counted_as_nothing(tmp_path: Path) -> None:
    """Before the first record."""
    with Journal.open(tmp_path / "j") as journal:
        assert count(journal) == OriginatorCount(count=0, is_exact=True)


def test_keys_of_a_run_come_once_between_any_bounds(journal: Journal) -> None:
    """Also of the one that fills many blocks, and when a bound is one of its keys."""
    low, high = key_range("originator")
    with journal:
        _ = journal.last_position
        sealed = journal.handle.state.index.sealed
        for entry in () if sealed is None else sealed.runs:
            assert sealed is not None
            run = sealed.open_run(entry)
            every = [found.key for found in run.keys("originator")]
            assert run.distinct_keys(low, high).tolist() == every
            for bound in (every[0], every[len(every) // 2], every[-1], every[7] + 1):
                keys = np.array(every, np.uint64)
                assert run.distinct_keys(low, bound).tolist() == keys[keys <= bound].tolist()
                assert run.distinct_keys(bound, high).tolist() == keys[keys >= bound].tolist()

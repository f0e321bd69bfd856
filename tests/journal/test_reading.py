"""Reading ranges, and what happens to a reader while the index under it is built anew."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aurora_es import HistoryChangedError, Journal, RollCycle, Sync
from aurora_es.journal.catch_up import advance, refresh
from aurora_es.journal.reading import read_positions, read_records
from aurora_es.segment.walk import start_of
from tests.journal.support import (
    event,
    message,
    open_with,
    run_threads,
    segment_paths,
    states,
)
from tests.patience import PATIENCE_SECONDS

LARGE = 20_000  # more than a frame takes, so that each such record has one of its own


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    """Open a journal of 60 records in frames of one and of several, over some segments."""
    with open_with(tmp_path / "journal", roll_cycle=RollCycle.events(13)) as opened:
        for number in range(0, 60, 6):
            opened.append([message(b"%d" % number)])
            opened.append(
                [event("a", number + part, b"%d" % (number + part)) for part in (1, 2, 3)]
            )
            opened.append([event("b", number + part, bytes(LARGE)) for part in (4, 5)])
        yield opened


def positions(journal: Journal, **arguments: Any) -> list[int]:
    """Read positions only."""
    return [stored.position for stored in journal.read(**arguments)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, range(1, 61)),
        ({"start": 0}, range(1, 61)),
        ({"start": -5}, range(1, 61)),
        ({"start": 60}, range(60, 61)),
        ({"start": 61}, ()),
        ({"start": 10**18}, ()),
        ({"stop": 5}, range(1, 6)),
        ({"stop": 0}, ()),
        ({"stop": -1}, ()),
        ({"stop": 10**18}, range(1, 61)),
        ({"start": 7, "stop": 9}, (7, 8, 9)),
        ({"start": 9, "stop": 7}, ()),
        ({"limit": 0}, ()),
        ({"limit": 10**18}, range(1, 61)),
        ({"start": 3, "limit": 2}, (3, 4)),
        ({"start": 3, "stop": 3, "limit": 2}, (3,)),
        ({"topics": ["other"]}, ()),
        ({"topics": ["t"], "limit": 1}, (1,)),
        ({"topics": ("t", "other"), "start": 59}, (59, 60)),
    ],
)
def test_ranges(journal: Journal, arguments: dict[str, Any], expected: Sequence[int]) -> None:
    """Start, stop and limit mean what they say, and ends beyond the journal are no errors."""
    assert positions(journal, **arguments) == list(expected)


def test_a_limit_with_topics_stops_at_the_last_match(journal: Journal) -> None:
    """When the limit is reached, nothing more is read in search of the next match."""
    journal.append([message(b"rare", topic="rare")])
    segments = segment_paths(journal.handle.path)
    with open_with(journal.handle.path, read_only=True) as reader:
        reading = reader.read(topics=["t"], limit=2)
        assert [next(reading).position, next(reading).position] == [1, 2]
        Path(segments[0]).write_bytes(b"gone")
        assert list(reading) == []


def test_every_run_of_frames_is_right(journal: Journal) -> None:
    """From any position to any other, one piece of one segment is read, in order."""
    handle = journal.handle
    everything = [stored.record.state for stored in journal.read()]
    for start in range(1, 61):
        for until in range(start, 61, 7):
            first, records = read_records(handle, start, until)
            assert first <= start < first + len(records)
            assert [data.state for data in records] == everything[first - 1 :][: len(records)]


def test_single_records_in_any_order(journal: Journal) -> None:
    """Records are given in the order asked for, neighbours or not, again and again."""
    wanted = [60, 1, 2, 3, 4, 4, 3, 30, 31, 32, 59, 5]
    everything = list(journal.read())
    for count in range(len(wanted) + 1):
        found = read_positions(journal.handle, wanted[:count])
        assert [data.state for data in found] == [
            everything[position - 1].record.state for position in wanted[:count]
        ]


# While the index is built anew


def test_an_index_that_was_dropped_is_built_again(journal: Journal) -> None:
    """A reader that goes on after the index was dropped reads on, without gap or repetition."""
    for stop in (1, 7, 33, 60):
        reading = journal.read()
        seen = [next(reading).position for _ in range(stop)]
        journal.handle.forget_state()
        seen += [stored.position for stored in reading]
        assert seen == list(range(1, 61))


def test_single_records_after_the_index_was_dropped(journal: Journal) -> None:
    """Positions found before the index was dropped lead to the same records after."""
    handle = journal.handle
    found, _ = handle.state.index.select("a", gt=None, lte=None, desc=False, limit=None, until=60)
    for wanted in (found, found[-1:]):
        handle.forget_state()
        assert [data.state for data in read_positions(handle, wanted)] == [
            journal_state(journal, position) for position in wanted
        ]


def journal_state(journal: Journal, position: int) -> bytes:
    """State of one record."""
    return states(journal, start=position, limit=1)[0]


def test_what_is_walked_again_is_not_indexed_again(journal: Journal) -> None:
    """A commit goes into the index once, by its number, wherever the walk begins."""
    handle = journal.handle
    expected = states(journal)
    entries = handle.state.index.originator_count
    handle.state.chain = start_of(handle.segment(1, 1))
    descriptors = handle.usable()
    assert descriptors is not None
    advance(handle, descriptors.mark.read())
    assert handle.state.index.position == len(expected)
    assert handle.state.index.originator_count == entries
    assert states(journal) == expected


def test_readers_while_the_index_is_dropped_again_and_again(journal: Journal) -> None:
    """Threads that read while another drops the index all the time see nothing of it."""
    expected = list(range(1, 61))
    is_reading = [True]
    is_disturbing = threading.Event()

    def disturb() -> None:
        while is_reading[0]:
            with journal.handle.index_lock:
                journal.handle.forget_state()
            refresh(journal.handle)
            is_disturbing.set()

    def look() -> list[list[int]]:
        try:
            assert is_disturbing.wait(PATIENCE_SECONDS)
            return [positions(journal) for _ in range(20)]
        finally:
            is_reading[0] = False

    seen, _ = run_threads([look, disturb])
    assert seen == [expected] * 20


def test_records_that_were_taken_back_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    """Under a weak mode a recovery may take back visible commits: a reader then is told so."""
    path = tmp_path / "journal"
    with (
        open_with(path, sync=Sync.NEVER) as lost,
        open_with(path, read_only=True) as reader,
    ):
        lost.append([message(b"kept")])
        lost.sync()
        offset = lost.statistics().tail_bytes
        for _ in range(3):
            lost.append([message(b"lost")])
        reading = reader.read()
        with reader.tail(after=1) as tailer, reader.tail(after=1) as later_tailer:
            assert next(reading).record.state == b"kept"
            assert next(tailer).record.state == b"lost"
            assert later_tailer._follower.look() == 4
            lost.handle.drop()
            with open(segment_paths(path)[0], "r+b") as file:
                file.truncate(offset)
            with open_with(path) as recovered:
                assert recovered.statistics().epoch == 1
                for _ in range(5):
                    recovered.append([message(b"new")])
            assert states(reader) == [b"kept", *[b"new"] * 5]
            for iterator in (tailer, later_tailer):
                with pytest.raises(HistoryChangedError, match="Start again from a position"):
                    next(iterator)
            with pytest.raises(HistoryChangedError, match="Start again from a position"):
                list(reading)

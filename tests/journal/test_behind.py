"""Handles that have read an older manifest, while what they know is sealed, cooled and removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_es import CorruptionError, Journal, RollCycle
from aurora_es.files.layer import Effects
from aurora_es.index.keys import text_key
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.generation import renew_manifest, take_manifest
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import read_mark
from aurora_es.journal.reading import read_position, read_positions
from aurora_es.journal.seal import seal_next
from tests.journal.support import (
    ManualClock,
    effects_with,
    event,
    mark_bytes,
    open_with,
    patch,
    states,
)

COUNT = 12


@pytest.fixture
def effects() -> Effects:
    """Quick files and a clock that stands still."""
    return effects_with(clock=ManualClock())


def append(journal: Journal, first: int, last: int) -> None:
    """Append one event of a new version after the other."""
    for number in range(first, last + 1):
        journal.append([event("a", number, b"%d" % number)], tracking=("up", number))


def tend(path: Path, effects: Effects, *, at_once: bool = True) -> None:
    """Seal, merge, cool all, and remove what was replaced."""
    background.seal(str(path), effects=effects)
    background.merge(str(path), everything=True, effects=effects)
    background.cool(str(path), older_than_hours=-1, effects=effects)
    with BackgroundLock(effects, str(path), timeout=0):
        clear_away(effects, str(path), at_once=at_once)
    assert os.path.exists(path / "0000000001-00000000000000000001.segment") is not at_once


@pytest.fixture
def path(tmp_path: Path, effects: Effects) -> Path:
    """A journal of segments of two records."""
    with open_with(tmp_path / "journal", effects, roll_cycle=RollCycle.events(2)) as journal:
        append(journal, 1, COUNT)
    return tmp_path / "journal"


@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_not_open_is_read_from_the_cooled_file(
    path: Path, effects: Effects, *, read_only: bool
) -> None:
    """An index in memory refers to segments whose files are gone: the sealed part goes on."""
    questions: tuple[Callable[[Journal], list[bytes]], ...] = (
        lambda journal: [read_position(journal.handle, 3).state],
        lambda journal: [one.state for one in read_positions(journal.handle, [3, 4])][:1],
        lambda journal: states(journal, start=3, limit=1),
    )
    for ask in questions:
        with open_with(path, effects, read_only=read_only) as journal:
            assert journal.last_position == COUNT
            journal.handle.open_segments.clear()
            tend(path, effects)
            assert ask(journal) == [b"3"]
            assert states(journal) == [b"%d" % number for number in range(1, COUNT + 1)]


def test_what_is_open_is_read_on(path: Path, effects: Effects) -> None:
    """A reader that has a segment open goes on with it when it is cooled and removed."""
    with open_with(path, effects, read_only=True) as journal:
        found = journal.read()
        assert next(found).record.state == b"1"
        tend(path, effects)
        assert [one.record.state for one in found] == [
            b"%d" % number for number in range(2, COUNT + 1)
        ]


def test_a_sealed_segment_that_is_open_is_read_on(path: Path, effects: Effects) -> None:
    """The same for one that was sealed when it was opened."""
    background.seal(str(path), effects=effects)
    with open_with(path, effects, read_only=True) as journal:
        found = journal.read()
        assert next(found).record.state == b"1"
        tend(path, effects)
        assert len([*found]) == COUNT - 1


@pytest.mark.parametrize("read_only", [False, True])
def test_catching_up_over_what_is_gone(path: Path, effects: Effects, *, read_only: bool) -> None:
    """Who has slept while segments came and went continues behind what is sealed."""
    with open_with(path, effects, read_only=read_only) as sleeper:
        tailer = sleeper.tail()
        assert next(tailer).position == 1
        sleeper.handle.manifest_looked_at = float("inf")  # not by and by
        with open_with(path, effects) as other:
            append(other, COUNT + 1, 2 * COUNT)
        tend(path, effects)
        assert [next(tailer).position for _ in range(2, 2 * COUNT + 1)] == [
            *range(2, 2 * COUNT + 1)
        ]
        index = sleeper.handle.state.index
        assert index.last_version(text_key("a")) == 2 * COUNT
        assert index.tracking["up"].notification_id == 2 * COUNT
        if not read_only:
            append(sleeper, 2 * COUNT + 1, 2 * COUNT + 3)


def test_tracking_is_known_all_the_time(path: Path, effects: Effects) -> None:
    """Between a look at the manifest and the next walk tracking is as it was, and never falls."""
    with open_with(path, effects, read_only=True) as sleeper:
        assert sleeper.last_position == COUNT
        with open_with(path, effects) as other:
            append(other, COUNT + 1, COUNT + 6)
        tend(path, effects)
        renew_manifest(sleeper.handle)
        assert sleeper.handle.state.chain is None
        assert sleeper.handle.state.index.tracking["up"].notification_id == COUNT
        assert sleeper.last_position == COUNT + 6
        assert sleeper.handle.state.index.tracking["up"].notification_id == COUNT + 6


def test_a_segment_that_nobody_has_cooled_is_missing(path: Path, effects: Effects) -> None:
    """Corruption stays corruption: no manifest lists what is gone."""
    with open_with(path, effects, read_only=True) as journal:
        assert journal.last_position == COUNT
        journal.handle.open_segments.clear()
        (path / "0000000002-00000000000000000003.segment").unlink()
        with pytest.raises(CorruptionError, match="a segment below the mark"):
            states(journal)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_mark_that_is_older_than_the_manifest(
    path: Path, effects: Effects, *, read_only: bool
) -> None:
    """What is sealed was visible, whatever a mark says that lost its last sync."""
    old = mark_bytes(path)
    with open_with(path, effects) as journal:
        append(journal, COUNT + 1, COUNT + 7)
    newest = read_mark(effects.files, str(path)).segment_number
    tend(path, effects)
    patch(path / "mark", 0, old)
    with open_with(path, effects, read_only=read_only) as journal:
        # The rest is adopted by the next recovery.
        expected = COUNT + (6 if read_only else 7)
        assert states(journal) == [b"%d" % number for number in range(1, expected + 1)]
        assert journal.handle.state.index.tracking["up"].notification_id == expected
        assert journal.statistics().segments == newest


def test_nothing_is_removed_within_a_minute(path: Path, effects: Effects) -> None:
    """Who has read the manifest just before still finds what it lists."""
    tend(path, effects, at_once=False)
    assert isinstance(effects.clock, ManualClock)
    effects.clock.now += 59_000_000
    with BackgroundLock(effects, str(path), timeout=0):
        assert clear_away(effects, str(path)) == []
        effects.clock.now += 1_000_000
        removed = clear_away(effects, str(path))
        assert "0000000001-00000000000000000001.segment" in removed
        assert clear_away(effects, str(path)) == []


def test_sealing_one_by_one(path: Path, effects: Effects) -> None:
    """Between any two steps everything can be read, by old handles and new ones."""
    with open_with(path, effects) as old, BackgroundLock(effects, str(path), timeout=0):
        expected = states(old)
        while seal_next(effects, str(path)) is not None:
            old.handle.manifest_looked_at = float("-inf")
            assert states(old) == expected
            with open_with(path, effects, read_only=True) as new:
                assert states(new) == expected
                assert new.handle.state.index.find(text_key("a"), 1) == 1


def test_an_older_manifest_never_takes_the_place_of_a_newer_one(
    path: Path, effects: Effects
) -> None:
    """Of two threads that renew at once, the one that read earlier may come later."""
    with BackgroundLock(effects, str(path), timeout=0):
        seal_next(effects, str(path))
    older = read_manifest(effects.files, str(path))
    assert older is not None
    with open_with(path, effects) as journal:
        expected = states(journal)
        background.seal(str(path), effects=effects)
        renew_manifest(journal.handle)
        newer = journal.handle.sealed
        take_manifest(journal.handle, older)
        assert journal.handle.sealed is newer
        assert states(journal) == expected
        for number in range(1, COUNT + 1):
            assert journal.handle.state.index.find(text_key("a"), number) == number

"""Listing of originators and topics, against a plain list of the records."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import ConflictError, Journal, Originator, Record, RollCycle, Sync
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.run import RUN_HEADER_BYTES
from aurora_es.index import keys
from aurora_es.journal import background
from aurora_es.journal.background import cool, merge, seal
from aurora_es.journal.clearing import clear_away
from tests.journal.support import event, flip, message, open_with

IDS = [UUID(int=number) for number in range(4)] + ["a", "ab", "b"]


def expected(journal: Journal) -> dict[Any, Originator]:
    """What a listing has to say, from reading everything."""
    found: dict[Any, Originator] = {}
    for stored in journal.read():
        record = stored.record
        if record.originator_id is None or record.originator_version is None:
            continue
        known = found.get(record.originator_id)
        found[record.originator_id] = Originator(
            originator_id=record.originator_id,
            record_count=1 if known is None else known.record_count + 1,
            last_version=record.originator_version
            if known is None
            else max(known.last_version, record.originator_version),
            first_topic=record.topic if known is None else known.first_topic,
            first_position=stored.position if known is None else known.first_position,
        )
    return found


def check(journal: Journal) -> None:
    """Compare listing and topics with what reading everything tells."""
    wanted = expected(journal)
    listed = list(journal.originator_ids())
    assert {one.originator_id: one for one in listed} == wanted
    assert len(listed) == len(wanted)
    assert journal.topics() == Counter(stored.record.topic for stored in journal.read())


appends = st.lists(
    st.tuples(st.sampled_from([*IDS, None]), st.integers(1, 6), st.sampled_from(["t", "u", "v"])),
    max_size=40,
)


@given(appends, st.integers(0, 40), st.sampled_from(["sealed", "merged"]))
def test_a_listing_says_what_reading_everything_says(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[Any, int, str]],
    sealed_after: int,
    state: str,
) -> None:
    """Versions in any order, runs and tails make no difference."""
    append_and_check(tmp_path_factory.mktemp("j"), made, sealed_after, state)


@given(appends, st.integers(0, 40), st.sampled_from(["sealed", "merged"]))
def test_originators_that_share_a_key_are_told_apart(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[Any, int, str]],
    sealed_after: int,
    state: str,
) -> None:
    """With two 64-bit keys for seven ids each has its own records, while versions have no gap."""
    following: dict[Any, int] = {}
    for at, (originator_id, version, topic) in enumerate(made):
        # Each begins where it likes, so that some go on just above another one's last version.
        following[originator_id] = following.get(originator_id, version - 1) + 1
        made[at] = (originator_id, following[originator_id], topic)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(keys, "_HASH_MASK", 1)
        append_and_check(tmp_path_factory.mktemp("j"), made, sealed_after, state)


def append_and_check(
    path: Path, made: list[tuple[Any, int, str]], sealed_after: int, state: str
) -> None:
    """Append what may be appended, seal in between or merge at the end, and compare."""
    with open_with(path, roll_cycle=RollCycle.events(4), sync=Sync.NEVER) as journal:
        for at, (originator_id, version, topic) in enumerate(made):
            if at == sealed_after:
                seal(str(path))
            record = (
                message(topic=topic)
                if originator_id is None
                else event(originator_id, version, topic=topic)
            )
            with suppress(ConflictError):
                journal.append([record])
        if made and state == "merged":
            seal(str(path))
            merge(str(path), everything=True)
        check(journal)


def filled(path: Path) -> Journal:
    """Make a journal of 40 records of 20 originators, in segments of 4, all but the tail sealed."""
    journal = Journal.open(path, roll_cycle=RollCycle.events(4), sync=Sync.NEVER)
    for number in range(20):
        journal.append([event(f"order-{number}", 1, topic="Placed")])
        journal.append([event(f"order-{number}", 2, topic=f"rare-{number % 3}")])
    background.seal(str(path))
    return journal


def test_filters_choose_by_prefix_and_first_topic(tmp_path: Path) -> None:
    """A prefix of the id as text and the topic of the first record narrow the list."""
    with filled(tmp_path / "j") as journal:
        journal.append([event(UUID(int=7), 1, topic="Opened")])
        assert {one.originator_id for one in journal.originator_ids(prefix="order-1")} == {
            "order-1",
            *(f"order-{number}" for number in range(10, 20)),
        }
        (opened,) = journal.originator_ids(first_topic="Opened")
        assert opened == Originator(
            originator_id=UUID(int=7),
            record_count=1,
            last_version=1,
            first_topic="Opened",
            first_position=41,
        )
        assert not list(journal.originator_ids(prefix="order-1", first_topic="Opened"))


def test_a_listing_is_of_the_moment_of_the_call(tmp_path: Path) -> None:
    """What is appended while a list is read is not in it."""
    with Journal.open(tmp_path / "j", sync=Sync.NEVER) as journal:
        journal.append([event("a", 1)])
        listed = journal.originator_ids()
        journal.append([event("a", 2)])
        journal.append([event("b", 1)])
        assert [one.record_count for one in listed] == [1]


def test_a_journal_that_was_never_made_is_empty(tmp_path: Path) -> None:
    """Nothing to list, and no directory is made."""
    with Journal.open(tmp_path / "j") as journal:
        assert list(journal.originator_ids()) == []
        assert journal.topics() == {}
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize("where", [0, RUN_HEADER_BYTES + 100, -10])
def test_a_damaged_run_is_built_anew_and_the_list_goes_on(tmp_path: Path, where: int) -> None:
    """Header, block or fence: the answer is that of the segments."""
    path = tmp_path / "j"
    with filled(path) as journal:
        merge(str(path), everything=True)
        check(journal)
    clear_away(SYSTEM_EFFECTS, str(path), at_once=True)
    (run,) = path.glob("*.index")
    flip(run, where if where >= 0 else run.stat().st_size + where)
    with Journal.open(path) as journal:
        check(journal)


def test_cooled_segments_and_uncounted_topics_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a run has too many topics to list them, its segments are read."""
    monkeypatch.setattr("aurora_es.index.run_writer.RUN_TOPICS_BYTES_MAX", 40)
    path = tmp_path / "j"
    with filled(path) as journal:
        merge(str(path), everything=True)
        cool(str(path), codec="lz4")
        journal.append([Record(topic="note", state=b"")])
        check(journal)

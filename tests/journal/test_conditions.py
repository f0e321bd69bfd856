"""Conditions of appends where the look before the lock does not see everything yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aurora_es import ConflictError, Journal, Record, RollCycle, StorageError, Sync, TruncatedError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.index.query import Condition, Query, QueryItem
from aurora_es.journal import background, conditions
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.commit import PreparedCommit
from aurora_es.journal.conditions import CONFLICTS_NAMED_MAX
from aurora_es.journal.handle import Handle
from aurora_es.journal.retention import retain
from tests.journal.support import (
    Call,
    Crowd,
    ScriptedFiles,
    effects_with,
    error_of,
    open_with,
    run_threads,
)

TAGGED = Query([QueryItem(tags=frozenset({"tag"}))])


def record(*tags: str, topic: str = "t") -> Record:
    """Make a record with tags."""
    return Record(topic=topic, state=b"", tags=tags)


def append_if(journal: Journal, query: Query, after: int, *tags: str) -> int:
    """Append a record on a condition."""
    rows = [(None, None, "t", b"", tags)]
    return journal.append_rows(rows, [(None, None)], None, condition=Condition(query, after))


def positions_of(error: BaseException) -> list[int]:
    """Positions that a conflict names."""
    assert isinstance(error, ConflictError)
    return [conflict.position for conflict in error.conflicts]


def seal(journal: Journal) -> None:
    """Seal what is closed."""
    background.seal(journal.handle.path)


def cool(journal: Journal) -> None:
    """Seal what is closed, cool it, and remove the files that were appended to."""
    seal(journal)
    path = journal.handle.path
    background.cool(path, codec="lz4", older_than_hours=-1e6)
    with BackgroundLock(SYSTEM_EFFECTS, path, timeout=0):
        clear_away(SYSTEM_EFFECTS, path, at_once=True)


@pytest.mark.parametrize("cycle", [1, 3, 100])
@pytest.mark.parametrize("others", [1, 2, 7])
@pytest.mark.parametrize("tends", [None, "seals", "cools"])
def test_what_comes_between_look_and_lock_counts(
    tmp_path: Path, cycle: int, others: int, tends: str | None
) -> None:
    """Another process appends after the look, rolls and seals: the lock holder sees its records."""
    files = ScriptedFiles()
    options: dict[str, Any] = {"sync": Sync.NEVER, "roll_cycle": RollCycle.events(cycle)}
    with (
        open_with(tmp_path, effects_with(files), **options) as journal,
        open_with(tmp_path, **options) as other,
    ):
        journal.append([record("else"), record("tag")])
        assert append_if(journal, TAGGED, 2, "else") == 3

        def intrude(tag: str) -> None:
            def reaction(call: Call, *_: Any) -> Any:
                files.obey()
                for _number in range(others):
                    other.append([record(tag)])
                other.append([record("else")])  # in the newest segment, which is never sealed
                if tends == "seals":
                    seal(other)
                elif tends == "cools":
                    cool(other)
                return call()

            files.reactions["flock"] = reaction

        intrude("else")
        assert append_if(journal, TAGGED, 3) == 5 + others
        intrude("tag")
        with pytest.raises(ConflictError) as caught:
            append_if(journal, TAGGED, 3)
        first = 6 + others
        assert positions_of(caught.value) == [*range(first, first + others)]
        assert journal.last_position == first + others


def test_commits_of_one_group_see_each_other(tmp_path: Path) -> None:
    """Of the commits that one write joins, the first with a tag wins, also an unconditional one."""
    files = ScriptedFiles()
    crowd = Crowd(files, files.calls.clear)
    with open_with(tmp_path, crowd.effects()) as journal:
        append_if(journal, TAGGED, 0, "else")

        def leading() -> range:
            return journal.append([record("else")])

        def competing() -> int:
            return append_if(journal, TAGGED, 0, "tag")

        def bystander() -> int:
            return append_if(journal, TAGGED, 1 << 40, "tag", "more")

        _, *given = crowd.call(journal, [leading, competing, bystander, competing, competing])
        winners = [each for each in given if isinstance(each, int)]
        losers = [each for each in given if not isinstance(each, int)]
        tagged = [stored.position for stored in journal.read() if "tag" in stored.record.tags]
        assert sorted(winners) == tagged
        assert len(losers) >= 2
        for loser in losers:
            assert positions_of(loser) == tagged[: len(positions_of(loser))] != []


def test_a_refused_commit_breaks_no_condition(tmp_path: Path) -> None:
    """What stands before it in its group and is not written matches nothing."""
    files = ScriptedFiles()
    crowd = Crowd(files, files.calls.clear)
    with open_with(tmp_path, crowd.effects()) as journal:
        taken: dict[str, Any] = {
            "topic": "t",
            "state": b"",
            "originator_id": "a",
            "originator_version": 1,
        }
        append_if(journal, TAGGED, 0, "else")
        journal.append([Record(**taken)])

        def refused() -> range:
            return journal.append([Record(**taken, tags=("tag",))])

        def admitted() -> int:
            return append_if(journal, TAGGED, 0, "else")

        jobs = [refused, refused, admitted, refused, admitted, admitted]
        _, *given = crowd.call(journal, [admitted, *jobs])
        assert [isinstance(one, int) for one in given] == [job is admitted for job in jobs]


def test_a_failed_look_writes_nothing(tmp_path: Path) -> None:
    """An error while records are looked at is told, and the handle goes on."""
    files = ScriptedFiles()
    options: dict[str, Any] = {"sync": Sync.NEVER, "roll_cycle": RollCycle.events(2)}
    with open_with(tmp_path, **options) as journal:
        journal.append([record("tag")] * 5)
    with open_with(tmp_path, effects_with(files), **options) as journal:
        assert journal.last_position == 5
        files.fail("pread", error_of(5), when=lambda _, length, offset: length > 72)
        with pytest.raises(StorageError):
            append_if(journal, TAGGED, 0)
        files.obey()
        with pytest.raises(ConflictError) as conflict:
            append_if(journal, TAGGED, 0)
        assert positions_of(conflict.value) == [1, 2, 3, 4, 5]
        assert journal.last_position == 5


def test_conflicts_are_named_up_to_a_bound(tmp_path: Path) -> None:
    """A condition that thousands of records break names the first hundred."""
    with open_with(tmp_path, sync=Sync.NEVER) as journal:
        journal.append([record("tag")] * 500)
        with pytest.raises(ConflictError, match=r"at 8, 9, 10, 11, 12, \.\.\.; nothing") as caught:
            append_if(journal, TAGGED, 7)
        assert positions_of(caught.value) == [*range(8, 8 + CONFLICTS_NAMED_MAX)]


def test_dropped_records_may_have_matched(tmp_path: Path) -> None:
    """A condition on positions that were dropped is refused: nobody can say whether it holds."""
    options: dict[str, Any] = {"sync": Sync.NEVER, "roll_cycle": RollCycle.events(2)}
    with open_with(tmp_path, **options) as journal:
        for _ in range(4):
            journal.append([record("else")] * 2)
        seal(journal)
        retain(tmp_path, before_position=5)
        journal.renew()
        assert journal.first_position == 5
        with pytest.raises(TruncatedError):
            append_if(journal, TAGGED, 0)
        assert append_if(journal, TAGGED, 4) == 9


def test_threads_on_conditions(tmp_path: Path) -> None:
    """Of threads that each read the head and append on it, as many win as there are records."""
    with open_with(tmp_path, sync=Sync.NEVER, roll_cycle=RollCycle.events(10)) as journal:

        def work() -> int:
            won = 0
            for _ in range(50):
                head = journal.last_position
                try:
                    assert append_if(journal, TAGGED, head, "tag") == head + 1
                except ConflictError:
                    continue
                won += 1
            return won

        won = run_threads([work] * 4)
        assert sum(won) == journal.last_position


def test_a_look_in_an_earlier_epoch_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen may have been taken back since, and other records may stand there."""

    def look_before_recovery(handle: Handle, commit: PreparedCommit) -> None:
        handle.keeps_postings = True
        commit.looked_to, commit.looked_epoch = 100, -1

    monkeypatch.setattr(conditions, "look", look_before_recovery)
    with open_with(tmp_path / "journal") as journal:
        journal.append([record("tag")])
        with pytest.raises(ConflictError) as caught:
            append_if(journal, TAGGED, 0)
        assert positions_of(caught.value) == [1]
        assert journal.last_position == 1

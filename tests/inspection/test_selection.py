"""Records by topic, originator, position, time and text: what is found, in which order, in pages."""

from __future__ import annotations

import re
import tempfile
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_es import Journal, Record, StoredRecord
from aurora_es.inspection.selection import (
    Filter,
    newest_records,
    position_range,
    read_page,
    records_between,
)
from tests.inspection.support import BEGIN, looked_at, make_timed

IDS: list[UUID | str | None] = [UUID(int=1), "cargo", "Ünï", None]
TOPICS = ["opened", "credited", "closed"]
# What a record is: its topic, its originator, a word in its state.
Told = tuple[int, int, int]

tellings = st.lists(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6
    ),
    max_size=14,
)
filters = st.builds(
    Filter,
    topics=st.sampled_from([(), ("opened",), ("credited", "closed"), ("absent",)]),
    originator=st.sampled_from([None, str(UUID(int=1)), UUID(int=1).hex, "cargo", "Ünï", "nobody"]),
    pattern=st.sampled_from([None, re.compile("word 2"), re.compile("^closed$"), re.compile("%")]),
)


def records_of(tellings: list[list[Told]]) -> list[list[Record]]:
    """Commits of such records, with versions without gaps."""
    versions = dict.fromkeys(map(str, IDS), 0)
    commits = []
    for telling in tellings:
        commit = []
        for topic, owner, word in telling:
            originator_id = IDS[owner]
            versions[str(originator_id)] += 1
            commit.append(
                Record(
                    topic=TOPICS[topic],
                    state=b'{"text":"word %d"}' % word,
                    originator_id=originator_id,
                    originator_version=versions[str(originator_id)] if originator_id else None,
                )
            )
        commits.append(commit)
    return commits


def passes(chosen: Filter, stored: StoredRecord) -> bool:
    """The same choice, by looking at everything."""
    record = stored.record
    if chosen.topics and record.topic not in chosen.topics:
        return False
    owner = chosen.originator
    if owner is not None and owner not in {
        str(record.originator_id),
        record.originator_id.hex if isinstance(record.originator_id, UUID) else None,
    }:
        return False
    pattern = chosen.pattern
    text = record.state.decode()
    return pattern is None or bool(pattern.search(text) or pattern.search(record.topic))


def paged(  # noqa: PLR0913 - as read_page
    journal: Journal,
    chosen: Filter,
    span: tuple[int, int],
    limit: int,
    looks: int,
    *,
    backwards: bool,
) -> list[int]:
    """Positions of all pages, one after the other."""
    start, stop = span
    found: list[int] = []
    while True:
        page = read_page(
            journal,
            chosen,
            start=start,
            stop=stop,
            limit=limit,
            backwards=backwards,
            looked_at_max=looks,
        )
        assert len(page.records) <= limit
        assert page.looked_at <= looks
        found += [stored.position for stored in page.records]
        if page.next_position is None:
            return found
        start, stop = (start, page.next_position) if backwards else (page.next_position, stop)


@settings(deadline=None, max_examples=60)
@given(
    telling=tellings,
    sealed=st.integers(0, 14),
    chosen=filters,
    bounds=st.tuples(st.integers(1, 40), st.integers(0, 60)),
    limit=st.integers(1, 9),
    looks=st.integers(1, 30),
)
def test_every_choice_is_that_of_looking_at_everything(  # noqa: PLR0913, PLR0917 - given
    telling: list[list[Told]],
    sealed: int,
    chosen: Filter,
    bounds: tuple[int, int],
    limit: int,
    looks: int,
) -> None:
    """Forwards, backwards, in pages and the newest: index or not, sealed or not."""
    with tempfile.TemporaryDirectory() as name:
        path = make_timed(
            Path(name) / "j",
            [[Record(topic="first", state=b"")], *records_of(telling)],
            sealed=sealed,
        )
        with looked_at(path) as journal:
            everything = list(journal.read())
            wanted = [one.position for one in everything if passes(chosen, one)]
            start, stop = bounds
            within = [at for at in wanted if start <= at <= stop]
            found = records_between(journal, start=start, stop=stop, limit=limit, chosen=chosen)
            assert [one.position for one in found] == within[:limit]
            span = (start, min(stop, len(everything)))
            assert paged(journal, chosen, span, limit, looks, backwards=False) == within
            assert paged(journal, chosen, span, limit, looks, backwards=True) == within[::-1]
            newest = newest_records(journal, until=len(everything), count=limit, chosen=chosen)
            assert [one.position for one in newest] == wanted[-limit:]


def test_times_and_positions_bound_each_other(tmp_path: Path) -> None:
    """What lies between two times and two positions, all included."""
    commits = [[Record(topic="t", state=b"")] * 2 for _ in range(10)]
    with looked_at(make_timed(tmp_path / "j", commits, sealed=6)) as journal:

        def second(number: int) -> timedelta:
            return timedelta(seconds=number)

        assert position_range(journal) == (1, 20)
        assert position_range(journal, since=BEGIN + second(2)) == (5, 20)
        assert position_range(journal, until=BEGIN + second(2)) == (1, 6)
        moment = BEGIN + second(4)
        assert position_range(journal, since=moment, until=moment) == (9, 10)
        assert position_range(journal, since=moment, start=10, stop=12) == (10, 12)
        first, last = position_range(journal, since=BEGIN + second(60))
        assert first > last


def test_what_was_dropped_is_not_looked_for(tmp_path: Path) -> None:
    """Behind a retention everything begins at the first position that is left."""
    from aurora_es.journal.retention import retain

    commits = [
        [Record(topic="t", state=b"%d" % at, originator_id="a", originator_version=at + 1)]
        for at in range(40)
    ]
    path = make_timed(tmp_path / "j", commits, sealed=40)
    dropped = retain(str(path), before_position=20).retained_from
    assert dropped > 1
    with looked_at(path) as journal:
        assert position_range(journal, start=1) == (dropped, 40)
        for chosen in (Filter(), Filter(("t",)), Filter(originator="a")):
            found = list(records_between(journal, start=None, stop=None, limit=None, chosen=chosen))
            assert [one.position for one in found] == list(range(dropped, 41))
            page = read_page(journal, chosen, start=dropped, stop=40, limit=99, backwards=True)
            assert [one.position for one in page.records] == list(range(40, dropped - 1, -1))


@pytest.mark.parametrize("backwards", [False, True])
def test_versions_out_of_order_come_in_the_order_of_positions(
    tmp_path: Path,
    backwards: bool,  # noqa: FBT001 - parametrized
) -> None:
    """An originator's records are sorted by position, whatever their versions."""
    versions = [5, 3, 9, 1, 7, 2, 8, 4, 6, 10, 12, 11]
    commits = [
        [Record(topic="t", state=b"", originator_id="a", originator_version=version)]
        for version in versions
    ]
    with looked_at(make_timed(tmp_path / "j", commits, roll=4, sealed=9)) as journal:
        page = read_page(
            journal, Filter(originator="a"), start=2, stop=11, limit=99, backwards=backwards
        )
        found = [(one.position, one.record.originator_version) for one in page.records]
        wanted = list(enumerate(versions, 1))[1:11]
        assert found == (wanted[::-1] if backwards else wanted)

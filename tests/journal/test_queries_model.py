"""A state machine: reading by topic and by time against a plain list.

Commits of many small and few rare records, with a clock that moves, stands still or falls back, are
sealed, merged and cooled at any moment, while two handles ask: one that appends, and one that only
reads and learns of everything later.
"""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aurora_es import CompressionFormat, Journal, Record, RollCycle, StoredRecord, Sync
from aurora_es.index.query import query_of_topics
from aurora_es.journal import background, filtering, reading
from aurora_es.journal.generation import renew_manifest
from aurora_es.journal.records import datetime_of
from aurora_es.journal.times import position_at
from tests.face.support import SCRATCH
from tests.journal.support import SECOND, ManualClock, effects_with, open_with

COMMON = ["often", "again"]
RARE = ["seldom", "rarely", "Zoë"]
SEGMENT_EVENTS = 150

commits = st.tuples(
    st.sampled_from([1, 2, 40, 90]),  # records
    st.dictionaries(st.integers(0, 89), st.sampled_from(RARE), max_size=2),
    st.sampled_from(COMMON),
    st.sampled_from([0, 0, 1, SECOND, 90 * SECOND, -SECOND]),  # step of the clock
)
histories = st.lists(commits, min_size=4, max_size=12)
Commit = tuple[int, dict[int, str], str, int]
sides = st.sampled_from(["writer", "reader"])
choices = st.lists(st.sampled_from([*RARE, "unknown"]), min_size=1, max_size=3) | st.lists(
    st.sampled_from([*RARE, *COMMON]), min_size=1, max_size=3
)
places = st.integers(-1, 40) | st.integers(-1, 900)
limits = st.none() | st.integers(0, 5) | st.integers(0, 1000)


class Times(NamedTuple):
    """A moment: so many microseconds beside the time of the commit of a record."""

    record: int
    beside: int


moments = st.builds(Times, st.integers(0, 900), st.sampled_from([-1, 0, 0, 1]))


class Queries(RuleBasedStateMachine):
    """The journal, and the list that knows all answers."""

    def __init__(self) -> None:
        """Begin with an empty journal."""
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        # Batches and pieces so small that each answer takes several.
        self.patched.setattr(filtering, "_BATCH_RECORDS", 2)
        self.patched.setattr(reading, "_RUN_BYTES_MAX", 1 << 10)
        self.directory = tempfile.TemporaryDirectory(dir=SCRATCH)
        self.path = os.path.join(self.directory.name, "journal")
        self.clock = ManualClock()
        self.effects = effects_with(clock=self.clock)
        self.truth: list[StoredRecord] = []
        self.sides: dict[str, Journal] = {}
        self.open()

    def open(self) -> None:
        """Open both sides."""
        cycle = RollCycle.events(SEGMENT_EVENTS)
        self.sides["writer"] = open_with(self.path, self.effects, sync=Sync.NEVER, roll_cycle=cycle)
        self.sides["reader"] = open_with(self.path, self.effects, read_only=True)

    def teardown(self) -> None:
        """Close everything."""
        for journal in self.sides.values():
            journal.close()
        self.directory.cleanup()
        self.patched.undo()

    @initialize(history=histories, rest=histories, kept=st.booleans())
    def begin(self, history: list[Commit], rest: list[Commit], kept: bool) -> None:  # noqa: FBT001
        """Fill some segments, the first of which may be sealed and cooled at once."""
        for commit in history:
            self.append(commit)
        if kept:
            self.keep_house()
        for commit in rest:
            self.append(commit)

    @rule(commit=commits)
    def append(self, commit: Commit) -> None:
        """Append one commit, at another time."""
        size, rare, common, step = commit
        self.clock.now += step
        records = [
            Record(topic=rare.get(at, common), state=b"%d" % (len(self.truth) + at))
            for at in range(size)
        ]
        journal = self.sides["writer"]
        journal.append(records)
        last = journal.statistics().last_timestamp
        assert last is not None
        assert not self.truth or last >= self.truth[-1].timestamp
        self.truth += [
            StoredRecord(position, last, record)
            for position, record in enumerate(records, len(self.truth) + 1)
        ]

    @rule(work=st.sampled_from(["seal", "merge", "cool"]), everything=st.booleans())
    def work(self, work: str, everything: bool) -> None:  # noqa: FBT001 - drawn
        """Work in the background; the writer learns of it."""
        if work == "seal":
            background.seal(self.path, effects=self.effects)
        elif work == "merge":
            background.merge(self.path, effects=self.effects, everything=everything)
        else:
            codec = str(CompressionFormat.LZ4)
            background.cool(self.path, effects=self.effects, codec=codec)
        renew_manifest(self.sides["writer"].handle)

    @rule()
    def keep_house(self) -> None:
        """Seal, cool and merge everything, and let both sides know."""
        background.seal(self.path, effects=self.effects)
        background.cool(self.path, effects=self.effects)
        background.merge(self.path, effects=self.effects, everything=True)
        for side in self.sides:
            self.renew(side)

    @rule(side=sides)
    def renew(self, side: str) -> None:
        """Let a side look at the manifest, as it does once a second."""
        self.sides[side].attach()
        renew_manifest(self.sides[side].handle)

    @rule()
    def reopen(self) -> None:
        """Close both sides and open them again."""
        for journal in self.sides.values():
            journal.close()
        self.open()

    @rule(side=sides, topics=choices, start=places, stop=st.none() | places, limit=limits)
    def read_topics(
        self, side: str, topics: list[str], start: int, stop: int | None, limit: int | None
    ) -> None:
        """Read the records of some topics, as a journal and as a recorder does."""
        journal = self.sides[side]
        found = [*journal.read(start, stop, limit, topics)]
        until = len(self.truth) if stop is None else min(stop, len(self.truth))
        assert (
            found
            == [
                stored
                for stored in self.truth
                if stored.record.topic in topics and start <= stored.position <= until
            ][:limit]
        )
        query = query_of_topics(topics)
        batches = filtering.read_matches(
            journal.handle, query, max(start, 1), until, limit, with_times=False
        )
        assert [(position, data.state) for batch in batches for position, _, data in batch] == [
            (stored.position, stored.record.state) for stored in found
        ]

    def moment(self, times: Times) -> datetime:
        """A moment near that of a commit."""
        near = self.truth[times.record % len(self.truth)].timestamp
        return near + timedelta(microseconds=times.beside)

    def count_at(self, when: datetime) -> int:
        """Records up to a moment."""
        return sum(stored.timestamp <= when for stored in self.truth)

    @rule(side=sides, times=moments)
    def position_at(self, side: str, times: Times) -> None:
        """Ask for the last position at a moment."""
        when = self.moment(times)
        assert self.sides[side].position_at(when) == self.count_at(when)

    @rule(side=sides, times=moments, until=places)
    def position_at_of_the_first_ones(self, side: str, times: Times, until: int) -> None:
        """Who has seen less of the journal gets an answer in what it has seen."""
        journal = self.sides[side]
        until = min(max(until, 0), journal.last_position)
        when = self.moment(times)
        timestamp = round((when - datetime_of(0)) / timedelta(microseconds=1))
        if until:
            assert position_at(journal.handle, until, timestamp) == min(until, self.count_at(when))

    @rule(side=sides, times=moments, topics=st.just([]) | choices, start=places)
    def read_as_of(self, side: str, times: Times, topics: list[str], start: int) -> None:
        """Read what a reader of that moment would have seen."""
        when = self.moment(times)
        assert [*self.sides[side].read(start, topics=topics, as_of=when)] == [
            stored
            for stored in self.truth
            if stored.timestamp <= when
            and stored.position >= start
            and (not topics or stored.record.topic in topics)
        ]

    @invariant()
    def counts(self) -> None:
        """Both sides see everything."""
        assert {journal.last_position for journal in self.sides.values()} == {len(self.truth)}


TestQueries = Queries.TestCase

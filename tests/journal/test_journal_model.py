"""A state machine: journals on one directory against a plain list of what was appended.

Two handles on the same directory append and read in turns, are closed, abandoned as by a kill, and
opened again with other options; the mark may be put back as a power cut would, and a killed writer
may leave debris behind the last commit. Whatever happens, everyone reads the same list.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from aurora_es import (
    CompressionFormat,
    ConflictError,
    Journal,
    ReadOnlyError,
    Record,
    RollCycle,
    StoredRecord,
    Sync,
    Tailer,
)
from aurora_es.format.names import MARK
from aurora_es.index.keys import originator_key
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.cool import COOL_CODECS
from aurora_es.journal.logs import logger
from aurora_es.journal.reading import read_position, read_positions
from aurora_es.journal.records import record_of
from aurora_es.journal.seal import seal_next
from tests.journal.support import (
    HOUR,
    ManualClock,
    effects_with,
    mark_bytes,
    open_with,
    patch,
    segment_paths,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UUID_1, UUID_2 = UUID(int=1 << 80), UUID(int=2 << 80)
IDS: list[UUID | str] = [UUID_1, str(UUID_1), UUID_2, str(UUID_2).upper(), "a", ""]
TOPICS = ["opened", "closed", "long" * 75]

sides = st.sampled_from(["first", "second"])
compressions = st.sampled_from([None, *CompressionFormat])
roll_cycles = st.sampled_from(
    [None, RollCycle.HOUR, RollCycle.events(2), RollCycle.events(5) | RollCycle.DAY]
)
identities: st.SearchStrategy[tuple[UUID | str | None, int | None]] = st.one_of(
    st.tuples(st.sampled_from(IDS), st.integers(-2, 12)), st.just((None, None))
)
# Drawn by name, so that a failing history can be read.
STATES = {
    "empty": b"",
    "small": b"state",
    "zeros": bytes(64),
    "compressible": b"ab" * 200,
    "a frame": bytes(range(256)) * 70,
    "three frames": bytes(range(256)) * 200,
}
EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tags": {"tags": ("x", "y:z")},
    "uuid": {"uuid": UUID(int=5)},
    "metadata": {"metadata": {"k": [1, None, {"deep": b"\0"}], "": 1.5}},
}


def tail_path(path: str) -> str:
    """Path of the newest segment."""
    return segment_paths(path)[-1]


def segment_count(path: str) -> int:
    """Number of segments, raw or cooled or both."""
    return int(os.path.basename(tail_path(path)).partition("-")[0])


class Draft(NamedTuple):
    """A record in few words."""

    identity: tuple[UUID | str | None, int | None]
    state: str
    topic: str
    extra: str

    def record(self) -> Record:
        """Write it out."""
        return Record(
            topic=self.topic,
            state=STATES[self.state],
            originator_id=self.identity[0],
            originator_version=self.identity[1],
            **EXTRAS[self.extra],
        )


drafts = st.builds(
    Draft,
    identity=identities,
    state=st.sampled_from(list(STATES)),
    topic=st.sampled_from(TOPICS),
    extra=st.sampled_from(list(EXTRAS)),
)
trackings = st.none() | st.tuples(st.sampled_from(["up", "down"]), st.integers(0, 12))
positions = st.integers(-1, 40)
bounds = st.none() | st.integers(-3, 12)


@dataclass
class Following:
    """A tailer and the position it has reached."""

    side: str
    tailer: Tailer
    position: int


class JournalMachine(RuleBasedStateMachine):
    followings: Bundle[Following] = Bundle("followings")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "journal")
        self.clock = ManualClock()
        self.effects = effects_with(clock=self.clock)
        self.journals: dict[str, Journal] = {}
        self.sync: Sync | None = None
        # The model: what was appended, which versions and tracking positions it takes.
        self.stored: list[StoredRecord] = []
        self.taken: dict[tuple[Any, int], int] = {}
        self.tracking: dict[str, int] = {}
        self.commits = 0
        self.last_timestamp = 0
        self.old_mark: bytes | None = None

    @initialize(
        sync=st.sampled_from([None, Sync.ALWAYS, Sync.NEVER, Sync.interval(60_000)]),
        cycle=st.sampled_from([RollCycle.events(1), RollCycle.events(3), None]),
        versions=st.lists(st.integers(-2, 12), unique=True, max_size=12),
    )
    def begin(self, sync: Sync | None, cycle: RollCycle | None, versions: list[int]) -> None:
        """Open two handles, and append versions of one originator in any order, one at a time."""
        self.sync = sync
        self.open("first", roll_cycle=cycle)
        for version in versions:
            draft = Draft((UUID_1, version), "small", "opened", "plain")
            self.append("first", [draft], None)
        self.open("second", roll_cycle=cycle)

    def open(self, side: str, **options: Any) -> Journal:
        """Open a handle for one side."""
        journal = open_with(self.path, self.effects, sync=self.sync, **options)
        self.journals[side] = journal
        return journal

    def teardown(self) -> None:
        """Close everything."""
        for journal in self.journals.values():
            journal.close()
        self.directory.cleanup()

    # Appending

    @rule(side=sides, drawn=st.lists(drafts, max_size=5), tracking=trackings)
    def append(self, side: str, drawn: list[Draft], tracking: tuple[str, int] | None) -> None:
        """Append, or be refused with exactly the conflicts that there are."""
        journal = self.journals[side]
        batch = [draft.record() for draft in drawn]
        if journal.handle.read_only:
            with pytest.raises(ReadOnlyError):
                journal.append(batch, tracking=tracking)
            return
        expected = self.conflicts_of(batch, tracking)
        if expected:
            with pytest.raises(ConflictError) as caught:
                journal.append(batch, tracking=tracking)
            found = [
                (one.tracking_name or originator_key(one.originator_id), one.position)
                for one in caught.value.conflicts
            ]
            assert found == expected
            return
        given = journal.append(batch, tracking=tracking)
        first = len(self.stored) + 1
        assert list(given) == list(range(first, first + len(batch)))
        self.remember(batch, tracking)

    def conflicts_of(self, batch: list[Record], tracking: tuple[str, int] | None) -> list[Any]:
        """What stands in the way of a commit: keys or tracking names, with positions."""
        found: list[Any] = []
        own: set[tuple[Any, int]] = set()
        for record in batch:
            if record.originator_version is None:
                continue
            claim = (originator_key(record.originator_id), record.originator_version)
            if claim in self.taken or claim in own:
                found.append((claim[0], self.taken.get(claim, 0)))
            own.add(claim)
        if tracking is not None and tracking[1] <= self.tracking.get(tracking[0], -1):
            found.append((tracking[0], self.tracking[tracking[0]]))
        return found

    def remember(self, batch: list[Record], tracking: tuple[str, int] | None) -> None:
        """Add a commit to the model."""
        if not batch and tracking is None:
            return
        self.commits += 1
        self.last_timestamp = max(self.last_timestamp, self.clock.now)
        time = EPOCH + timedelta(microseconds=self.last_timestamp)
        for record in batch:
            position = len(self.stored) + 1
            self.stored.append(StoredRecord(position, time, record))
            if record.originator_version is not None:
                claim = (originator_key(record.originator_id), record.originator_version)
                self.taken[claim] = position
        if tracking is not None:
            self.tracking[tracking[0]] = tracking[1]

    @rule(step=st.sampled_from([-3 * HOUR, -1, 1, HOUR // 2, 30 * HOUR]))
    def move_clock(self, step: int) -> None:
        """Let time pass, or the clock be set back."""
        self.clock.now += step

    # Reading

    @rule(
        side=sides,
        start=positions,
        stop=st.none() | positions,
        limit=st.none() | st.integers(0, 20),
        topics=st.lists(st.sampled_from([*TOPICS, "other"]), max_size=2),
    )
    def read(
        self, side: str, start: int, stop: int | None, limit: int | None, topics: list[str]
    ) -> None:
        """Read a range."""
        found = list(self.journals[side].read(start, stop, limit, topics))
        expected = [
            one
            for one in self.stored
            if start <= one.position
            and (stop is None or one.position <= stop)
            and (not topics or one.record.topic in topics)
        ]
        assert found == expected[:limit]

    @rule(
        side=sides,
        originator_id=st.sampled_from([*IDS, "unknown"]),
        gt=bounds,
        lte=bounds,
        limit=st.none() | st.integers(0, 4),
        desc=st.booleans(),
    )
    def read_originator(  # noqa: PLR0913 - the library's own arguments
        self,
        *,
        side: str,
        originator_id: UUID | str,
        gt: int | None,
        lte: int | None,
        limit: int | None,
        desc: bool,
    ) -> None:
        """Read an originator's records through the index."""
        journal = self.journals[side]
        key = originator_key(originator_id)
        assert key is not None
        until = journal.last_position
        index = journal.handle.state.index
        found, _ = index.select(key, gt=gt, lte=lte, desc=desc, limit=limit, until=until)
        owned = [version for owner, version in self.taken if owner == key]
        versions = sorted(
            (
                version
                for version in owned
                if (gt is None or version > gt) and (lte is None or version <= lte)
            ),
            reverse=desc,
        )[:limit]
        assert found == [self.taken[key, version] for version in versions]
        assert index.last_version(key) == max(owned, default=None)
        for version in range(-2, 13):
            assert index.find(key, version) == self.taken.get((key, version), 0)
        for position, data in zip(found, read_positions(journal.handle, found), strict=True):
            assert record_of(data) == self.stored[position - 1].record

    @rule(side=sides)
    def statistics(self, side: str) -> None:
        """Count."""
        journal = self.journals[side]
        statistics = journal.statistics()
        # A first append that conflicts with itself makes the journal, too.
        assert statistics.exists == os.path.exists(self.path)
        assert statistics.last_position == len(self.stored)
        assert statistics.last_commit == self.commits
        assert statistics.originators in {None, len({key for key, _ in self.taken})}
        if not statistics.exists:
            assert (statistics.segments, self.commits) == (0, 0)
        else:
            assert statistics.segments == segment_count(self.path)
            assert statistics.sync == str(self.sync or Sync.ALWAYS)
            assert statistics.durable or self.sync not in {None, Sync.ALWAYS}

    # Tailing

    @rule(target=followings, side=sides, after=positions)
    def tail(self, side: str, after: int) -> Following:
        """Begin to follow from some position."""
        return Following(side, self.journals[side].tail(after), max(after, 0))

    @rule(following=followings, count=st.integers(1, 10))
    def follow(self, following: Following, count: int) -> None:
        """Take some of the records that are there."""
        if following.tailer._journal is not self.journals[following.side]:
            # Its journal was closed or abandoned meanwhile.
            return
        for _ in range(min(count, len(self.stored) - following.position)):
            stored = next(following.tailer)
            following.position += 1
            assert stored == self.stored[following.position - 1]

    @rule(following=consumes(followings))
    def stop_following(self, following: Following) -> None:
        """Stop: the iteration ends, whatever there would have been."""
        following.tailer.stop()
        assert list(following.tailer) == []

    @rule(side=sides, position=positions)
    def read_one(self, side: str, position: int) -> None:
        """Read a single record by its position."""
        journal = self.journals[side]
        if 1 <= position <= journal.last_position:
            data = read_position(journal.handle, position)
            assert record_of(data) == self.stored[position - 1].record

    # Sealing, merging, cooling

    @precondition(lambda self: self.commits)
    @rule(count=st.none() | st.just(1))
    def seal(self, count: int | None) -> None:
        """Seal all closed segments, or one."""
        if count is None:
            background.seal(self.path, effects=self.effects)
        else:
            with BackgroundLock(self.effects, self.path, timeout=0):
                seal_next(self.effects, self.path)

    @precondition(lambda self: self.commits)
    @rule(everything=st.booleans())
    def merge(self, *, everything: bool) -> None:
        """Merge the runs that are due, or all."""
        background.merge(self.path, everything=everything, effects=self.effects)

    @precondition(lambda self: self.commits)
    @rule(codec=st.sampled_from([*COOL_CODECS]))
    def cool(self, codec: str) -> None:
        """Cool every sealed segment."""
        background.cool(self.path, codec=codec, older_than_hours=-1e6, effects=self.effects)

    @precondition(lambda self: self.commits)
    @rule(at_once=st.booleans())
    def clear_away(self, *, at_once: bool) -> None:
        """Remove what is not needed any more, perhaps before its minute is over."""
        with BackgroundLock(self.effects, self.path, timeout=0):
            clear_away(self.effects, self.path, at_once=at_once)

    @rule(side=sides)
    def renew(self, side: str) -> None:
        """Let a handle look at the manifest at its next call: a second has gone by."""
        self.journals[side].handle.manifest_looked_at = float("-inf")

    # Closing, opening, accidents

    @rule(side=sides)
    def force(self, side: str) -> None:
        """Sync."""
        journal = self.journals[side]
        if journal.handle.read_only:
            with pytest.raises(ReadOnlyError):
                journal.sync()
            return
        journal.sync()
        assert journal.statistics().durable

    @rule(side=sides, read_only=st.booleans(), compression=compressions, roll_cycle=roll_cycles)
    def reopen(self, side: str, **options: Any) -> None:
        """Close a handle and open another, perhaps with other options."""
        self.journals[side].close()
        self.open(side, **options)

    @rule(side=sides)
    def abandon(self, side: str) -> None:
        """Lose a handle as by a kill: its descriptors are gone, nothing was synced or said."""
        self.journals[side].handle.drop()
        self.open(side)

    @precondition(lambda self: self.commits)
    @rule()
    def remember_mark(self) -> None:
        """Note the mark as it would be on disk, being synced once a second only."""
        self.old_mark = mark_bytes(self.path)

    @precondition(lambda self: self.old_mark is not None)
    @rule(compression=compressions)
    def cut_power(self, compression: CompressionFormat | None) -> None:
        """Lose both handles, and the mark's changes since it was noted."""
        for journal in self.journals.values():
            journal.handle.drop()
        assert self.old_mark is not None
        patch(os.path.join(self.path, MARK), 0, self.old_mark)
        self.open("first", compression=compression)
        self.open("second")

    @precondition(lambda self: self.commits)
    @rule(debris=st.binary(min_size=1, max_size=100), first=st.integers(1, 255))
    def leave_debris(self, debris: bytes, first: int) -> None:
        """Leave the beginning of a write, as a killed writer of another process does."""
        journal = next(iter(self.journals.values()))
        offset = journal.statistics().tail_bytes
        patch(tail_path(self.path), offset, bytes([first]) + debris)

    @invariant()
    def everybody_sees_the_same(self) -> None:
        """Both handles know the same last position."""
        for journal in self.journals.values():
            assert journal.last_position == len(self.stored)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accidents are logged, thousands of times here."""
    monkeypatch.setattr(logger, "disabled", True)


TestJournalModel = JournalMachine.TestCase
TestJournalModel.__doc__ = "Whatever the handles go through, they read what was appended."

"""State machines: recorders against a plain list and against the library's SQLite recorders.

Several recorders on one store, of one or more factories of this process, and a stranger with a
handle of its own (which is what another process has) append and read in turns, while the store
rolls after every few events and is closed and opened with other settings.

SQLite is asked wherever EVENTSOURCING.md does not say otherwise. It takes a UUID and its text for
two aggregates and knows one form of ids only, so it gets a UUID for every id.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    Notification,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from eventsourcing.sqlite import SQLiteFactory
from eventsourcing.utils import Environment
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aurora_es import AuroraFactory, ConflictError, Journal, Record, Sync
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.limits import VERSION_MAX, VERSION_MIN
from aurora_es.format.names import MANIFEST
from aurora_es.index.keys import originator_key
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.cool import COOL_CODECS
from tests.face.support import SCRATCH, UUID_1, UUID_2, factory_on
from tests.journal.support import effects_with

IDS: list[UUID | str] = [UUID_1, str(UUID_1), UUID_2, str(UUID_2).upper(), "a", ""]
TOPICS = ["opened", "closed", "t" * 300]
NAMES = ["up", "down", ""]
FACTORIES_MAX = 3
NEXT: None = None  # a version: one above the highest

originator_ids = st.sampled_from(IDS)
versions = st.one_of(st.just(NEXT), st.integers(-2, 8), st.sampled_from([VERSION_MIN, VERSION_MAX]))
# Small ones, one that is sure to be compressed, and one that takes a frame of its own.
states = st.binary(max_size=20) | st.sampled_from([1, 70]).map(
    lambda times: bytes(range(256)) * times
)
drafts = st.tuples(originator_ids, versions, st.sampled_from(TOPICS), states)
trackings = st.builds(Tracking, st.sampled_from(NAMES), st.integers(0, 9))
positions = st.integers(-2, 30)
topic_choices = st.lists(st.sampled_from([*TOPICS, "unknown"]), max_size=2)
bounds = st.none() | st.integers(-3, 9) | st.sampled_from([VERSION_MIN, VERSION_MAX])
event_queries = st.fixed_dictionaries(
    {"originator_id": originator_ids},
    optional={
        "gt": bounds,
        "lte": bounds,
        "desc": st.booleans(),
        "limit": st.none() | st.integers(-1, 4),
    },
)
notification_queries = st.fixed_dictionaries(
    {"start": st.none() | positions, "limit": st.integers(-1, 12)},
    optional={
        "stop": st.none() | positions,
        "topics": topic_choices,
        "inclusive_of_start": st.booleans(),
    },
)
sides = st.integers(0, FACTORIES_MAX - 1)
extras = st.sampled_from(
    [{}, {}, {"unheard_of": object()}, {"metadata": {"k": [1, {"deep": None}]}}, {"metadata": None}]
)
refusals = st.sampled_from(
    [
        ({"originator_version": VERSION_MAX + 1}, DataError),
        ({"originator_version": "1"}, ProgrammingError),
        ({"topic": None}, ProgrammingError),
        ({"state": "text"}, ProgrammingError),
        ({"originator_id": 1}, ProgrammingError),
    ]
)
syncs = st.sampled_from(["always", "never", "60000ms"])
compressions = st.sampled_from(["none", "lz4", "snappy"])
roll_cycles = st.sampled_from(["1events", "3events", "10events", "day"])

Draft = tuple[UUID | str, int | None, str, bytes]


class RecorderMachine(RuleBasedStateMachine):
    """What all kinds of recorders have in common: opening, closing, and the model."""

    purpose = "events"

    def __init__(self) -> None:
        """Make a store and a database, both empty."""
        super().__init__()
        self.root = tempfile.mkdtemp(dir=SCRATCH)
        self.settings: dict[str, str] = {}
        self.factories: list[AuroraFactory] = []
        self.recorders: list[Any] = []
        self.stranger: Journal | None = None
        database = {"SQLITE_DBNAME": os.path.join(self.root, "oracle.db")}
        self.oracle_factory = SQLiteFactory(Environment("App", database))
        self.oracle = self.oracle_of(self.oracle_factory)
        # The model: notifications as they are to be read, versions and tracking ids taken.
        self.stored: list[Notification] = []
        self.metadata: list[object] = []
        self.taken: dict[tuple[bytes | str, int], int] = {}
        self.tracking: dict[str, int] = {}

    @initialize(
        sync=syncs,
        compression=compressions,
        cycle=roll_cycles,
        id_type=st.sampled_from(["as written", "as written", "text", "uuid"]),
    )
    def begin(self, sync: str, compression: str, cycle: str, id_type: str) -> None:
        """Open the store for the first time."""
        self.settings = {"AURORA_SYNC": sync, "ORIGINATOR_ID_TYPE": id_type}
        self.open(compression, cycle)

    def open(self, compression: str, cycle: str) -> None:
        """Construct another factory and a recorder."""
        self.settings |= {"AURORA_COMPRESSION": compression, "AURORA_ROLL_CYCLE": cycle}
        self.factories.append(factory_on(self.root, **self.settings))
        self.recorders.append(self.recorder_of(self.factories[-1]))

    def close(self) -> None:
        """Close everything."""
        for factory in self.factories:
            factory.close()
            factory.close()
        if self.stranger is not None:
            self.stranger.close()
        self.factories, self.recorders, self.stranger = [], [], None

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.close()
        self.oracle_factory.close()
        shutil.rmtree(self.root)

    def recorder_of(self, factory: AuroraFactory) -> Any:
        """Construct a recorder of the kind under test."""
        raise NotImplementedError

    def oracle_of(self, factory: SQLiteFactory) -> Any:
        """Construct its oracle."""
        raise NotImplementedError

    def at(self, side: int) -> Any:
        """One of the recorders."""
        return self.recorders[side % len(self.recorders)]

    @property
    def path(self) -> str:
        """Directory of the journal."""
        return os.path.join(self.root, "App", self.purpose)

    @property
    def exists(self) -> bool:
        """Whether the journal was made; a first append that is refused for a conflict does so."""
        return os.path.exists(os.path.join(self.path, MANIFEST))

    @rule(sync=syncs, compression=compressions, cycle=roll_cycles)
    def reopen(self, sync: str, compression: str, cycle: str) -> None:
        """Close everything and open the store with other settings."""
        stale = self.recorders[0]
        self.close()
        with pytest.raises(InterfaceError):
            self.read_anything(stale)
        if self.exists:
            Journal.set_sync(self.path, Sync.parse(sync))
        self.settings["AURORA_SYNC"] = sync
        self.open(compression, cycle)

    def read_anything(self, recorder: Any) -> None:
        """Call a method that reads."""
        raise NotImplementedError

    @precondition(lambda self: len(self.factories) < FACTORIES_MAX)
    @rule()
    def open_another(self) -> None:
        """Open a second or third factory on the same store."""
        self.open(self.settings["AURORA_COMPRESSION"], self.settings["AURORA_ROLL_CYCLE"])

    @precondition(lambda self: len(self.factories) > 1)
    @rule(side=sides)
    def close_one(self, side: int) -> None:
        """Close one of several factories; the others go on."""
        side %= len(self.factories)
        self.factories.pop(side).close()
        with pytest.raises(InterfaceError):
            self.read_anything(self.recorders.pop(side))

    @precondition(lambda self: self.exists)
    @rule(codec=st.none() | st.sampled_from([*COOL_CODECS]), everything=st.booleans())
    def tend(self, codec: str | None, *, everything: bool) -> None:
        """Seal what is closed, merge, perhaps cool and remove what was replaced, at once."""
        effects = effects_with(clock=SYSTEM_EFFECTS.clock)
        background.seal(self.path, effects=effects)
        background.merge(self.path, everything=everything, effects=effects)
        if codec is not None:
            background.cool(self.path, codec=codec, older_than_hours=-1, effects=effects)
            with BackgroundLock(effects, self.path, timeout=0):
                clear_away(effects, self.path, at_once=True)

    def strange_journal(self) -> Journal:
        """The stranger's own handle."""
        if self.stranger is None:
            self.stranger = Journal.open(self.path)
        return self.stranger


class EventRules(RecorderMachine):
    """Rules for all recorders of events."""

    def read_anything(self, recorder: Any) -> None:
        """Select events."""
        recorder.select_events("a")

    def knows(self, originator_id: UUID | str) -> bool:
        """Whether the store takes such ids."""
        return self.settings["ORIGINATOR_ID_TYPE"] != "uuid" or originator_id not in {"a", ""}

    def key_of(self, originator_id: UUID | str) -> bytes | str:
        """What makes two ids the same aggregate."""
        key = originator_key(originator_id)
        if isinstance(key, str) and self.settings["ORIGINATOR_ID_TYPE"] == "uuid":
            return UUID(key).bytes
        assert key is not None
        return key

    def id_read(self, originator_id: UUID | str) -> UUID | str:
        """The id as it comes back."""
        id_type = self.settings["ORIGINATOR_ID_TYPE"]
        if id_type == "text":
            return str(originator_id)
        return UUID(str(originator_id)) if id_type == "uuid" else originator_id

    def id_for_oracle(self, originator_id: UUID | str) -> UUID:
        """A UUID for any id."""
        key = self.key_of(originator_id)
        return UUID(bytes=key) if isinstance(key, bytes) else uuid5(NAMESPACE_URL, key)

    def for_oracle(self, batch: Sequence[StoredEvent]) -> list[StoredEvent]:
        """The same events with ids that the oracle knows."""
        return [
            StoredEvent(
                self.id_for_oracle(one.originator_id), one.originator_version, one.topic, one.state
            )
            for one in batch
        ]

    def write_out(self, batch: Sequence[Draft]) -> list[StoredEvent]:
        """Turn drafts into events: with other ids where only UUIDs are allowed, with versions."""
        highest: dict[bytes | str, int] = {}
        for taken_key, taken in self.taken:
            highest[taken_key] = max(taken, highest.get(taken_key, taken))
        found = []
        for drafted_id, drafted_version, topic, state in batch:
            originator_id = drafted_id if self.knows(drafted_id) else UUID_2
            key = self.key_of(originator_id)
            version = drafted_version
            if version is None:
                version = min(highest.get(key, 0) + 1, VERSION_MAX)
            highest[key] = max(version, highest.get(key, version))
            found.append(StoredEvent(originator_id, version, topic, state))
        return found

    def conflicts_of(
        self, batch: Sequence[StoredEvent], tracking: Tracking | None
    ) -> list[tuple[object, int | None, int]]:
        """What has to be reported: id or name, version, position or tracking id."""
        found: list[tuple[object, int | None, int]] = []
        own = set()
        for one in batch:
            claim = self.key_of(one.originator_id), one.originator_version
            if claim in self.taken or claim in own:
                found.append((*claim, self.taken.get(claim, 0)))
            own.add(claim)
        if tracking is not None:
            before = self.tracking.get(tracking.application_name, -1)
            if tracking.notification_id <= before:
                found.append((tracking.application_name, None, before))
        return found

    def remember(
        self, batch: Sequence[StoredEvent], tracking: Tracking | None, metadata: object
    ) -> None:
        """Let the model have what was recorded."""
        for one in batch:
            position = len(self.stored) + 1
            self.stored.append(
                Notification(
                    self.id_read(one.originator_id),
                    one.originator_version,
                    one.topic,
                    one.state,
                    position,
                )
            )
            self.metadata.append(metadata)
            self.taken[self.key_of(one.originator_id), one.originator_version] = position
        if tracking is not None:
            self.tracking[tracking.application_name] = tracking.notification_id

    def tracking_heard(self, tracking: Tracking | None) -> Tracking | None:
        """The tracking that this kind of recorder honours."""
        return None

    def ids_returned(self, ids: list[int]) -> list[int] | None:
        """What ``insert_events`` returns."""
        return None

    @rule(
        side=sides,
        batch=st.lists(drafts, max_size=4),
        tracking=st.none() | trackings,
        extra=extras,
    )
    def insert(
        self, side: int, batch: list[Draft], tracking: Tracking | None, extra: dict[str, Any]
    ) -> None:
        """Insert a batch, which may conflict with what is there or with itself."""
        self.insert_batch(side, batch, tracking, extra)

    def insert_batch(
        self,
        side: int,
        batch: Sequence[Draft],
        tracking: Tracking | None = None,
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Insert, and compare the outcome with what the model and the oracle say."""
        given = self.write_out(batch)
        heard = self.tracking_heard(tracking)
        expected = self.conflicts_of(given, heard)
        if expected:
            with pytest.raises(IntegrityError) as caught:
                self.at(side).insert_events(given, tracking=tracking, **extra)
            assert isinstance(caught.value, ConflictError)
            assert [
                (
                    one.tracking_name
                    if one.originator_id is None
                    else self.key_of(one.originator_id),
                    one.originator_version,
                    one.position,
                )
                for one in caught.value.conflicts
            ] == expected
            with pytest.raises(IntegrityError):
                self.oracle.insert_events(self.for_oracle(given), tracking=tracking)
            return
        ids = self.at(side).insert_events(given, tracking=tracking, **extra)
        first = len(self.stored) + 1
        assert ids == self.ids_returned([*range(first, first + len(given))])
        assert ids == self.oracle.insert_events(self.for_oracle(given), tracking=tracking)
        self.remember(given, heard, extra.get("metadata"))

    @rule(side=sides, batch=st.lists(drafts, max_size=3), refusal=refusals, place=st.integers(0, 3))
    def insert_nonsense(
        self,
        side: int,
        batch: list[Draft],
        refusal: tuple[dict[str, Any], type[Exception]],
        place: int,
    ) -> None:
        """A single bad event refuses the whole batch."""
        changes, error = refusal
        given = self.write_out(batch)
        good: dict[str, Any] = {
            "originator_id": UUID_1,
            "originator_version": 1,
            "topic": "t",
            "state": b"",
        }
        given.insert(place, StoredEvent(**(good | changes)))
        with pytest.raises(error):
            self.at(side).insert_events(given)

    @precondition(lambda self: self.exists)
    @rule(batch=st.lists(drafts, min_size=1, max_size=3))
    def insert_by_stranger(self, batch: list[Draft]) -> None:
        """Somebody with a handle of his own appends."""
        given = self.write_out(batch)
        if self.conflicts_of(given, None):
            return
        records = [
            Record(
                originator_id=UUID(str(one.originator_id))
                if self.settings["ORIGINATOR_ID_TYPE"] == "uuid"
                else one.originator_id,
                originator_version=one.originator_version,
                topic=one.topic,
                state=one.state,
            )
            for one in given
        ]
        self.strange_journal().append(records)
        self.oracle.insert_events(self.for_oracle(given))
        self.remember(given, None, None)

    @rule(side=sides, ids=st.lists(originator_ids, min_size=1, max_size=9))
    def insert_more(self, side: int, ids: list[UUID | str]) -> None:
        """Insert the next events of some aggregates, which conflicts with nothing."""
        self.insert_batch(
            side, [(one, NEXT, TOPICS[at % len(TOPICS)], b"%d" % at) for at, one in enumerate(ids)]
        )

    @rule(side=sides, queries=st.lists(event_queries, min_size=3, max_size=9))
    def select_events(self, side: int, queries: list[dict[str, Any]]) -> None:
        """Select events of aggregates, with every combination of arguments."""
        for query in queries:
            if (query.get("limit") or 0) < 0:
                # SQLite takes it for no limit.
                with pytest.raises(ProgrammingError):
                    self.at(side).select_events(**query)
            elif self.knows(query["originator_id"]):
                self.compare_events(self.at(side), **query)
            else:
                assert self.at(side).select_events(**query) == []

    def compare_events(
        self,
        recorder: Any,
        originator_id: UUID | str,
        gt: int | None = None,
        lte: int | None = None,
        **others: Any,
    ) -> None:
        """Compare one answer with the model and the oracle."""
        key = self.key_of(originator_id)
        chosen = sorted(
            version
            for owner, version in self.taken
            if owner == key and (gt is None or version > gt) and (lte is None or version <= lte)
        )
        if others.get("desc"):
            chosen.reverse()
        expected = []
        for version in chosen[: others.get("limit")]:
            one = self.stored[self.taken[key, version] - 1]
            expected.append(StoredEvent(one.originator_id, version, one.topic, one.state))
        found = recorder.select_events(originator_id, gt=gt, lte=lte, **others)
        assert type(found) is list
        assert found == expected
        assert self.for_oracle(found) == self.oracle.select_events(
            self.id_for_oracle(originator_id), gt=gt, lte=lte, **others
        )

    @precondition(lambda self: self.exists)
    @rule()
    def read_the_journal(self) -> None:
        """The journal holds the same, and the metadata."""
        found = [
            (
                one.position,
                one.record.originator_version,
                one.record.topic,
                one.record.state,
                one.record.metadata,
            )
            for one in self.strange_journal().read()
        ]
        assert found == [
            (one.id, one.originator_version, one.topic, one.state, metadata)
            for one, metadata in zip(self.stored, self.metadata, strict=True)
        ]


class NotificationRules(EventRules):
    """Rules for recorders with an application sequence."""

    def ids_returned(self, ids: list[int]) -> list[int] | None:
        """All of them."""
        return ids

    @rule(side=sides, queries=st.lists(notification_queries, min_size=3, max_size=9))
    def select_notifications(self, side: int, queries: list[dict[str, Any]]) -> None:
        """Select notifications, with every combination of arguments."""
        for query in queries:
            if query["limit"] < 0:
                with pytest.raises(ProgrammingError):
                    self.at(side).select_notifications(**query)
                continue
            found = self.at(side).select_notifications(**query)
            assert type(found) is list
            assert found == self.notifications_expected(**query)
            seen = [(one.id, self.id_for_oracle(one.originator_id)) for one in found]
            oracle_saw = self.oracle.select_notifications(**query)
            assert seen == [(one.id, one.originator_id) for one in oracle_saw]

    def notifications_expected(
        self,
        start: int | None,
        limit: int | None = None,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> list[Notification]:
        """What the model says."""
        return [
            one
            for one in self.stored
            if (start is None or one.id > start or (inclusive_of_start and one.id == start))
            and (stop is None or one.id <= stop)
            and (not topics or one.topic in topics)
        ][:limit]

    @rule(side=sides, gt=st.none() | positions, topics=topic_choices)
    def follow(self, side: int, gt: int | None, topics: list[str]) -> None:
        """A subscription yields what is there; stopped, it yields nothing more."""
        expected = self.notifications_expected(gt, topics=topics, inclusive_of_start=False)
        subscription = self.at(side).subscribe(gt=gt, topics=topics)
        assert [next(subscription) for _ in expected] == expected
        subscription.stop()
        assert list(subscription) == []

    @invariant()
    def agree_on_the_head(self) -> None:
        """All recorders see the same head."""
        for recorder in self.recorders:
            assert recorder.max_notification_id() == (len(self.stored) or None)
        assert self.oracle.max_notification_id() == (len(self.stored) or None)


class TrackingRules(RecorderMachine):
    """Rules for recorders of tracking."""

    def read_anything(self, recorder: Any) -> None:
        """Look up a tracking id."""
        recorder.max_tracking_id("up")

    def tracking_heard(self, tracking: Tracking | None) -> Tracking | None:
        """The tracking that this kind of recorder honours."""
        return tracking

    @rule(side=sides, tracking=trackings)
    def insert_tracking(self, side: int, tracking: Tracking) -> None:
        """Record a tracking id, which has to rise for each name."""
        before = self.tracking.get(tracking.application_name)
        if before is not None and tracking.notification_id <= before:
            with pytest.raises(IntegrityError) as caught:
                self.at(side).insert_tracking(tracking)
            assert isinstance(caught.value, ConflictError)
            (conflict,) = caught.value.conflicts
            assert conflict == (None, None, before, tracking.application_name)
            with pytest.raises(IntegrityError):
                self.oracle.insert_tracking(tracking)
            return
        self.at(side).insert_tracking(tracking)
        self.oracle.insert_tracking(tracking)
        self.tracking[tracking.application_name] = tracking.notification_id

    @precondition(lambda self: self.exists)
    @rule(tracking=trackings)
    def insert_tracking_by_stranger(self, tracking: Tracking) -> None:
        """Somebody with a handle of his own records tracking."""
        if tracking.notification_id > self.tracking.get(tracking.application_name, -1):
            self.strange_journal().append(
                [], tracking=(tracking.application_name, tracking.notification_id)
            )
            self.oracle.insert_tracking(tracking)
            self.tracking[tracking.application_name] = tracking.notification_id

    @rule(side=sides, name=st.sampled_from([*NAMES, "unknown"]), notification_id=st.integers(0, 10))
    def look_up_tracking(self, side: int, name: str, notification_id: int) -> None:
        """Look up what has been tracked."""
        recorder, oracle = self.at(side), self.oracle
        before = self.tracking.get(name)
        assert recorder.max_tracking_id(name) == before == oracle.max_tracking_id(name)
        assert recorder.has_tracking_id(name, notification_id) == (
            before is not None and before >= notification_id
        )
        assert recorder.has_tracking_id(name, None)
        if before is not None:
            recorder.wait(name, before, timeout=0)
        with pytest.raises(TimeoutError):
            recorder.wait(name, 1 + (before or 0), timeout=0)

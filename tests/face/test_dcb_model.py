"""A state machine: DCB recorders against the library's in-memory recorder.

Two recorders of this process share a handle, a third has one of its own, and a second process has
the fourth: each appends and reads in turn, while the store rolls after every few events, is sealed,
merged and cooled. Answers, heads and exceptions are those of the in-memory recorder.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from eventsourcing.dcb.popo import InMemoryDCBRecorder
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aurora_es import AuroraDCBRecorder, AuroraFactory
from aurora_es.index import collect, intersection
from aurora_es.journal import background, conditions, filtering, reading, sharing
from tests.face.dcb_worker import PlainQuery, append, events_of, query_of, read
from tests.face.support import SCRATCH, Script, factory_on

SIDES = ("first", "second", "own handle", "process")
TYPES = ["opened", "closed", "rare"]
TAGS = ["a", "b", "c", "course:1", "course:2", ""]
_WORKER = "from tests.face.dcb_worker import main; main()"

types = st.lists(st.sampled_from([*TYPES, "unknown"]), max_size=2)
tags = st.lists(st.sampled_from([*TAGS, "unknown"]), max_size=3)
queries = st.none() | st.lists(st.tuples(types, tags), max_size=3)
places = st.none() | st.integers(-1, 40) | st.integers(-1, 400)
limits = st.none() | st.integers(0, 4) | st.integers(0, 300)
drafts = st.lists(
    st.tuples(st.sampled_from(TYPES), st.lists(st.sampled_from(TAGS), max_size=4)),
    min_size=1,
    max_size=3,
)
sides = st.sampled_from(SIDES)


class DCBMachine(RuleBasedStateMachine):
    """The recorders, and the one in memory that knows all answers."""

    worker: ClassVar[Script]

    def __init__(self) -> None:
        """Make an empty store, with steps so small that each answer takes several."""
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.root = tempfile.mkdtemp(dir=SCRATCH)
        self.oracle = InMemoryDCBRecorder()
        self.factories: list[AuroraFactory] = []
        self.recorders: dict[str, AuroraDCBRecorder] = {}
        self.uses_process = False
        self.count = 0

    @initialize(
        cycle=st.sampled_from(["1events", "3events", "40events", "day"]),
        small=st.booleans(),
        common_share=st.sampled_from([1, 2, 64]),
        codec=st.sampled_from(["none", "lz4"]),
        filling=st.sampled_from([0, 40, 400]),
        sealed=st.booleans(),
        seed=st.integers(0, 99),
    )
    def begin(  # noqa: PLR0913 - what a store may be like
        self,
        *,
        cycle: str,
        small: bool,
        common_share: int,
        codec: str,
        filling: int,
        sealed: bool,
        seed: int,
    ) -> None:
        """Open the store, and fill it."""
        if small:
            self.patched.setattr(filtering, "_BATCH_RECORDS", 2)
            self.patched.setattr(filtering, "_POSTINGS_MIN", 1)
            self.patched.setattr(reading, "_RUN_BYTES_MAX", 1 << 10)
            self.patched.setattr(intersection, "_LISTS_MAX", 3)
            self.patched.setattr(intersection, "_WORTH", 2)
        self.patched.setattr(collect, "COMMON_SHARE", common_share)
        settings = {"AURORA_SYNC": "never", "AURORA_ROLL_CYCLE": cycle, "AURORA_COMPRESSION": codec}
        for side in SIDES[:3]:
            if side == "own handle":  # a second table of journals is what another process has
                self.patched.setattr(sharing, "_shared", sharing._SharedJournals())
            self.factories.append(factory_on(self.root, **settings))
            self.recorders[side] = self.factories[-1].dcb_recorder()
        self.path = self.factories[0].store.path + "/dcb"
        rng = random.Random(seed)
        while self.count < filling:
            draft = []
            for _ in range(rng.choice((1, 1, 5))):
                marks = rng.choices(TAGS, (50, 20, 10, 5, 2, 1), k=rng.randrange(4))
                draft.append((rng.choices(TYPES, (50, 10, 1))[0], marks))
            self.append("first", draft, 1, None)
        if filling and sealed:
            self.tend(everything=seed % 2 == 0, cools=codec == "lz4")
            for side in SIDES[:3]:
                self.renew(side)

    def teardown(self) -> None:
        """Close everything."""
        for factory in self.factories:
            factory.close()
        if self.uses_process:
            self.ask("close")
        self.patched.undo()
        shutil.rmtree(self.root)

    def ask(self, operation: str, *arguments: object) -> Any:
        """Let the second process do it."""
        self.uses_process = True
        self.worker.tell(json.dumps([self.root, operation, arguments]))
        return json.loads(self.worker.hear())

    def read_from(self, side: str, *arguments: Any) -> Any:
        """Read through one of the recorders."""
        if side == "process":
            return self.ask("read", *arguments)
        return read(self.recorders[side], *arguments)

    def broken_by(self, condition: tuple[PlainQuery, int | None]) -> list[int]:
        """Positions that break a condition."""
        query, after = condition
        found = [each.position for each in self.oracle.read(query_of(query), after=after)]
        return found[: conditions.CONFLICTS_NAMED_MAX]

    @rule(
        side=sides,
        draft=drafts,
        times=st.sampled_from([1, 1, 1, 1, 50]),
        condition=st.none() | st.tuples(queries, places),
    )
    def append(
        self,
        side: str,
        draft: list[tuple[str, list[str]]],
        times: int,
        condition: tuple[PlainQuery, int | None] | None,
    ) -> None:
        """Append a few events, or many, perhaps on a condition."""
        events = []
        for kind, marks in draft * times:
            self.count += 1
            events.append((kind, f"data {self.count}", marks))
        expected = append(self.oracle, events, condition)
        if expected is None:
            assert condition is not None
            expected = self.broken_by(condition)
        if side == "process":
            assert self.ask("append", events, condition) == expected
        else:
            assert append(self.recorders[side], events, condition) == expected

    @rule(side=sides, query=queries, after=places, limit=limits)
    def read(self, side: str, query: PlainQuery, after: int | None, limit: int | None) -> None:
        """Read what matches."""
        expected = read(self.oracle, query, after, limit)
        assert self.read_from(side, query, after, limit) == json.loads(json.dumps(expected))

    @rule(side=st.sampled_from(SIDES[:3]), query=queries, after=places, limit=limits)
    def head_before_the_events(
        self, side: str, query: PlainQuery, after: int | None, limit: int | None
    ) -> None:
        """The head is known before the first event is taken, and in between."""
        ours = self.recorders[side].read(query_of(query), after=after, limit=limit)
        theirs = self.oracle.read(query_of(query), after=after, limit=limit)
        assert ours.head == theirs.head
        for event in theirs:
            assert next(ours) == event
            assert ours.head == theirs.head
        assert next(ours, None) is None

    @rule(side=st.sampled_from(SIDES[:3]), query=queries, after=places, draft=drafts)
    def append_amid_a_read(
        self, side: str, query: PlainQuery, after: int | None, draft: list[tuple[str, list[str]]]
    ) -> None:
        """A read shows what there was at the call, whatever is appended while it goes on."""
        ours = self.recorders[side].read(query_of(query), after=after)
        theirs = list(self.oracle.read(query_of(query), after=after))
        found = [next(ours)] if theirs else []
        events = events_of([(kind, "amid", marks) for kind, marks in draft])
        self.oracle.append(events)
        self.recorders["own handle"].append(events)
        assert [*found, *ours] == theirs

    @precondition(lambda self: self.oracle.events)
    @rule(everything=st.booleans(), cools=st.booleans())
    def tend(self, *, everything: bool, cools: bool) -> None:
        """Seal what is closed, merge, perhaps cool; handles learn of it when they look again."""
        background.seal(self.path)
        background.merge(self.path, everything=everything)
        if cools:
            background.cool(self.path, codec="lz4", older_than_hours=-1e6)

    @precondition(lambda self: self.oracle.events)
    @rule(side=st.sampled_from(SIDES[:3]))
    def renew(self, side: str) -> None:
        """Let a handle use what was sealed."""
        self.recorders[side].journal.renew()

    @rule(query=queries, after=places)
    def subscribe(self, query: PlainQuery, after: int | None) -> None:
        """A subscription yields what a read yields."""
        expected = list(self.oracle.read(query_of(query), after=after))
        with self.recorders["second"].subscribe(query_of(query), after=after) as subscription:
            assert [next(subscription) for _ in expected] == expected

    @invariant()
    def last_position(self) -> None:
        """All sides of this process see the same head."""
        head = self.oracle.read().head
        assert {recorder.read().head for recorder in self.recorders.values()} <= {head}


@pytest.fixture(name="worker")
def _worker() -> Iterator[Script]:
    """A second process."""
    with Script(_WORKER) as worker:
        assert worker.hear() == "ready"
        yield worker
        worker.end()


def test_every_recorder_answers_as_the_one_in_memory(worker: Script) -> None:
    """Whoever appends, on whatever condition, and whoever reads, whatever is sealed meanwhile."""
    DCBMachine.worker = worker
    run_state_machine_as_test(DCBMachine)

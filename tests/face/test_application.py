"""``AuroraApplication``: the same aggregates as the library's, and the cache beside other writers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import (
    AggregateNotFoundError,
    Application,
    LocalNotificationLog,
    ProcessingEvent,
)
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, Recording
from eventsourcing.system import (
    NewSingleThreadedRunner,
    ProcessApplication,
    Runner,
    SingleThreadedRunner,
    System,
)
from eventsourcing.utils import get_topic
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import AuroraApplication, AuroraNotificationLog
from tests.face.support import Script

Environment = dict[str, str]


class Board(Aggregate):
    """Remembers what was written on it."""

    @event("Began")
    def __init__(self) -> None:
        """Begin empty."""
        self.lines: list[str] = []

    @event("Written")
    def write(self, line: str) -> None:
        """Write a line."""
        self.lines.append(line)


class Wiped(Board.Event):
    """An event of another class, applied by itself."""

    def apply(self, aggregate: Board) -> None:
        """Begin anew."""
        aggregate.lines = []


class Boards(AuroraApplication[UUID]):
    """Boards, replayed fast."""

    name = "Boards"


class PlainBoards(Application[UUID]):
    """The same store by the library's application."""

    name = "Boards"


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """A store of the test's own."""
    return {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}


def written(application: Application[UUID], *lines: str) -> UUID:
    """Record a board."""
    board = Board()
    for line in lines:
        board.write(line)
    application.save(board)
    return board.id


@given(
    steps=st.lists(st.sampled_from(["write", "wipe", "snapshot"]), max_size=12),
    mapper=st.sampled_from(["json", "msgpack"]),
    version=st.integers(1, 13),
)
def test_aggregates_are_the_librarys(steps: list[str], mapper: str, version: int) -> None:
    """Whatever was recorded, with snapshots and at any version, both replay the same aggregate."""
    env = {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": ":memory:",
        "AURORA_MAPPER": mapper,
        "IS_SNAPSHOTTING_ENABLED": "y",
    }
    with Boards(env) as ours, PlainBoards(env) as theirs:
        board_id = written(ours)
        for previous, step in pairwise(["snapshot", *steps]):
            if step == "snapshot":
                if previous == "snapshot":
                    continue  # there is one of this version
                ours.take_snapshot(board_id)
                continue
            board: Board = ours.repository.get(board_id)
            if step == "write":
                board.write("line")
            else:
                board.trigger_event(Wiped)
            ours.save(board)
        assert ours.repository.get(board_id) == theirs.repository.get(board_id)
        version = min(version, board_version(theirs, board_id))
        expected: Board = theirs.repository.get(board_id, version=version)
        assert ours.repository.get(board_id, version=version) == expected


def board_version(application: Application[UUID], board_id: UUID) -> int:
    """Version of the newest event."""
    board: Board = application.repository.get(board_id)
    return board.version


def test_an_aggregate_that_is_not_there(env: Environment) -> None:
    """The library's error, also for versions before the first."""
    with Boards(env) as application:
        with pytest.raises(AggregateNotFoundError):
            application.repository.get(UUID(int=1))
        assert UUID(int=1) not in application.repository
        board_id = written(application)
        with pytest.raises(AggregateNotFoundError):
            application.repository.get(board_id, version=0)
        assert board_id in application.repository


def test_a_projector_of_ones_own_is_called(env: Environment) -> None:
    """It gets the events, and its result is what the caller gets."""

    def count(aggregate: Any, domain_events: Iterable[Any]) -> Any:
        return (aggregate or 0) + len(list(domain_events))

    with Boards(env) as application:
        board_id = written(application, "a", "b")
        assert application.repository.get(board_id, projector_func=count) == 3


class Immutable:
    """An event that nothing can be done with."""

    originator_id: UUID
    originator_version: int

    def __init__(self) -> None:
        """Name the first version of an aggregate."""
        self.originator_id = UUID(int=1)
        self.originator_version = 1


def test_events_that_cannot_mutate_are_refused(env: Environment) -> None:
    """By the same assertion as the library's: they need a projector of their own."""
    with Boards(env) as ours, PlainBoards(env) as theirs:
        ours.events.put([Immutable()])
        for application in (ours, theirs):
            with pytest.raises(AssertionError):
                application.repository.get(UUID(int=1))


class Copies(AuroraApplication[UUID], ProcessApplication[UUID]):
    """Follows boards, and copies each line to a board of its own."""

    name = "Copies"

    def policy(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        """Copy."""
        if isinstance(domain_event, Board.Written):  # type: ignore[attr-defined]
            copy = Board()
            copy.write(domain_event.line)
            processing_event.collect_events(copy)


class Copied(ProcessApplication[UUID]):
    """Follows the copies."""

    name = "Copied"

    def policy(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        """Take note of the position."""


@pytest.mark.parametrize("runner_class", [SingleThreadedRunner, NewSingleThreadedRunner])
def test_in_a_system(env: Environment, runner_class: type[Runner[UUID]]) -> None:
    """As a leader, which the library mixes in, and as a process application."""
    with runner_class(System(pipes=[[Boards, Copies, Copied]]), env=env) as runner:
        boards, copies = runner.get(Boards), runner.get(Copies)
        written(boards, "a", "b")
        assert copies.recorder.max_notification_id() == 4
        written(copies, "c")
        recorder: Any = runner.get(Copied).recorder
        assert recorder.max_tracking_id("Copies") == 6


class Noting(Application[UUID]):
    """A base with a `save` of its own, as the library's Leader."""

    noted = 0

    def save(self, *objs: Any, **kwargs: Any) -> list[Recording[UUID]]:
        """Count calls."""
        self.noted += 1
        return super().save(*objs, **kwargs)


class NotedBoards(AuroraApplication[UUID], Noting):
    """Both."""


def test_another_base_keeps_its_say_in_save(env: Environment) -> None:
    """Its `save` is called, once, and events are recorded, once."""
    with NotedBoards(env) as application:
        written(application, "a")
        assert application.noted == 1
        assert application.recorder.max_notification_id() == 2


def test_events_and_aggregates_are_saved_alike(env: Environment) -> None:
    """What is given to `save` may be aggregates, events and None."""
    with Boards(env) as application:
        board = Board()
        event_alone = Board.Began(  # type: ignore[attr-defined]
            originator_id=UUID(int=5),
            originator_version=1,
            originator_topic=get_topic(Board),
            timestamp=Board.Began.create_timestamp(),  # type: ignore[attr-defined]
        )
        recordings = application.save(board, None, event_alone)
        assert [one.notification.id for one in recordings] == [1, 2]
        assert recordings[0].notification.originator_id == board.id
        assert recordings[1].domain_event is event_alone
        assert application.save() == []


def test_the_notification_log(env: Environment) -> None:
    """It is ours on our recorder, and the library's on another."""
    with Boards(env) as application:
        written(application, "a")
        log = application.notification_log
        assert isinstance(log, AuroraNotificationLog)
        assert log["1,10"].id == "1,2"
        assert log.section_size == Boards.log_section_size
    with Boards({"PERSISTENCE_MODULE": "eventsourcing.popo"}) as application:
        assert type(application.notification_log) is LocalNotificationLog
        written(application, "a")


_WRITER = """
import sys
from uuid import UUID
from tests.face.test_application import Boards, Board
with Boards({"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": sys.argv[1]}) as application:
    for line in sys.stdin:
        board = application.repository.get(UUID(sys.argv[2]))
        board.write(line.strip())
        application.save(board)
        print(board.version, flush=True)
"""


@pytest.mark.parametrize("application_class", [Boards, PlainBoards])
def test_the_cache_beside_another_process(
    env: Environment, application_class: type[Application[UUID]]
) -> None:
    """A cached aggregate is fast-forwarded over what another process recorded meanwhile."""
    del env["AURORA_SYNC"]
    with application_class(env | {"AGGREGATE_CACHE_MAXSIZE": "10"}) as application:
        board_id = written(application, "ours")
        board: Board = application.repository.get(board_id)
        with Script(_WRITER, env["AURORA_PATH"], str(board_id)) as writer:
            for number in range(1, 6):
                writer.tell(f"theirs {number}")
                assert writer.hear() == str(board.version + 1)
                board = application.repository.get(board_id)
                assert board.lines[-1] == f"theirs {number}"
                board.write(f"ours {number}")
                application.save(board)
                assert application.repository.get(board_id).lines == board.lines
        assert application.repository.cache is not None
        assert len(board.lines) == 11


_FREE_WRITER = """
import sys
from uuid import UUID
from eventsourcing.persistence import IntegrityError
from tests.face.test_application import Boards, add_lines
with Boards({"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": sys.argv[1]}) as application:
    print("ready", flush=True)
    sys.stdin.readline()
    add_lines(application, UUID(sys.argv[2]), "theirs", 100)
"""


def add_lines(application: Application[UUID], board_id: UUID, whose: str, count: int) -> int:
    """Write lines, each until it is on the board; returns how often somebody else was first."""
    conflicts, version = 0, 0
    for number in range(count):
        while True:
            board: Board = application.repository.get(board_id)
            assert board.version >= version  # what was seen once is never unseen
            assert len(board.lines) == board.version - 1
            version = board.version
            board.write(f"{whose} {number}")
            try:
                application.save(board)
                break
            except IntegrityError:
                conflicts += 1
    return conflicts


@pytest.mark.parametrize("application_class", [Boards, PlainBoards])
def test_the_cache_while_another_process_writes(
    env: Environment, application_class: type[Application[UUID]]
) -> None:
    """Two processes write on one board as fast as they can: the cache misses and invents nothing."""
    with application_class(env | {"AGGREGATE_CACHE_MAXSIZE": "10"}) as application:
        board_id = written(application)
        with Script(_FREE_WRITER, env["AURORA_PATH"], str(board_id)) as writer:
            assert writer.hear() == "ready"
            writer.tell("go")
            add_lines(application, board_id, "ours", 100)
            writer.end()
        cached: Board = application.repository.get(board_id)
        with application_class(env) as fresh:
            assert fresh.repository.get(board_id) == cached
        for whose in ("ours", "theirs"):
            lines = [line for line in cached.lines if line.startswith(whose)]
            assert lines == [f"{whose} {number}" for number in range(100)]


def test_without_fastforward_a_stale_save_is_a_conflict(env: Environment) -> None:
    """The cache may then be behind others; what it is not is silently wrong."""
    settings = {"AGGREGATE_CACHE_MAXSIZE": "10", "AGGREGATE_CACHE_FASTFORWARD": "n"}
    with Boards(env | settings) as stale, Boards(env) as other:
        board_id = written(stale)
        board: Board = other.repository.get(board_id)
        board.write("theirs")
        other.save(board)
        board = stale.repository.get(board_id)
        assert board.lines == []
        board.write("ours")
        with pytest.raises(IntegrityError):
            stale.save(board)


def test_metadata_is_stored(env: Environment) -> None:
    """What is given to ``save`` stands beside each of its events, for the journal's own readers."""
    metadata = {"user": "Ada", "roles": ["admin", 7], "trace": b"\x01"}
    with Boards(env) as application:
        board = Board()
        board.write("a")
        application.save(board, metadata=metadata)
        board.write("b")
        application.save(board)
        stored = list(application.recorder.journal.read())  # type: ignore[attr-defined]
    assert [one.record.metadata for one in stored] == [metadata, metadata, None]
    assert stored[0].record.originator_id == board.id


def test_a_conflict_says_what_and_where(env: Environment) -> None:
    """The id, the version, and the position of what is there already."""
    with Boards(env) as application:
        board_id = written(application, "a")
        one: Board = application.repository.get(board_id)
        other: Board = application.repository.get(board_id)
        one.write("one")
        application.save(one)
        other.write("other")
        with pytest.raises(IntegrityError, match=f"{board_id} has version 3.*position 3") as caught:
            application.save(other)
    (conflict,) = caught.value.conflicts  # type: ignore[attr-defined]
    assert (conflict.originator_id, conflict.originator_version, conflict.position) == (
        board_id,
        3,
        3,
    )

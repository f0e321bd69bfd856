"""What DCB recorders do beside answering: streams, errors, garbage, subscriptions, applications."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
)
from eventsourcing.dcb.application import DCBApplication
from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
)

from aurora_es import AuroraDCBRecorder, AuroraDcbRecorder, ConflictError, TruncatedError
from aurora_es.journal import background
from aurora_es.journal.retention import retain
from tests.face.support import OpenFactory, Task, descriptors_open, factory_on
from tests.face.test_garbage_collection import ClosingCycle, Cycle

TAGGED = DCBQuery([DCBQueryItem(tags=["tag"])])


def tagged(count: int = 1, tag: str = "tag", data: bytes = b"data") -> list[DCBEvent]:
    """Make events with a tag."""
    return [DCBEvent("type", data, [tag]) for _ in range(count)]


def read_in_bounded_memory(recorder: AuroraDCBRecorder, appends: int) -> None:
    """Append events, then read all of them in several ways, none of which may hold many."""
    for _ in range(appends):
        recorder.append(tagged(1_500, data=bytes(200)))
    count = appends * 1_500
    assert sum(1 for _ in recorder.read(TAGGED)) == count  # gathers the postings
    for query in (None, TAGGED):
        for limit in (None, count - 1_000):
            response = recorder.read(query, limit=limit)
            tracemalloc.start()
            try:
                assert response.head == (limit or count)
                assert sum(1 for _ in response) == (limit or count)
                assert tracemalloc.get_traced_memory()[1] < 4 << 20
            finally:
                tracemalloc.stop()


def test_a_read_of_many_events_holds_few(open_factory: OpenFactory) -> None:
    """Memory for a read does not grow with the number of events that it returns."""
    read_in_bounded_memory(open_factory(AURORA_SYNC="never").dcb_recorder(), 20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("roll_cycle", ["day", "32MiB"])
def test_a_read_of_a_million_events_holds_few(open_factory: OpenFactory, roll_cycle: str) -> None:
    """The same with a million of them, in one segment that is written to and in many sealed ones."""
    factory = open_factory(AURORA_SYNC="never", AURORA_ROLL_CYCLE=roll_cycle, AURORA_BACKGROUND="n")
    read_in_bounded_memory(factory.dcb_recorder(), 667)


def test_a_broken_condition_is_both_errors(open_factory: OpenFactory) -> None:
    """The error is the library's and ours, its argument the condition; it survives pickling."""
    recorder = open_factory().dcb_recorder()
    recorder.append(tagged(2))
    condition = DCBAppendCondition(TAGGED, after=1)
    with pytest.raises(IntegrityError) as caught:
        recorder.append(tagged(), condition)
    error = caught.value
    assert isinstance(error, ConflictError)
    assert error.args == (condition,)
    assert [conflict.position for conflict in error.conflicts] == [2]
    assert "above position 1 there are records that match its query, at 2; nothing" in str(error)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (copied.args, copied.conflicts, str(copied)) == (
        error.args,
        error.conflicts,
        str(error),
    )


def _query(**item: Any) -> DCBQuery:
    return DCBQuery([DCBQueryItem(**item)])


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("append", {"events": []}),
        ("append", {"events": [DCBEvent("t", b"", "tag")]}),  # type: ignore[arg-type]
        ("append", {"events": [DCBEvent("t", b"", [1])]}),  # type: ignore[list-item]
        ("append", {"events": [DCBEvent(1, b"")]}),  # type: ignore[arg-type]
        ("append", {"events": [DCBEvent("t", "text")]}),  # type: ignore[arg-type]
        ("read", {"limit": -1}),
        ("read", {"after": "1"}),
        ("read", {"query": _query(types="type")}),
        ("subscribe", {"query": _query(tags=[1])}),
    ],
)
def test_wrong_arguments(open_factory: OpenFactory, method: str, arguments: Any) -> None:
    """They raise the library's ProgrammingError, and nothing is written."""
    recorder = open_factory().dcb_recorder()
    with pytest.raises(ProgrammingError):
        getattr(recorder, method)(**arguments)
    assert recorder.read().head is None


def test_results_share_nothing(open_factory: OpenFactory) -> None:
    """What a caller does to an event he gave or got changes no other."""
    recorder = open_factory().dcb_recorder()
    given = DCBEvent("type", bytearray(b"data"), ["tag"])  # type: ignore[arg-type]
    recorder.append([given])
    given.tags.append("more")
    next(recorder.read()).event.tags.append("other")
    found = next(recorder.read()).event
    assert found == DCBEvent("type", b"data", ["tag"])


def test_closing_ends_reads_and_subscriptions(open_factory: OpenFactory) -> None:
    """A read under way raises InterfaceError once the recorder is closed; a subscription ends."""
    factory = open_factory()
    recorder = factory.dcb_recorder()
    recorder.append(tagged(3_000))
    response = recorder.read()
    next(response)
    waiting: Task[list[object]] = Task(list, recorder.subscribe(after=3_000))
    factory.close()
    assert waiting.result() == []
    with pytest.raises(InterfaceError):
        list(response)


def test_a_subscription_sees_what_matches(open_factory: OpenFactory) -> None:
    """It pages through what there is, waits, and is ended from another thread."""
    recorder = open_factory(AURORA_SYNC="never").dcb_recorder()
    recorder.append([*tagged(1_200), *tagged(700, "else")])
    subscription = recorder.subscribe(TAGGED, after=10)
    assert [next(subscription).position for _ in range(1_190)] == [*range(11, 1_201)]
    waiting = Task(next, subscription)
    recorder.append(tagged(1, "else"))
    position = recorder.append(tagged())
    assert waiting.result().position == position
    ended = Task(next, subscription, None)
    subscription.stop()
    assert ended.result() is None


def test_read_only(tmp_path: Path) -> None:
    """A read-only recorder reads and refuses to append; a store that is not there is empty."""
    reader = factory_on(tmp_path, AURORA_READ_ONLY="y").dcb_recorder()
    assert (list(reader.read()), reader.read().head) == ([], None)
    writer = factory_on(tmp_path).dcb_recorder()
    writer.append(tagged())
    with pytest.raises(NotSupportedError):
        reader.append(tagged(), DCBAppendCondition())
    writer.close()
    reader.close()
    reader = factory_on(tmp_path, AURORA_READ_ONLY="y").dcb_recorder()
    assert [each.position for each in reader.read(TAGGED)] == [1]
    reader.close()


def test_dropped_events(tmp_path: Path, open_factory: OpenFactory) -> None:
    """A read or condition that begins among dropped events is refused, others are not."""
    recorder = open_factory(AURORA_ROLL_CYCLE="2events").dcb_recorder()
    for _ in range(4):
        recorder.append(tagged(2))
    path = tmp_path / "App" / "dcb"
    background.seal(str(path))
    retain(path, before_position=5)
    recorder.journal.renew()
    with pytest.raises(TruncatedError):
        recorder.read(TAGGED)
    with pytest.raises(TruncatedError):
        recorder.append(tagged(), DCBAppendCondition(DCBQuery([DCBQueryItem(["other"])])))
    assert [each.position for each in recorder.read(TAGGED, after=4)] == [5, 6, 7, 8]
    assert recorder.append(tagged(), DCBAppendCondition(TAGGED, after=8)) == 9


def test_garbage_is_collected_amid_appends(open_factory: OpenFactory) -> None:
    """Recorders and subscriptions that are dropped in cycles hold up no append."""
    settings = {"AURORA_SYNC": "never", "AURORA_LOCK_TIMEOUT": "600"}
    recorder = open_factory(**settings).dcb_recorder()
    recorder.append(tagged())
    before = descriptors_open()

    def work(name: str) -> int:
        query = DCBQuery([DCBQueryItem(tags=[name])])
        last = 0
        for _ in range(60):
            other = open_factory(**settings).dcb_recorder()
            subscription = other.subscribe(after=0)
            next(subscription)
            Cycle(subscription)
            ClosingCycle(other)
            del other, subscription
            last = recorder.append(tagged(1, name), DCBAppendCondition(query, after=last or None))
        return last

    thresholds = gc.get_threshold()
    gc.set_threshold(50, 2, 2)
    try:
        tasks = [Task(work, name) for name in ("one", "two", "three")]
        lasts = [task.result() for task in tasks]
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert max(lasts) == 181 == recorder.read().head
    assert descriptors_open() <= before + 2


def test_an_application(tmp_path: Path) -> None:
    """The library's application finds the recorder by ``PERSISTENCE_MODULE``."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path)}
    with DCBApplication(env=env) as application:
        assert type(application.recorder) is AuroraDCBRecorder is AuroraDcbRecorder
        application.recorder.append(tagged())
    with DCBApplication(env=env) as application:
        assert [each.event for each in application.recorder.read()] == tagged()

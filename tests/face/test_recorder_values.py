"""Ids, states, metadata and results: what goes in, what comes out, and who owns it."""

from __future__ import annotations

from array import array
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)

from aurora_es.format.limits import COMMIT_BYTES_MAX, RECORD_BYTES_MAX, VERSION_MAX, VERSION_MIN
from tests.face.support import UUID_1, UUID_2, OpenFactory, event, events


class Text(str):
    """A text of a class of its own."""

    __slots__ = ()


class Octets(bytes):
    """Bytes of a class of their own."""

    __slots__ = ()


# Originator ids


def test_ids_as_written(open_factory: OpenFactory) -> None:
    """By default an id comes back as it was given, whatever form was asked for."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(1, UUID_1), event(2, str(UUID_1)), event(1, "account-1")])
    for originator_id in (UUID_1, str(UUID_1)):
        found = recorder.select_events(originator_id)
        assert [one.originator_id for one in found] == [UUID_1, str(UUID_1)]
    found = recorder.select_notifications(1, 3)
    assert [one.originator_id for one in found] == [UUID_1, str(UUID_1), "account-1"]


def test_ids_as_text(open_factory: OpenFactory) -> None:
    """With ORIGINATOR_ID_TYPE=text every id is a str, also those written as UUIDs before."""
    open_factory().application_recorder().insert_events([event(1, UUID_1)])
    recorder = open_factory(ORIGINATOR_ID_TYPE="text").application_recorder()
    recorder.insert_events([event(2, str(UUID_1)), event(3, UUID_1), event(1, "a")])
    assert {one.originator_id for one in recorder.select_events(UUID_1)} == {str(UUID_1)}
    found = recorder.select_notifications(1, 4)
    assert [one.originator_id for one in found] == [str(UUID_1)] * 3 + ["a"]


def test_ids_as_uuids(open_factory: OpenFactory) -> None:
    """With ORIGINATOR_ID_TYPE=uuid every id is a UUID; a text that is none is refused."""
    open_factory().application_recorder().insert_events([event(1, str(UUID_1)), event(1, "a")])
    recorder = open_factory(ORIGINATOR_ID_TYPE="uuid").application_recorder()
    recorder.insert_events([event(2, str(UUID_1)), event(3, UUID_1)])
    assert {one.originator_id for one in recorder.select_events(str(UUID_1))} == {UUID_1}
    with pytest.raises(ProgrammingError, match="ORIGINATOR_ID_TYPE=uuid"):
        recorder.insert_events([event(4, UUID_1), event(2, "a")])
    assert recorder.max_notification_id() == 4
    # What was written before the setting is still there.
    assert [one.originator_id for one in recorder.select_events("a")] == ["a"]


@pytest.mark.parametrize("write", [str(UUID_2).upper(), UUID_2.hex, f"{{{UUID_2}}}", UUID_2.urn])
def test_another_spelling_of_a_uuid(open_factory: OpenFactory, write: str) -> None:
    """It is another aggregate, unless ids are UUIDs: then it is found under every spelling."""
    plain = open_factory("Plain").application_recorder()
    plain.insert_events([event(1, write)])
    assert plain.select_events(UUID_2) == []
    assert len(plain.select_events(write)) == 1
    uuids = open_factory("Uuids", ORIGINATOR_ID_TYPE="uuid").application_recorder()
    uuids.insert_events([event(1, write)])
    assert [one.originator_id for one in uuids.select_events(UUID_2)] == [UUID_2]
    assert uuids.select_events(write) == uuids.select_events(UUID_2)
    with pytest.raises(IntegrityError):
        uuids.insert_events([event(1, UUID_2)])


def test_a_uuid_and_its_text_are_one_aggregate(open_factory: OpenFactory) -> None:
    """The second form of an id cannot take a version that the first has."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(1, UUID_1)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([event(1, str(UUID_1))])
    with pytest.raises(IntegrityError):
        recorder.insert_events([event(2, UUID_1), event(2, str(UUID_1))])


@pytest.mark.parametrize("originator_id", [None, 1, b"0123456789abcdef", "\ud800"])
def test_an_id_of_another_type_is_refused(open_factory: OpenFactory, originator_id: Any) -> None:
    """Nothing is written for an id that could not be read again."""
    recorder = open_factory().application_recorder()
    with pytest.raises(ProgrammingError):
        recorder.insert_events([event(1, originator_id)])
    assert recorder.max_notification_id() is None


# Versions, topics, states


@pytest.mark.parametrize("version", [VERSION_MIN, -1, 0, VERSION_MAX])
def test_versions_are_signed_64_bits(open_factory: OpenFactory, version: int) -> None:
    """Every such version is stored and found."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(version)])
    assert recorder.select_events(UUID_1, gt=version - 1, lte=version) == [event(version)]
    assert recorder.select_events(UUID_1, gt=version) == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"originator_version": VERSION_MAX + 1}, DataError),
        ({"originator_version": VERSION_MIN - 1}, DataError),
        ({"originator_version": None}, ProgrammingError),
        ({"originator_version": "1"}, ProgrammingError),
        ({"originator_version": 1.0}, ProgrammingError),
        ({"originator_version": True}, ProgrammingError),
        ({"topic": None}, ProgrammingError),
        ({"topic": b"topic"}, ProgrammingError),
        ({"topic": "\ud800"}, ProgrammingError),
        ({"state": None}, ProgrammingError),
        ({"state": "text"}, ProgrammingError),
        ({"state": 5}, ProgrammingError),
        ({"state": [1, 2]}, ProgrammingError),
        ({"state": bytes(RECORD_BYTES_MAX + 1)}, DataError),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_value_refuses_the_call(
    open_factory: OpenFactory, changes: dict[str, Any], error: type[Exception]
) -> None:
    """Nothing of the call is written, and the recorder stays usable."""
    recorder = open_factory().application_recorder()
    wrong = StoredEvent(**(vars(event(2)) | changes))
    with pytest.raises(error):
        recorder.insert_events([event(1), wrong])
    assert recorder.max_notification_id() is None
    assert recorder.insert_events([event(1)]) == [1]


def test_a_commit_may_not_exceed_its_bound(open_factory: OpenFactory) -> None:
    """Events that are fine one by one can be too much in one call."""
    recorder = open_factory().application_recorder()
    half = bytes(RECORD_BYTES_MAX // 2)
    count = 2 * COMMIT_BYTES_MAX // RECORD_BYTES_MAX + 1
    with pytest.raises(DataError, match="split the call"):
        recorder.insert_events([event(version, state=half) for version in range(count)])
    assert recorder.max_notification_id() is None


@pytest.mark.parametrize(
    ("tracking", "error"),
    [
        (Tracking("up", -1), DataError),
        (Tracking("up", 1 << 63), DataError),
        (Tracking("n" * (1 << 17), 1), DataError),
        (Tracking("up", "1"), ProgrammingError),  # type: ignore[arg-type]
        (Tracking("up", True), ProgrammingError),
        (Tracking(None, 1), ProgrammingError),  # type: ignore[arg-type]
        (Tracking("\ud800", 1), ProgrammingError),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_tracking_is_refused(
    open_factory: OpenFactory, tracking: Tracking, error: type[Exception]
) -> None:
    """Neither the events of the call nor its tracking are written."""
    recorder = open_factory().process_recorder()
    with pytest.raises(error):
        recorder.insert_tracking(tracking)
    with pytest.raises(error):
        recorder.insert_events([event()], tracking=tracking)
    assert recorder.max_notification_id() is None


@pytest.mark.parametrize(
    "state",
    [
        b"state",
        bytearray(b"state"),
        memoryview(b"state"),
        memoryview(b"s.t.a.t.e.")[::2],
        Octets(b"state"),
    ],
    ids=["bytes", "bytearray", "memoryview", "slice", "subclass"],
)
def test_a_bytes_like_state_comes_back_as_bytes(open_factory: OpenFactory, state: Any) -> None:
    """Whatever was given, readers get plain bytes."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(state=state)])
    (found,) = recorder.select_events(UUID_1)
    (notification,) = recorder.select_notifications(1, 1)
    assert type(found.state) is type(notification.state) is bytes
    assert found.state == notification.state == b"state"


def test_any_buffer_is_bytes_like(open_factory: OpenFactory) -> None:
    """Other objects with a buffer give its bytes."""
    recorder = open_factory().application_recorder()
    numbers = array("h", [1, 2, 3])
    recorder.insert_events([event(state=numbers)])  # type: ignore[arg-type]
    assert recorder.select_events(UUID_1)[0].state == numbers.tobytes()


def test_a_text_of_another_class_comes_back_as_str_or_is_refused(open_factory: OpenFactory) -> None:
    """An enumeration's member, say, must not make the journal unreadable."""
    recorder = open_factory().application_recorder()
    try:
        recorder.insert_events([event(1, Text("a"), topic=Text("topic"))])
    except ProgrammingError:
        assert recorder.max_notification_id() is None
    else:
        (found,) = recorder.select_events("a")
        assert (type(found.topic), type(found.originator_id)) == (str, str)


# Metadata and other keywords


def test_metadata_is_stored_with_each_event(open_factory: OpenFactory) -> None:
    """It is what the journal returns for every record of the call, and for no other."""
    recorder = open_factory().application_recorder()
    metadata = {"user": "eva", "trace": {"id": b"\x01", "hops": [1, None, 2.5]}}
    recorder.insert_events(events(2), metadata=metadata)
    recorder.insert_events(events(1, first=3))
    found = [stored.record.metadata for stored in recorder.journal.read()]
    assert found == [metadata, metadata, None]


@pytest.mark.parametrize(
    "metadata", ["text", ["a"], {1: 2}, {"id": uuid4()}, {"s": {1}}, {"big": 1 << 70}]
)
def test_metadata_that_could_not_be_read_is_refused(
    open_factory: OpenFactory, metadata: Any
) -> None:
    """Nothing is written, and everything else stays readable."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(1)])
    with pytest.raises(ProgrammingError):
        recorder.insert_events([event(2)], metadata=metadata)
    assert len(recorder.select_notifications(1, 10)) == 1
    assert [stored.position for stored in recorder.journal.read()] == [1]


def test_unknown_keywords_are_accepted(open_factory: OpenFactory) -> None:
    """``app.save(..., anything=...)`` reaches the recorder as it is."""
    factory = open_factory()
    assert factory.application_recorder().insert_events([event(1)], x=1, tracking=None) == [1]
    assert factory.aggregate_recorder().insert_events([event(2)], x=object()) is None
    assert factory.process_recorder().insert_events([event(3)], x=1) == [3]


def test_tracking_is_for_process_recorders_only(open_factory: OpenFactory) -> None:
    """Others ignore it, as the library's do; an empty call with it writes nothing there."""
    factory = open_factory()
    tracking = Tracking("up", 5)
    factory.application_recorder().insert_events([event(1)], tracking=tracking)
    factory.aggregate_recorder().insert_events([event(2)], tracking=tracking)
    process = factory.process_recorder()
    assert process.max_tracking_id("up") is None
    assert process.insert_events([], tracking=tracking) == []
    assert process.max_tracking_id("up") == 5
    commits = process.journal.statistics().last_commit
    assert process.insert_events([]) == []
    assert factory.application_recorder().insert_events([], tracking=Tracking("up", 9)) == []
    assert process.journal.statistics().last_commit == commits == 3


def test_any_iterable_of_events_will_do(open_factory: OpenFactory) -> None:
    """The library passes lists, users pass tuples and generators."""
    recorder = open_factory().application_recorder()
    assert recorder.insert_events(tuple(events(2))) == [1, 2]
    more: Any = (one for one in events(2, first=3))
    assert recorder.insert_events(more) == [3, 4]


# Ownership


def test_arguments_may_be_changed_afterwards(open_factory: OpenFactory) -> None:
    """What was recorded does not follow changes of the caller's objects."""
    recorder = open_factory().application_recorder()
    state, metadata, batch = bytearray(b"old"), {"k": ["old"]}, [event(1)]
    batch.append(event(2, state=state))  # type: ignore[arg-type]
    recorder.insert_events(batch, metadata=metadata)
    state[:] = b"new"
    metadata["k"][0] = "new"
    batch.clear()
    assert [one.state for one in recorder.select_events(UUID_1)] == [b"state", b"old"]
    assert {str(one.record.metadata) for one in recorder.journal.read()} == {"{'k': ['old']}"}


def test_results_belong_to_the_caller(open_factory: OpenFactory) -> None:
    """Spoiling a result spoils no later one."""
    recorder = open_factory().application_recorder()
    recorder.insert_events(events(3), metadata={"k": [1]})
    for read in (
        lambda: recorder.select_events(UUID_1),
        lambda: recorder.select_notifications(1, 10),
        lambda: list(recorder.journal.read()),
    ):
        result: Any = read()
        expected = list(result)
        copies = [vars(one).copy() if hasattr(one, "__dict__") else one for one in result]
        for one in result:
            if hasattr(one, "__dict__"):
                vars(one).update(state=b"spoilt", originator_id=UUID(int=0))
            else:
                one.record.metadata["k"].append("spoilt")
        del result[1:]
        again: Any = read()
        assert len(again) == len(expected)
        assert all(one is not other for one, other in zip(again, expected, strict=True))
        if hasattr(again[0], "__dict__"):
            assert [vars(one) for one in again] == copies
        else:
            assert [one.record.metadata for one in again] == [{"k": [1]}] * 3
    ids: Any = recorder.insert_events([event(4)])
    ids.append("spoilt")
    assert recorder.insert_events([event(5)]) == [5]

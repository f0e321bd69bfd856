"""What recorders and applications answer where the first events are gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent

from aurora_es import AuroraApplicationRecorder, TruncatedError
from aurora_es.journal.background import seal
from aurora_es.journal.retention import retain
from tests.face.support import factory_on

OLD, SPLIT, NEW = uuid4(), uuid4(), uuid4()


def stored(originator_id: UUID, version: int) -> StoredEvent:
    """Make an event."""
    return StoredEvent(originator_id, version, "t", b"s")


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[AuroraApplicationRecorder]:
    """A recorder whose first eight events are gone: all of OLD, versions 1 to 4 of SPLIT."""
    factory = factory_on(tmp_path, AURORA_ROLL_CYCLE="2events", AURORA_SYNC="never")
    recorder = factory.application_recorder()
    for version in range(1, 5):
        recorder.insert_events([stored(OLD, version)])
        recorder.insert_events([stored(SPLIT, version)])
    for version in range(1, 5):
        recorder.insert_events([stored(NEW, version)])
        recorder.insert_events([stored(SPLIT, 4 + version)])
    path = recorder.journal.handle.path
    seal(path)
    retain(path, before_position=9)
    recorder.journal.renew()
    yield recorder
    factory.close()


def versions(recorder: AuroraApplicationRecorder, originator_id: UUID, **chosen: Any) -> list[int]:
    """Versions that a selection returns."""
    found = recorder.select_events(originator_id, **chosen)
    return [event.originator_version for event in found]


def test_events_that_are_gone_are_an_error(recorder: AuroraApplicationRecorder) -> None:
    """A replay from the start, or from a version that is gone, raises; both classes fit."""
    selections: list[dict[str, int]] = [{}, {"gt": 0}, {"gt": 3}, {"lte": 2}, {"gt": 1, "lte": 3}]
    for chosen in (*selections, {"limit": 1}):
        with pytest.raises(TruncatedError, match="those below 5 are gone") as raised:
            versions(recorder, SPLIT, **chosen)
        assert isinstance(raised.value, OperationalError)
        assert raised.value.retained_from == 9
    with pytest.raises(TruncatedError):
        recorder.select_events(SPLIT, desc=True)
    with pytest.raises(TruncatedError):
        recorder.select_events(SPLIT, desc=True, limit=5)


def test_events_that_are_left_are_selected_as_before(recorder: AuroraApplicationRecorder) -> None:
    """From the last version that is gone on, or the newest ones, nothing is missing."""
    assert versions(recorder, SPLIT, gt=4) == [5, 6, 7, 8]
    assert versions(recorder, SPLIT, gt=6, lte=7) == [7]
    assert versions(recorder, SPLIT, gt=8) == []
    newest = recorder.select_events(SPLIT, desc=True, limit=4)
    assert [event.originator_version for event in newest] == [8, 7, 6, 5]
    assert versions(recorder, SPLIT, limit=0) == []
    assert versions(recorder, NEW) == [1, 2, 3, 4]
    assert versions(recorder, uuid4()) == []
    assert versions(recorder, OLD) == []  # as if it had never been


def test_notifications_that_are_gone_are_an_error(recorder: AuroraApplicationRecorder) -> None:
    """A section below the first retained position raises, with topics too."""
    for start in (None, 1, 8):
        for topics in ((), ("t",)):
            with pytest.raises(TruncatedError, match="retained from position 9 on"):
                recorder.select_notifications(start, 10, topics=topics)
    assert [one.id for one in recorder.select_notifications(9, 100)] == [*range(9, 17)]
    assert recorder.select_notifications(8, 1, inclusive_of_start=False)[0].id == 9
    assert recorder.max_notification_id() == 16
    with recorder.subscribe(gt=8) as subscription:
        assert next(subscription).id == 9
    with recorder.subscribe(gt=2) as subscription, pytest.raises(TruncatedError):
        next(subscription)


def test_versions_that_were_dropped_are_not_free(recorder: AuroraApplicationRecorder) -> None:
    """While a later version is left, an earlier one conflicts; the next one does not."""
    for version in (1, 4, 5, 8):
        with pytest.raises(IntegrityError):
            recorder.insert_events([stored(SPLIT, version)])
    recorder.insert_events([stored(SPLIT, 9)])
    recorder.insert_events([stored(OLD, 5)])
    with pytest.raises(IntegrityError):
        recorder.insert_events([stored(OLD, 4)])

"""``AURORA_READ_ONLY``: everything is read, nothing is written, not even a lock file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from eventsourcing.persistence import NotSupportedError, Tracking

from aurora_es import ReadOnlyError
from tests.face.support import OpenFactory, Task, event, events, names_below
from tests.patience import PATIENCE_SECONDS


def contents(path: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a directory."""
    return {
        name: (file.stat().st_mtime_ns, file.read_bytes() if file.is_file() else b"")
        for name in names_below(path)
        for file in [path / name]
    }


def test_appends_are_refused(open_factory: OpenFactory) -> None:
    """Events, tracking and both raise NotSupportedError, on an existing store and on none."""
    for name in ("Existing", "Absent"):
        if name == "Existing":
            open_factory(name).process_recorder().insert_events([event()])
        factory = open_factory(name, AURORA_READ_ONLY="y")
        process, tracking = factory.process_recorder(), factory.tracking_recorder()
        up = Tracking("up", 1)
        for append in (
            partial(process.insert_events, [event(2)]),
            partial(process.insert_events, [], tracking=up),
            partial(process.insert_tracking, up),
            partial(tracking.insert_tracking, up),
        ):
            with pytest.raises(NotSupportedError) as caught:
                append()
            assert isinstance(caught.value, ReadOnlyError)


def test_reading_leaves_no_trace(tmp_path: Path, open_factory: OpenFactory) -> None:
    """Not a byte and not a time stamp changes."""
    writer = open_factory(AURORA_ROLL_CYCLE="2events")
    for version in range(1, 6):
        writer.process_recorder().insert_events([event(version)], tracking=Tracking("up", version))
    writer.close()
    before = contents(tmp_path)
    # Settings of another writer are not the business of a reader.
    reader = open_factory(AURORA_READ_ONLY="y", AURORA_SYNC="never", AURORA_ROLL_CYCLE="week")
    recorder = reader.process_recorder()
    assert len(recorder.select_notifications(1, 10)) == 5
    assert len(recorder.select_events(event().originator_id)) == 5
    assert recorder.max_tracking_id("up") == 5
    with recorder.subscribe(gt=3) as subscription:
        assert [next(subscription).id, next(subscription).id] == [4, 5]
    reader.close()
    assert contents(tmp_path) == before


def test_a_reader_sees_what_a_writer_appends(open_factory: OpenFactory) -> None:
    """Both may be open in one process."""
    writer = open_factory().application_recorder()
    reader = open_factory(AURORA_READ_ONLY="y").application_recorder()
    for count in range(1, 4):
        writer.insert_events([event(count)])
        assert reader.max_notification_id() == count


def test_an_absent_store_reads_as_empty_until_it_appears(
    tmp_path: Path, open_factory: OpenFactory
) -> None:
    """A reader may be started first; it makes nothing, and notices the writer's first append."""
    reader = open_factory(AURORA_READ_ONLY="y")
    process, tracking = reader.process_recorder(), reader.tracking_recorder()
    subscription = process.subscribe()
    following = Task(lambda: [next(subscription).id for _ in range(3)])
    waiting = Task(lambda: tracking.wait("up", 7, timeout=PATIENCE_SECONDS))
    assert process.max_notification_id() is None
    assert process.select_notifications(1, 10) == []
    assert process.select_events("a") == []
    assert tracking.max_tracking_id("up") is None
    assert names_below(tmp_path) == []
    writer = open_factory()
    writer.application_recorder().insert_events(events(3))
    writer.tracking_recorder().insert_tracking(Tracking("up", 7))
    assert following.result() == [1, 2, 3]
    waiting.result()
    assert process.max_notification_id() == 3
    assert tracking.max_tracking_id("up") == 7
    subscription.stop()

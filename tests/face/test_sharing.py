"""Recorders of one process and one directory share one open journal; the last one closes it."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref
from pathlib import Path

import pytest
from eventsourcing.persistence import InterfaceError

from aurora_es import AuroraApplicationRecorder, AuroraConfigurationError
from tests.face.support import (
    UUID_1,
    OpenFactory,
    Task,
    descriptors_open,
    event,
    events,
    factory_on,
)
from tests.patience import PATIENCE_SECONDS


def test_recorders_of_one_directory_share_a_journal(open_factory: OpenFactory) -> None:
    """One handle, one index, one group commit, whatever the kind of recorder."""
    first, second = open_factory(), open_factory()
    journals = {
        first.application_recorder().journal,
        first.aggregate_recorder().journal,
        second.process_recorder().journal,
    }
    assert len(journals) == 1
    first.application_recorder().insert_events([event()])
    assert second.application_recorder().journal in journals


def test_other_directories_and_modes_have_their_own(open_factory: OpenFactory) -> None:
    """Purposes, applications and readers do not share."""
    factory = open_factory()
    journals = {
        factory.application_recorder().journal,
        factory.aggregate_recorder("snapshots").journal,
        factory.tracking_recorder().journal,
        open_factory("Other").application_recorder().journal,
        open_factory(AURORA_READ_ONLY="y").application_recorder().journal,
    }
    assert len(journals) == 5


@pytest.mark.parametrize("made", [False, True], ids=["absent", "existing"])
def test_one_directory_under_two_paths(
    tmp_path: Path,
    made: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    """A symbolic link to the root leads to the same journal."""
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "root")
    factories = [factory_on(tmp_path / name) for name in ("root", "link", "root/../link/.")]
    if made:
        factories[0].application_recorder().insert_events([event()])
    assert len({factory.application_recorder().journal for factory in factories}) == 1
    for factory in factories:
        factory.close()


def test_the_last_one_closes_it(open_factory: OpenFactory) -> None:
    """Until then it stays open; closing one twice counts once."""
    first, second = open_factory(), open_factory()
    one, two, three = (factory.application_recorder() for factory in (first, second, second))
    one.insert_events([event(1)])
    handle = one.journal.handle
    one.close()
    one.close()
    first.close()
    two.close()
    assert not handle.closed
    assert three.insert_events([event(2)]) == [2]
    second.close()
    assert handle.closed
    third = open_factory().application_recorder()
    assert third.journal.handle is not handle
    assert third.max_notification_id() == 2


def test_dropping_counts_as_closing(tmp_path: Path) -> None:
    """Recorders that nobody closes are no warning, and free journal and descriptors."""
    gc.collect()  # what other tests dropped is not to be counted
    before = descriptors_open()
    factory = factory_on(tmp_path, AURORA_SYNC="10ms")
    recorder, other = factory.application_recorder(), factory.application_recorder()
    recorder.insert_events([event()])
    journal = weakref.ref(recorder.journal)
    del recorder
    gc.collect()
    assert journal() is not None
    assert other.max_notification_id() == 1
    del other, factory
    gc.collect()
    assert journal() is None
    # The thread that syncs every ten milliseconds may be looking just now.
    for thread in threading.enumerate():
        if thread.name == "aurora-sync":
            thread.join(PATIENCE_SECONDS)
    assert descriptors_open() == before


def test_a_factory_dropped_with_a_recorder_in_use(tmp_path: Path) -> None:
    """Projection runners keep only the recorder."""
    recorder = factory_on(tmp_path).tracking_recorder()
    gc.collect()
    assert recorder.max_tracking_id("up") is None
    recorder.close()


def test_a_store_that_was_replaced(tmp_path: Path, open_factory: OpenFactory) -> None:
    """Recorders constructed after the directory was removed do not get the old journal."""
    old = open_factory().application_recorder()
    old.insert_events(events(3))
    shutil.rmtree(tmp_path / "App")
    new = open_factory().application_recorder()
    assert new.max_notification_id() is None
    assert new.insert_events([event()]) == [1]
    assert len(open_factory().application_recorder().select_notifications(1, 9)) == 1


def test_a_refused_recorder_does_not_keep_the_journal_open(open_factory: OpenFactory) -> None:
    """A wrong sync mode is found out after leasing; the lease is given back."""
    factory = open_factory(AURORA_SYNC="never")
    recorder = factory.application_recorder()
    recorder.insert_events([event()])
    handle = recorder.journal.handle
    with pytest.raises(AuroraConfigurationError) as caught:
        open_factory(AURORA_SYNC="always").application_recorder()
    recorder.close()
    assert handle.closed
    assert "never" in str(caught.value)


def test_threads_that_open_at_once_get_one_journal(tmp_path: Path) -> None:
    """Whoever comes second to the table closes what he opened in vain."""
    seed = factory_on(tmp_path)
    seed.application_recorder().insert_events(events(5))
    seed.close()
    barrier = threading.Barrier(8)

    def open_recorder() -> AuroraApplicationRecorder:
        factory = factory_on(tmp_path)
        barrier.wait()
        return factory.application_recorder()

    for _ in range(10):
        opened = [task.result() for task in [Task(open_recorder) for _ in range(8)]]
        assert len({recorder.journal for recorder in opened}) == 1
        handle = opened[0].journal.handle
        for recorder in opened[1:]:
            recorder.close()
        assert not handle.closed
        opened[0].close()
        assert handle.closed


def test_threads_open_append_and_close_in_any_order(tmp_path: Path) -> None:
    """Nobody ever finds a journal closed that he has just leased, and nothing is lost."""
    rounds, threads = 30, 6
    before = descriptors_open()

    def work(number: int) -> None:
        for version in range(rounds):
            factory = factory_on(tmp_path, AURORA_SYNC="never", AURORA_ROLL_CYCLE="50events")
            recorder = factory.application_recorder()
            recorder.insert_events([event(version, f"thread {number}")])
            assert len(recorder.select_events(f"thread {number}")) == version + 1
            factory.close()
            with pytest.raises(InterfaceError):
                recorder.max_notification_id()

    for task in [Task(work, at) for at in range(threads)]:
        task.result()
    assert descriptors_open() == before
    factory = factory_on(tmp_path)
    assert factory.application_recorder().max_notification_id() == rounds * threads
    factory.close()


def test_closing_waits_for_an_append_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun is finished and returned; only then the journal is closed."""
    factory = factory_on(tmp_path)
    recorder = factory.application_recorder()
    recorder.insert_events([event(1)])
    inside, go_on = threading.Event(), threading.Event()
    fdatasync = os.fdatasync

    def slow(fd: int) -> None:
        inside.set()
        assert go_on.wait(PATIENCE_SECONDS)
        fdatasync(fd)

    monkeypatch.setattr("aurora_es.files.layer.SystemFiles.fdatasync", staticmethod(slow))
    appending = Task(lambda: recorder.insert_events([event(2)]))
    assert inside.wait(PATIENCE_SECONDS)
    closing = Task(factory.close)
    handle = recorder._lease._journal.handle
    assert not handle.closed
    go_on.set()
    assert appending.result() == [2]
    closing.result()
    assert handle.closed
    again = factory_on(tmp_path)
    assert len(again.application_recorder().select_events(UUID_1)) == 2
    again.close()

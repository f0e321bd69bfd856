"""``AURORA_PATH=:memory:``: a directory of this process that nobody has to clean up."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate

from aurora_es import Sync
from aurora_es.files.memory import MemoryDirectory
from tests.face.support import Script, event, events, factory_on

_EXIT_WITHOUT_CLOSING = """
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory
factory = AuroraFactory(Environment("App", {"AURORA_PATH": ":memory:"}))
recorder = factory.application_recorder()
recorder.insert_events([StoredEvent("a", 1, "t", b"")])
print(factory.store.root, flush=True)
input()
"""


def test_it_is_shared_by_name_inside_the_process() -> None:
    """Two factories of one name see one store, also when the first is closed meanwhile."""
    first, second = factory_on(":memory:"), factory_on(":memory:")
    first.application_recorder().insert_events(events(3))
    first.close()
    assert second.application_recorder().max_notification_id() == 3
    second.close()


def test_names_are_apart() -> None:
    """Another application has another store."""
    first, second = factory_on(":memory:"), factory_on(":memory:", "Other")
    first.application_recorder().insert_events([event()])
    assert second.application_recorder().max_notification_id() is None
    first.close()
    second.close()


def test_it_is_removed_with_its_last_user() -> None:
    """Neither closing the last but one nor collecting it removes the directory; the last does."""
    first, second = factory_on(":memory:"), factory_on(":memory:")
    recorder = second.application_recorder()
    first.application_recorder().insert_events([event()])
    root = first.store.root
    assert os.stat(root).st_mode & 0o777 == 0o700
    first.close()
    del first
    gc.collect()
    assert recorder.max_notification_id() == 1
    second.close()
    del second, recorder
    gc.collect()
    assert not os.path.exists(root)
    anew = factory_on(":memory:")
    assert anew.application_recorder().max_notification_id() is None
    anew.close()


def test_a_recorder_keeps_it_alive() -> None:
    """Projection runners keep a view and drop its factory."""
    recorder = factory_on(":memory:").application_recorder()
    gc.collect()
    assert recorder.insert_events([event()]) == [1]
    assert recorder.max_notification_id() == 1
    recorder.close()


def test_it_is_removed_at_exit_and_private() -> None:
    """A process that ends without closing leaves nothing; others of the name have their own."""
    with Script(_EXIT_WITHOUT_CLOSING) as script:
        root = script.hear()
        assert os.path.exists(root)
        here = factory_on(":memory:")
        assert here.store.root != root
        assert here.application_recorder().max_notification_id() is None
        here.close()
        script.tell("end")
        script.end()
    assert not os.path.exists(root)


def test_it_is_never_synced() -> None:
    """There is nothing to make durable, whatever AURORA_SYNC says for the real stores."""
    factory = factory_on(":memory:", AURORA_SYNC="always", AURORA_ROLL_CYCLE="2events")
    recorder = factory.application_recorder()
    recorder.insert_events(events(2))
    recorder.insert_events(events(2, first=3))
    assert recorder.journal.handle.sync_mode == Sync.NEVER
    assert recorder.journal.statistics().segments == 2
    factory.close()


def test_an_application_on_it() -> None:
    """An application with snapshots works as on any other store."""
    env = {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": ":memory:",
        "IS_SNAPSHOTTING_ENABLED": "y",
    }
    with Application[UUID](env) as application:
        aggregate = Aggregate()
        for _ in range(5):
            aggregate.trigger_event(Aggregate.Event)
        application.save(aggregate)
        application.take_snapshot(aggregate.id)
        copy: Aggregate = application.repository.get(aggregate.id)
        assert copy == aggregate
        assert application.snapshots is not None
        assert len(list(application.snapshots.get(aggregate.id))) == 1


KILLED = """
import os, signal
from aurora_es.files.memory import MemoryDirectory
directory = MemoryDirectory()
os.makedirs(f"{directory.path}/Bank/events")
print(directory.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_has_left_is_removed_by_the_next() -> None:
    """As a killed `projection rebuild` leaves it; what is in use stays."""
    living = MemoryDirectory()
    done = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, check=False
    )
    left = done.stdout.strip()
    assert os.path.isdir(f"{left}/Bank/events")
    other = MemoryDirectory()
    assert not os.path.exists(left)
    assert os.path.isdir(living.path)
    assert os.path.isdir(other.path)


def test_a_directory_that_is_taken_before_it_is_locked_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever looks for left-over ones may come in between."""
    made = []
    make: Any = tempfile.mkdtemp

    def removed_once(**more: Any) -> str:
        made.append(make(**more))
        if len(made) == 1:
            os.rmdir(made[0])
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", removed_once)
    assert MemoryDirectory().path == made[1]

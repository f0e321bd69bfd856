"""A projection whose tracking lies beyond a restored upstream is refused, and told how to go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.utils import Environment

from aurora_es import AuroraFactory, HistoryChangedError, JournaledView, ViewTable
from aurora_es.care import backup, restore
from tests.face.domain import Counters
from tests.face.test_runners import project, project_events
from tests.patience import PATIENCE_SECONDS


class _View(JournaledView):
    seen = ViewTable(str, int)


def _factory(root: Path, name: str) -> AuroraFactory:
    return AuroraFactory(Environment(name, {"AURORA_PATH": str(root), "AURORA_SYNC": "never"}))


def _append(root: Path, count: int) -> None:
    factory = _factory(root, "Up")
    for _ in range(count):
        event = StoredEvent(originator_id=uuid4(), originator_version=1, topic="t", state=b"s")
        factory.application_recorder().insert_events([event])
    factory.close()


def _restore_upstream(root: Path, position: int, at: int) -> None:
    target = root / "Up" / "events"
    shutil.move(target, root.parent / f"old-{at}")
    restore(root.parent / "backup", target, position=position)


@pytest.mark.parametrize("kind", ["tracking_recorder", "process_recorder", "view"])
def test_tracking_of_another_history_is_refused(tmp_path: Path, kind: str) -> None:
    """Beyond the point: refused, also once the upstream has grown past it; within it: goes on."""
    root = tmp_path / "store"
    _append(root, 5)
    backup(root / "Up" / "events", tmp_path / "backup")
    factory = _factory(root, "Down")
    recorder: Any = factory.tracking_recorder(_View) if kind == "view" else getattr(factory, kind)()

    def track(notification_id: int) -> None:
        tracking = Tracking("Up", notification_id)
        if kind == "view":
            with recorder.transaction(tracking) as t:
                t.put(recorder.seen, "last", notification_id)
        elif kind == "tracking_recorder":
            recorder.insert_tracking(tracking)
        else:
            recorder.insert_events([], tracking=tracking)

    track(4)
    _restore_upstream(root, 4, 1)
    assert recorder.max_tracking_id("Up") == 4
    shutil.rmtree(root / "Up" / "events")
    restore(tmp_path / "backup", root / "Up" / "events", position=3)
    for count in (0, 5):
        _append(root, count)
        with pytest.raises(HistoryChangedError, match=r"position 4 in epoch 0.*from position 4 on"):
            recorder.max_tracking_id("Up")
    track(6)
    assert recorder.max_tracking_id("Up") == 6
    recorder.close()


def test_an_upstream_elsewhere_is_not_judged(tmp_path: Path) -> None:
    """Tracking of a name without a journal in the same AURORA_PATH is what it was."""
    recorder = _factory(tmp_path, "Down").tracking_recorder()
    recorder.insert_tracking(Tracking("Elsewhere", 1_000))
    assert recorder.max_tracking_id("Elsewhere") == 1_000
    recorder.close()
    assert os.listdir(tmp_path) == ["Down"]


@pytest.mark.parametrize("start", [project, project_events])
def test_runners_refuse_to_start(
    tmp_path: Path, start: Callable[[dict[str, str]], AbstractContextManager[Any]]
) -> None:
    """A projection that has tracked more than a restored application has is not run on it."""
    root = tmp_path / "store"
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(root), "AURORA_SYNC": "never"}
    with Counters(env) as writer:
        writer.begin(3)
        events = root / writer.name / "events"
    backup(events, tmp_path / "backup")
    with start(env) as runner:
        runner.wait(4, timeout=PATIENCE_SECONDS)
    shutil.rmtree(events)
    restore(tmp_path / "backup", events)
    with start(env):
        pass
    shutil.rmtree(events)
    restore(tmp_path / "backup", events, position=0)
    with pytest.raises(HistoryChangedError, match="aurora-es restore"):
        start(env)

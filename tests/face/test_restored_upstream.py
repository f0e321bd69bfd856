"""A projection whose tracking lies beyond a restored upstream is refused, and told how to go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.projection import ProjectionRunner
from eventsourcing.utils import Environment

from aurora_es import (
    AuroraFactory,
    AuroraProjectionRunner,
    HistoryChangedError,
    Journal,
    JournaledView,
    RollCycle,
    ViewTable,
)
from aurora_es.care import backup, repair, restore
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.frame import HEADER_BYTES
from aurora_es.format.names import MANIFEST
from tests.care.stores import frames
from tests.face.domain import Counters, SumsProjection, SumsView
from tests.face.test_runners import project, project_events
from tests.journal.support import event, flip
from tests.patience import PATIENCE_SECONDS


class _View(JournaledView):
    seen = ViewTable(str, int)


_KINDS = ["tracking_recorder", "process_recorder", "view"]


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


def _recorder(factory: AuroraFactory, kind: str) -> Any:
    return factory.tracking_recorder(_View) if kind == "view" else getattr(factory, kind)()


def _track(recorder: Any, notification_id: int) -> None:
    tracking = Tracking("Up", notification_id)
    if isinstance(recorder, _View):
        with recorder.transaction(tracking) as t:
            t.put(recorder.seen, "last", notification_id)
    elif hasattr(recorder, "insert_events"):
        recorder.insert_events([], tracking=tracking)
    else:
        recorder.insert_tracking(tracking)


@pytest.mark.parametrize("kind", _KINDS)
def test_tracking_of_another_history_is_refused(tmp_path: Path, kind: str) -> None:
    """Beyond the point: refused, also once the upstream has grown past it; within it: goes on."""
    root = tmp_path / "store"
    _append(root, 5)
    backup(root / "Up" / "events", tmp_path / "backup")
    factory = _factory(root, "Down")
    recorder = _recorder(factory, kind)
    _track(recorder, 4)
    _restore_upstream(root, 4, 1)
    assert recorder.max_tracking_id("Up") == 4
    shutil.rmtree(root / "Up" / "events")
    restore(tmp_path / "backup", root / "Up" / "events", position=3)
    for count in (0, 5):
        _append(root, count)
        with pytest.raises(HistoryChangedError, match=r"position 4 in epoch 0.*from position 4 on"):
            recorder.max_tracking_id("Up")
    recorder.close()
    recorder = _recorder(factory, kind)
    _track(recorder, 6)
    assert recorder.max_tracking_id("Up") == 6
    recorder.close()


@pytest.mark.parametrize(
    ("kind", "tracked"), [("tracking_recorder", 1), ("process_recorder", None), ("view", None)]
)
def test_an_event_that_was_read_before(tmp_path: Path, kind: str, tracked: int | None) -> None:
    """What was read of a history that is gone when it is tracked: refused, and nothing recorded."""
    root = tmp_path / "store"
    _append(root, 5)
    backup(root / "Up" / "events", tmp_path / "backup")
    factory = _factory(root, "Down")
    recorder = _recorder(factory, kind)
    if tracked:
        _track(recorder, tracked)
    assert recorder.max_tracking_id("Up") == tracked  # here a runner begins to read
    _restore_upstream(root, 3, 1)
    _append(root, 5)
    for _ in range(2):
        with pytest.raises(HistoryChangedError, match=r"position 4 of 'Up'.*from position 4 on"):
            _track(recorder, 4)
        assert recorder.max_tracking_id("Up") == tracked
    _track(recorder, 3)
    recorder.close()
    recorder = _recorder(factory, kind)
    assert recorder.max_tracking_id("Up") == 3
    _track(recorder, 4)
    assert recorder.max_tracking_id("Up") == 4
    recorder.close()


@pytest.mark.parametrize("is_tracked", [False, True])
def test_a_restore_to_a_later_point(tmp_path: Path, *, is_tracked: bool) -> None:
    """What was done in the epoch of a restore before is of no history any more; what is older is."""
    root = tmp_path / "store"
    _append(root, 9)
    backup(root / "Up" / "events", tmp_path / "backup")
    shutil.rmtree(root / "Up" / "events")
    restore(tmp_path / "backup", root / "Up" / "events", position=4)
    _append(root, 4)
    factory = _factory(root, "Down")
    recorder = _recorder(factory, "tracking_recorder")
    _track(recorder, 4)
    beside = _recorder(_factory(root, "Beside"), "view")
    _track(beside, 4)
    if is_tracked:
        _track(recorder, 6)
    shutil.rmtree(root / "Up" / "events")
    later = replace(SYSTEM_EFFECTS, clock=lambda: SYSTEM_EFFECTS.clock() + 10_000_000)
    restore(tmp_path / "backup", root / "Up" / "events", effects=later)
    assert beside.max_tracking_id("Up") == 4  # both histories have it
    if not is_tracked:
        with pytest.raises(HistoryChangedError, match=r"position 6 .* is none of those that 'Up'"):
            _track(recorder, 6)
        assert recorder.max_tracking_id("Up") == 4
    else:
        with pytest.raises(HistoryChangedError, match=r"position 6 .* is none of those that 'Up'"):
            recorder.max_tracking_id("Up")
    recorder.close()
    beside.close()


def test_tracking_while_an_upstream_is_moved_away(tmp_path: Path) -> None:
    """It is of the epoch that was known, whatever its DCB events say: restored there, it goes on."""
    root = tmp_path / "store"
    _append(root, 5)
    backup(root / "Up" / "events", tmp_path / "first")
    shutil.rmtree(root / "Up" / "events")
    restore(tmp_path / "first", root / "Up" / "events", position=3)
    shutil.copytree(tmp_path / "first", root / "Up" / "dcb")
    recorder = _recorder(_factory(root, "Down"), "tracking_recorder")
    assert recorder.max_tracking_id("Up") is None
    _append(root, 2)
    backup(root / "Up" / "events", tmp_path / "backup")
    shutil.rmtree(root / "Up" / "events")
    _track(recorder, 5)
    restore(tmp_path / "backup", root / "Up" / "events")
    assert recorder.max_tracking_id("Up") == 5
    recorder.close()


def test_a_manifest_that_was_made_anew(tmp_path: Path) -> None:
    """Headers tell which epochs there were: who has tracked in one is refused no more than before.

    A segment that was written again in the middle bears a later epoch than those behind it.
    """
    root = tmp_path / "store"
    path = root / "Up" / "events"
    root.mkdir()
    path.parent.mkdir()
    with Journal.open(path, roll_cycle=RollCycle.events(4)) as journal:
        for number in range(1, 6):
            journal.append([event("a", number)])
    backup(path, tmp_path / "backup")
    shutil.rmtree(path)
    restore(tmp_path / "backup", path, position=4)
    recorder = _recorder(_factory(root, "Down"), "tracking_recorder")
    with Journal.open(path) as journal:
        for number in range(5, 19):
            journal.append([event("a", number)])
    _track(recorder, 6)
    second = min(path.glob("*2-*.segment"))
    flip(second, frames(second)[1][0] + HEADER_BYTES)
    assert repair(path).lost == ((5, 5),)
    beside = _recorder(_factory(root, "Beside"), "tracking_recorder")
    _track(beside, 10)
    (path / MANIFEST).unlink()
    assert repair(path).lost == ()
    assert (recorder.max_tracking_id("Up"), beside.max_tracking_id("Up")) == (6, 10)
    _track(recorder, 7)
    recorder.close()
    beside.close()


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


class _Restored(SumsProjection):
    """Has the application restored, once, when a page of events has been read."""

    restore: ClassVar[Callable[[], None]]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Project it, and restore."""
        super().process_event(domain_event, tracking)
        if tracking.notification_id == 1:
            _Restored.restore()


@pytest.mark.parametrize("runner_class", [ProjectionRunner, AuroraProjectionRunner])
def test_a_runner_with_a_page_of_what_is_gone(tmp_path: Path, runner_class: Any) -> None:
    """It ends with an error that says so, and what stands there now is projected by the next one."""
    root = tmp_path / "store"
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(root), "AURORA_SYNC": "never"}
    with Counters(env) as writer:
        counter_id = writer.begin(0)
        for _ in range(5):
            writer.tick(counter_id)
    events = root / Counters.name / "events"
    backup(events, tmp_path / "backup")

    def restore_events() -> None:
        shutil.move(events, tmp_path / "gone")
        restore(tmp_path / "backup", events, position=3)

    _Restored.restore = restore_events

    def run(projection_class: type[SumsProjection]) -> Any:
        return runner_class(
            application_class=Counters,
            projection_class=projection_class,
            view_class=SumsView,
            env=env,
        )

    with pytest.raises(HistoryChangedError, match="from position 4 on"), run(_Restored) as runner:
        runner.run_forever(timeout=PATIENCE_SECONDS)
    with Counters(env) as writer:
        writer.begin(0)
    with run(SumsProjection) as runner:
        runner.wait(4, timeout=PATIENCE_SECONDS)
        assert runner.view.sums.get("all") == 4

"""Rebuilding a view: beside the live one, page by page, and swapped in at once for everybody."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import ProgrammingError, Tracking
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.utils import get_topic

from aurora_es import (
    HistoryChangedError,
    Journal,
    JournaledView,
    RollCycle,
    ViewTable,
    rebuild_projection,
)
from aurora_es.care import backup, restore, verify
from tests.face.domain import Counter, Counters, SeenView
from tests.face.support import ROOT, Script, factory_on
from tests.patience import PATIENCE_SECONDS

Environment = dict[str, str]


class TicksView(JournaledView):
    """Ticks of each counter."""

    ticks = ViewTable(UUID, int)

    def add(self, counter_id: UUID, number: int, tracking: Tracking) -> None:
        """Count."""
        with self.transaction(tracking) as t:
            t.put(self.ticks, counter_id, t.get(self.ticks, counter_id, 0) + number)


class Ticks(Projection[TicksView]):
    """Counts each tick as ``weight`` ticks."""

    name = "Ticks"
    topics = (get_topic(Counter.Ticked),)  # type: ignore[attr-defined]
    weight = 2

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Count it."""
        self.view.add(domain_event.originator_id, self.weight, tracking)


class RightTicks(Ticks):
    """The same without the mistake."""

    name = "Ticks"
    weight = 1


class FailingTicks(Ticks):
    """Fails in the middle."""

    name = "Ticks"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Fail at the fifth event."""
        if tracking.notification_id > 5:
            raise ZeroDivisionError
        super().process_event(domain_event, tracking)


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """One AURORA_PATH for application and view."""
    return {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}


@pytest.fixture
def counter_id(env: Environment) -> UUID:
    """A counter with 30 ticks, all of them projected with the mistake."""
    with Counters(env) as application:
        made = application.begin(30)
    with running(env) as runner:
        runner.wait(31, timeout=PATIENCE_SECONDS)
    return made


@pytest.fixture
def view(env: Environment) -> Iterator[TicksView]:
    """The live view."""
    made = factory_on(env["AURORA_PATH"], "Ticks", AURORA_SYNC="never").tracking_recorder(TicksView)
    assert isinstance(made, TicksView)
    yield made
    made.close()


def running(
    env: Environment, projection_class: type[Ticks] = Ticks
) -> ProjectionRunner[Counters, TicksView]:
    """A runner of the projection."""
    return ProjectionRunner(
        application_class=Counters,
        projection_class=projection_class,
        view_class=TicksView,
        env=env,
    )


def rebuild(env: Environment, projection_class: type[Ticks] = RightTicks, **more: Any) -> int:
    """Rebuild the view."""
    return rebuild_projection(
        application_class=Counters,
        projection_class=projection_class,
        view_class=TicksView,
        env=env,
        **more,
    )


@pytest.mark.parametrize("page_size", [1, 7, 1000])
def test_a_view_is_built_anew(
    env: Environment, view: TicksView, counter_id: UUID, page_size: int
) -> None:
    """It holds what the corrected projection makes of all events, and goes on from there."""
    assert view.ticks.get(counter_id) == 60
    steps: list[tuple[int, int]] = []
    assert rebuild(env, page_size=page_size, progress=lambda *step: steps.append(step)) == 31
    assert view.ticks.items() == [(counter_id, 30)]
    assert view.max_tracking_id("Counters") == 31
    assert steps[-1] == (31, 31)
    assert steps == sorted(steps)
    with running(env, RightTicks) as runner:
        last = runner.app.tick(counter_id)
        runner.wait(last, timeout=PATIENCE_SECONDS)
    assert view.ticks.get(counter_id) == 31
    opened = factory_on(env["AURORA_PATH"], "Ticks", AURORA_SYNC="never").tracking_recorder(
        TicksView
    )
    assert isinstance(opened, TicksView)
    assert opened.ticks.items() == [(counter_id, 31)]


def test_there_may_be_no_live_view(env: Environment) -> None:
    """Then it is built up to the newest event, and tracks it."""
    with Counters(env) as application:
        made = application.begin(3)
    assert rebuild(env) == 4
    view = factory_on(env["AURORA_PATH"], "Ticks", AURORA_SYNC="never").tracking_recorder(TicksView)
    assert isinstance(view, TicksView)
    assert view.ticks.items() == [(made, 3)]
    assert view.max_tracking_id("Counters") == 4


def test_beside_a_running_projection(env: Environment, view: TicksView, counter_id: UUID) -> None:
    """The runner goes on while the view is built and after the swap; nothing is counted twice."""
    with running(env, RightTicks) as runner:
        for _ in range(5):
            runner.app.tick(counter_id)
            rebuild(env, page_size=3)
            last = runner.app.tick(counter_id)
            runner.wait(last, timeout=PATIENCE_SECONDS)
        assert view.ticks.items() == [(counter_id, 40)]


def test_the_new_view_is_never_ahead(env: Environment, view: TicksView, counter_id: UUID) -> None:
    """It is where the live one is: the event that a runner looks at just now is no conflict."""
    with Counters(env) as application:
        last = application.tick(counter_id)
    assert rebuild(env) == last - 1
    assert view.ticks.get(counter_id) == 30
    view.add(counter_id, 1, Tracking("Counters", last))
    assert view.ticks.get(counter_id) == 31


def test_a_failed_rebuild_changes_nothing(
    env: Environment, view: TicksView, counter_id: UUID
) -> None:
    """The live view stays as it was, and may be written."""
    with pytest.raises(ZeroDivisionError):
        rebuild(env, FailingTicks, page_size=2)
    assert view.ticks.items() == [(counter_id, 60)]
    with running(env) as runner:
        runner.wait(runner.app.tick(counter_id), timeout=PATIENCE_SECONDS)
    assert view.ticks.items() == [(counter_id, 62)]


@pytest.mark.parametrize("left", [0, 11])
def test_an_application_that_was_restored(env: Environment, view: TicksView, left: int) -> None:
    """Of another history than the view has tracked: all is built of what is there now."""
    with running(env) as runner:
        counter_id = runner.app.begin(10)
        runner.wait(runner.app.tick(counter_id), timeout=PATIENCE_SECONDS)
    root = Path(env["AURORA_PATH"])
    backup(root / "Counters" / "events", root / "backup")
    shutil.rmtree(root / "Counters" / "events")
    restore(root / "backup", root / "Counters" / "events", position=left)
    with pytest.raises(HistoryChangedError, match="aurora-es projection rebuild"):
        running(env, RightTicks)
    assert rebuild(env, page_size=3) == left
    expected = [(counter_id, left - 1)] if left else []
    assert view.ticks.items() == expected
    assert view.max_tracking_id("Counters") == left
    # Ids fall only where the epoch rises: so the format has it.
    assert view.journal.handle.state.index.tracking["Counters"].upstream_epoch > 0
    with running(env, RightTicks) as runner:
        other_id = runner.app.begin(2)
        runner.wait(left + 3, timeout=PATIENCE_SECONDS)
    assert view.ticks.items() == [*expected, (other_id, 2)]
    view.close()
    tracking = root / "Ticks" / "tracking"
    for _ in range(2):  # what was tracked is known from the tail, then from a checkpoint
        with Journal.open(tracking, roll_cycle=RollCycle.events(1)) as journal:
            assert journal.tracking()["Counters"] == left + 3
            journal.append([])
    assert verify(tracking).is_whole
    assert rebuild(env) == left + 3


@pytest.mark.parametrize("left", [0, 1])
def test_an_application_that_began_anew(env: Environment, counter_id: UUID, left: int) -> None:
    """No epoch says that its directory was removed: refused, and what is named is the way on."""
    root = Path(env["AURORA_PATH"])
    shutil.rmtree(root / "Counters")
    with Counters(env) as application:
        made = [application.begin(1) for _ in range(left)]
    said = (
        f"{root / 'Ticks'}: has tracked 'Counters' up to position 31, but that has {2 * left} now"
    )
    with pytest.raises(HistoryChangedError, match=said):
        rebuild(env)
    (root / "Ticks").rename(root / "aside")
    with running(env, RightTicks) as runner:
        made.append(runner.app.begin(2))
        runner.wait(2 * left + 3, timeout=PATIENCE_SECONDS)
        assert dict(runner.view.ticks.items()) == dict.fromkeys(made[:-1], 1) | {made[-1]: 2}
    assert rebuild(env) == 2 * left + 3


_READER = """
import sys
from tests.face.support import factory_on
from tests.face.test_rebuilding import TicksView
view = factory_on(sys.argv[1], "Ticks").tracking_recorder(TicksView)
print([count for _, count in view.ticks.items()], flush=True)
sys.stdin.readline()
print([count for _, count in view.ticks.items()], flush=True)
"""


def test_other_processes_see_the_swap(env: Environment, counter_id: UUID) -> None:
    """A process that had read the old rows reads the new ones, and none of the old."""
    with Script(_READER, env["AURORA_PATH"]) as reader:
        assert reader.hear() == "[60]"
        rebuild(env)
        reader.tell("")
        assert reader.hear() == "[30]"
        reader.end()


# Kills itself at one of its calls of functions, and says how many there are if that is not reached.
_KILLED = """
import os, signal, sys
from aurora_es.files import memory
from tests.face import test_rebuilding
memory._TMPFS = os.path.dirname(sys.argv[1])  # for what is left behind
root, name, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": root}
calls = 0

def count(frame, event, argument):
    global calls
    calls += event in ("call", "c_call")
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL)

sys.setprofile(count)
test_rebuilding.rebuild(env, getattr(test_rebuilding, name), page_size=7)
sys.setprofile(None)
print(calls)
"""


def kill_at_every(env: Environment, counter_id: UUID, share: int) -> None:
    """Kill rebuilds at ``share`` moments, evenly spread: the view is the old or the new one."""

    def run(name: str, last: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _KILLED, env["AURORA_PATH"], name, str(last)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    weights = {30: "RightTicks", 60: "Ticks"}
    root = Path(env["AURORA_PATH"]) / "store"
    shutil.copytree(env["AURORA_PATH"], root)
    env = env | {"AURORA_PATH": str(root)}
    for name in ("RightTicks", "Ticks"):  # the second time all is there that is made once
        calls = int(run(name, 0).stdout)
    count, swapped = 60, 0
    for last in [*range(1, calls, calls // share), calls - 1]:
        other = 90 - count
        assert run(weights[other], last).returncode == -signal.SIGKILL
        with factory_on(env["AURORA_PATH"], "Ticks") as factory:
            opened = factory.tracking_recorder(TicksView)
            assert isinstance(opened, TicksView)
            ((found_id, found),) = opened.ticks.items()
            assert found_id == counter_id
            assert found in {count, other}
            assert opened.max_tracking_id("Counters") == 31
        swapped += found == other
        count = found
    assert swapped  # the last one at least, which was as good as done
    with running(env, {30: RightTicks, 60: Ticks}[count]) as runner:
        runner.wait(runner.app.tick(counter_id), timeout=PATIENCE_SECONDS)
        assert runner.view.ticks.get(counter_id) == count // 30 * 31


def test_a_rebuild_that_is_killed_leaves_the_old_or_the_new(
    env: Environment, counter_id: UUID
) -> None:
    """All rows and the tracking are those of one view, and its runner goes on."""
    kill_at_every(env, counter_id, 4)


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_a_rebuild_killed_at_many_moments(
    env: Environment, counter_id: UUID, reliability_factor: int
) -> None:
    """The same at many more."""
    kill_at_every(env, counter_id, 40 * reliability_factor)


def test_what_cannot_be_rebuilt(env: Environment, view: TicksView, counter_id: UUID) -> None:
    """Views elsewhere, views of several applications, no application, no page."""
    refused: list[tuple[dict[str, Any], str]] = [
        ({"view_class": SeenView}, "subclass of JournaledView"),
        ({"page_size": 0}, "page_size: expected 1 or more"),
        ({"application_class": Counter}, "subclass of Application"),
        ({"env": {**env, "TICKS_PERSISTENCE_MODULE": "eventsourcing.popo"}}, "aurora_es"),
    ]
    usual: dict[str, Any] = {
        "application_class": Counters,
        "projection_class": RightTicks,
        "view_class": TicksView,
        "env": env,
    }
    for changes, said in refused:
        with pytest.raises(ProgrammingError, match=said):
            rebuild_projection(**(usual | changes))
    view.insert_tracking(Tracking("Another", 1))
    with pytest.raises(ProgrammingError, match="tracks Another, too"):
        rebuild(env)
    assert view.ticks.items() == [(counter_id, 60)]

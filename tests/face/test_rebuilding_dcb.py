"""The view of a DCB application: rebuilt beside the live one, and after a restore to a position."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import Tagged
from eventsourcing.dcb.msgpack import Decision
from eventsourcing.persistence import ProgrammingError, Tracking
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.utils import get_topic

from aurora_es import HistoryChangedError, JournaledView, ViewTable, rebuild_projection
from aurora_es.care import backup, restore
from tests.cli.support import run
from tests.patience import PATIENCE_SECONDS

Environment = dict[str, str]


class Enrolled(Decision):
    """A student has a place."""

    student: str


class Left(Decision):
    """Nobody projects it."""

    student: str


class School(DCBApplication):
    """Records decisions."""

    def enrol(self, student: str) -> int:
        """Record one, and another that is of no interest; returns the position of the first."""
        position = self.events.append([Tagged(tags=[student], decision=Enrolled(student=student))])
        self.events.append([Tagged(tags=[student], decision=Left(student=student))])
        return position


class PlacesView(JournaledView):
    """Places of each student."""

    places = ViewTable(str, int)

    def add(self, student: str, number: int, tracking: Tracking) -> None:
        """Count."""
        with self.transaction(tracking) as t:
            t.put(self.places, student, t.get(self.places, student, 0) + number)


class Places(Projection[PlacesView]):
    """Counts each place twice."""

    name = "Places"
    topics = (get_topic(Enrolled),)
    weight = 2

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Count it."""
        self.view.add(domain_event.decision.student, self.weight, tracking)


class RightPlaces(Places):
    """The same without the mistake."""

    name = "Places"
    weight = 1


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """One AURORA_PATH for application and view."""
    return {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": str(tmp_path),
        "AURORA_SYNC": "never",
        "MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper",
    }


def running(env: Environment, projection_class: type[Places] = Places) -> Any:
    """A runner of the projection."""
    return ProjectionRunner(
        application_class=School, projection_class=projection_class, view_class=PlacesView, env=env
    )


def rebuild(env: Environment, page_size: int = 3) -> int:
    """Rebuild the view."""
    return rebuild_projection(
        application_class=School,
        projection_class=RightPlaces,
        view_class=PlacesView,
        env=env,
        page_size=page_size,
    )


@pytest.mark.parametrize("page_size", [1, 3, 1000])
def test_a_view_of_decisions_is_built_anew(env: Environment, page_size: int) -> None:
    """It holds what the corrected projection makes of all decisions; its runner goes on."""
    with School(env) as school:
        for number in range(7):
            last = school.enrol(f"student {number % 3}")
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert runner.view.places.items(prefix="student 0") == [("student 0", 6)]
        assert rebuild(env, page_size) == last == 13
        assert [count for _, count in runner.view.places.items()] == [3, 2, 2]
        assert runner.view.max_tracking_id("School") == last
        runner.wait(runner.app.enrol("student 0"), timeout=PATIENCE_SECONDS)
        assert runner.view.places.get("student 0") == 5


def test_there_may_be_no_live_view_of_decisions(env: Environment) -> None:
    """Then it is built up to the head, decisions of no interest included."""
    with School(env) as school:
        school.enrol("Ada")
    assert rebuild(env) == 2
    assert rebuild(env) == 1  # what it has tracked is the last one of interest


@pytest.mark.parametrize("left", [0, 2])
def test_a_school_that_was_restored(env: Environment, left: int) -> None:
    """To a position before what was projected: refused, until the view is rebuilt."""
    root = Path(env["AURORA_PATH"])
    with running(env) as runner:
        for student in ("Ada", "Bob", "Cyd"):
            last = runner.app.enrol(student)
        runner.wait(last, timeout=PATIENCE_SECONDS)
    backup(root / "School" / "dcb", root / "backup")
    shutil.rmtree(root / "School" / "dcb")
    arguments = ["restore", root / "backup", root / "School" / "dcb", "--position", str(left)]
    assert run(*arguments).returncode == 0
    with School(env) as school:
        assert (school.recorder.read().head or 0) == left
        for student in ("Dan", "Eve", "Fay"):
            last = school.enrol(student)
    with pytest.raises(HistoryChangedError, match="aurora-es projection rebuild"):
        running(env)
    assert rebuild(env) == last + 1
    with running(env, RightPlaces) as runner:
        found = [student for student, _ in runner.view.places.items()]
        assert found == (["Ada"] if left else []) + ["Dan", "Eve", "Fay"]


def test_a_restore_behind_what_was_projected(env: Environment) -> None:
    """What the view has tracked is there still: its runner goes on, and nothing is refused."""
    root = Path(env["AURORA_PATH"])
    with running(env) as runner:
        runner.wait(runner.app.enrol("Ada"), timeout=PATIENCE_SECONDS)
    with School(env) as school:
        school.enrol("Bob")
    backup(root / "School" / "dcb", root / "backup")
    shutil.rmtree(root / "School" / "dcb")
    restore(root / "backup", root / "School" / "dcb", position=2)
    with running(env) as runner:
        runner.wait(runner.app.enrol("Cyd"), timeout=PATIENCE_SECONDS)
        assert runner.view.places.items() == [("Ada", 2), ("Cyd", 2)]


def test_decisions_that_cannot_be_decoded(env: Environment) -> None:
    """Without a mapper there are no domain events to project."""
    del env["MAPPER_TOPIC"]
    with pytest.raises(ProgrammingError, match="School: expected MAPPER_TOPIC"):
        rebuild(env)

"""The library's runners on one store: they resume, and leaving them early hurts nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from eventsourcing.persistence import InterfaceError
from eventsourcing.projection import EventSourcedProjectionRunner, ProjectionRunner
from eventsourcing.system import (
    EventProcessingError,
    MultiThreadedRunner,
    NewMultiThreadedRunner,
    NewSingleThreadedRunner,
    NotificationPullingError,
    Runner,
    SingleThreadedRunner,
    System,
)

from aurora_es import AuroraProjectionRunner
from aurora_es.runner import SystemProcess
from tests.face.domain import (
    Counters,
    ProjectedTotals,
    SeenProjection,
    SeenView,
    SumsProjection,
    SumsView,
    Totals,
)
from tests.face.support import Task
from tests.patience import PATIENCE_SECONDS

Environment = dict[str, str]
_PENDING = 1000
_SYSTEM_RUNNERS = [
    SingleThreadedRunner,
    NewSingleThreadedRunner,
    MultiThreadedRunner,
    NewMultiThreadedRunner,
]


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    """One AURORA_PATH for everything; no thread may be left at the end."""
    before = set(threading.enumerate())
    yield {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), f"{thread} was left behind"


def project(env: Environment) -> ProjectionRunner[Counters, SeenView]:
    """A runner of the projection into our tracking recorder."""
    return ProjectionRunner(
        application_class=Counters, projection_class=SeenProjection, view_class=SeenView, env=env
    )


def project_sums(env: Environment) -> ProjectionRunner[Counters, SumsView]:
    """A runner of the projection into a view in a journal."""
    return ProjectionRunner(
        application_class=Counters, projection_class=SumsProjection, view_class=SumsView, env=env
    )


def project_events(env: Environment) -> EventSourcedProjectionRunner[Counters, ProjectedTotals]:
    """A runner of the event-sourced projection."""
    return EventSourcedProjectionRunner(
        application_class=Counters, projection_class=ProjectedTotals, env=env
    )


def test_a_projection_resumes(env: Environment) -> None:
    """Every event is projected once, over restarts, also what another application records."""
    with Counters(env) as writer:
        counter_id = writer.begin(3)
    with project(env) as runner:
        runner.wait(4, timeout=PATIENCE_SECONDS)
        assert runner.view.seen == [1, 2, 3, 4]
        last = runner.app.tick(counter_id)
        with Counters(env) as writer:
            last = writer.tick(counter_id)
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert runner.view.seen == [1, 2, 3, 4, 5, 6]
    with Counters(env) as writer:
        last = writer.tick(counter_id)
    with project(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert runner.view.seen == [7]


def test_an_event_sourced_projection_resumes(env: Environment) -> None:
    """Its events and its tracking are one commit, so the total is right after a restart."""
    with Counters(env) as writer:
        counter_id = writer.begin(3)
    for expected in (4, 5):
        with project_events(env) as runner:
            last = runner.app.tick(counter_id)
            runner.wait(last, timeout=PATIENCE_SECONDS)
            assert runner.projection.total == expected


@pytest.mark.parametrize("runner_class", _SYSTEM_RUNNERS)
def test_a_system_resumes(env: Environment, runner_class: type[Runner[UUID]]) -> None:
    """Leader and follower have their own directories; a restarted system goes on."""
    system = System(pipes=[[Counters, Totals]])
    counter_id = None
    for round_number in (1, 2):
        with runner_class(system, env=env) as runner:
            counters, totals = runner.get(Counters), runner.get(Totals)
            if counter_id is None:
                counter_id = counters.begin(0)
            last = counters.tick(counter_id)
            totals.recorder.wait("Counters", last, timeout=PATIENCE_SECONDS)
            assert totals.total == round_number
    assert {path.name for path in Path(env["AURORA_PATH"]).iterdir()} == {"Counters", "Totals"}


# Leaving with work to be done


def leave_projection(env: Environment) -> None:
    """Leave while the view has hardly seen anything."""
    with project(env) as runner:
        runner.wait(1, timeout=PATIENCE_SECONDS)


def leave_event_sourced_projection(env: Environment) -> None:
    """Leave while most ticks have not been added; the library closes the projection first.

    Its thread may then find the recorder closed, and the runner raises what the thread met.
    """
    try:
        with project_events(env) as runner:
            runner.wait(2, timeout=PATIENCE_SECONDS)
    except InterfaceError as error:
        assert "was closed" in str(error)  # noqa: PT017 - it is allowed, not required


def leave_journaled_view(env: Environment) -> None:
    """Leave while the view in its journal has hardly counted anything."""
    with project_sums(env) as runner:
        runner.wait(1, timeout=PATIENCE_SECONDS)


def leave_pages(env: Environment) -> None:
    """The same with our runner, which commits many events at a time."""
    with AuroraProjectionRunner(
        application_class=Counters, projection_class=SumsProjection, view_class=SumsView, env=env
    ) as runner:
        runner.wait(1, timeout=PATIENCE_SECONDS)


def leave_system_process(env: Environment) -> None:
    """Leave while the follower has hardly begun."""
    with SystemProcess(System(pipes=[[Counters, Totals]]), "Totals", env) as process:
        assert process.wait_until_working(PATIENCE_SECONDS)


def leave_multi_threaded(env: Environment) -> None:
    """Leave right after the prompt; the library waits two seconds for its threads."""
    try:
        with MultiThreadedRunner[UUID](System(pipes=[[Counters, Totals]]), env=env) as runner:
            runner.get(Counters).begin(0)
    except EventProcessingError as error:
        assert isinstance(error.__cause__, InterfaceError)  # noqa: PT017 - as above


def leave_new_multi_threaded(env: Environment) -> None:
    """The same with the library's newer runner, whose threads pull, convert and process."""
    system = System(pipes=[[Counters, Totals]])
    try:
        with NewMultiThreadedRunner[UUID](system, env=env) as runner:
            runner.get(Counters).begin(0)
    except (EventProcessingError, NotificationPullingError) as error:
        assert isinstance(error.__cause__, InterfaceError)  # noqa: PT017 - as above


LEAVINGS: dict[str, Callable[[Environment], None]] = {
    "projection": leave_projection,
    "journaled view": leave_journaled_view,
    "pages of a journaled view": leave_pages,
    "event-sourced projection": leave_event_sourced_projection,
    "system process": leave_system_process,
    "multi-threaded": leave_multi_threaded,
    "new multi-threaded": leave_new_multi_threaded,
}


def leave_often(env: Environment, leave: Callable[[Environment], None], rounds: int) -> None:
    """Leave a runner with events pending, again and again, each time with a follower anew."""
    with Counters(env) as writer:
        writer.begin(_PENDING)
    for number in range(rounds):
        root = Path(env["AURORA_PATH"]) / f"round {number}"
        root.mkdir()
        followers = {
            f"{name}_AURORA_PATH": str(root)
            for name in ("SEEN", "SUMS", "PROJECTEDTOTALS", "TOTALS")
        }
        Task(leave, env | followers).result()
    with Counters(env) as reader:
        last = reader.recorder.max_notification_id()
        assert last is not None
        assert last >= _PENDING + 1


@pytest.mark.parametrize(
    "runner",
    [
        "projection",
        "journaled view",
        "pages of a journaled view",
        "event-sourced projection",
        "system process",
    ],
)
def test_leaving_with_events_pending(env: Environment, runner: str) -> None:
    """Twenty times, neither a hang nor a crash nor a thread left behind."""
    leave_often(env, LEAVINGS[runner], 20)


@pytest.mark.parametrize("runner", ["multi-threaded", "new multi-threaded"])
def test_leaving_a_multi_threaded_runner_with_events_pending(env: Environment, runner: str) -> None:
    """The same, a few times only: each may take the two seconds that the library waits."""
    leave_often(env, LEAVINGS[runner], 3)


@pytest.mark.reliability
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("runner", LEAVINGS)
def test_leaving_very_often(env: Environment, runner: str, reliability_factor: int) -> None:
    """The same two hundred times."""
    leave_often(env, LEAVINGS[runner], min(40 * reliability_factor, 200))


def test_what_was_left_pending_is_done_later(env: Environment) -> None:
    """Nothing is lost and nothing is done twice by leaving early."""
    with Counters(env) as writer:
        writer.begin(100)
    leave_projection(env)
    leave_journaled_view(env)
    leave_event_sourced_projection(env)
    with project(env) as runner:
        runner.wait(101, timeout=PATIENCE_SECONDS)
    with project_sums(env) as sums_runner:
        sums_runner.wait(101, timeout=PATIENCE_SECONDS)
        assert sums_runner.view.sums.get("all") == 101
    with project_events(env) as projection_runner:
        projection_runner.wait(101, timeout=PATIENCE_SECONDS)
        assert projection_runner.projection.total == 100


def test_a_failing_projection_stops_the_runner(env: Environment) -> None:
    """The error of a policy reaches whoever waits, and leaving still works."""

    class Failing(SeenProjection):
        name = "Failing"

        def process_event(self, domain_event: object, tracking: object) -> None:
            """Fail."""
            message = "no more"
            raise RuntimeError(message)

    with Counters(env) as writer:
        writer.begin(0)
    runner = ProjectionRunner(
        application_class=Counters, projection_class=Failing, view_class=SeenView, env=env
    )
    with runner, pytest.raises(RuntimeError, match="no more"):
        runner.wait(1, timeout=PATIENCE_SECONDS)

"""Our runner of projections: many events in one commit, and all else as from the library's runner."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import (
    IntegrityError,
    MapperDeserialisationError,
    ProgrammingError,
    Tracking,
)
from eventsourcing.projection import Projection, ProjectionRunner

from aurora_es import (
    AuroraProjectionRunner,
    AuroraTrackingRecorder,
    JournaledView,
    ViewTable,
    projecting,
)
from aurora_es.rebuilding import rebuild_projection
from tests.face.domain import Counters, SeenProjection, SeenView, SumsProjection, SumsView
from tests.face.support import Script, Task, factory_on
from tests.patience import PATIENCE_SECONDS

Environment = dict[str, str]


class LogView(JournaledView):
    """What was projected, under its number, and a row that each event replaces."""

    seen = ViewTable(int, str)
    last = ViewTable(str, int)

    def see(self, tracking: Tracking, text: str = "") -> None:
        """Note an event, without what was last."""
        number = tracking.notification_id
        with self.transaction(tracking) as t:
            t.put(self.seen, number, text)
            t.put(self.last, "last", number)
            if number % 10 == 0:
                t.delete(self.seen, number - 1)


class LogProjection(Projection[LogView]):
    """Projects every event, and does what a test wants first."""

    name = "Log"
    meanwhile: ClassVar[Callable[[LogView, Tracking], object]] = staticmethod(lambda *_: None)

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Note it."""
        type(self).meanwhile(self.view, tracking)
        self.view.see(tracking)


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """One AURORA_PATH for application and view."""
    return {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}


@pytest.fixture(autouse=True)
def _does_nothing_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogProjection, "meanwhile", staticmethod(lambda *_: None))


def meanwhile(monkeypatch: pytest.MonkeyPatch, job: Callable[[LogView, Tracking], object]) -> None:
    """Let every projected event do ``job`` first."""
    monkeypatch.setattr(LogProjection, "meanwhile", staticmethod(job))


def running(
    env: Environment, runner_class: type[ProjectionRunner[Any, Any]] = AuroraProjectionRunner
) -> ProjectionRunner[Counters, LogView]:
    """A runner of the projection."""
    return runner_class(
        application_class=Counters, projection_class=LogProjection, view_class=LogView, env=env
    )


def record(env: Environment, ticks: int) -> int:
    """Record a counter with so many ticks; returns the last position."""
    with Counters(env) as application:
        application.begin(ticks)
        last = application.recorder.max_notification_id()
        assert last is not None
        return last


def view_of(env: Environment) -> LogView:
    """The view, as another process would open it."""
    view = factory_on(env["AURORA_PATH"], "Log").tracking_recorder(LogView)
    assert isinstance(view, LogView)
    return view


def commits_of(view: AuroraTrackingRecorder) -> int:
    """Number of commits in the view's journal."""
    chain = view.journal.handle.state.chain
    assert chain is not None
    return chain.commit_number


def test_a_backlog_becomes_few_commits(
    env: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view is the one that the library's runner makes, event by event."""
    monkeypatch.setattr(projecting, "_PAGE_SECONDS", PATIENCE_SECONDS)
    last = record(env, 1234)
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        ours = runner.view.seen.items(), runner.view.last.items()
        assert commits_of(runner.view) < 200
    beside = env | {"LOG_AURORA_PATH": str(tmp_path / "beside")}
    (tmp_path / "beside").mkdir()
    with running(beside, ProjectionRunner) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert (runner.view.seen.items(), runner.view.last.items()) == ours
        assert commits_of(runner.view) == last


def test_an_event_that_comes_alone_is_committed_alone(env: Environment) -> None:
    """Each is visible when it is waited for, and a commit of its own."""
    last = record(env, 0)
    with running(env) as runner:
        for _ in range(20):
            runner.wait(last, timeout=PATIENCE_SECONDS)
            assert runner.view.last.get("last") == last
            assert commits_of(runner.view) == last
            runner.app.begin(0)
            last += 1


def test_it_resumes_behind_what_was_tracked(env: Environment) -> None:
    """Left in the middle of a backlog again and again, no event is lost or projected twice."""
    last = record(env, 3000)
    for stop in (1, 700, 1500):
        with running(env) as runner:
            runner.wait(stop, timeout=PATIENCE_SECONDS)
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert [n for n, _ in runner.view.seen.items()] == [
            n for n in range(1, last + 1) if n % 10 != 9 or n == last
        ]


def test_what_came_before_a_failing_event_is_committed(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error stops the runner, and the next runner begins with it."""
    last = record(env, 99)

    def fail_at_57(_: LogView, tracking: Tracking) -> None:
        if tracking.notification_id == 57:
            message = "event 57"
            raise RuntimeError(message)

    meanwhile(monkeypatch, fail_at_57)
    with running(env) as runner, pytest.raises(RuntimeError, match="event 57"):
        runner.wait(last, timeout=PATIENCE_SECONDS)
    view = view_of(env)
    assert view.max_tracking_id("Counters") == view.last.get("last") == 56
    meanwhile(monkeypatch, lambda *_: None)
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert view.last.get("last") == last
    view.close()


def test_what_came_before_an_event_that_cannot_be_decoded_is_committed(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are decoded before their page begins; one that fails does so in its turn."""
    last = record(env, 30)
    with running(env | {"LOG_AURORA_PATH": env["AURORA_PATH"]}) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        decode = runner.app.mapper.to_domain_event

        def fail_once(stored: Any) -> Any:
            if stored.id == last + 8:
                raise MapperDeserialisationError
            return decode(stored)

        runner.app.mapper.to_domain_event = fail_once
        runner.app.begin(19)
        with pytest.raises(MapperDeserialisationError):
            runner.wait(last + 20, timeout=PATIENCE_SECONDS)
        assert runner.view.max_tracking_id("Counters") == last + 7


def test_a_projection_sees_what_its_page_has_changed(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if each event had been committed; so does one that is rebuilt. Nobody else sees it."""
    last = record(env, 99)
    found = []

    def look(view: LogView, tracking: Tracking) -> None:
        number = tracking.notification_id
        found.append(
            (
                view.last.get("last", 0),
                view.max_tracking_id("Counters") or 0,
                number - 1 in view.seen,
                view.seen.get(number - 2) is None,
                len(view.seen) + (number - 1) // 10,
                [key for key, _ in view.seen.items()][-1:],
            )
        )

    expected = [
        (n - 1, n - 1, n > 1, n <= 2 or n % 10 == 1, n - 1, [n - 1] if n > 1 else [])
        for n in range(1, last + 1)
    ]
    meanwhile(monkeypatch, look)
    monkeypatch.setattr(projecting, "_PAGE_SECONDS", PATIENCE_SECONDS)
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert found == expected
        assert commits_of(runner.view) < last
    found.clear()
    rebuild_projection(
        application_class=Counters, projection_class=LogProjection, view_class=LogView, env=env
    )
    assert found == expected


def test_other_threads_see_no_part_of_a_page(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an event is projected, the view of all others is as of the last commit."""
    last = record(env, 20)
    seen = []

    def look_from_elsewhere(view: LogView, tracking: Tracking) -> None:
        if tracking.notification_id == 15:
            look = Task(lambda: (view.last.get("last"), view.max_tracking_id("Counters")))
            seen.append(look.result(timeout=PATIENCE_SECONDS))

    monkeypatch.setattr(projecting, "_PAGE_SECONDS", PATIENCE_SECONDS)
    meanwhile(monkeypatch, look_from_elsewhere)
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
    assert seen == [(None, None)]


def test_a_slow_projection_is_committed_event_by_event(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends when it has taken some milliseconds: others wait for the view."""
    clock = itertools.count()
    monkeypatch.setattr(projecting, "monotonic", lambda: float(next(clock)))
    last = record(env, 40)
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert commits_of(runner.view) == last


def test_leaving_ends_a_page_behind_its_event(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner that is left does not project what it has read ahead."""
    record(env, 200)
    monkeypatch.setattr(projecting, "_PAGE_SECONDS", PATIENCE_SECONDS)
    is_there, may_go_on = threading.Event(), threading.Event()

    def wait_at_5(_: LogView, tracking: Tracking) -> None:
        if tracking.notification_id == 5:
            is_there.set()
            assert may_go_on.wait(PATIENCE_SECONDS)

    meanwhile(monkeypatch, wait_at_5)
    with running(env) as runner:
        assert is_there.wait(PATIENCE_SECONDS)
        runner.stop()
        may_go_on.set()
    view = view_of(env)
    assert view.max_tracking_id("Counters") == view.last.get("last") == 5
    view.close()


@pytest.mark.parametrize("runner_class", [AuroraProjectionRunner, ProjectionRunner])
@pytest.mark.parametrize("how", ["again", "lower", "alone", "inside"])
def test_transactions_in_a_page_are_checked_as_if_alone(
    env: Environment,
    monkeypatch: pytest.MonkeyPatch,
    runner_class: type[ProjectionRunner[Any, Any]],
    how: str,
) -> None:
    """Tracking rises with each transaction, and none is inside another one; from both runners."""
    last = record(env, 20)

    def disobey(view: LogView, tracking: Tracking) -> None:
        if tracking.notification_id != 12:
            return
        if how == "again":
            view.see(tracking)
        elif how == "lower":
            view.see(Tracking("Counters", 3))
        elif how == "alone":
            view.insert_tracking(Tracking("Counters", 11))
        else:
            with view.transaction(tracking):
                view.see(tracking)

    meanwhile(monkeypatch, disobey)
    expected = ProgrammingError if how == "inside" else IntegrityError
    with running(env, runner_class) as runner, pytest.raises(expected):
        runner.wait(last, timeout=PATIENCE_SECONDS)
    view = view_of(env)
    tracked = 12 if how == "again" else 11
    assert view.max_tracking_id("Counters") == view.last.get("last") == tracked
    view.close()


def test_a_page_tracks_one_application(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit has one tracking record; the error says which runner takes both."""
    last = record(env, 20)

    def track_another(view: LogView, tracking: Tracking) -> None:
        if tracking.notification_id == 2:
            view.insert_tracking(Tracking("Elsewhere", 1))

    monkeypatch.setattr(projecting, "_PAGE_SECONDS", PATIENCE_SECONDS)
    meanwhile(monkeypatch, track_another)
    with running(env) as runner, pytest.raises(ProgrammingError, match="library's Projection"):
        runner.wait(last, timeout=PATIENCE_SECONDS)


def test_a_transaction_that_raises_leaves_nothing_in_its_page(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A projection that goes on behind it has the view as it was before."""
    last = record(env, 20)

    def fail_inside(view: LogView, tracking: Tracking) -> None:
        try:
            with view.transaction(tracking) as t:
                t.put(view.last, "never", 1)
                raise KeyError
        except KeyError:
            assert view.last.get("never") is None

    meanwhile(monkeypatch, fail_inside)
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert runner.view.last.items() == [("last", last)]


def test_insert_tracking_alone_is_taken_into_the_page(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A projection may track an event that changes nothing."""
    last = record(env, 20)
    monkeypatch.setattr(projecting, "_PAGE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(LogView, "see", LogView.insert_tracking)
    with running(env) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert commits_of(runner.view) < last
        assert len(runner.view.seen) == 0


def test_other_views_are_projected_event_by_event(env: Environment) -> None:
    """Into a view that is no JournaledView it is the library's runner."""
    last = record(env, 20)
    runner = AuroraProjectionRunner(
        application_class=Counters, projection_class=SeenProjection, view_class=SeenView, env=env
    )
    with runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert runner.view.seen == list(range(1, last + 1))
        assert commits_of(runner.view) == last


_RUNNER = """
import sys
from aurora_es import AuroraProjectionRunner
from tests.face.domain import Counters, SumsProjection, SumsView
env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": sys.argv[1], "AURORA_SYNC": "never"}
with AuroraProjectionRunner(
    application_class=Counters, projection_class=SumsProjection, view_class=SumsView, env=env
) as runner:
    runner.wait(int(sys.argv[2]), timeout=180)
    print("there", flush=True)
    runner.wait(1 << 40, timeout=180)
"""


def test_a_killed_runner_has_projected_each_event_once(env: Environment) -> None:
    """Changes and tracking of a page are one commit, wherever its process is killed."""
    last = record(env, 6000)
    for reached in (1, 900, 2500, 4000):
        with Script(_RUNNER, env["AURORA_PATH"], str(reached)) as script:
            assert script.hear() == "there"  # and is killed when the block ends
    with AuroraProjectionRunner(
        application_class=Counters, projection_class=SumsProjection, view_class=SumsView, env=env
    ) as runner:
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert runner.view.sums.get("all") == last

"""Applications that were on SQLite are moved, opened on aurora_es, and go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.domain import Aggregate
from eventsourcing.projection import EventSourcedProjectionRunner
from eventsourcing.system import SingleThreadedRunner, System

from aurora_es.moving import SqliteFile, export_events, import_events
from tests.face.domain import Counters, ProjectedTotals, Totals
from tests.moving.sides import execute
from tests.patience import PATIENCE_SECONDS


def _env(path: Path, module: str) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": module,
        "AURORA_PATH": str(path),
        "COUNTERS_SQLITE_DBNAME": str(path / "counters.db"),
        "TOTALS_SQLITE_DBNAME": str(path / "totals.db"),
        "PROJECTEDTOTALS_SQLITE_DBNAME": str(path / "projected.db"),
        "COUNTERS_IS_SNAPSHOTTING_ENABLED": "y",
    }


def _import(tmp_path: Path, target: Path, **names: str) -> None:
    for name, file in names.items():
        import_events(SqliteFile(tmp_path / file), target / name, gaps="renumber")


def test_an_application_goes_on_where_it_was(tmp_path: Path) -> None:
    """Events, versions, snapshots and notification ids are those of before, and more follow."""
    with Counters(env=_env(tmp_path, "eventsourcing.sqlite")) as app:
        counter_id = app.begin(5)
        app.take_snapshot(counter_id)
        last = app.tick(counter_id)
    store = tmp_path / "store"
    _import(tmp_path, store, Counters="counters.db")
    with Counters(env=_env(store, "aurora_es")) as app:
        assert app.snapshots is not None
        (snapshot,) = app.snapshots.get(counter_id)
        assert snapshot.originator_version == 6
        counter: Any = app.repository.get(counter_id)
        assert (counter.count, counter.version) == (6, 7)
        assert app.tick(counter_id) == last + 1
        assert app.repository.get(counter_id).version == 8
    # And back, with what came since.
    export_events(store / "Counters", SqliteFile(tmp_path / "back.db"))
    env = _env(tmp_path, "eventsourcing.sqlite")
    with Counters(env={**env, "COUNTERS_SQLITE_DBNAME": str(tmp_path / "back.db")}) as app:
        assert app.repository.get(counter_id).version == 8
        assert app.tick(counter_id) == last + 2


@pytest.mark.parametrize("gap", [0, 100])
def test_a_system_goes_on_where_it_was(tmp_path: Path, gap: int) -> None:
    """A follower sees each notification once, also where the upstream had to be renumbered."""
    system = System(pipes=[[Counters, Totals]])
    with SingleThreadedRunner[UUID](system, _env(tmp_path, "eventsourcing.sqlite")) as runner:
        runner.get(Counters).begin(1)
        counter_id = runner.get(Counters).begin(5)
        assert runner.get(Totals).total == 6
    for file, table, column in (
        ("counters.db", "stored_events", "rowid"),
        ("totals.db", "tracking", "notification_id"),
    ):
        execute(
            tmp_path / file,
            f"UPDATE {table} SET {column} = {column} + ? WHERE {column} > 4",  # noqa: S608
            gap,
        )
    store = tmp_path / "store"
    _import(tmp_path, store, Counters="counters.db", Totals="totals.db")
    with SingleThreadedRunner[UUID](system, _env(store, "aurora_es")) as runner:
        tracked = runner.get(Totals).recorder.max_tracking_id("Counters")
        assert tracked == 8
        assert runner.get(Totals).total == 6
        runner.get(Counters).tick(counter_id)
        assert runner.get(Totals).total == 7


def test_a_projection_goes_on_where_it_was(tmp_path: Path) -> None:
    """An event-sourced projection has its tracking records beside its events."""
    env = _env(tmp_path, "eventsourcing.sqlite")
    with Counters(env=env) as app:
        counter_id = app.begin(3)
    factory_env = {**env, "SQLITE_DBNAME": str(tmp_path / "projected.db")}
    with ProjectedTotals(env=factory_env) as projected:
        _project(projected, tmp_path, env)
    store = tmp_path / "store"
    _import(tmp_path, store, Counters="counters.db", ProjectedTotals="projected.db")
    with EventSourcedProjectionRunner(
        application_class=Counters,
        projection_class=ProjectedTotals,
        env=_env(store, "aurora_es"),
    ) as runner:
        last = runner.app.tick(counter_id)
        runner.wait(last, timeout=PATIENCE_SECONDS)
        assert runner.projection.total == 4


def _project(projected: ProjectedTotals, tmp_path: Path, env: dict[str, str]) -> None:
    """SQLite's recorders have no subscriptions: the notifications are passed on one by one."""
    from eventsourcing.application import ProcessingEvent
    from eventsourcing.persistence import Tracking

    with Counters(env=env) as app:
        for notification in app.recorder.select_notifications(start=1, limit=100):
            event = app.mapper.to_domain_event(notification)
            processing = ProcessingEvent[UUID](tracking=Tracking("Counters", notification.id))
            if isinstance(event, Aggregate.Event) and type(event).__name__ == "Ticked":
                projected.policy(event, processing)
            projected._record(processing)
    assert projected.total == 3
    assert os.path.exists(tmp_path / "projected.db")

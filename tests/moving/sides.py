"""Databases and stores to move, made and read by the library's own recorders."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.sqlite import SQLiteFactory
from eventsourcing.utils import Environment

from aurora_es import AuroraFactory, Journal

ORDER = UUID(int=1)
OTHER = UUID(int=2)


class Contents(NamedTuple):
    """All that the library's recorders say of an application."""

    notifications: list[tuple[int, UUID | str, int, str, bytes]]
    snapshots: list[tuple[UUID | str, int, str, bytes]]
    tracking: dict[str, int]


def events(count: int, first: int = 1) -> list[StoredEvent]:
    """Events of two aggregates, in turn, some of them no JSON."""
    return [
        StoredEvent(
            (ORDER, OTHER)[at % 2],
            at // 2,
            f"shop:Order.Changed{at % 3}",
            b'{"at":%d}' % at if at % 5 else b"\x00\xff%d" % at,
        )
        for at in range(first, first + count)
    ]


def make_sqlite(
    path: Path,
    stored: Sequence[StoredEvent],
    *,
    snapshots: Sequence[StoredEvent] = (),
    tracking: Iterable[tuple[str, int]] = (),
    originator_id_type: str = "uuid",
) -> Path:
    """Record events, snapshots and tracking with the library's SQLite recorders."""
    env = {"SQLITE_DBNAME": str(path), "ORIGINATOR_ID_TYPE": originator_id_type}
    factory = SQLiteFactory(Environment("Shop", env))
    recorder = factory.process_recorder()
    recorder.insert_events(stored)
    for name, reached in tracking:
        recorder.insert_tracking(Tracking(name, reached))
    factory.aggregate_recorder("snapshots").insert_events(snapshots)
    factory.close()
    return path


def read_sqlite(path: Path, originator_id_type: str = "uuid") -> Contents:
    """Read a database with the library's recorders, and tracking names from its table."""
    env = {"SQLITE_DBNAME": str(path), "ORIGINATOR_ID_TYPE": originator_id_type}
    factory = SQLiteFactory(Environment("Shop", env))
    try:
        recorder = factory.process_recorder()
        with sqlite3.connect(path) as connection:
            names = connection.execute("SELECT application_name FROM tracking").fetchall()
            ids = connection.execute("SELECT originator_id FROM stored_snapshots").fetchall()
        connection.close()
        found = recorder.select_notifications(start=1, limit=1 << 30)
        snapshots = factory.aggregate_recorder("snapshots")
        return Contents(
            [(n.id, n.originator_id, n.originator_version, n.topic, n.state) for n in found],
            _snapshots_of(
                snapshots, {UUID(text) if originator_id_type == "uuid" else text for (text,) in ids}
            ),
            {
                name: reached
                for (name,) in names
                if name != "__migration__"
                and (reached := recorder.max_tracking_id(name)) is not None
            },
        )
    finally:
        factory.close()


def read_store(root: Path, name: str = "Shop", **env: str) -> Contents:
    """Read a store with our recorders, and tracking names and snapshots' ids from the journals."""
    factory = AuroraFactory(Environment(name, {"AURORA_PATH": str(root), **env}))
    try:
        recorder = factory.process_recorder()
        found = recorder.select_notifications(start=1, limit=1 << 30)
        with Journal.open(root / name / "snapshots", read_only=True) as journal:  # perhaps none
            ids = {stored.record.originator_id for stored in journal.read()}
        with Journal.open(root / name / "events", read_only=True) as journal:
            names = journal.tracking()
        return Contents(
            [(n.id, n.originator_id, n.originator_version, n.topic, n.state) for n in found],
            _snapshots_of(factory.aggregate_recorder("snapshots"), ids),
            {
                name: reached
                for name in names
                if (reached := recorder.max_tracking_id(name)) is not None
            },
        )
    finally:
        factory.close()


def _snapshots_of(
    recorder: object, ids: Iterable[object]
) -> list[tuple[UUID | str, int, str, bytes]]:
    found: list[tuple[UUID | str, int, str, bytes]] = []
    for originator_id in sorted(ids, key=str):
        found += [
            (event.originator_id, event.originator_version, event.topic, event.state)
            for event in recorder.select_events(originator_id)  # type: ignore[attr-defined]
        ]
    return found


def delete_events(path: Path, ids: Iterable[int]) -> None:
    """Tear gaps into a database."""
    with sqlite3.connect(path) as connection:
        connection.executemany("DELETE FROM stored_events WHERE rowid = ?", [(at,) for at in ids])
    connection.close()


def execute(path: Path, statement: str, *parameters: object) -> None:
    """Do to a database what no recorder does."""
    with sqlite3.connect(path) as connection:
        connection.execute(statement, parameters)
    connection.close()

"""The stores of ``benchmarks.workloads``: ours, and peers as far as they are installed.

PostgreSQL takes part if psycopg is installed and a database answers: that of the library's own
``POSTGRES_*`` variables, or ``eventsourcing`` with user and password of that name on this machine.
Everything goes into a schema of the run's own, which is dropped at its end. UmaDB takes part if its
package and the server that comes with it are installed; see ``benchmarks.dcb``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eventsourcing.dcb.api import DCBRecorder
from eventsourcing.dcb.popo import InMemoryDCBRecorder
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, TrackingRecorder
from eventsourcing.utils import Environment

from aurora_es import AuroraFactory

from .stores import SYNC_WORDS, Kind, Sync, environment

OURS = "aurora_es"
SQLITE = "SQLite"
POSTGRES = "PostgreSQL"
UMADB = "UmaDB"
MEMORY = "in-memory"
PEERS = (OURS, SQLITE, POSTGRES, UMADB, MEMORY)

_KINDS: dict[str, Kind] = {OURS: "aurora", SQLITE: "sqlite", MEMORY: "memory"}
_POSTGRES = {
    "POSTGRES_DBNAME": "eventsourcing",
    "POSTGRES_HOST": "127.0.0.1",
    "POSTGRES_PORT": "5432",
    "POSTGRES_USER": "eventsourcing",
    "POSTGRES_PASSWORD": "eventsourcing",
}
_COMMIT = {"durable": "on", "never": "off"}


def sync_words(sync: Sync) -> dict[str, str]:
    """What each store is told about syncs, for the page."""
    ours = {name: SYNC_WORDS[sync][kind] for name, kind in _KINDS.items()}
    durable = {UMADB: "always"} if sync == "durable" else {}
    return {**ours, POSTGRES: f"synchronous_commit={_COMMIT[sync]}", **durable}


@dataclass(frozen=True, slots=True)
class EventStore:
    """An opened recorder, and the settings by which another process opens it."""

    recorder: ApplicationRecorder
    settings: dict[str, str] | None  # None: nobody else can


def open_recorder(settings: Mapping[str, str]) -> InfrastructureFactory[TrackingRecorder]:
    """The factory of the application that all stores are those of."""
    return InfrastructureFactory.construct(Environment("bench", dict(settings)))


@cache
def postgres_missing() -> str | None:
    """Why PostgreSQL cannot be measured, or None."""
    if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
        return "psycopg is not installed: pip install '.[bench]'"
    psycopg: Any = import_module("psycopg")
    try:
        with _connection():
            return None
    except psycopg.OperationalError as error:
        return f"no database answers: {str(error).splitlines()[0]}"


def _settings() -> dict[str, str]:
    return {key: os.environ.get(key, value) for key, value in _POSTGRES.items()}


def _connection() -> Any:
    found = _settings()
    psycopg: Any = import_module("psycopg")
    return psycopg.connect(
        dbname=found["POSTGRES_DBNAME"],
        host=found["POSTGRES_HOST"],
        port=found["POSTGRES_PORT"],
        user=found["POSTGRES_USER"],
        password=found["POSTGRES_PASSWORD"],
        autocommit=True,
        connect_timeout=5,
    )


def postgres_facts() -> dict[str, str]:
    """Version and what decides how durable a commit is; empty where it is not measured."""
    if postgres_missing():
        return {}
    names = ("server_version", "fsync", "wal_sync_method", "full_page_writes", "shared_buffers")
    with _connection() as connection:
        return {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in names}


@contextmanager
def postgres_schema(name: str, sync: Sync) -> Iterator[dict[str, str]]:
    """Settings for a schema that exists meanwhile, whose connections commit as ``sync`` says."""
    with _connection() as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    # libpq reads it, in this process and in those that it starts. The search path is for an index of
    # the library's DCB recorder, which names its table without the schema.
    before = os.environ.get("PGOPTIONS")
    os.environ["PGOPTIONS"] = f"-c synchronous_commit={_COMMIT[sync]} -c search_path={name}"
    try:
        yield {**_settings(), "POSTGRES_SCHEMA": name}
    finally:
        os.environ.pop("PGOPTIONS")
        if before is not None:
            os.environ["PGOPTIONS"] = before
        with _connection() as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE")


@contextmanager
def event_stores(directory: Path, name: str, sync: Sync) -> Iterator[dict[str, EventStore]]:
    """One empty store of each kind, opened through the library's factories."""
    with ExitStack() as stack:
        settings: dict[str, dict[str, str]] = {}
        for peer, kind in _KINDS.items():
            path = directory / name / kind
            path.mkdir(parents=True)
            settings[peer] = environment(kind, path, sync)
        if postgres_missing() is None:
            found = stack.enter_context(postgres_schema(f"bench_{os.getpid()}", sync))
            settings[POSTGRES] = {"PERSISTENCE_MODULE": "eventsourcing.postgres", **found}
        stores = {}
        for peer in PEERS:
            if peer not in settings:
                continue
            factory = open_recorder(settings[peer])
            stack.callback(factory.close)
            others = None if peer == MEMORY else settings[peer]
            stores[peer] = EventStore(factory.application_recorder(), others)
        yield stores


@contextmanager
def dcb_recorders(directory: Path, sync: Sync) -> Iterator[dict[str, DCBRecorder]]:
    """One empty recorder of each kind that knows dynamic consistency boundaries, but for UmaDB."""
    with ExitStack() as stack:
        (directory / "dcb").mkdir(parents=True)
        env = Environment("bench", environment("aurora", directory / "dcb", sync))
        ours = AuroraFactory(env)
        stack.callback(ours.close)
        recorders: dict[str, DCBRecorder] = {OURS: ours.dcb_recorder()}
        if postgres_missing() is None:
            found = stack.enter_context(postgres_schema(f"bench_{os.getpid()}", sync))
            module: Any = import_module("eventsourcing.dcb.postgres_tt")
            factory = module.PostgresTTDCBFactory(Environment("bench", found))
            stack.callback(factory.close)
            recorders[POSTGRES] = factory.dcb_recorder()
        recorders[MEMORY] = InMemoryDCBRecorder()
        yield recorders

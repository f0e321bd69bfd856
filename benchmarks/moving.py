"""Figures of moving: ``python -m benchmarks.moving``; import and export, read back and compared.

Small events (about 60 bytes of JSON, twenty to an aggregate) of the library's SQLite recorder are
imported, exported to JSON lines and to SQLite, and imported from JSON lines. Each figure is that of
the whole call, reading back included; processor seconds are those of this process, so that a busy
machine shows. The floor is reading all rows of the source once. PostgreSQL takes part if the library's
``POSTGRES_*`` variables name a database and psycopg is installed.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.sqlite import SQLiteFactory
from eventsourcing.utils import Environment

from aurora_es.moving import (
    JsonLines,
    MoveReport,
    PostgresDatabase,
    SqliteFile,
    export_events,
    import_events,
)

from .care import measured
from .machine import machine_facts, resident_bytes
from .report import write_json

RESULTS = Path(__file__).resolve().parent / "results" / "moving.json"
VERSIONS = 20  # events of one aggregate


def fill(path: Path, events: int) -> None:
    """Make a database as the library does, and insert ``events``."""
    factory = SQLiteFactory(Environment("Bank", {"SQLITE_DBNAME": str(path)}))
    factory.application_recorder()
    factory.close()
    rng = random.Random(7)
    ids = [UUID(int=rng.getrandbits(128)).hex for _ in range(events // VERSIONS + 1)]
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO stored_events VALUES (?,?,?,?)",
            (
                (
                    ids[at // VERSIONS],
                    at % VERSIONS + 1,
                    "bank:Account.Credited",
                    b'{"amount":%d,"timestamp":"2026-11-25T20:00:00.000000+00:00"}' % at,
                )
                for at in range(events)
            ),
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def read_all(path: Path) -> None:
    """The floor: every row, once."""
    connection = sqlite3.connect(path)
    for _ in connection.execute("SELECT rowid, * FROM stored_events ORDER BY rowid"):
        pass
    connection.close()


def moves(directory: Path) -> dict[str, Callable[[], MoveReport]]:
    """What is measured, in this order."""
    database, store = directory / "bank.db", directory / "store" / "Bank"
    lines = directory / "bank.jsonl"
    found = {
        "import from SQLite": lambda: import_events(SqliteFile(database), store),
        "import again, nothing new": lambda: import_events(SqliteFile(database), store),
        "export to JSON lines": lambda: export_events(store, JsonLines(lines)),
        "import from JSON lines": lambda: import_events(
            JsonLines(lines), directory / "again" / "Bank"
        ),
        "export to SQLite": lambda: export_events(store, SqliteFile(directory / "back.db")),
    }
    if find_spec("psycopg") is None or "POSTGRES_DBNAME" not in os.environ:
        print("PostgreSQL: not measured (psycopg, POSTGRES_DBNAME)", file=sys.stderr)
        return found
    dsn = " ".join(
        f"{key}={value}"
        for key in ("dbname", "host", "port", "user", "password")
        if (value := os.environ.get(f"POSTGRES_{key.upper()}"))
    )

    def postgres() -> PostgresDatabase:
        return PostgresDatabase(dsn, application_name=f"moving{os.getpid()}")

    return found | {
        "export to PostgreSQL": lambda: export_events(store, postgres()),
        "import from PostgreSQL": lambda: import_events(postgres(), directory / "pg" / "Bank"),
    }


def drop_tables() -> None:
    """Leave nothing behind in PostgreSQL."""
    if find_spec("psycopg") is None or "POSTGRES_DBNAME" not in os.environ:
        return
    from importlib import import_module

    psycopg: Any = import_module("psycopg")
    keys = ("dbname", "host", "port", "user", "password")
    found = {key: os.environ.get(f"POSTGRES_{key.upper()}") for key in keys}
    with psycopg.connect(**found, autocommit=True) as connection:
        for part in ("events", "snapshots"):
            connection.execute(f"DROP TABLE IF EXISTS moving{os.getpid()}_{part}")


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    return (
        f"| {row['what']} | {row['events']:,} | {row['seconds']:.2f} | {row['cpu_seconds']:.2f} |"
        f" {row['events'] / row['seconds']:,.0f} | {row['events'] / row['cpu_seconds']:,.0f} |"
    )


def main() -> None:
    """Measure, print, and keep the JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.moving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=10**6, help="rows of the source")
    parser.add_argument("--directory", type=Path, help="where the stores live (default: this disk)")
    parser.add_argument("--json", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    options = parser.parse_args()
    print("| work | events | seconds | processor | events/s | events/processor second |")
    print("|---|---|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=options.directory or Path.cwd()) as name:
        directory = Path(name)
        fill(directory / "bank.db", options.events)
        work: dict[str, Callable[[], object]] = {
            "read all rows (floor)": lambda: read_all(directory / "bank.db"),
            **moves(directory),
        }
        try:
            for what, call in work.items():
                rows.append({"what": what, "events": options.events, **measured(call)})
                print(line(rows[-1]), flush=True)
        finally:
            drop_tables()
        resident = resident_bytes()
        facts = machine_facts(directory)
    print(f"\nresident memory at the end: {resident / 1e6:.0f} MB", file=sys.stderr)
    write_json(
        {"machine": facts, "load": os.getloadavg(), "resident_bytes": resident, "rows": rows},
        options.json,
    )


if __name__ == "__main__":
    main()

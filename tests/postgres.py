"""A PostgreSQL server for tests, and a schema of it for each; where none runs, tests are skipped.

The server is that of the library's ``POSTGRES_*`` variables, or a local one with database, user and
password ``eventsourcing``.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.utils import Environment

from aurora_es.moving import PostgresDatabase


class Server:
    """A schema of a server, and the library's factory for it."""

    def __init__(self, psycopg: Any) -> None:
        """Make the schema; raises psycopg's error if no server answers."""
        found = {
            key: os.environ.get(f"POSTGRES_{key.upper()}", default)
            for key, default in (
                ("dbname", "eventsourcing"),
                ("host", "127.0.0.1"),
                ("port", "5432"),
                ("user", "eventsourcing"),
                ("password", "eventsourcing"),
            )
        }
        self.dsn = psycopg.conninfo.make_conninfo(**found)
        self.connection = psycopg.connect(self.dsn, autocommit=True, connect_timeout=3)
        self.schema = f"test_{uuid4().hex}"
        self.connection.execute(f"CREATE SCHEMA {self.schema}")
        self.env = {f"POSTGRES_{key.upper()}": value for key, value in found.items()}
        self.env["POSTGRES_SCHEMA"] = self.schema

    def close(self) -> None:
        """Drop the schema."""
        self.connection.execute(f"DROP SCHEMA {self.schema} CASCADE")
        self.connection.close()

    def execute(self, statement: str) -> Any:
        """Run a statement in the schema."""
        self.connection.execute(f"SET search_path TO {self.schema}")
        return self.connection.execute(statement)

    def factory(self, kind: str = "uuid") -> Any:
        """The library's factory of the application Shop."""
        library: Any = import_module("eventsourcing.postgres")
        return library.PostgresFactory(
            Environment("Shop", {**self.env, "ORIGINATOR_ID_TYPE": kind})
        )

    def database(self, kind: str = "uuid") -> PostgresDatabase:
        """The side of a move."""
        return PostgresDatabase(
            self.dsn, application_name="Shop", schema=self.schema, originator_id_type=kind
        )


def open_server() -> Server:
    """A schema of its own; skips the test, and says why, where there is no server."""
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'aurora-es[postgres]'")
    psycopg: Any = import_module("psycopg")
    try:
        return Server(psycopg)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL server for tests: {str(error).splitlines()[0]}")

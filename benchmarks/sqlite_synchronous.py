"""The library's SQLite factory with the synchronous pragma set, and checked, on each connection.

The library sets ``journal_mode=WAL`` and leaves ``synchronous`` to SQLite's build (FULL in most,
NORMAL in some; NORMAL in WAL mode syncs at checkpoints only, which is not durable). Here it is what
the environment says: ``FULL`` syncs the WAL in every commit, which is what ``AURORA_SYNC=always``
promises; ``OFF`` never syncs. It is a pragma of the connection, so every one of the pool gets it.
"""

from __future__ import annotations

from typing import Any

from eventsourcing.persistence import PersistenceError
from eventsourcing.sqlite import SQLiteConnection, SQLiteConnectionPool, SQLiteFactory
from eventsourcing.utils import Environment, EnvType

PRAGMA_VALUES = {"OFF": 0, "FULL": 2}


class SynchronousPool(SQLiteConnectionPool):
    """The library's pool; new connections get the pragma."""

    def __init__(self, *, synchronous: str, **kwargs: Any) -> None:
        self._synchronous = synchronous
        super().__init__(**kwargs)

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous={self._synchronous}")
        cursor.execute("PRAGMA synchronous")
        found = cursor.fetchone()[0]
        if found != PRAGMA_VALUES[self._synchronous]:
            msg = f"PRAGMA synchronous={self._synchronous} did not take effect: found {found}"
            raise PersistenceError(msg)
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
        if mode.lower() != "wal":
            msg = f"expected journal_mode=WAL as the library sets it, found {mode}"
            raise PersistenceError(msg)
        return connection


class SynchronousSQLiteFactory(SQLiteFactory):
    """``SQLITE_SYNCHRONOUS=FULL`` or ``OFF``; everything else as in the library."""

    SQLITE_SYNCHRONOUS = "SQLITE_SYNCHRONOUS"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        plain = self.datastore.pool
        self.datastore.pool = SynchronousPool(
            synchronous=self.env.get(self.SQLITE_SYNCHRONOUS, "FULL") or "FULL",
            db_name=plain.db_name,
            lock_timeout=plain.lock_timeout,
            pool_size=plain.pool_size,
            max_overflow=plain.max_overflow,
            pool_timeout=plain.pool_timeout,
            max_age=plain.max_age,
            pre_ping=plain.pre_ping,
        )
        plain.close()

"""A database file of the library's SQLite recorders as a side of a move.

Theory of operation: an application recorder's table has a rowid, which is the notification id; an
aggregate recorder's table has none, and is read in the order of its primary key. Pages are read one
by one, all in one transaction, so that events, snapshots and tracking records are of one moment: an
application that goes on meanwhile, in the library's WAL mode, is not held up. SQLite lets any value be in any column, so types
are looked at. Tables are made by the library's own recorders, rows are inserted with the ids that
they have.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from aurora_es.index.keys import originator_key
from aurora_es.late_imports import fork_waits
from aurora_es.moving.library_tables import COLUMN_LIST, COLUMNS, LibraryTables, refuse_extras
from aurora_es.moving.moving_errors import MovingError, SourceError, TargetError
from aurora_es.moving.pages import (
    BYTES_MAX,
    EVENTS,
    SNAPSHOTS,
    TRACKING,
    Page,
    Tracked,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.moving.pages import Row

_UUID_DIGITS, _UUID_BYTES = 32, 16
_ROWS_AT_ONCE = 16  # each may be as large as a state can be
_TYPES = (str, int, str, bytes)
_LOCK_TIMEOUT_SECONDS = 5.0
_AGAIN = "mend the row, or leave it out, and run `aurora-es import sqlite` again: it goes on there"


class SqliteFile(LibraryTables):
    """A database of the library's SQLite recorders."""

    id_column = "rowid"
    mark = "?"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        originator_id_type: str = "uuid",
        events_table: str = "stored_events",
        snapshots_table: str = "stored_snapshots",
        tracking_table: str = "tracking",
    ) -> None:
        """Name the file and its tables; constructing touches nothing.

        ``originator_id_type`` is ``uuid`` or ``text``, as the application's ORIGINATOR_ID_TYPE.
        """
        self.path = os.path.abspath(os.fspath(path))
        tables = {EVENTS: events_table, SNAPSHOTS: snapshots_table, TRACKING: tracking_table}
        super().__init__(self.path, tables, originator_id_type)
        self._connection: sqlite3.Connection | None = None
        self._is_target = False

    # Connections

    def open_source(self) -> None:
        """Open the file for reading; raises SourceError."""
        if not os.path.isfile(self.path):
            message = (
                f"{self.path}: expected an SQLite database, found no such file; name another one"
            )
            raise SourceError(message)
        try:
            self._connect("mode=ro")
            assert self._connection is not None
            self._connection.execute("BEGIN")
            self._table_names()
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def open_target(self, application_name: str, *, is_process: bool) -> None:
        """Open the file for writing, and let the library make its tables; raises TargetError."""
        with fork_waits:
            from eventsourcing.sqlite import SQLiteFactory
            from eventsourcing.utils import Environment

        self._is_target = True
        kind = "uuid" if self._has_uuids else "text"
        settings = {"SQLITE_DBNAME": self.path, "ORIGINATOR_ID_TYPE": kind}
        try:
            factory = SQLiteFactory(Environment(application_name, settings))
            try:
                recorder = (
                    factory.process_recorder() if is_process else factory.application_recorder()
                )
                factory.aggregate_recorder("snapshots")
                del recorder
            finally:
                factory.close()
            self._connect("mode=rw")
        except Exception as error:
            message = f"{self.path}: {error}; expected an SQLite database that can be written to"
            raise TargetError(message) from error

    def _connect(self, mode: str) -> None:
        uri = f"file:{quote(self.path)}?{mode}"
        self._connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=_LOCK_TIMEOUT_SECONDS
        )

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        assert self._connection is not None
        try:
            with closing(self._connection.cursor()) as cursor:
                yield from cursor.execute(statement, parameters)
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _page(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows up to the bound of a page; the rest of the query is not read."""
        assert self._connection is not None
        found: list[tuple[Any, ...]] = []
        size = 0
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.execute(statement, parameters)
                while size < BYTES_MAX and (rows := cursor.fetchmany(_ROWS_AT_ONCE)):
                    found += rows
                    size += sum([len(row[4]) for row in rows if type(row[4]) is bytes])
        except sqlite3.Error as error:
            raise self._refused(error) from error
        return found

    def _refused(self, error: sqlite3.Error) -> MovingError:
        if self._is_target:
            return self._not_written(error)
        return SourceError(
            f"{self.path}: {error}; expected a database of the library's SQLite recorders. What was"
            " read before is in the target; run `aurora-es import sqlite` again to go on"
        )

    def _table_names(self) -> set[str]:
        return {name for (name,) in self._rows("SELECT name FROM sqlite_master")}

    def _has_table(self, part: str) -> bool:
        return self._tables[part] in self._table_names()

    def _table(self, part: str) -> str:
        name = self._tables[part].replace('"', '""')
        return f'"{name}"'

    # As a source

    def _has_ids(self, part: str) -> bool:
        assert self._connection is not None
        try:
            self._connection.execute(f"SELECT rowid FROM {self._table(part)} LIMIT 0")  # noqa: S608
        except sqlite3.OperationalError:  # an aggregate recorder's table, WITHOUT ROWID
            return False
        return True

    def _no_tables(self) -> SourceError:
        return SourceError(
            f"{self.path}: expected a table {', '.join(self._tables.values())}, found"
            f" {', '.join(sorted(self._table_names())) or 'none'}; name the application's own:"
            " `aurora-es import sqlite --events-table`"
        )

    def _checked(
        self, part: str, found: list[tuple[Any, ...]], ids: Sequence[int] | None
    ) -> list[Row]:
        rows = [row[1:] for row in found]
        columns = tuple(zip(*rows, strict=True))
        if tuple(map(set, (map(type, column) for column in columns))) != _EXPECTED_TYPES:
            self._refuse_types(part, rows, ids)
        if not self._has_uuids:
            return rows
        try:
            keys = [bytes.fromhex(text) for text in columns[0]]
        except ValueError:
            keys = []
        # A text of this length may have blanks in it, which `fromhex` skips.
        are_digits = {len(text) for text in columns[0]} == {_UUID_DIGITS}
        if not are_digits or {len(key) for key in keys} != {_UUID_BYTES}:
            keys = [self._uuid_bytes(part, at, row, ids) for at, row in enumerate(rows)]
        return list(zip(keys, *columns[1:], strict=True))

    def _uuid_bytes(
        self, part: str, at: int, row: tuple[Any, ...], ids: Sequence[int] | None
    ) -> bytes:
        try:
            return UUID(row[0]).bytes
        except ValueError:
            place = self._place(part, at, row, ids)
            message = (
                f"{place}: expected an originator_id that is a UUID, found {row[0]!r}; where the"
                " application has ORIGINATOR_ID_TYPE=text, run `aurora-es import sqlite"
                " --originator-id-type text`"
            )
            raise SourceError(message) from None

    def _refuse_types(
        self, part: str, rows: list[tuple[Any, ...]], ids: Sequence[int] | None
    ) -> None:
        for at, row in enumerate(rows):
            for column, expected, value in zip(COLUMNS, _TYPES, row, strict=True):
                if type(value) is not expected:
                    message = (
                        f"{self._place(part, at, row, ids)}: expected {column} as"
                        f" {expected.__name__}, found {type(value).__name__} {value!r:.80}; {_AGAIN}"
                    )
                    raise SourceError(message)

    def _place(self, part: str, at: int, row: tuple[Any, ...], ids: Sequence[int] | None) -> str:
        table = f"{self.path}, table {self._tables[part]}"
        return f"{table}, rowid {ids[at]}" if ids else f"{table}, row ({row[0]!r}, {row[1]!r})"

    # As a target

    def append(self, page: Page) -> None:
        """Insert all rows of a page in one transaction."""
        if page.part not in self._tables:
            message = (
                f"{self.name}: the library's SQLite recorders hold no {page.part}; expected"
                f" {EVENTS} or {SNAPSHOTS}. Use `aurora-es export jsonl` for it"
            )
            raise TargetError(message)
        refuse_extras(self.name, page)
        connection = self._connection
        assert connection is not None
        texts = [self._id_of(row) for row in page.rows]
        rows = [(text, *row[1:4]) for text, row in zip(texts, page.rows, strict=True)]
        table = self._table(page.part)
        try:
            connection.execute("BEGIN IMMEDIATE")
            if page.part == EVENTS and page.ids is not None:
                connection.executemany(
                    f"INSERT INTO {table} (rowid, {COLUMN_LIST}) VALUES (?,?,?,?,?)",  # noqa: S608
                    ((at, *row) for at, row in zip(page.ids, rows, strict=True)),
                )
            else:
                connection.executemany(
                    f"INSERT INTO {table} ({COLUMN_LIST}) VALUES (?,?,?,?)",  # noqa: S608
                    rows,
                )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise self._not_written(error) from error

    def _not_written(self, error: sqlite3.Error) -> TargetError:
        return TargetError(
            f"{self.name}: {error}; what was written before is kept. Make room or let others end,"
            " or name another file, and run `aurora-es export sqlite` again: it goes on there"
        )

    def _id_of(self, row: Row) -> str:
        """Id as the library's recorder of this kind writes it."""
        key = originator_key(row[0])
        if isinstance(key, bytes):
            return key.hex() if self._has_uuids else str(UUID(bytes=key))
        if self._has_uuids or key is None:
            message = (
                f"{self.name}: expected originator ids that are UUIDs, found {row[0]!r} at version"
                f" {row[1]}; run `aurora-es export sqlite --originator-id-type text` for"
                " an application with ORIGINATOR_ID_TYPE=text"
            )
            raise TargetError(message)
        return key

    def track(self, tracked: Tracked) -> None:
        """Record how far others were followed."""
        connection = self._connection
        assert connection is not None
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                f"INSERT INTO {self._table(TRACKING)} VALUES (?,?)"  # noqa: S608 - quoted
                " ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id",
                sorted(tracked.ids.items()),
            )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise self._not_written(error) from error

    def finish(self, counts: dict[str, int], digests: dict[str, str]) -> None:
        """Bring everything from the write-ahead log into the file, synced."""
        ((is_busy, *_),) = self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        if is_busy:
            message = (
                f"{self.name}: all is written and read back, but somebody else reads the database:"
                f" what was moved lies in {self.path}-wal, too, without which a copy of the file"
                " lacks it. Let others end, and run `aurora-es export sqlite` again"
            )
            raise TargetError(message)


_EXPECTED_TYPES = tuple({kind} for kind in _TYPES)

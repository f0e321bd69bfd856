"""A database file of the library's SQLite recorders as a side of a move.

Theory of operation: an application recorder's table has a rowid, which is the notification id; an
aggregate recorder's table has none, and is read in the order of its primary key. Pages are read one
by one, all in one transaction, so that events, snapshots and tracking records are of one moment: an
application that goes on meanwhile, in the library's WAL mode, is not held up. SQLite lets any value be in any column, so types
are looked at. Tables are made by the library's own recorders, rows are inserted with the ids that
they have: many pages in a transaction, and several rows by a statement, since most of the time of an
export is SQLite's. Who is killed loses what was not committed, which the next export inserts.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from itertools import chain
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
_EXPECTED_TYPES = [{kind} for kind in _TYPES]
_TARGET_PAGE_ROWS = 1024  # so few are in the processor's caches still when they are compared
# A transaction of so many rows, or bytes of states, is committed; and a statement inserts so many.
_COMMIT_ROWS, _COMMIT_BYTES = 65_536, 1 << 24
_STATEMENT_ROWS = 16
# Of the connection that inserts. Its commits are not synced: a power cut takes the last of them, as
# a kill does what was not committed; ``finish`` syncs them all. The others let pages that many
# commits change be copied from the write-ahead log once, and bound it and the memory.
_LOADING = ("synchronous=NORMAL", "wal_autocheckpoint=16384", "cache_size=-65536")
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
        self._uncommitted_rows = self._uncommitted_bytes = 0

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
            assert self._connection is not None
            for setting in _LOADING:
                self._connection.execute(f"PRAGMA {setting}")
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

    def _page_rows(self) -> int:
        return _TARGET_PAGE_ROWS if self._is_target else super()._page_rows()

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
        columns = [[row[at] for row in found] for at in range(1, len(COLUMNS) + 1)]
        if [set(map(type, column)) for column in columns] != _EXPECTED_TYPES:
            self._refuse_types(part, [row[1:] for row in found], ids)
        if self._has_uuids:
            columns[0] = self._keys_of(part, found, columns[0], ids)
        return list(zip(*columns, strict=True))

    def _keys_of(
        self, part: str, found: list[tuple[Any, ...]], texts: list[str], ids: Sequence[int] | None
    ) -> list[bytes]:
        """The bytes of all UUIDs of a page at once, or one by one where one is written otherwise."""
        try:
            data = bytes.fromhex("".join(texts))
        except ValueError:
            data = b""
        # A text of this length may have blanks in it, which `fromhex` skips.
        if set(map(len, texts)) != {_UUID_DIGITS} or len(data) != _UUID_BYTES * len(texts):
            return [self._uuid_bytes(part, at, row[1:], ids) for at, row in enumerate(found)]
        return [data[at : at + _UUID_BYTES] for at in range(0, len(data), _UUID_BYTES)]

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
        """Insert all rows of a page, in a transaction of many."""
        if page.part not in self._tables:
            message = (
                f"{self.name}: the library's SQLite recorders hold no {page.part}; expected"
                f" {EVENTS} or {SNAPSHOTS}. Use `aurora-es export jsonl` for it"
            )
            raise TargetError(message)
        refuse_extras(self.name, page)
        columns = self._columns_of(page.rows)
        names = COLUMN_LIST
        if page.part == EVENTS and page.ids is not None:
            columns, names = [page.ids, *columns], f"rowid, {COLUMN_LIST}"
        statement = f"INSERT INTO {self._table(page.part)} ({names}) VALUES "  # noqa: S608 - quoted
        with self._transaction():
            self._insert(statement, columns)
            self._uncommitted_rows += len(page.rows)
            self._uncommitted_bytes += sum(map(len, columns[-1]))
            if self._uncommitted_rows >= _COMMIT_ROWS or self._uncommitted_bytes >= _COMMIT_BYTES:
                self._commit()

    def _insert(self, statement: str, columns: list[Sequence[Any]]) -> None:
        connection = self._connection
        assert connection is not None
        one = f"({','.join('?' * len(columns))})"
        values = list(chain.from_iterable(zip(*columns, strict=True)))
        several = statement + ",".join([one] * _STATEMENT_ROWS)
        step = len(columns) * _STATEMENT_ROWS
        behind = len(values) // step * step
        for at in range(0, behind, step):
            connection.execute(several, values[at : at + step])
        for at in range(behind, len(values), len(columns)):
            connection.execute(statement + one, values[at : at + len(columns)])

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Begin one unless one is open; raises TargetError, with nothing of it written."""
        connection = self._connection
        assert connection is not None
        try:
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
            yield connection
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise self._not_written(error) from error

    def _commit(self) -> None:
        assert self._connection is not None
        if self._connection.in_transaction:
            with self._transaction() as connection:
                connection.execute("COMMIT")
        self._uncommitted_rows = self._uncommitted_bytes = 0

    def read_back(self, parts: Sequence[str]) -> Iterator[Page]:
        """Rows of all ``parts``, which are committed before."""
        self._commit()
        return super().read_back(parts)

    def _not_written(self, error: sqlite3.Error) -> TargetError:
        return TargetError(
            f"{self.name}: {error}; what was written before is kept. Make room or let others end,"
            " or name another file, and run `aurora-es export sqlite` again: it goes on there"
        )

    def _columns_of(self, rows: Sequence[Row]) -> list[Sequence[Any]]:
        """Rows by columns, with ids as the library's recorder writes them."""
        keys, *columns = ([row[at] for row in rows] for at in range(len(COLUMNS)))
        are_uuids = set(map(type, keys)) == {bytes} and set(map(len, keys)) == {_UUID_BYTES}
        if not (are_uuids and self._has_uuids):
            return [[self._id_of(row) for row in rows], *columns]
        digits = b"".join(keys).hex()
        texts = [digits[at : at + _UUID_DIGITS] for at in range(0, len(digits), _UUID_DIGITS)]
        return [texts, *columns]

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
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT INTO {self._table(TRACKING)} VALUES (?,?)"  # noqa: S608 - quoted
                " ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id",
                sorted(tracked.ids.items()),
            )
        self._commit()

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

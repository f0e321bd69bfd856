"""A database of the library's PostgreSQL recorders as a side of a move.

Theory of operation: pages are read one by one, through a cursor of the server, so that no more rows
are in memory than a page holds; a source in one transaction, so that events, snapshots and tracking
records are of one moment. Tables are made by the library's own recorders. Rows are copied with the ids that
they have, and at the end the sequence goes on behind the last one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

from aurora_es.errors import AuroraConfigurationError
from aurora_es.index.keys import originator_key
from aurora_es.late_imports import fork_waits
from aurora_es.moving.library_tables import COLUMN_LIST, LibraryTables, refuse_extras
from aurora_es.moving.moving_errors import MovingError, SourceError, TargetError
from aurora_es.moving.pages import (
    BYTES_MAX,
    EVENTS,
    SNAPSHOTS,
    TRACKING,
    Page,
    Tracked,
)
from aurora_es.moving.row_checks import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.moving.pages import Row

_ROWS_AT_ONCE = 16  # each may be as large as a state can be; small ones come in more
_ROWS_AT_ONCE_MAX = 1024
_SMALL_BYTES = 1 << 16


class PostgresDatabase(LibraryTables):
    """A database of the library's PostgreSQL recorders."""

    id_column = "notification_id"
    mark = "%s"

    def __init__(  # noqa: PLR0913 - a user's choices, all by name
        self,
        dsn: str,
        *,
        application_name: str = "",
        schema: str = "public",
        originator_id_type: str = "uuid",
        events_table: str | None = None,
        snapshots_table: str | None = None,
        tracking_table: str | None = None,
    ) -> None:
        """Name the database, as libpq does, and whose tables are meant; constructing opens nothing.

        Tables are those of the application of this name, unless they are named.
        ``originator_id_type`` is ``uuid`` or ``text``, as the application's ORIGINATOR_ID_TYPE.
        """
        prefix = application_name.lower()
        tables = {
            EVENTS: events_table or f"{prefix or 'stored'}_events",
            SNAPSHOTS: snapshots_table or f"{prefix or 'stored'}_snapshots",
            TRACKING: tracking_table or f"{prefix or 'notification'}_tracking",
        }
        name = f"PostgreSQL, tables {schema}.{tables[EVENTS]} and others"
        super().__init__(name, tables, originator_id_type)
        self._dsn, self._schema = dsn, schema
        self._is_target = False

    # Connections

    def open_source(self) -> None:
        """Connect; raises SourceError, AuroraConfigurationError without the extra."""
        psycopg = _psycopg()
        try:
            self._connection = psycopg.connect(self._dsn, autocommit=True)
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        except psycopg.Error as error:
            message = (
                f"{self.name}: {error}; expected a database that can be reached: name another DSN"
            )
            raise SourceError(message) from error

    def open_target(self, application_name: str, *, is_process: bool) -> None:
        """Connect, and let the library make its tables; raises TargetError."""
        psycopg = _psycopg()
        self._is_target = True
        try:
            self._connection = psycopg.connect(self._dsn, autocommit=True)
            self._make_tables(is_process=is_process)
        except Exception as error:
            message = f"{self.name}: {error}; expected a database that can be written to: name another DSN"
            raise TargetError(message) from error

    def _make_tables(self, *, is_process: bool) -> None:
        with fork_waits:
            library: Any = import_module("eventsourcing.postgres")
        # As libpq has found them: a DSN may name a service, and leave the rest to the environment.
        info = self._connection.info
        datastore = library.PostgresDatastore(
            dbname=info.dbname,
            host=info.host,
            port=info.port,
            user=info.user,
            password=info.password,
            schema=self._schema,
            originator_id_type="uuid" if self._has_uuids else "text",
        )
        # It takes these five alone; a DSN may also say how to connect (sslmode, options), and must.
        datastore.pool.kwargs.update(_psycopg().conninfo.conninfo_to_dict(self._dsn))
        with datastore:
            if is_process:
                recorder = library.PostgresProcessRecorder(
                    datastore,
                    events_table_name=self._tables[EVENTS],
                    tracking_table_name=self._tables[TRACKING],
                )
            else:
                recorder = library.PostgresApplicationRecorder(
                    datastore, events_table_name=self._tables[EVENTS]
                )
            recorder.create_table()
            library.PostgresAggregateRecorder(
                datastore, events_table_name=self._tables[SNAPSHOTS]
            ).create_table()

    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        psycopg = _psycopg()
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(
                statement, parameters
            ).fetchall()
        except psycopg.Error as error:
            raise self._refused(error) from error
        return found

    def _refused(self, error: object) -> MovingError:
        if self._is_target:
            return self._not_written(error)
        return SourceError(
            f"{self.name}: {error}; expected tables of the library's PostgreSQL recorders. What was"
            " read before is in the target; run `aurora-es import postgres` again to go on"
        )

    def _page(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows up to the bound of a page; the rest of the query is not read."""
        psycopg = _psycopg()
        found: list[tuple[Any, ...]] = []
        total, count = 0, _ROWS_AT_ONCE
        try:
            with (
                self._connection.transaction(),
                self._connection.cursor(name="aurora_es_page", binary=True) as cursor,
            ):
                cursor.execute(statement, parameters)
                while total < BYTES_MAX and (rows := cursor.fetchmany(count)):
                    found += rows
                    size = sum([len(row[4] or b"") for row in rows])
                    total += size
                    count = min(count * 2, _ROWS_AT_ONCE_MAX) if size < _SMALL_BYTES else count
        except psycopg.Error as error:
            raise self._refused(error) from error
        return found

    def _table(self, part: str) -> str:
        return ".".join(
            '"{}"'.format(name.replace('"', '""').replace("%", "%%"))
            for name in (self._schema, self._tables[part])
        )

    def _has_table(self, part: str) -> bool:
        name = self._table(part).replace("%%", "%")
        return self._rows("SELECT to_regclass(%s) IS NOT NULL", (name,)) == [(True,)]

    def _has_ids(self, part: str) -> bool:
        found = self._rows(
            "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = %s"
            " AND table_name = %s AND column_name = 'notification_id'",
            (self._schema, self._tables[part]),
        )
        return found == [(1,)]

    # As a source

    def _no_tables(self) -> SourceError:
        return SourceError(
            f"{self.name}: expected a table {', '.join(self._tables.values())}, found none; name"
            " the application's own: `aurora-es import postgres --application`, --schema"
        )

    def _checked(
        self, part: str, found: list[tuple[Any, ...]], ids: Sequence[int] | None
    ) -> list[Row]:
        # Types are those of the columns; but these allow NULL.
        del ids  # a row is named by its key
        rows: list[Row] = []
        for row in found:
            originator_id, version, topic, state = row[1:]
            if topic is None or state is None:
                message = (
                    f"{self.name}, table {self._tables[part]}, row ({originator_id}, {version}):"
                    " expected a topic and a state, found NULL; mend the row, or leave it out, and run"
                    " `aurora-es import postgres` again: it goes on there"
                )
                raise SourceError(message)
            disk_id = originator_id.bytes if isinstance(originator_id, UUID) else originator_id
            rows.append((disk_id, version, topic, state))
        return rows

    # As a target

    def append(self, page: Page) -> None:
        """Copy all rows of a page in one transaction."""
        if page.part not in self._tables:
            message = (
                f"{self.name}: these recorders hold no {page.part}; expected {EVENTS} or {SNAPSHOTS}."
                " Use `aurora-es export jsonl` for it"
            )
            raise TargetError(message)
        refuse_extras(self.name, page)
        psycopg = _psycopg()
        rows: list[tuple[Any, ...]] = [(self._id_of(row), *row[1:4]) for row in page.rows]
        columns = COLUMN_LIST
        if page.part == EVENTS and page.ids is not None:
            columns += ", notification_id"
            rows = [(*row, at) for at, row in zip(page.ids, rows, strict=True)]
        table = self._table(page.part).replace("%%", "%")  # no parameters, so nothing is escaped
        statement = f"COPY {table} ({columns}) FROM STDIN"
        try:
            with (
                self._connection.transaction(),
                self._connection.cursor() as cursor,
                cursor.copy(statement) as copy,
            ):
                for row in rows:
                    copy.write_row(row)
        except psycopg.Error as error:
            self._refuse_nul(page, rows)
            raise self._not_written(error) from error

    def _refuse_nul(self, page: Page, rows: list[tuple[Any, ...]]) -> None:
        """Raise TargetError, which names the row, for a NUL in a text: here they have none."""
        for row, written in zip(page.rows, rows, strict=True):
            if any("\0" in text for text in written if isinstance(text, str)):
                message = (
                    f"{self.name}: expected {page.part} whose topics and ids have no NUL, as the text"
                    f" of PostgreSQL has none, found {described(row)}; nothing of this page was"
                    " written. Use `aurora-es export jsonl` or `aurora-es export sqlite`, which keep it"
                )
                raise TargetError(message)

    def _not_written(self, error: object) -> TargetError:
        return TargetError(
            f"{self.name}: {error}; what was written before is kept. Make room or let others end,"
            " or name another database, and run `aurora-es export postgres` again: it goes on there"
        )

    def _id_of(self, row: Row) -> UUID | str:
        """Id as the library's recorder of this kind writes it."""
        key = originator_key(row[0])
        if isinstance(key, bytes):
            value = UUID(bytes=key)
            return value if self._has_uuids else str(value)
        if self._has_uuids or key is None:
            message = (
                f"{self.name}: expected originator ids that are UUIDs, found {row[0]!r} at version"
                f" {row[1]}; run `aurora-es export postgres --originator-id-type text` for"
                " an application with ORIGINATOR_ID_TYPE=text"
            )
            raise TargetError(message)
        return key

    def track(self, tracked: Tracked) -> None:
        """Record how far others were followed."""
        psycopg = _psycopg()
        try:
            with self._connection.transaction():
                for name, reached in sorted(tracked.ids.items()):
                    self._connection.execute(
                        f"INSERT INTO {self._table(TRACKING)} VALUES (%s, %s) ON CONFLICT"  # noqa: S608
                        " (application_name)"
                        " DO UPDATE SET notification_id = excluded.notification_id",
                        (name, reached),
                    )
        except psycopg.Error as error:
            raise self._not_written(error) from error

    def finish(self, counts: dict[str, int], digests: dict[str, str]) -> None:
        """Let the sequence of ids go on behind the last one."""
        table = self._table(EVENTS).replace("%%", "%")
        ((last,),) = self._rows(f"SELECT MAX(notification_id) FROM {self._table(EVENTS)}")  # noqa: S608
        if last is not None:
            self._rows(
                "SELECT setval(pg_get_serial_sequence(%s, 'notification_id'), %s)", (table, last)
            )


def _psycopg() -> Any:
    """The package psycopg; raises AuroraConfigurationError if the extra is not installed."""
    with fork_waits:
        try:
            return import_module("psycopg")
        except ImportError as error:
            message = (
                "PostgreSQL: expected the package psycopg, found none (or no libpq):"
                " `pip install 'aurora-es[postgres]'`; `aurora-es doctor` shows versions"
            )
            raise AuroraConfigurationError(message) from error

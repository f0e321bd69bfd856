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

from aurora_es.errors import ArgumentError, AuroraConfigurationError
from aurora_es.index.keys import originator_key
from aurora_es.late_imports import fork_waits
from aurora_es.moving.moving_errors import SourceError, TargetError
from aurora_es.moving.pages import (
    BYTES_MAX,
    EVENTS,
    ROWS_MAX,
    SNAPSHOTS,
    TRACKING,
    Extent,
    Page,
    Tracked,
)
from aurora_es.moving.sqlite_file import refuse_extras

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.moving.pages import Row

_MIGRATION = "__migration__"  # a row of the library's own in its tracking table
_COLUMNS = "originator_id, originator_version, topic, state"
_ROWS_AT_ONCE = 16  # each may be as large as a state can be; small ones come in more
_ROWS_AT_ONCE_MAX = 1024
_SMALL_BYTES = 1 << 16


class PostgresDatabase:
    """A database of the library's PostgreSQL recorders."""

    keeps_ids = True
    can_repeat = True

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
        if originator_id_type not in {"uuid", "text"}:
            message = f"originator_id_type: expected uuid or text, found {originator_id_type!r}"
            raise ArgumentError(message)
        self._dsn, self._schema, self._id_type = dsn, schema, originator_id_type
        prefix = application_name.lower()
        self._tables = {
            EVENTS: events_table or f"{prefix or 'stored'}_events",
            SNAPSHOTS: snapshots_table or f"{prefix or 'stored'}_snapshots",
            TRACKING: tracking_table or f"{prefix or 'notification'}_tracking",
        }
        self.name = f"PostgreSQL, tables {schema}.{self._tables[EVENTS]} and others"
        self._connection: Any = None
        self._extents: dict[str, Extent] | None = None

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
        try:
            self._make_tables(psycopg, is_process=is_process)
            self._connection = psycopg.connect(self._dsn, autocommit=True)
        except Exception as error:
            message = f"{self.name}: {error}; expected a database that can be written to: name another DSN"
            raise TargetError(message) from error

    def _make_tables(self, psycopg: Any, *, is_process: bool) -> None:
        with fork_waits:
            library: Any = import_module("eventsourcing.postgres")
        parameters = psycopg.conninfo.conninfo_to_dict(self._dsn)
        names = ("dbname", "host", "port", "user", "password")
        datastore = library.PostgresDatastore(
            **{name: parameters.get(name) or "" for name in names},
            schema=self._schema,
            originator_id_type=self._id_type,
        )
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

    def _refused(self, error: object) -> SourceError:
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

    def extents(self) -> dict[str, Extent]:
        """Counts, and the last id of events; raises SourceError if none of the tables is there."""
        if self._extents is None:
            self._extents = {}
            for part in (EVENTS, SNAPSHOTS):
                if self._has_table(part):
                    last = ", MAX(notification_id)" if self._has_ids(part) else ""
                    statement = f"SELECT COUNT(*){last} FROM {self._table(part)}"  # noqa: S608
                    (found,) = self._rows(statement)
                    self._extents[part] = Extent(*found)
            if not self._extents and not self._has_table(TRACKING):
                message = (
                    f"{self.name}: expected a table {', '.join(self._tables.values())}, found none; name"
                    " the application's own: `aurora-es import postgres --application`, --schema"
                )
                raise SourceError(message)
        return self._extents

    def left_out(self) -> list[str]:
        """Nothing that is known of."""
        return []

    def stream(self) -> Iterator[Page | Tracked]:
        """Events, snapshots, then tracking records."""
        extents = self.extents()
        for part in extents:
            yield from self._part_pages(part, extents[part].last_id)
        if ids := self._tracked():
            yield Tracked(EVENTS if EVENTS in extents else TRACKING, ids)

    def _part_pages(self, part: str, until: int | None) -> Iterator[Page]:
        if self._has_ids(part):
            yield from self._pages_by_id(part, until)
        else:
            yield from self._pages_by_key(part)

    def _pages_by_id(self, part: str, until: int | None) -> Iterator[Page]:
        statement = (
            f"SELECT notification_id, {_COLUMNS} FROM {self._table(part)}"  # noqa: S608 - quoted
            " WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s"
        )
        after, last = -(1 << 63), (1 << 63) - 1 if until is None else until
        while found := self._page(statement, (after, last, ROWS_MAX)):
            ids = [row[0] for row in found]
            after = ids[-1]
            yield Page(part, self._checked(part, found), ids)

    def _pages_by_key(self, part: str) -> Iterator[Page]:
        start = f"SELECT NULL, {_COLUMNS} FROM {self._table(part)}"  # noqa: S608 - quoted
        order = " ORDER BY originator_id, originator_version LIMIT %s"
        where = " WHERE (originator_id, originator_version) > (%s, %s)"
        found = self._page(start + order, (ROWS_MAX,))
        while found:
            yield Page(part, self._checked(part, found))
            last = found[-1]
            found = self._page(start + where + order, (last[1], last[2], ROWS_MAX))

    def _checked(self, part: str, found: list[tuple[Any, ...]]) -> list[Row]:
        """Rows with ids as on disk; raises SourceError for NULLs, which columns allow."""
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

    def _tracked(self) -> dict[str, int]:
        if not self._has_table(TRACKING):
            return {}
        found = self._rows(
            f"SELECT application_name, MAX(notification_id) FROM {self._table(TRACKING)}"  # noqa: S608
            " GROUP BY application_name"
        )
        return {name: reached for name, reached in found if name != _MIGRATION}

    # As a target

    def pages(self, part: str) -> Iterator[Page]:
        """All rows of ``part``; none of what these recorders do not hold."""
        if part in self._tables:
            yield from self._part_pages(part, None)

    def read_back(self, parts: Sequence[str]) -> Iterator[Page]:
        """Rows of all ``parts``."""
        for part in parts:
            yield from self.pages(part)

    def is_keyed(self, part: str) -> bool:
        """Snapshots are found by id and version."""
        return part == SNAPSHOTS

    def find(self, part: str, rows: Sequence[Row]) -> list[Row | None]:
        """Look rows up by id and version."""
        statement = (
            f"SELECT NULL, {_COLUMNS} FROM {self._table(part)}"  # noqa: S608 - quoted
            " WHERE originator_id = %s AND originator_version = %s"
        )
        found: list[Row | None] = []
        for row in rows:
            there = self._rows(statement, (self._id_of(row), row[1]))
            found.append(self._checked(part, there)[0] if there else None)
        return found

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
        columns = _COLUMNS
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
            message = (
                f"{self.name}: {error}; nothing of this page was written. Make room or let others"
                " end, and run `aurora-es export postgres` again: it goes on there"
            )
            raise TargetError(message) from error

    def _id_of(self, row: Row) -> UUID | str:
        """Id as the library's recorder of this kind writes it."""
        key = originator_key(row[0])
        if isinstance(key, bytes):
            value = UUID(bytes=key)
            return value if self._id_type == "uuid" else str(value)
        if self._id_type == "uuid" or key is None:
            message = (
                f"{self.name}: expected originator ids that are UUIDs, found {row[0]!r} at version"
                f" {row[1]}; run `aurora-es export postgres --originator-id-type text` for"
                " an application with ORIGINATOR_ID_TYPE=text"
            )
            raise TargetError(message)
        return key

    def tracked(self, part: str) -> dict[str, int]:
        """Tracking records that are there."""
        return self._tracked()

    def track(self, tracked: Tracked) -> None:
        """Record how far others were followed."""
        with self._connection.transaction():
            for name, reached in sorted(tracked.ids.items()):
                self._connection.execute(
                    f"INSERT INTO {self._table(TRACKING)} VALUES (%s, %s) ON CONFLICT"  # noqa: S608
                    " (application_name) DO UPDATE SET notification_id = excluded.notification_id",
                    (name, reached),
                )

    def finish(self, counts: dict[str, int], digests: dict[str, str]) -> None:
        """Let the sequence of ids go on behind the last one."""
        table = self._table(EVENTS).replace("%%", "%")
        ((last,),) = self._rows(f"SELECT MAX(notification_id) FROM {self._table(EVENTS)}")  # noqa: S608
        if last is not None:
            self._rows(
                "SELECT setval(pg_get_serial_sequence(%s, 'notification_id'), %s)", (table, last)
            )

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


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

"""The tables of the library's SQL recorders as a side of a move, whatever database they are in.

Theory of operation: a table whose rows have notification ids is read in their order, a page at a
time; another one, as an aggregate recorder's, in the order of its primary key. The database is left
to the class below: how a query is asked, how its parameters are marked, what types rows have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from aurora_es.errors import ArgumentError
from aurora_es.moving.moving_errors import SourceError, TargetError
from aurora_es.moving.pages import (
    EVENTS,
    ROWS_MAX,
    SNAPSHOTS,
    TRACKING,
    Extent,
    Page,
    Tracked,
    has_extras,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aurora_es.moving.pages import Row

COLUMNS = ("originator_id", "originator_version", "topic", "state")
COLUMN_LIST = ", ".join(COLUMNS)
_MIGRATION = "__migration__"  # a row of the library's own in its tracking table


class LibraryTables(ABC):
    """Events, snapshots and tracking records in tables of the library's recorders."""

    keeps_ids = True
    can_repeat = True
    is_durable = True
    id_column: ClassVar[str]  # of notification ids
    mark: ClassVar[str]  # that stands for a parameter of a query

    def __init__(self, name: str, tables: dict[str, str], originator_id_type: str) -> None:
        """Name the side for messages, and its tables by part."""
        if originator_id_type not in {"uuid", "text"}:
            message = f"originator_id_type: expected uuid or text, found {originator_id_type!r}"
            raise ArgumentError(message)
        self.name = name
        self._tables = tables
        self._has_uuids = originator_id_type == "uuid"
        self._connection: Any = None
        self._extents: dict[str, Extent] | None = None

    # What a database has of its own

    @abstractmethod
    def _rows(self, statement: str, parameters: Sequence[Any] = ()) -> Iterable[tuple[Any, ...]]:
        """All rows of a query; raises SourceError, or TargetError in a target."""

    @abstractmethod
    def _page(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows up to the bound of a page; the rest of the query is not read. Raises as ``_rows``."""

    def _page_rows(self) -> int:
        """Rows of a page, at most; one of a source becomes a commit of a journal."""
        return ROWS_MAX

    @abstractmethod
    def _table(self, part: str) -> str:
        """The table of ``part``, quoted for a query."""

    @abstractmethod
    def _has_table(self, part: str) -> bool:
        """Whether the table of ``part`` is there."""

    @abstractmethod
    def _has_ids(self, part: str) -> bool:
        """Whether the rows of a table that is there have notification ids."""

    @abstractmethod
    def _no_tables(self) -> SourceError:
        """The error for a database that has none of the tables."""

    @abstractmethod
    def _checked(
        self, part: str, found: list[tuple[Any, ...]], ids: Sequence[int] | None
    ) -> list[Row]:
        """Rows with ids as on disk, of what a query has found: a notification id, then columns.

        Raises SourceError, which names the row that is wrong.
        """

    @abstractmethod
    def _id_of(self, row: Row) -> object:
        """Id as the library's recorder of this kind writes it; raises TargetError."""

    # As a source

    def extents(self) -> dict[str, Extent]:
        """Counts, and the last id of events; raises SourceError if none of the tables is there."""
        if self._extents is None:
            self._extents = {}
            for part in (EVENTS, SNAPSHOTS):
                if self._has_table(part):
                    last = f", MAX({self.id_column})" if self._has_ids(part) else ""
                    statement = f"SELECT COUNT(*){last} FROM {self._table(part)}"  # noqa: S608 - quoted
                    (found,) = self._rows(statement)
                    self._extents[part] = Extent(*found)
            if not self._extents and not self._has_table(TRACKING):
                raise self._no_tables()
        return self._extents

    def left_out(self) -> list[str]:
        """Nothing that is known of."""
        return []

    def stream(self) -> Iterator[Page | Tracked]:
        """Events, snapshots, then tracking records."""
        extents = self.extents()
        for part in extents:
            yield from self._part_pages(part, extents[part].last_id)
        if ids := self.tracked(TRACKING):
            yield Tracked(EVENTS if EVENTS in extents else TRACKING, ids)

    def _part_pages(self, part: str, until: int | None) -> Iterator[Page]:
        if self._has_ids(part):
            yield from self._pages_by_id(part, until)
        else:
            yield from self._pages_by_key(part)

    def _pages_by_id(self, part: str, until: int | None) -> Iterator[Page]:
        number, mark = self.id_column, self.mark
        statement = (
            f"SELECT {number}, {COLUMN_LIST} FROM {self._table(part)}"  # noqa: S608 - quoted
            f" WHERE {number} > {mark} AND {number} <= {mark} ORDER BY {number} LIMIT {mark}"
        )
        after, last = -(1 << 63), (1 << 63) - 1 if until is None else until
        while found := self._page(statement, (after, last, self._page_rows())):
            ids = [row[0] for row in found]
            after = ids[-1]
            yield Page(part, self._checked(part, found, ids), ids)

    def _pages_by_key(self, part: str) -> Iterator[Page]:
        start = f"SELECT NULL, {COLUMN_LIST} FROM {self._table(part)}"  # noqa: S608 - quoted
        order = f" ORDER BY originator_id, originator_version LIMIT {self.mark}"
        where = f" WHERE (originator_id, originator_version) > ({self.mark}, {self.mark})"
        found = self._page(start + order, (self._page_rows(),))
        while found:
            yield Page(part, self._checked(part, found, None))
            last = found[-1]
            found = self._page(start + where + order, (last[1], last[2], self._page_rows()))

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
            f"SELECT NULL, {COLUMN_LIST} FROM {self._table(part)}"  # noqa: S608 - quoted
            f" WHERE originator_id = {self.mark} AND originator_version = {self.mark}"
        )
        found: list[Row | None] = []
        for row in rows:
            there = list(self._rows(statement, (self._id_of(row), row[1])))
            found.append(self._checked(part, there, None)[0] if there else None)
        return found

    def tracked(self, part: str) -> dict[str, int]:
        """Tracking records that are there."""
        if not self._has_table(TRACKING):
            return {}
        found = self._rows(
            f"SELECT application_name, MAX(notification_id) FROM {self._table(TRACKING)}"  # noqa: S608
            " GROUP BY application_name"
        )
        return {name: reached for name, reached in found if name != _MIGRATION}

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def refuse_extras(name: str, page: Page) -> None:
    """Raise TargetError if a row has what the library's recorders of 9.5 cannot hold."""
    for at, row in enumerate(page.rows):
        if has_extras(row):
            place = at if page.ids is None else page.ids[at]
            message = (
                f"{name}: expected {page.part} without tags, uuid and metadata, found some at"
                f" {place}; nothing of this page was written. Run `aurora-es export`"
                " with --without-extras to leave them out, or `aurora-es export jsonl`, which keeps them"
            )
            raise TargetError(message)

"""``JournaledView``: a materialised view whose tables and tracking are one journal.

Theory of operation: each transaction is one commit of the journal ``tracking`` of the projection's
directory: the tracking record and, in records of their own, the rows that changed. So both are
there or neither, and every process that opens the view folds the same log. A transaction holds the
journal's append lock from its beginning: what it reads is the newest state of all processes, and
nobody changes it meanwhile. Readers take no lock of the journal; they look at the mark, and apply
what is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

import msgspec

from aurora_es.errors import ArgumentError
from aurora_es.format.payload import UNDECODABLE
from aurora_es.recorder_errors import (
    FAULTS,
    RecorderArgumentError,
    RecorderRowTypeError,
    recorder_error,
)
from aurora_es.tracking_recorders import AuroraTrackingRecorder
from aurora_es.view_transaction import ViewCore, ViewTransaction

if TYPE_CHECKING:
    from eventsourcing.persistence import Tracking

    from aurora_es.store import AuroraStore

K = TypeVar("K")
V = TypeVar("V")
_T = TypeVar("_T")

_encode = msgspec.msgpack.Encoder().encode
_SHOWN_CHARACTERS_MAX = 80


class ViewTable(Generic[K, V]):
    """Declares a table of a view: ``counters = ViewTable(str, int)`` in the class's body.

    Keys and values are of types that msgspec knows: None, bool, int, float, str, bytes, datetime,
    UUID, Decimal, enumerations, dataclasses, msgspec.Struct, and lists, tuples, sets and
    dictionaries of these. The table's name on disk is the attribute's.
    """

    def __init__(self, key_type: type[K], value_type: type[V]) -> None:
        """Take the types, by which rows are decoded."""
        self.name = ""
        self.key_type: Any = key_type
        self.value_type: Any = value_type
        self.decode_key = msgspec.msgpack.Decoder(key_type).decode
        self.decode_value = msgspec.msgpack.Decoder(value_type).decode

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the attribute's name."""
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: JournaledView, owner: type) -> TableReader[K, V]: ...
    def __get__(self, instance: JournaledView | None, owner: type) -> Self | TableReader[K, V]:
        """The table of a view, to be read."""
        return self if instance is None else TableReader(instance._core, self)  # noqa: SLF001 - its own module

    def encode_key(self, key: K) -> bytes:
        """A key as it is on disk; raises ArgumentError for one of another type."""
        return self._encoded("key", key, self.decode_key)

    def encode_value(self, value: V) -> bytes:
        """A value as it is on disk; raises ArgumentError for one of another type."""
        return self._encoded("value", value, self.decode_value)

    def stored_value(self, key: bytes, value: bytes, core: ViewCore) -> V:
        """The value of a row; raises RecorderRowTypeError for one of another type."""
        try:
            return self.decode_value(value)
        except UNDECODABLE as error:
            raise self._of_another_type("value", key, value, core, error) from error

    def stored_rows(self, rows: list[tuple[bytes, bytes]], core: ViewCore) -> RecorderRowTypeError:
        """The error for the first of these rows that cannot be decoded."""
        for key, value in rows:
            for what, data, decode in (
                ("key", key, self.decode_key),
                ("value", value, self.decode_value),
            ):
                try:
                    decode(data)
                except UNDECODABLE as error:
                    return self._of_another_type(what, key, data, core, error)
        raise AssertionError("all rows can be decoded")

    def _of_another_type(
        self, what: str, key: bytes, data: bytes, core: ViewCore, error: Exception
    ) -> RecorderRowTypeError:
        expected = self.key_type if what == "key" else self.value_type
        return RecorderRowTypeError(
            f"{core.lease.path}, table {self.name!r}, key {_shown(key)}, as of position"
            f" {core.position}: expected a {what} of type {_name_of(expected)}, found"
            f" {_shown(data)} ({error}). Declare the table with the type that it was written with, or"
            " make it anew: `aurora-es projection rebuild`"
        )

    def _encoded(self, what: str, given: Any, decode: Any) -> bytes:
        """Encode, and see that it comes back: what cannot be read must not be stored."""
        try:
            data = _encode(given)
            found = decode(data)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            message = f"table {self.name!r}: {what}: expected its type, found {given!r}: {error}"
            raise RecorderArgumentError(message) from error
        if found != given and given == given:  # noqa: PLR0124 - a NaN is not equal to itself
            message = (
                f"table {self.name!r}: {what}: expected a value that is read as it is written, found"
                f" {given!r}, which would be read as {found!r}; declare the table with its type"
            )
            raise RecorderArgumentError(message)
        return data


class TableReader(Generic[K, V]):
    """A table of a view: what all processes have committed so far. Returns copies."""

    __slots__ = ("core", "table")

    def __init__(self, core: ViewCore, table: ViewTable[K, V]) -> None:
        """Read ``table`` of the view of ``core``."""
        self.core = core
        self.table = table

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: _T) -> V | _T: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value of ``key``, or ``default`` if there is none; raises as ``items`` does."""
        encoded = self.table.encode_key(key)
        page = self.core.own_page
        found = None if page is None else page.changes.get((self.table.name, encoded))
        if found is None:
            found = self._committed().get(encoded)
        return self.table.stored_value(encoded, found, self.core) if found else default

    def items(self, *, prefix: str | None = None) -> list[tuple[K, V]]:
        """Keys and values, in the order in which keys were put first.

        With ``prefix`` only those whose key begins with it, which has to be text then. Raises
        RecorderRowTypeError if a row was written with other types than the table is declared with.
        """
        decode_key, decode_value = self.table.decode_key, self.table.decode_value
        found = self._rows()
        with self.core.lock:  # no part of a commit without the rest
            copy = list(found.items())
        try:
            rows = [(decode_key(key), value) for key, value in copy]
            if prefix is not None:
                rows = [row for row in rows if str(row[0]).startswith(prefix)]
            return [(key, decode_value(value)) for key, value in rows]
        except UNDECODABLE as error:
            raise self.table.stored_rows(copy, self.core) from error

    def __contains__(self, key: object) -> bool:
        """Whether there is a row with ``key``."""
        encode_key: Any = self.table.encode_key
        return encode_key(key) in self._rows()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows())

    def _rows(self) -> dict[bytes, bytes]:
        page = self.core.own_page
        committed = self._committed()
        return committed if page is None else page.rows(self.table.name, committed)

    def _committed(self) -> dict[bytes, bytes]:
        try:
            return self.core.committed().rows(self.table.name)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__


class JournaledView(AuroraTrackingRecorder):
    """Base of materialised views that live in a journal of their own.

    Subclasses declare tables and write in transactions only::

        class Counters(JournaledView):
            counts = ViewTable(str, int)

            def count(self, name: str, tracking: Tracking) -> None:
                with self.transaction(tracking) as t:
                    t.put(self.counts, name, t.get(self.counts, name, 0) + 1)

    Any number of processes may read and write one view. All of it is held in memory.
    """

    def __init__(self, store: AuroraStore, **kwargs: Any) -> None:
        """Open the view of ``store``; what it holds is read at the first look."""
        super().__init__(store, **kwargs)
        self._core = ViewCore(self._lease, self._upstreams)

    def transaction(self, tracking: Tracking) -> ViewTransaction:
        """Change rows and record ``tracking`` as one commit: ``with self.transaction(…) as t``.

        The journal's lock is held in the block, and ``t.get(table, key, default)`` sees the newest
        state of all processes; ``t.put(table, key, value)`` and ``t.delete(table, key)`` change it.
        An exception in the block undoes all of it. Raises the library's IntegrityError if
        ``tracking`` does not rise, OperationalError when the lock cannot be had.
        """
        return ViewTransaction(self._core, tracking)

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record ``tracking`` without changes."""
        core = self._core
        page = core.own_page
        if page is not None:
            page.begin()
            page.end(ViewTransaction(core, tracking))
            return
        try:
            core.refuse_nesting()
        except ArgumentError as error:
            raise recorder_error(error) from None
        super().insert_tracking(tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        """Return the last notification id recorded for ``application_name``, or None.

        Raises as ``AuroraTrackingRecorder.max_tracking_id`` does.
        """
        page = self._core.own_page
        if page is not None and page.tracking is not None:
            return page.tracked(application_name)
        return super().max_tracking_id(application_name)


def _shown(data: bytes) -> str:
    """What a key or a value holds, whatever its type, as far as a message has room for it."""
    try:
        text = repr(msgspec.msgpack.decode(data))
    except UNDECODABLE:
        text = repr(data)
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return f"{text[:_SHOWN_CHARACTERS_MAX]} and so on"


def _name_of(declared: Any) -> str:
    return declared.__name__ if isinstance(declared, type) else repr(declared)


def core_of(view: JournaledView) -> ViewCore:
    """What a view is made of, for its parts in other modules: a view has no other public names."""
    return view._core  # noqa: SLF001

"""Transactions of a journaled view, and what they share with its readers.

Theory of operation: a transaction holds the append lock of the view's journal from its beginning to
its commit. The thread lock of the view protects the tables in memory; it is only ever taken inside
the append lock, never the other way round. Transactions inside a *page* (of a rebuild, or of a
runner with a backlog) become one commit with it: its thread sees what they have changed, all others
see nothing of it before.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from aurora_es.compat import tracked_name
from aurora_es.errors import ArgumentError, ConflictError
from aurora_es.face_logs import views_logger as logger
from aurora_es.format.view import VIEW_CHANGE, VIEW_CHECKPOINT, Change, encode_changes
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.conflicts import tracking_refusal
from aurora_es.recorder_errors import FAULTS, RecorderArgumentError, recorder_error
from aurora_es.view_state import ViewState
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from types import TracebackType

    from eventsourcing.persistence import Tracking

    from aurora_es.format.payload import TrackingData
    from aurora_es.journal.commit import Identity, Row
    from aurora_es.journal.exclusive import ExclusiveAppend
    from aurora_es.journal.handle import Handle
    from aurora_es.journal.journal import Journal
    from aurora_es.journal.sharing import JournalLease
    from aurora_es.upstream import UpstreamHistories
    from aurora_es.views import TableReader

K = TypeVar("K")
V = TypeVar("V")

_RECORD_BYTES = 1 << 20
_UNCHANGEABLE = frozenset({str, int, bytes, UUID})
_NO_KEY = object()


class ViewCore:
    """The tables of a view in this process, and the way to its journal."""

    def __init__(self, lease: JournalLease, upstreams: UpstreamHistories) -> None:
        """Use the journal of ``lease``; what it holds is read at the first look."""
        self.lease = lease
        self.upstreams = upstreams
        self.lock = threading.RLock()  # protects the state
        self._state = ViewState()
        # Thread that is in a transaction, and which one; written by it alone. Weak: what an interrupt
        # kept from being left, as at the first instruction of ``__exit__``, ends when it is dropped.
        self._inside: tuple[int, weakref.ref[ViewTransaction]] | None = None
        _cores.add(self)

    def committed(self) -> ViewState:
        """The state, caught up with what all processes have committed; raises ours or OSError."""
        journal = self.lease.journal
        handle, state = journal.handle, self._state
        if handle.descriptors is None and not journal.attach():
            return state
        return self._caught_up(handle, refresh(handle))

    def committed_under_lock(self, journal: Journal) -> ViewState:
        """The same, for the owner of the append lock of ``journal``, who has just caught up."""
        handle = journal.handle
        return self._caught_up(handle, handle.state.index.position)

    def _caught_up(self, handle: Handle, until: int) -> ViewState:
        state = self._state
        if state.position != until or state.epoch != handle.epoch:
            with self.lock:
                state.catch_up(handle, until)
        return state

    @property
    def position(self) -> int:
        """Position of the view's journal that its tables in memory reflect."""
        return self._state.position

    def applied(self, first: int, count: int, changes: list[Change], size: int) -> None:
        """Apply what this process has appended."""
        with self.lock:
            self._state.applied(first, first + count - 1, changes, size)

    def entered(self, transaction: ViewTransaction) -> None:
        """From here on this thread is in ``transaction``."""
        self._inside = threading.get_ident(), weakref.ref(transaction)

    def left(self) -> None:
        """Whoever was in a transaction is in none any more."""
        self._inside = None

    @property
    def own_transaction(self) -> ViewTransaction | None:
        """The transaction that this thread is in, the outermost one; None if it is in none."""
        inside = self._inside
        if inside is None or inside[0] != threading.get_ident():
            return None
        return inside[1]()

    @property
    def own_page(self) -> ViewPage | None:
        """The page that this thread is in, if it is in any."""
        transaction = self.own_transaction
        return transaction if isinstance(transaction, ViewPage) else None

    def refuse_nesting(self) -> None:
        """Raise ArgumentError if this thread is in a transaction: it would wait for itself."""
        if self.own_transaction is not None:
            message = (
                f"{self.lease.path}: expected no transaction of the view in this thread, found one;"
                " give its tracking to the outermost transaction, and do the rest behind it"
            )
            raise ArgumentError(message)

    def take_checkpoint_if_due(self, journal: Journal) -> None:
        """Append a checkpoint if opening the view would have to read many changes.

        Never raises for it: the commit that it comes after is acknowledged.
        """
        if not self._state.checkpoint_is_due:
            return
        with self.lock:
            states = self._state.checkpoint(self._state.position)
        if states is None:
            logger.warning(
                "%s: the view is too large for a checkpoint, so opening it reads all changes; a"
                " view in SQLite or PostgreSQL suits it better",
                self.lease.path,
            )
            return
        try:
            journal.append_rows(*checkpoint_rows(journal, states), None)
        except ConflictError:
            return  # another process has taken one
        except FAULTS as error:
            logger.warning("%s: no checkpoint of the view was taken: %s", self.lease.path, error)

    def renew_after_fork(self) -> None:
        """In the child: a thread of the parent may have held the lock, and changed the state."""
        self.lock = threading.RLock()
        self._state = ViewState()
        self._inside = None


def checkpoint_rows(journal: Journal, states: list[bytes]) -> tuple[list[Row], list[Identity]]:
    """The records of a new checkpoint."""
    before = journal.handle.state.index.last_version(VIEW_CHECKPOINT) or 0
    numbered = list(enumerate(states, before + 1))
    rows = [(VIEW_CHECKPOINT, version, VIEW_CHECKPOINT, state) for version, state in numbered]
    return rows, [(VIEW_CHECKPOINT, version) for version, _ in numbered]


_cores: weakref.WeakSet[ViewCore] = weakref.WeakSet()


def _renew_after_fork() -> None:
    for core in members_of(_cores):
        core.renew_after_fork()


os.register_at_fork(after_in_child=_renew_after_fork)


class ViewTransaction:
    """Changes of a view that become one commit with their tracking; see ``transaction``."""

    def __init__(self, core: ViewCore, tracking: Tracking | None) -> None:
        """Prepare; nothing is locked yet."""
        self.core = core
        self.tracking = tracking
        self.changes: dict[tuple[str, bytes], bytes] = {}
        self.state: ViewState | None = None  # in the block only
        self._page: ViewPage | None = None
        # The key that was encoded last, its table, and where its row is.
        self._key: object = _NO_KEY
        self._table: object = None
        self._last_place: tuple[str, bytes] = ("", b"")
        self._exclusive: ExclusiveAppend | None = None
        self._journal: Journal | None = None  # that is locked: the view may be closed meanwhile

    def get(self, table: TableReader[K, V], key: K, default: Any = None) -> Any:
        """The newest value of ``key``, own changes included; ``default`` if there is none."""
        place = self._place(table, key)
        found = self.changes.get(place)
        if found is None and self._page is not None:
            found = self._page.changes.get(place)
        if found is None:
            assert self.state is not None
            found = self.state.rows(place[0]).get(place[1])
        return table.table.stored_value(place[1], found, self.core) if found else default

    def put(self, table: TableReader[K, V], key: K, value: V) -> None:
        """Let ``key`` have ``value``; raises the library's ProgrammingError for a wrong type."""
        self.changes[self._place(table, key)] = table.table.encode_value(value)

    def delete(self, table: TableReader[K, V], key: K) -> None:
        """Let there be no row with ``key``."""
        self.changes[self._place(table, key)] = b""

    def _place(self, table: TableReader[K, V], key: K) -> tuple[str, bytes]:
        if table.core is not self.core or self.state is None:
            message = f"table {table.table.name!r}: expected one of this view, inside its `with`"
            raise RecorderArgumentError(message)
        if key is self._key and table.table is self._table:
            return self._last_place  # to get, and then to put, is what most transactions do
        place = table.table.name, table.table.encode_key(key)
        if type(key) in _UNCHANGEABLE:
            self._key, self._table, self._last_place = key, table.table, place
        return place

    def __enter__(self) -> Self:
        """Take the lock and catch up."""
        core = self.core
        page = core.own_page
        if page is not None:
            page.begin()
            self._page = page
            self.state = page.state
            return self
        try:
            core.refuse_nesting()
            self._journal = core.lease.journal
            exclusive = self._journal.exclusive()
            exclusive.__enter__()
            try:
                self.state = core.committed_under_lock(self._journal)
                core.entered(self)
            except BaseException:
                exclusive.__exit__()
                raise
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        self._exclusive = exclusive
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, unless the block raised; release the lock."""
        core, page, exclusive = self.core, self._page, self._exclusive
        if page is not None:
            self.state = self._page = None
            page.end(self if kind is None else None)
            return
        assert exclusive is not None
        try:
            try:
                if kind is None:
                    self._commit(exclusive)
            finally:
                self.state = self._exclusive = None
                core.left()
                exclusive.__exit__()
        except FAULTS as fault:
            raise recorder_error(fault) from fault.__cause__
        if kind is None:
            assert self._journal is not None
            self._journal.tend()
            core.take_checkpoint_if_due(self._journal)

    def _commit(self, exclusive: ExclusiveAppend) -> None:
        data = self._tracking_data()
        changes = [(name, key, value) for (name, key), value in self.changes.items()]
        states = _states_of(changes)
        if not states and data is None:
            return
        rows: list[Row] = [(None, None, VIEW_CHANGE, state) for state in states]
        first = exclusive.append(rows, [(None, None)] * len(rows), data)
        self.core.applied(first, len(rows), changes, sum(map(len, states)))

    def _tracking_data(self) -> TrackingData | None:
        tracking = self.tracking
        if tracking is None:
            return None
        return self.core.upstreams.data_of(tracking)


class ViewPage(ViewTransaction):
    """Holds the lock over many transactions of its thread, which become one commit at its end.

    An exception in the block undoes all of them. Each is checked as it would be alone.
    """

    def __init__(self, core: ViewCore) -> None:
        """Prepare; nothing is locked yet."""
        super().__init__(core, None)
        self._has_begun = False  # one of its transactions

    def begin(self) -> None:
        """Let a transaction begin; raises the library's ProgrammingError inside another one."""
        if self._has_begun:
            try:
                self.core.refuse_nesting()
            except ArgumentError as error:
                raise recorder_error(error) from None
        self._has_begun = True

    def end(self, transaction: ViewTransaction | None) -> None:
        """Take the changes of the transaction that ends, None if it raised."""
        self._has_begun = False
        if transaction is not None:
            if transaction.tracking is not None:
                self.track(transaction.tracking)
            self.changes |= transaction.changes

    def track(self, tracking: Tracking) -> None:
        """Let the commit track this; raises the library's IntegrityError unless it rises."""
        name, before = tracked_name(tracking), self.tracked(tracked_name(tracking))
        if before is not None and before >= tracking.notification_id:
            raise recorder_error(tracking_refusal(name, before))
        if self.tracking is not None and tracked_name(self.tracking) != name:
            message = (
                f"{self.core.lease.path}: expected tracking of {tracked_name(self.tracking)!r} in"
                f" this page, found tracking of {name!r}; the library's ProjectionRunner, which"
                " commits each event, takes both"
            )
            raise RecorderArgumentError(message)
        self.tracking = tracking

    def tracked(self, name: str) -> int | None:
        """How far the application ``name`` was followed, this page included; None if not at all."""
        if self.tracking is not None and tracked_name(self.tracking) == name:
            return self.tracking.notification_id
        assert self._journal is not None
        recorded = self._journal.handle.state.index.tracking.get(name)
        return None if recorded is None else recorded.notification_id

    def rows(self, table: str, committed: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Rows of a table as this page leaves them, from those that were there before."""
        rows = committed.copy()
        for (name, key), value in self.changes.items():
            if name == table:
                if value:
                    rows[key] = value
                else:
                    rows.pop(key, None)
        return rows


def _states_of(changes: list[Change]) -> list[bytes]:
    """Changes as the states of records of a bounded size."""
    states, begin, size = [], 0, 0
    for at, (_, key, value) in enumerate(changes):
        if size > _RECORD_BYTES:
            states.append(encode_changes(changes[begin:at]))
            begin, size = at, 0
        size += len(key) + len(value)
    if changes:
        states.append(encode_changes(changes[begin:]))
    return states

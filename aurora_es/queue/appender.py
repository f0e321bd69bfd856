"""Appends for an event loop, which must not wait for a disk.

Theory of operation: whatever could wait (a sync, a roll, another process's lock) is appended by
one thread per journal, which takes all that is pending at once and writes it as one commit: so any
number of tasks share a sync. Handing over takes no lock that anybody holds for long, and the thread
tells the loop when it is done. Where the sync mode promises no sync, and nothing is on its way, an
append waits for nobody and takes less time than handing it over: it is done here and now.

Order: what was handed over first gets the lower position. An append of here and now therefore
happens only while nothing is with the thread.

Cancellation: a future that is cancelled before the thread takes its entry takes it back. Later the
entry is written whole, whether anybody still waits for it or not.

One entry that cannot be written (headers that no record can hold) refuses nobody else: what was joined
to one commit with it is then appended entry by entry.

Concurrency: attributes belong to the thread of the loop; the thread sees the inbox only.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

from aurora_es.errors import ArgumentError, LockTimeoutError, TooLargeError
from aurora_es.queue.queue_errors import QueueClosedError, other_loop
from aurora_es.queue.queue_logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aurora_es.journal.commit import Identity, Row
    from aurora_es.journal.journal import Journal

UNSYNCED_BYTES_MAX_DEFAULT = 8 << 20
_COMMIT_BYTES_MAX = 4 << 20  # what is joined to one commit; a single call may exceed it
_ROW_OVERHEAD_BYTES = 64
NOBODY: Identity = (None, None)  # of a record without originator


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None  # between two runs of the loop


class Entry:
    """What one call appends, and who is to be told."""

    __slots__ = (
        "error",
        "first_position",
        "future",
        "identities",
        "is_alone",
        "rows",
        "size_bytes",
    )

    def __init__(
        self,
        rows: Sequence[Row],
        identities: Sequence[Identity] | None,
        size_bytes: int,
        future: asyncio.Future[int],
    ) -> None:
        """Append ``rows``; ``identities`` None means that they belong to no originator."""
        self.rows = rows
        self.identities = [NOBODY] * len(rows) if identities is None else identities
        # A conflict refuses a whole commit: it must not take others with it.
        self.is_alone = identities is not None
        self.size_bytes = size_bytes + _ROW_OVERHEAD_BYTES * len(rows)
        self.future = future
        self.first_position = 0
        self.error: BaseException | None = None


_Inbox = queue.SimpleQueue["Entry | None"]


class Appender:
    """Appends to one journal for the tasks of one loop."""

    def __init__(
        self,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        *,
        unsynced_bytes_max: int = UNSYNCED_BYTES_MAX_DEFAULT,
    ) -> None:
        """Serve ``loop``, in whose thread this is called; the thread starts when it is needed."""
        self.journal = journal
        self._loop = loop
        self._unsynced_bytes_max = unsynced_bytes_max
        self._unsynced_bytes = 0
        self._unfinished = 0  # entries with the thread
        self._room: deque[asyncio.Future[None]] = deque()
        self._inbox: _Inbox = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def is_full(self) -> bool:
        """Whether what is on its way has reached the bound."""
        return self._unsynced_bytes >= self._unsynced_bytes_max or bool(self._room)

    def append_at_once(
        self, rows: Sequence[Row], identities: Sequence[Identity] | None = None
    ) -> int:
        """Append here and now if that waits for nobody; returns the first position, or 0 if not."""
        if self._unfinished or not self.journal.appends_at_once():
            return 0
        known = [NOBODY] * len(rows) if identities is None else identities
        try:
            return self.journal.append_rows(rows, known, None, lock_timeout=0.0)
        except LockTimeoutError:  # somebody else is appending just now: nothing was written
            return 0

    def submit(
        self, rows: Sequence[Row], size_bytes: int, identities: Sequence[Identity] | None = None
    ) -> asyncio.Future[int]:
        """Hand over to the thread; the future gives the first position when it is durable.

        Raises QueueClosedError behind ``stop``, QueueError in another event loop, and ForkedHandle
        in the child of a fork, where there is no such thread.
        """
        if self._stopped:
            message = f"{self.journal.handle.path}: the queue was closed; open it again"
            raise QueueClosedError(message)
        if self.journal.handle.forked:
            self.journal.handle.check_usable()
        if _running_loop() not in {None, self._loop}:
            raise other_loop(self.journal.handle.path)
        future: asyncio.Future[int] = self._loop.create_future()
        entry = Entry(rows, identities, size_bytes, future)
        if self._thread is None:
            self._start()
        self._unfinished += 1
        self._unsynced_bytes += entry.size_bytes
        self._inbox.put(entry)
        if self._room:
            self._give_room()
        return future

    async def room(self) -> None:
        """Return when less is on its way than the bound allows; first come, first served."""
        while self.is_full:
            future: asyncio.Future[None] = self._loop.create_future()
            self._room.append(future)
            try:
                await future
            except BaseException:
                if future in self._room:
                    self._room.remove(future)
                self._give_room()  # it may have been given to this one, who has no use for it
                raise
            if self._unsynced_bytes < self._unsynced_bytes_max:
                return

    def pass_room_on(self) -> None:
        """Let the next one have the room that was given to who has no use for it any more."""
        self._give_room()

    async def drain(self) -> None:
        """Return when everything is written that was handed over before."""
        if self._unfinished:
            await asyncio.shield(self.submit((), 0))

    def stop(self) -> None:
        """Take nothing more, and let the thread end when it has written what it was given."""
        self._stopped = True
        if self._thread is not None:
            self._inbox.put(None)

    def join(self) -> None:
        """Wait until the thread has ended behind ``stop``; in any thread but that of the loop."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=_append_all,
            args=(self._inbox, self.journal, _tell_loop(self._loop, weakref.ref(self))),
            name=f"aurora-queue-appender {self.journal.handle.path}",
            daemon=True,
        )
        self._thread.start()
        weakref.finalize(self, self._inbox.put, None)

    def _settle(self, entries: list[Entry]) -> None:
        """Answer; in the thread of the loop."""
        for entry in entries:
            self._unfinished -= 1
            self._unsynced_bytes -= entry.size_bytes
        answer(entries)
        self._give_room()

    def _give_room(self) -> None:
        while self._room and self._room[0].done():
            self._room.popleft()
        if self._room and self._unsynced_bytes < self._unsynced_bytes_max:
            self._room.popleft().set_result(None)


def answer(entries: list[Entry]) -> None:
    """Tell who waits for ``entries`` what became of them."""
    for entry in entries:
        future, error = entry.future, entry.error
        # An error's traceback knows the entry: if the entry knew the error, both would keep the
        # descriptors of a closed journal open until the next garbage collection.
        del entry.future, entry.error
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(entry.first_position)


def _tell_loop(
    loop: asyncio.AbstractEventLoop, appender: weakref.ref[Appender]
) -> Callable[[list[Entry]], None]:
    def settle(entries: list[Entry]) -> None:
        found = appender()
        if found is None:
            answer(entries)
        else:
            found._settle(entries)  # noqa: SLF001

    def tell(entries: list[Entry]) -> None:
        try:
            loop.call_soon_threadsafe(settle, entries)
        except RuntimeError:
            # The loop was closed meanwhile; its tasks are gone, and what they sent is written.
            logger.debug("%d answers came after their event loop was closed", len(entries))

    return tell


def _append_all(inbox: _Inbox, journal: Journal, tell: Callable[[list[Entry]], None]) -> None:
    """Append what comes, until there comes None; in the thread."""
    held: Entry | None = None
    while (entry := held or inbox.get()) is not None:
        entries, held, ended = _take(inbox, entry)
        _append_or_refuse(journal, entries)
        tell(entries)
        if ended:
            return


def _take(inbox: _Inbox, first: Entry) -> tuple[list[Entry], Entry | None, bool]:
    """What is joined to one commit, what has to come after it, and whether nothing else does."""
    entries = [first]
    size = first.size_bytes
    while not first.is_alone and size < _COMMIT_BYTES_MAX and not inbox.empty():
        entry = inbox.get()
        if entry is None:
            return entries, None, True
        if entry.is_alone:
            return entries, entry, False
        entries.append(entry)
        size += entry.size_bytes
    return entries, None, False


def _append_or_refuse(journal: Journal, entries: list[Entry]) -> None:
    try:
        _append(journal, entries)
    except (ArgumentError, TooLargeError) as error:  # of one of them, or of all together
        if len(entries) > 1:
            for entry in entries:
                _append_or_refuse(journal, [entry])
        else:
            _refuse(entries, error)
    except BaseException as error:  # noqa: BLE001 - its own caller gets it, whatever it is
        _refuse(entries, error)


def _refuse(entries: list[Entry], error: BaseException) -> None:
    for entry in entries:
        if entry.rows:  # who only drains is not concerned
            entry.error = error


def _append(journal: Journal, entries: list[Entry]) -> None:
    # Whoever cancels from here on comes too late.
    wanted = [entry for entry in entries if not entry.future.cancelled()]
    if len(wanted) == 1:
        rows, identities = wanted[0].rows, wanted[0].identities
    else:
        rows = [row for entry in wanted for row in entry.rows]
        identities = [identity for entry in wanted for identity in entry.identities]
    if not rows:
        return
    first = journal.append_rows(rows, identities, None)
    for entry in wanted:
        entry.first_position = first
        first += len(entry.rows)

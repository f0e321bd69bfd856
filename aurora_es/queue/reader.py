"""Reads messages by position: what all receivers share, without any waiting.

Theory of operation: a reader stands between two messages. It holds the messages behind it that one
read gave (a *page*) and hands them out one by one. A page is read where the index says that there is
one; only when it knows of none, the mark is read. Positions that were dropped by retention raise
OvertakenError; nothing is ever passed over but what a repair found lost (see ``journal/holes.py``),
and a group, which has to acknowledge every position, is given a message of ``LOST_TYPE`` for that.

The local names and loops are for ``benchmarks`` (rows "round trip" and "replay").
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from aurora_es.errors import (
    ArgumentError,
    AuroraError,
    HistoryChangedError,
    StorageError,
    TruncatedError,
)
from aurora_es.format.payload import RecordData
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.reading import read_piece
from aurora_es.journal.records import timestamp_of
from aurora_es.journal.truncation import check_position
from aurora_es.queue.messages import decode_body, message_of
from aurora_es.queue.queue_errors import OvertakenError, StartReachedError

if TYPE_CHECKING:
    from aurora_es.journal.journal import Journal
    from aurora_es.journal.reading import Group

Entry = tuple[int, int, RecordData]  # position, timestamp in microseconds, record
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # no message is older
_position_of: Any = itemgetter(0)
# Type name of what stands for a message that is lost; no value is of it.
LOST_TYPE = "aurora_es.queue.lost"


class Place:
    """Where a receiver begins: see ``START`` and ``END``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


START: Final = Place("START")  # the first message that is retained
END: Final = Place("END")  # behind the last message that is there now

Target = Place | int | datetime


class MessageReader:
    """A place among the messages of one journal; for one thread at a time."""

    def __init__(self, journal: Journal, target: Target) -> None:
        """Stand before the message that ``target`` names; see ``seek``."""
        self._journal = journal
        self._handle = journal.handle
        self._epoch: int | None = None
        self._page: list[Entry] = []
        self._at = 0
        self.position = 0  # of the last message handed out; the next one is behind it
        self.seek(target)

    def seek(self, target: Target) -> None:
        """Stand before ``START``, ``END``, a position, or the first message from a time on.

        Raises ArgumentError; where that was dropped, OvertakenError at the next message.
        """
        if target is START:
            position = self._journal.first_position - 1
        elif target is END:
            position = self._journal.last_position
        elif isinstance(target, datetime):
            timestamp_of(target)  # refuses one without a zone, as it was given
            moment_before = max(target, _EPOCH) - timedelta(microseconds=1)
            position = self._journal.position_at(moment_before)
        elif isinstance(target, int) and not isinstance(target, bool) and target >= 1:
            position = target - 1
        else:
            message = f"expected START, END, a position from 1 on, or a time; found {target!r}"
            raise ArgumentError(message)
        self._page, self._at = [], 0
        self.position = position
        self._epoch = self._handle.epoch

    def peek(self) -> Entry | None:
        """The next message, None while there is none; raises OvertakenError, CorruptionError."""
        at = self._at
        if at < len(self._page):
            return self._page[at]
        return self._read_page()

    def advance(self) -> None:
        """Go behind the message that ``peek`` gave."""
        self.position = self._page[self._at][0]
        self._at += 1

    def take_page(self, count: int) -> list[Entry]:
        """Go behind up to ``count`` messages, and return them; raises ArgumentError below 1."""
        if count < 1:
            message = f"count: expected 1 or more, found {count}"
            raise ArgumentError(message)
        taken: list[Entry] = []
        while len(taken) < count and self.peek() is not None:
            at = self._at
            part = self._page[at : at + count - len(taken)]
            taken += part
            self._at = at + len(part)
            self.position = taken[-1][0]
        return taken

    def look_back(self) -> Entry:
        """The message that was handed out last; raises StartReachedError at the first one."""
        position = self.position
        if position < self._journal.first_position:
            message = f"{self._handle.path}: there is no message at or before position {position}"
            raise StartReachedError(message)
        if 0 < self._at <= len(self._page) and self._page[self._at - 1][0] == position:
            return self._page[self._at - 1]
        if position > self._visible():
            message = f"{self._handle.path}: position {position} does not exist yet"
            raise StartReachedError(message)
        return self.entry_at(position)

    def go_back(self) -> None:
        """Stand before the message that ``look_back`` gave."""
        self.position -= 1
        if self._at > 0:
            self._at -= 1
        else:
            self._page = []

    def entry_at(self, position: int) -> Entry:
        """Any visible message by its position; one that is lost is of the type ``LOST_TYPE``."""
        for entry in self._entries(position, position):
            if entry[0] == position:
                return entry
        return _lost(position)

    def fetch(self, position: int) -> Entry:
        """The same; what is behind it is kept for the next call.

        For readers that stand nowhere: it uses the page of ``peek``.
        """
        page = self._page
        if not page or not page[0][0] <= position <= page[-1][0]:
            page = self._page = self._entries(position, self._visible())
        at = bisect_left(page, position, key=_position_of)
        if at < len(page) and page[at][0] == position:
            return page[at]
        return _lost(position)

    def last_position(self) -> int:
        """Position of the newest visible message."""
        return self._visible()

    def _read_page(self) -> Entry | None:
        position = self.position
        # What the index knows is visible: it never runs ahead of the mark.
        until = self._handle.state.index.position
        if until <= position or self._epoch != self._handle.epoch:
            until = self._visible()
            if until <= position:
                return None
        elif self._handle.descriptors is None:
            self._handle.check_usable()
        page = self._entries(position + 1, until)
        if not page:
            self.position = until  # all of it is lost: who waits here would be woken for ever
            return None
        if page[0][0] <= position:  # a frame begins before what was asked for
            page = [entry for entry in page if entry[0] > position]
        self._page, self._at = page, 0
        self._visible_epoch()
        return page[0]

    def _entries(self, position: int, until: int) -> list[Entry]:
        try:
            check_position(self._handle, position)
            groups: list[Group] = []
            while not groups and position <= until:  # a piece may be lost as a whole
                groups, position = read_piece(self._handle, position, until)
        except TruncatedError as error:
            message = (
                f"{error}. This receiver was overtaken by retention: seek(START) goes on with what"
                " is left; a name or a group keeps messages until they were received"
            )
            raise OvertakenError(message, error.retained_from) from error
        except AuroraError:
            raise
        except OSError as error:
            message = f"{self._handle.path}: {error}; messages could not be read; `aurora-es doctor` looks at rights and limits"
            raise StorageError(message) from error
        if len(groups) == 1:
            first, timestamp, records = groups[0]
            if len(records) == 1:  # the most frequent page of who waits
                return [(first, timestamp, records[0])]
        return [
            (first + ordinal, timestamp, data)
            for first, timestamp, records in groups
            for ordinal, data in enumerate(records)
            if first + ordinal <= until
        ]

    def _visible(self) -> int:
        if self._handle.descriptors is None:
            self._journal.attach()
        try:
            visible = refresh(self._handle)
        except AuroraError:
            raise
        except OSError as error:
            message = f"{self._handle.path}: {error}; messages could not be read; `aurora-es doctor` looks at rights and limits"
            raise StorageError(message) from error
        self._visible_epoch()
        return visible

    def _visible_epoch(self) -> None:
        """Raise HistoryChangedError if visible messages were taken back since the last seek."""
        epoch = self._handle.epoch
        if self._epoch is None:
            self._epoch = epoch
        elif epoch != self._epoch:
            message = (
                f"{self._handle.path}: the epoch changed from {self._epoch} to {epoch}: messages"
                " that were not on disk yet were lost to a power cut, or a backup was restored."
                " Call seek() with a position that you trust, or restore (`aurora-es restore`) what followed"
            )
            raise HistoryChangedError(message)


def value_or_message(entry: Entry, kind: Any) -> Any:
    """What ``next`` returns: the value if a type is asked for, the whole message if not."""
    if kind is None:
        return message_of(*entry)
    data = entry[2]
    return decode_body(kind, data.topic, data.state, entry[0])


def _lost(position: int) -> Entry:
    """Stands for a message that a repair found lost: a group must not wait for it for ever."""
    return position, 0, RecordData(None, None, LOST_TYPE, b"")

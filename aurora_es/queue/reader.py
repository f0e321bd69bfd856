"""Reads messages by position: what all receivers share, without any waiting.

Theory of operation: a reader stands between two messages. It holds the messages behind it that one
read gave (a *page*) and hands them out one by one. A page is read where the index says that there is
one; only when it knows of none, the mark is read. Positions that were dropped by retention raise
OvertakenError; nothing is ever passed over.

The local names and loops are for ``benchmarks`` (rows "round trip" and "replay").
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from aurora_es.errors import (
    ArgumentError,
    AuroraError,
    HistoryChangedError,
    StorageError,
    TruncatedError,
)
from aurora_es.journal.catch_up import refresh
from aurora_es.journal.reading import read_piece
from aurora_es.journal.truncation import check_position
from aurora_es.queue.messages import decode_body, message_of
from aurora_es.queue.queue_errors import OvertakenError, StartReachedError

if TYPE_CHECKING:
    from aurora_es.format.payload import RecordData
    from aurora_es.journal.journal import Journal
    from aurora_es.queue.messages import Message

Entry = tuple[int, int, "RecordData"]  # position, timestamp in microseconds, record


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

        Raises ArgumentError, OvertakenError where that was dropped.
        """
        if target is START:
            position = self._journal.first_position - 1
        elif target is END:
            position = self._journal.last_position
        elif isinstance(target, datetime):
            position = self._journal.position_at(target - timedelta(microseconds=1))
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
        """Go behind up to ``count`` messages, and return them."""
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
        """Any visible message by its position."""
        for entry in self._entries(position, position):
            if entry[0] == position:
                return entry
        message = f"{self._handle.path}: position {position} cannot be found"  # a bug of ours
        raise AssertionError(message)

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
        if page[0][0] <= position:  # a frame begins before what was asked for
            page = [entry for entry in page if entry[0] > position]
        self._page, self._at = page, 0
        self._visible_epoch()
        return page[0]

    def _entries(self, position: int, until: int) -> list[Entry]:
        try:
            check_position(self._handle, position)
            groups = read_piece(self._handle, position, until)
        except TruncatedError as error:
            message = (
                f"{error}. This receiver was overtaken by retention: seek(START) goes on with what"
                " is left; a name or a group keeps messages until they were received"
            )
            raise OvertakenError(message, error.retained_from) from error
        except AuroraError:
            raise
        except OSError as error:
            message = f"{self._handle.path}: {error}; messages could not be read"
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
            message = f"{self._handle.path}: {error}; messages could not be read"
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
                " Call seek() with a position that you trust"
            )
            raise HistoryChangedError(message)


def message_at(reader: MessageReader, position: int, attempts: int) -> Message:
    """Any visible message, in its public form."""
    return message_of(*reader.entry_at(position), attempts)


def value_or_message(entry: Entry, kind: Any) -> Any:
    """What ``next`` returns: the value if a type is asked for, the whole message if not."""
    if kind is None:
        return message_of(*entry)
    data = entry[2]
    return decode_body(kind, data.topic, data.state, entry[0])

"""Looks at a queue from outside, and at what its groups have put aside: for the command line.

Theory of operation: looking opens both journals for reading, takes no lock and names nobody, so a
queue may be in use meanwhile. What is done about parked messages is appended to the journal of
cursors like the records of any member; a group that is in use sees it with its next look. Who was
faster does no harm: a message that is parked no more is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from aurora_es.errors import ConflictError
from aurora_es.queue.cursor_records import GROUP, Discard, Redeliver, draft_of
from aurora_es.queue.cursors import check_kind
from aurora_es.queue.messages import message_of
from aurora_es.queue.queue_errors import QueueError
from aurora_es.queue.reader import START, MessageReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aurora_es.queue.cursor_state import NameState
    from aurora_es.queue.cursors import CursorLog
    from aurora_es.queue.messages import Message

_POSITIONS_PER_RECORD = 10_000
Action = Literal["redeliver", "discard"]


class NameReport(msgspec.Struct, frozen=True, kw_only=True):
    """A named receiver or a group, and where it is."""

    name: str
    kind: str  # "receiver" or "group"
    position: int  # everything up to it was looked at
    lag: int  # messages that nobody is done with, parked ones left out
    held: int  # of these: with members of the group, or waiting for one
    parked: int
    needed_from: int  # position of the first message that it keeps from retention


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it was found."""

    path: str
    first_position: int  # of what retention has left
    last_position: int
    names: tuple[NameReport, ...]


class ParkedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a group has put aside."""

    group: str
    message: Message
    reason: str


def look(log: CursorLog, path: str) -> QueueReport:
    """Where all names of an open queue are; ``path`` is its directory."""
    names = log.names()
    last = log.messages.last_position  # behind the look at the names: no lag is below 0
    return QueueReport(
        path=path,
        first_position=log.messages.first_position,
        last_position=last,
        names=tuple(_report(name, names[name], last) for name in sorted(names)),
    )


def _report(name: str, state: NameState, last_position: int) -> NameReport:
    return NameReport(
        name=name,
        kind=state.kind,
        position=state.frontier,
        lag=state.lag(last_position),
        held=len(state.held),
        parked=len(state.parked),
        needed_from=state.first_needed(),
    )


def name_in(log: CursorLog, name: str) -> NameState:
    """What is known of a name; raises QueueError that tells those in use if it is none of them."""
    names = log.names()
    if name not in names:
        known = ", ".join(map(repr, sorted(names))) or "none"
        message = f"expected a name in use, found {name!r}; in use: {known}"
        raise QueueError(message)
    return names[name]


def group_in(log: CursorLog, name: str) -> NameState:
    """The same of a group; raises NameKindError for a receiver, which parks nothing."""
    found = name_in(log, name)
    check_kind(name, found, GROUP)
    return found


def parked_in(
    log: CursorLog, name: str, positions: Collection[int] | None = None
) -> Iterator[ParkedMessage]:
    """Messages that a group has put aside, in order; of ``positions`` only, where given.

    Raises QueueError for a name that is not in use, and for a position that is not parked.
    """
    parked = group_in(log, name).parked
    reader = MessageReader(log.messages, START)
    last = log.messages.last_position
    for position in _chosen(name, parked, positions):
        if position > last:
            continue  # taken back by a recovery that nobody has looked at for the cursors yet
        one = parked[position]
        message: Message = message_of(*reader.fetch(position), one.attempts)
        yield ParkedMessage(group=name, message=message, reason=one.reason)


def resolve(
    log: CursorLog, name: str, positions: Collection[int] | None, *, action: Action
) -> list[int]:
    """Let a group's parked messages be handed out again, or be done with; returns their positions.

    All of them where ``positions`` is None. The queue is open for sending. Raises as ``parked_in``.
    """
    chosen = _chosen(name, group_in(log, name).parked, positions)
    kind: Any = Redeliver if action == "redeliver" else Discard
    for first in range(0, len(chosen), _POSITIONS_PER_RECORD):
        log.append(draft_of(kind(name, chosen[first : first + _POSITIONS_PER_RECORD])))
        log.append_due_state()
    return chosen


def forget(log: CursorLog, name: str) -> None:
    """Let a name be used no more, so that it keeps no messages; raises QueueError if it is not."""
    name_in(log, name)
    while (draft := log.forget(name)) is not None:
        try:
            log.append(draft)
        except ConflictError:
            continue  # its receiver or group has just committed
        return


def _chosen(name: str, parked: Collection[int], positions: Collection[int] | None) -> list[int]:
    if positions is None:
        return sorted(parked)
    missing = sorted(set(positions) - set(parked))
    if missing:
        message = (
            f"group {name!r}: expected positions of parked messages, found {missing[0]}, which is"
            " not parked; `aurora-es queue parked` lists those that are"
        )
        raise QueueError(message)
    return sorted(set(positions))

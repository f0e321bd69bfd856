"""What names have received, as a fold of the records of cursors; and which messages come next.

Theory of operation: of a group three things are known. Its *frontier*: every message up to it has
been looked at. What is *held*: messages up to the frontier that nobody is done with; they are with
a member until a time, or wait for one (their time has come, or is still to come). What is *parked*.
Every other message up to the frontier is done. So the state is as large as what is going on, and
not as the queue. A named receiver has a frontier only.

Everything here is a pure function of the records, the time and the keys of messages: no files and
no clock.

Order per key: of the messages of one key that are not done, only the first may be with a member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.queue.cursor_records import (
    FORGOTTEN,
    GROUP,
    Acknowledge,
    AnyRecord,
    Begin,
    Claim,
    Commit,
    Discard,
    EpochChange,
    Extend,
    Forget,
    Move,
    Park,
    Redeliver,
    Release,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.queue.cursor_records import Keyed

# Messages of a group that were looked at and that nobody is done with; beyond it no new ones are
# looked at. Every claim goes through them: ten thousand take 0.5 ms.
HELD_MAX = 10_000
_PASSED_MAX = 1_000  # by one claim: its record stays small, and a loop is not held up
_EXPIRED = "handed out too often without being acknowledged"


class Held(msgspec.Struct, array_like=True):
    """A message that nobody is done with."""

    key: str | None
    attempts: int
    holder: str  # "": nobody
    until: int  # when it may be handed out (again)


class Parked(msgspec.Struct, array_like=True):
    """A message that was put aside."""

    key: str | None
    attempts: int
    reason: str


class NameState(msgspec.Struct, array_like=True):
    """What is known of a receiver's or group's name."""

    kind: str  # of a named receiver or a group
    version: int  # rises with each record about the name
    frontier: int  # position up to which nothing is needed any more, but for what is held or parked
    held: dict[int, Held] = {}  # by position: claimed, or given back for later
    parked: dict[int, Parked] = {}  # by position

    def first_needed(self) -> int:
        """Position of the first message that is still needed."""
        return min((self.frontier + 1, *self.held, *self.parked))

    def lag(self, last_position: int) -> int:
        """How many messages up to ``last_position`` nobody is done with, parked ones left out."""
        return max(last_position - self.frontier, 0) + len(self.held)


class CursorState(msgspec.Struct, array_like=True):
    """The fold of all records of cursors up to position ``as_of`` of their journal."""

    as_of: int = 0
    epoch: int | None = None  # of the journal of messages
    epoch_version: int = 0
    state_version: int = 0
    names: dict[str, NameState] = {}

    def last_known(self) -> int:
        """Position of the last message that any name has looked at."""
        return max((name.frontier for name in self.names.values()), default=0)


encode_state = msgspec.msgpack.Encoder().encode
decode_state = msgspec.msgpack.Decoder(CursorState).decode


def fold(state: CursorState, record: AnyRecord) -> None:
    """Change ``state`` as ``record`` says. What it says of an unknown name changes nothing."""
    if isinstance(record, EpochChange):
        _fold_epoch(state, record)
        return
    if isinstance(record, Begin):
        before = state.names.get(record.name)
        version = 0 if before is None else before.version
        state.names[record.name] = NameState(record.kind, version + 1, record.frontier, {}, {})
        if state.epoch is None:
            state.epoch = record.epoch
        return
    name = state.names.get(record.name)
    if name is not None:
        _FOLDS[type(record)](name, record)


def _fold_epoch(state: CursorState, record: EpochChange) -> None:
    state.epoch = record.epoch
    state.epoch_version += 1
    last = record.last_position
    for name in state.names.values():
        name.frontier = min(name.frontier, last)
        for places in (name.held, name.parked):
            for position in [position for position in places if position > last]:
                del places[position]


def _fold_commit(name: NameState, record: Commit | Move) -> None:
    name.version += 1
    name.frontier = record.frontier
    name.held, name.parked = {}, {}


def _fold_claim(name: NameState, record: Claim) -> None:
    name.version += 1
    for position in record.parked:
        gone = name.held.pop(position, None)
        if gone is not None:
            name.parked[position] = Parked(gone.key, gone.attempts, _EXPIRED)
    for position, key in record.claimed:
        before = name.held.get(position)
        attempts = 0 if before is None else before.attempts
        name.held[position] = Held(key, attempts + 1, record.holder, record.until)
    for position, key in record.passed:
        name.held[position] = Held(key, 0, "", 0)
    name.frontier = max(name.frontier, record.frontier)


def _fold_acknowledge(name: NameState, record: Acknowledge) -> None:
    for position in record.positions:
        name.held.pop(position, None)
        name.parked.pop(position, None)


def _fold_release(name: NameState, record: Release) -> None:
    for position in record.positions:
        held = name.held.get(position)
        if held is not None and held.holder == record.holder:
            held.holder, held.until = "", record.visible_at
            held.attempts -= not record.is_counted


def _fold_extend(name: NameState, record: Extend) -> None:
    for position in record.positions:
        held = name.held.get(position)
        if held is not None and held.holder == record.holder:
            held.until = record.until


def _fold_park(name: NameState, record: Park) -> None:
    for position in record.positions:
        held = name.held.get(position)
        if held is not None and held.holder == record.holder:
            del name.held[position]
            name.parked[position] = Parked(held.key, held.attempts, record.reason)


def _fold_redeliver(name: NameState, record: Redeliver) -> None:
    for position in record.positions:
        parked = name.parked.pop(position, None)
        if parked is not None:
            name.held[position] = Held(parked.key, 0, "", 0)


def _fold_discard(name: NameState, record: Discard) -> None:
    for position in record.positions:
        name.parked.pop(position, None)


def _fold_forget(name: NameState, record: Forget) -> None:
    name.version += 1
    name.kind = FORGOTTEN
    name.held, name.parked = {}, {}


_FOLDS: dict[type, Callable[[NameState, AnyRecord], None]] = {
    Commit: _fold_commit,  # type: ignore[dict-item]
    Move: _fold_commit,  # type: ignore[dict-item]
    Claim: _fold_claim,  # type: ignore[dict-item]
    Acknowledge: _fold_acknowledge,  # type: ignore[dict-item]
    Release: _fold_release,  # type: ignore[dict-item]
    Extend: _fold_extend,  # type: ignore[dict-item]
    Park: _fold_park,  # type: ignore[dict-item]
    Redeliver: _fold_redeliver,  # type: ignore[dict-item]
    Discard: _fold_discard,  # type: ignore[dict-item]
    Forget: _fold_forget,  # type: ignore[dict-item]
}


class Choice(NamedTuple):
    """What a member is to take next."""

    frontier: int
    claimed: list[Keyed]
    passed: list[Keyed]
    parked: list[int]


def choose(  # noqa: PLR0913 - the time, the queue's end and what the member asks for
    name: NameState,
    key_at: Callable[[int], str | None],
    *,
    now: int,
    last_position: int,
    count: int,
    attempts_max: int | None,
) -> Choice | None:
    """Choose up to ``count`` messages for a member, None if there is nothing to write down.

    First what was handed out before and may be again, then new ones. ``key_at`` gives the key of
    a new message.

    A last attempt is claimed alone, so that it is handed out at once: a message is never parked
    because it has waited behind others of its claims until their time was over.
    """
    assert name.kind == GROUP
    last_attempt = -1 if attempts_max is None else attempts_max - 1
    if last_attempt == 0:
        count = 1  # each new message is at its last attempt
    claimed: list[Keyed] = []
    passed: list[Keyed] = []
    parked: list[int] = []
    busy_keys: set[str | None] = set()  # of messages that are not done; None is never among them
    for position in sorted(name.held):
        held = name.held[position]
        key = held.key
        if held.until <= now and key not in busy_keys:
            if attempts_max is not None and held.attempts >= attempts_max:
                parked.append(position)
                continue
            if held.attempts == last_attempt and not claimed:
                claimed, count = [(position, key)], 1
            elif held.attempts != last_attempt and len(claimed) < count:
                claimed.append((position, key))
        if key is not None:
            busy_keys.add(key)
    frontier = name.frontier
    room = min(HELD_MAX - len(name.held), count + _PASSED_MAX)
    while len(claimed) < count and frontier < last_position:
        if len(claimed) + len(passed) >= room:
            break
        frontier += 1
        key = key_at(frontier)
        if key in busy_keys:
            passed.append((frontier, key))
        else:
            claimed.append((frontier, key))
            if key is not None:
                busy_keys.add(key)
    if claimed or passed or parked:
        return Choice(frontier, claimed, passed, parked)
    return None


def is_full(name: NameState, last_position: int) -> bool:
    """Whether new messages are not looked at, because nobody is done with too many earlier ones."""
    return len(name.held) >= HELD_MAX and name.frontier < last_position


def next_time(name: NameState, now: int) -> int | None:
    """When the next held message may be handed out again, without anything being written."""
    return min((held.until for held in name.held.values() if held.until > now), default=None)

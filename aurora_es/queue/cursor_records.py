"""Records of the journal of cursors: what receivers with a name have done.

A record's topic says which of these it is; its state is a MessagePack array of the fields, in
order (``docs/format/cursors.md``)::

    topic               fields
    begin               name, kind ("receiver" or "group"), frontier, epoch     versioned
    commit              name, frontier                                          versioned
    claim               name, holder, until, frontier, claimed, passed, parked  versioned
    acknowledge         name, positions
    release             name, holder, positions, visible at, is counted
    extend              name, holder, positions, until
    park                name, holder, positions, reason
    redeliver           name, positions
    discard             name, positions
    move                name, frontier                                          versioned
    forget              name                                                    versioned
    epoch               epoch, last position                                    versioned
    state               all of the above, folded up to a position               versioned

A *versioned* record belongs to an originator, ``name:<name>``, ``epoch`` or ``state``, and has its
next version. Two of one version exclude each other: so of two receivers that decide at once, one
is refused, and decides again. The others may come in any order.

Times are microseconds since 1970, UTC; positions are those of messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.index.keys import originator_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.journal.commit import Identity, Row

RECEIVER = "receiver"
GROUP = "group"
FORGOTTEN = "forgotten"
STATE_ID = "state"
EPOCH_ID = "epoch"
_NAME_PREFIX = "name:"

Keyed = tuple[int, str | None]  # position and key of a message


class Begin(msgspec.Struct, array_like=True, frozen=True):
    """A name is used for the first time; everything up to ``frontier`` does not concern it."""

    name: str
    kind: str
    frontier: int
    epoch: int


class Commit(msgspec.Struct, array_like=True, frozen=True):
    """A named receiver is done with everything up to ``frontier``; it may go back, too."""

    name: str
    frontier: int


class Claim(msgspec.Struct, array_like=True, frozen=True):
    """A member of a group takes messages until a time.

    ``passed`` are new ones that have to wait for an earlier one of the same key; ``parked`` have
    been handed out too often. Everything up to ``frontier`` is no longer new.
    """

    name: str
    holder: str
    until: int
    frontier: int
    claimed: list[Keyed]
    passed: list[Keyed]
    parked: list[int]


class Acknowledge(msgspec.Struct, array_like=True, frozen=True):
    """Messages of a group are done, whoever has them now."""

    name: str
    positions: list[int]


class Release(msgspec.Struct, array_like=True, frozen=True):
    """A member gives messages back; others see them from a time on."""

    name: str
    holder: str
    positions: list[int]
    visible_at: int
    is_counted: bool  # as an attempt


class Extend(msgspec.Struct, array_like=True, frozen=True):
    """A member needs more time."""

    name: str
    holder: str
    positions: list[int]
    until: int


class Park(msgspec.Struct, array_like=True, frozen=True):
    """A member puts messages aside, for a human to look at."""

    name: str
    holder: str
    positions: list[int]
    reason: str


class Redeliver(msgspec.Struct, array_like=True, frozen=True):
    """Parked messages are to be handed out again, as if for the first time."""

    name: str
    positions: list[int]


class Discard(msgspec.Struct, array_like=True, frozen=True):
    """Parked messages are done with."""

    name: str
    positions: list[int]


class Move(msgspec.Struct, array_like=True, frozen=True):
    """A group starts anew behind ``frontier``: nothing is held or parked any more."""

    name: str
    frontier: int


class Forget(msgspec.Struct, array_like=True, frozen=True):
    """A name is used no more, and keeps no messages from retention."""

    name: str


class EpochChange(msgspec.Struct, array_like=True, frozen=True):
    """Messages behind ``last_position`` were taken back; what is there now are others."""

    epoch: int
    last_position: int


AnyRecord = (
    Begin
    | Commit
    | Claim
    | Acknowledge
    | Release
    | Extend
    | Park
    | Redeliver
    | Discard
    | Move
    | Forget
    | EpochChange
)
_TOPICS: dict[type, str] = {
    Begin: "begin",
    Commit: "commit",
    Claim: "claim",
    Acknowledge: "acknowledge",
    Release: "release",
    Extend: "extend",
    Park: "park",
    Redeliver: "redeliver",
    Discard: "discard",
    Move: "move",
    Forget: "forget",
    EpochChange: "epoch",
}
STATE_TOPIC = "state"
_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[str, Callable[[bytes], AnyRecord]] = {
    topic: msgspec.msgpack.Decoder(kind, strict=True).decode for kind, topic in _TOPICS.items()
}


class Draft(NamedTuple):
    """A record that is ready to be appended."""

    rows: tuple[Row, ...]
    size_bytes: int
    identities: tuple[Identity, ...] | None  # None: not versioned


def name_id(name: str) -> str:
    """Originator id of the versioned records of a name."""
    return _NAME_PREFIX + name


def draft_of(record: AnyRecord) -> Draft:
    """Make a record that is not versioned ready to be appended."""
    body = _encode(record)
    return Draft(((None, None, _TOPICS[type(record)], body),), len(body), None)


def versioned_draft(record: AnyRecord, originator_id: str, version: int) -> Draft:
    """Make a versioned record ready to be appended."""
    return _versioned(_TOPICS[type(record)], _encode(record), originator_id, version)


def state_draft(body: bytes, version: int) -> Draft:
    """Make the folded state ready to be appended."""
    return _versioned(STATE_TOPIC, body, STATE_ID, version)


def _versioned(topic: str, body: bytes, originator_id: str, version: int) -> Draft:
    identity = (originator_key(originator_id), version)
    return Draft(((originator_id, version, topic, body),), len(body), (identity,))


def decode_cursor_record(topic: str, body: bytes) -> AnyRecord | None:
    """The record, None for a topic that is unknown, or no change.

    Raises what is in ``payload.UNDECODABLE``.
    """
    decode = _decoders.get(topic)
    return None if decode is None else decode(body)

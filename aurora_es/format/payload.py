"""Payloads of frames: MessagePack arrays, by frame kind.

* *records*, first frame of a commit: ``[commit id, tracking or nil, [record, ...]]``;
  further frames of the same commit: ``[record, ...]``. Tracking is
  ``[application name, notification id, upstream epoch]``, epoch 0 where unknown.
* *checkpoint*: ``[last timestamp, [tracking, ...]]``: the newest tracking record of every name.
* *end*: ``[last position, last commit number, record count, frame count]`` of the segment.

A record is ``[originator id, originator version, topic, state, tags, event uuid, metadata]``.
The originator id is bin 16 (a UUID), a str, or nil; the event uuid is bin 16 or nil. Trailing
fields that hold their default (no tags, nil, nil) may be left out, and trailing fields that a
reader does not know are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from aurora_es.format.limits import TIMESTAMP_MAX


class RecordData(msgspec.Struct, array_like=True, gc=False):
    """A record as it is on disk."""

    originator_id: Any  # bytes (a UUID), str or None
    originator_version: int | None
    topic: str
    state: bytes
    tags: tuple[str, ...] = ()
    event_uuid: Any = None  # bytes or None
    metadata: dict[str, Any] | None = None


class RecordIdentity(msgspec.Struct, array_like=True, gc=False):
    """The first two fields of a record: all that the index wants to know."""

    originator_id: Any
    originator_version: int | None


class TrackingData(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The place that an application has reached in another one's notifications."""

    application_name: str
    notification_id: int
    upstream_epoch: int = 0


class FirstPayload(msgspec.Struct, array_like=True, gc=False):
    """Payload of a commit's first frame."""

    commit_id: bytes
    tracking: TrackingData | None
    records: list[RecordData]


class FirstIdentities(msgspec.Struct, array_like=True, gc=False):
    """The same payload as the index reads it."""

    commit_id: bytes
    tracking: TrackingData | None
    records: list[RecordIdentity]


class MessageIdentity(msgspec.Struct, array_like=True, gc=False):
    """The same two fields where both are nil: of a record without originator, as messages are."""

    originator_id: None
    originator_version: None


class FirstMessages(msgspec.Struct, array_like=True, gc=False):
    """Payload of the first frame of a commit of such records only."""

    commit_id: bytes
    tracking: TrackingData | None
    records: list[MessageIdentity]


class FirstRaw(msgspec.Struct, array_like=True, gc=False):
    """The same payload with its records undecoded, to decode one of many."""

    commit_id: bytes
    tracking: TrackingData | None
    records: list[msgspec.Raw]


class CheckpointPayload(msgspec.Struct, array_like=True, gc=False):
    """Payload of a checkpoint frame."""

    timestamp: Annotated[int, msgspec.Meta(ge=0, le=TIMESTAMP_MAX)]
    tracking: list[TrackingData]


class EndPayload(msgspec.Struct, array_like=True, gc=False):
    """Payload of an end frame."""

    last_position: int
    last_commit: int
    record_count: int
    frame_count: int


# What the decoders raise for bytes that are no such payload: DecodeError is a ValueError, so is the
# error for text that is no UTF-8; RecursionError is for nesting deeper than the stack.
UNDECODABLE = (ValueError, RecursionError)

encode_payload = msgspec.msgpack.Encoder().encode
decode_first = msgspec.msgpack.Decoder(FirstPayload).decode
decode_records = msgspec.msgpack.Decoder(list[RecordData]).decode
decode_first_identities = msgspec.msgpack.Decoder(FirstIdentities).decode
decode_identities = msgspec.msgpack.Decoder(list[RecordIdentity]).decode
decode_first_messages = msgspec.msgpack.Decoder(FirstMessages).decode
decode_messages = msgspec.msgpack.Decoder(list[MessageIdentity]).decode
decode_first_raw = msgspec.msgpack.Decoder(FirstRaw).decode
decode_raw_records = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
decode_record = msgspec.msgpack.Decoder(RecordData).decode
decode_checkpoint = msgspec.msgpack.Decoder(CheckpointPayload).decode
decode_end = msgspec.msgpack.Decoder(EndPayload).decode

# A payload without tracking begins so: array of 3, bin of 16 bytes, the commit id, nil; an array of
# records, each an array of 4 to 7 (further fields: up to 15). Without originator a record is nil, nil.
_BEGIN = b"\x93\xc4\x10"
_RECORDS_AT = 20
_ARRAY_BYTES = {b"\xdc": 3, b"\xdd": 5}  # of longer arrays' beginnings; 1 otherwise
_NOBODY = b"\xc0\xc0"
_ONE_MESSAGE = frozenset(bytes((0xC0, 0x91, 0x90 + fields)) + _NOBODY for fields in range(4, 16))


def is_one_message(payload: bytes) -> bool:
    """Whether a commit's uncompressed payload is, beyond doubt, of one record without originator.

    And without tracking. What follows in the payload is not looked at.
    """
    return payload[19:24] in _ONE_MESSAGE and payload[:3] == _BEGIN


def begins_with_message(payload: bytes) -> bool:
    """Whether the first record in the payload of a commit seems to have no originator.

    Then it is worth while to try ``decode_first_messages``.
    """
    at = _RECORDS_AT + _ARRAY_BYTES.get(payload[_RECORDS_AT : _RECORDS_AT + 1], 1)
    return payload[at + 1 : at + 3] == _NOBODY

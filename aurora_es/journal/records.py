"""What a user appends and reads: ``Record`` and ``StoredRecord``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from aurora_es.errors import ArgumentError, TooLargeError
from aurora_es.format.limits import VERSION_MAX, VERSION_MIN
from aurora_es.index.keys import originator_key

if TYPE_CHECKING:
    from aurora_es.format.payload import RecordData
    from aurora_es.journal.commit import Identity, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One event or message to append.

    ``topic`` says what it is, ``state`` is its content. A record with ``originator_id`` and
    ``originator_version`` (signed 64 bits) belongs to an originator's own sequence, and no second
    record may have the same pair. ``metadata`` holds what MessagePack can: None, bool, int, float,
    str, bytes, lists and dictionaries with str keys.
    """

    topic: str
    state: bytes
    originator_id: UUID | str | None = None
    originator_version: int | None = None
    tags: tuple[str, ...] = ()
    uuid: UUID | None = None
    metadata: dict[str, Any] | None = None


class StoredRecord(msgspec.Struct, frozen=True):
    """A record as it stands in the journal.

    ``position`` counts from 1 without gaps; ``timestamp`` (UTC) is that of the commit and never
    goes backwards.
    """

    position: int
    timestamp: datetime
    record: Record


def row_of(record: Record) -> tuple[Row, Identity]:
    """Check a record; returns its row for the encoder and its (key, version) for the index.

    Raises ArgumentError, TooLargeError.
    """
    if not isinstance(record, Record):
        message = f"append: expected Record objects, found {type(record).__name__}"
        raise ArgumentError(message)
    state = checked_state(record.topic, record.state)
    originator_id, version = record.originator_id, record.originator_version
    if (originator_id is None) != (version is None):
        message = (
            f"record with topic {record.topic!r}: originator_id and originator_version belong"
            f" together, found {originator_id!r} and {version!r}"
        )
        raise ArgumentError(message)
    if version is not None:
        check_version(version)
    disk_id = disk_id_of(originator_id)
    identity = (originator_key(disk_id), version)
    if record.tags or record.uuid is not None or record.metadata is not None:
        event_uuid = None if record.uuid is None else record.uuid.bytes
        return (
            (disk_id, version, record.topic, state, record.tags, event_uuid, record.metadata),
            identity,
        )
    return (disk_id, version, record.topic, state), identity


def checked_state(topic: object, state: object) -> bytes:
    """Check topic and state; returns the state as bytes. Raises ArgumentError."""
    if not isinstance(topic, str):
        message = f"topic: expected a str, found {topic!r}; nothing was written"
        raise ArgumentError(message)
    if type(state) is bytes:
        return state
    if isinstance(state, bytes | bytearray | memoryview):
        return bytes(state)
    message = (
        f"state of a record with topic {topic!r}: expected bytes, bytearray or memoryview, found"
        f" {type(state).__name__}; nothing was written"
    )
    raise ArgumentError(message)


def check_version(version: object) -> None:
    """Raise ArgumentError or TooLargeError unless ``version`` is a signed 64-bit integer."""
    if isinstance(version, bool) or not isinstance(version, int):
        message = f"originator version: expected an int, found {version!r}; nothing was written"
        raise ArgumentError(message)
    if not VERSION_MIN <= version <= VERSION_MAX:
        message = f"originator version: expected signed 64 bits, found {version}"
        raise TooLargeError(message)


def disk_id_of(originator_id: object) -> bytes | str | None:
    """Originator id as it is written: 16 bytes for a UUID, a text, or None."""
    if originator_id is None or isinstance(originator_id, str):
        return originator_id
    if isinstance(originator_id, UUID):
        return originator_id.bytes
    message = f"originator id: expected UUID, str or None, found {originator_id!r}"
    raise ArgumentError(message)


def record_of(data: RecordData) -> Record:
    """Turn a record as decoded from disk into the public form."""
    originator_id = data.originator_id
    if isinstance(originator_id, bytes):
        originator_id = UUID(bytes=originator_id)
    return Record(
        topic=data.topic,
        state=data.state,
        originator_id=originator_id,
        originator_version=data.originator_version,
        tags=data.tags,
        uuid=None if data.event_uuid is None else UUID(bytes=data.event_uuid),
        metadata=data.metadata,
    )


def datetime_of(timestamp: int) -> datetime:
    """Microseconds since 1970 as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=timestamp)

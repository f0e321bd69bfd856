"""What a user appends and reads: ``Record`` and ``StoredRecord``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from aurora_es.errors import ArgumentError, TooLargeError
from aurora_es.format.limits import METADATA_DEPTH_MAX, VERSION_MAX, VERSION_MIN
from aurora_es.index.keys import originator_key

if TYPE_CHECKING:
    from aurora_es.format.payload import RecordData
    from aurora_es.journal.commit import Identity, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_METADATA_SCALARS = {type(None), bool, int, float, str, bytes}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One event or message to append.

    ``topic`` says what it is, ``state`` is its content. A record with ``originator_id`` and
    ``originator_version`` (signed 64 bits) belongs to an originator's own sequence, and no second
    record may have the same pair. ``metadata`` holds what MessagePack can: None, bool, int, float,
    str, bytes, lists and dictionaries with str keys, at most 64 levels deep; a tuple is read as a
    list.
    """

    topic: str  # what it is
    state: bytes  # its content
    originator_id: UUID | str | None = None  # None: it belongs to no sequence of its own
    originator_version: int | None = None  # number in that sequence
    tags: tuple[str, ...] = ()  # by which it can be asked for
    uuid: UUID | None = None  # an id of the event itself
    metadata: dict[str, Any] | None = None  # what stands beside the content


class StoredRecord(msgspec.Struct, frozen=True):
    """A record as it stands in the journal.

    ``position`` counts from 1 without gaps; ``timestamp`` (UTC) is that of the commit and never
    goes backwards.
    """

    position: int  # from 1, without gaps
    timestamp: datetime  # of its commit, UTC
    record: Record  # as it was appended


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
            f"record with topic {record.topic!r}: expected originator_id and originator_version"
            f" together, found {originator_id!r} and {version!r}"
        )
        raise ArgumentError(message)
    if version is not None:
        check_version(version)
    disk_id = disk_id_of(originator_id)
    identity = (originator_key(disk_id), version)
    if record.tags or record.uuid is not None or record.metadata is not None:
        return (disk_id, version, record.topic, state, *_checked_extras(record)), identity
    return (disk_id, version, record.topic, state), identity


def _checked_extras(
    record: Record,
) -> tuple[tuple[str, ...], bytes | None, dict[str, Any] | None]:
    """Check tags, uuid and metadata; returns them as they are written. Raises ArgumentError."""
    tags, event_uuid = record.tags, record.uuid
    if not isinstance(tags, tuple | list) or not all(type(tag) is str for tag in tags):
        message = f"tags of a record with topic {record.topic!r}: expected strs, found {tags!r}"
        raise ArgumentError(message)
    if event_uuid is not None and not isinstance(event_uuid, UUID):
        message = (
            f"uuid of a record with topic {record.topic!r}: expected a UUID, found {event_uuid!r}"
        )
        raise ArgumentError(message)
    if record.metadata is not None:
        check_metadata(record.metadata)
    return tuple(tags), None if event_uuid is None else event_uuid.bytes, record.metadata


def check_metadata(metadata: object, name: str = "metadata") -> None:
    """Raise ArgumentError unless ``metadata`` can be written and read again unchanged.

    ``name`` is what the caller's users call it.
    """
    if type(metadata) is not dict:
        message = f"{name}: expected a dict, found {metadata!r}; nothing was written"
        raise ArgumentError(message)
    _check_metadata_value(metadata, METADATA_DEPTH_MAX, name)


def _check_metadata_value(value: object, depth: int, name: str) -> None:
    kind = type(value)
    if kind in _METADATA_SCALARS:
        return
    if depth == 0:
        message = f"{name}: at most {METADATA_DEPTH_MAX} levels, found more; nothing was written"
        raise TooLargeError(message)
    if isinstance(value, dict) and kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                message = f"{name}: expected keys of type str, found {key!r}; nothing was written"
                raise ArgumentError(message)
            _check_metadata_value(item, depth - 1, name)
    elif isinstance(value, list | tuple) and kind in {list, tuple}:
        for item in value:
            _check_metadata_value(item, depth - 1, name)
    else:
        message = (
            f"{name}: expected None, bool, int, float, str, bytes, lists and dictionaries, found"
            f" {value!r}; nothing was written"
        )
        raise ArgumentError(message)


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


def octets(state: Any) -> Any:
    """Bytes of a bytes-like object; anything else as it is."""
    try:
        return memoryview(state).tobytes()
    except TypeError:
        return state


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


def timestamp_of(when: datetime) -> int:
    """Microseconds since 1970 of a datetime with a zone; raises ArgumentError for any other."""
    if not isinstance(when, datetime) or when.utcoffset() is None:
        message = (
            f"time: expected a datetime with a time zone, found {when!r}; a naive one means another"
            " moment in each zone: give it tzinfo=UTC, or its own"
        )
        raise ArgumentError(message)
    return (when - _EPOCH) // timedelta(microseconds=1)

"""Messages: how values are encoded, and what a receiver gets.

Theory of operation: a message is a record without originator. Its topic is the name of the value's
type (``type(value).__name__``), its state the value in MessagePack by msgspec, or the bytes
themselves; its one tag, if it has any, is the key, and its metadata are the headers. The name is
looked at before the bytes: so a wrong type is told by its name, and never decoded to something
that happens to have the same fields.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, overload

import msgspec

from aurora_es.errors import ArgumentError
from aurora_es.format.limits import RECORD_BYTES_MAX
from aurora_es.journal.records import check_metadata, datetime_of
from aurora_es.queue.queue_errors import (
    MessageEncodingError,
    MessageTooLargeError,
    MessageTypeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aurora_es.format.payload import RecordData
    from aurora_es.journal.commit import Row

_T = TypeVar("_T")
# Around topic and state: what the rest of a record and the frame's first fields take at most.
_BODY_BYTES_MAX = RECORD_BYTES_MAX - (1 << 16)
_PLAIN_ROW_FIELDS = 4  # of one without key and headers
_BYTES = "bytes"
_FLOATS = ("float", "int")  # every int is a float to a reader, as it is to a type checker

_encode = msgspec.msgpack.Encoder().encode


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as a receiver gets it.

    ``position`` counts from 1 without gaps. ``body`` is the value's encoding: MessagePack, or for
    ``bytes`` these. ``attempts`` says how often a group has handed the message out, this time
    included, and ``lease`` which claim of the group it belongs to.
    """

    position: int  # from 1, without gaps
    timestamp_us: int  # microseconds since 1970, UTC: the time of its commit
    type_name: str  # bare name of its class
    body: bytes  # the value's encoding
    key: str | None = None  # messages of one key stay in order in a group
    headers: dict[str, Any] | None = None  # what stands beside the value
    attempts: int = 1  # how often a group has handed it out, this time included
    lease: str = ""  # which claim of the group it belongs to

    @property
    def timestamp(self) -> datetime:
        """The time of its commit, in UTC; never goes backwards from one message to the next."""
        return datetime_of(self.timestamp_us)

    @overload
    def decode(self, type: type[_T]) -> _T: ...
    @overload
    def decode(self, type: Any = None) -> Any: ...
    def decode(self, type: Any = None) -> Any:  # noqa: A002 - as the standard library's own words
        """Return the value, as an object of ``type``; raises MessageTypeError.

        Without a type it comes as plain as MessagePack is: a Struct as a dict.
        """
        return decode_body(type, self.type_name, self.body, self.position)


class Outgoing(msgspec.Struct, frozen=True):
    """A value for ``send_many`` with a key or headers of its own."""

    value: Any  # what is sent
    key: str | None = None  # instead of that of the call
    headers: dict[str, Any] | None = None  # instead of those of the call


def message_of(
    position: int, timestamp_us: int, data: RecordData, attempts: int = 1, lease: str = ""
) -> Message:
    """The public form of a record."""
    tags = data.tags
    return Message(
        position,
        timestamp_us,
        data.topic,
        data.state,
        tags[0] if tags else None,
        data.metadata,
        attempts,
        lease,
    )


def row_of_value(value: Any, key: str | None, headers: dict[str, Any] | None) -> Row:
    """Encode a value; raises MessageEncodingError, MessageTooLargeError, ArgumentError."""
    kind = type(value)
    if kind is bytes:
        body = value
    else:
        try:
            body = _encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            message = (
                f"a message of type {kind.__name__} cannot be encoded: {error}; nothing was sent."
                " Send a msgspec.Struct, a dataclass, str, bytes, numbers, or lists and"
                " dictionaries of these"
            )
            raise MessageEncodingError(message) from error
    if key is None and headers is None:
        _check_size(len(body))
        return (None, None, kind.__name__, body)
    tags = () if key is None else (_checked_key(key),)
    raw = None if headers is None else _encoded_headers(headers)
    _check_size(len(body) + len(key or "") + len(raw or b""))
    return (None, None, kind.__name__, body, tags, None, raw)


def _check_size(size_bytes: int) -> None:
    if size_bytes > _BODY_BYTES_MAX:
        message = (
            f"message: at most {_BODY_BYTES_MAX} bytes, found {size_bytes}; nothing was sent. Keep"
            " large content outside the queue and a reference to it in the message"
        )
        raise MessageTooLargeError(message)


def _checked_key(key: object) -> str:
    if type(key) is not str:
        message = f"key: expected a str, found {key!r}; nothing was sent"
        raise ArgumentError(message)
    try:
        key.encode()
    except UnicodeEncodeError as error:
        message = f"key: expected a str that UTF-8 can hold, found {key!r}; nothing was sent"
        raise MessageEncodingError(message) from error
    return key


def _encoded_headers(headers: dict[str, Any]) -> Any:
    """Headers as they are now: the caller may change them before they are written."""
    check_metadata(headers, "headers")
    try:
        return msgspec.Raw(_encode(headers))
    except (ValueError, OverflowError) as error:
        message = f"headers cannot be encoded: {error}; nothing was sent"
        raise MessageEncodingError(message) from error


def size_of_row(row: Row) -> int:
    """Bytes of a message with its key and headers, about."""
    if len(row) == _PLAIN_ROW_FIELDS:
        return len(row[3])
    _, _, _, body, tags, _, headers = row
    return len(body) + sum(map(len, tags)) + len(headers or b"")


def rows_of_values(
    values: Any, key: str | None, headers: dict[str, Any] | None
) -> tuple[list[Row], int]:
    """Encode many values; returns their rows and the number of their bytes."""
    rows = [
        row_of_value(
            value.value,
            key if value.key is None else value.key,
            headers if value.headers is None else value.headers,
        )
        if type(value) is Outgoing
        else row_of_value(value, key, headers)
        for value in values
    ]
    size_bytes = sum(
        [len(row[3]) if len(row) == _PLAIN_ROW_FIELDS else size_of_row(row) for row in rows]
    )
    return rows, size_bytes


# Decoding

# Which type names are accepted, and how to decode, or as which member of a union by type name.
_Reader = tuple[frozenset[str] | None, "Callable[[bytes], Any] | dict[str, Any]"]
_readers: dict[Any, _Reader] = {}
_READERS_MAX = 1024  # types may be made at run time, without end


def decode_body(kind: Any, type_name: str, body: bytes, position: int) -> Any:
    """Decode the body of a message that was sent as ``type_name``; raises MessageTypeError."""
    reader = _readers.get(kind)
    if reader is None:
        reader = _reader_of(kind)
    names, decode = reader
    if names is not None and type_name not in names:
        expected = getattr(kind, "__name__", repr(kind))
        message = (
            f"position {position}: expected a message of type {expected}, found one of type"
            f" {type_name}; it stays where it is. Ask for its own type, or take it with next()"
        )
        raise MessageTypeError(message, position=position, type_name=type_name)
    if type_name == _BYTES:
        return body
    if isinstance(decode, dict):
        return decode_body(decode[type_name], type_name, body, position)
    try:
        return decode(body)
    except (ValueError, RecursionError) as error:
        message = (
            f"position {position}: a message of type {type_name} does not fit"
            f" {getattr(kind, '__name__', kind)!s}: {error}; it stays where it is. Was the class"
            " changed since it was sent?"
        )
        raise MessageTypeError(message, position=position, type_name=type_name) from error


def _reader_of(kind: Any) -> _Reader:
    """Which type names an annotation accepts, None for any; and how to decode it."""
    accepted = None if kind is None else _names_of(kind)
    decode: Callable[[bytes], Any] | dict[str, Any]
    try:
        decode = msgspec.msgpack.Decoder(Any if kind is None else _without_bytes(kind)).decode
    except TypeError as error:
        decode = {} if accepted is None else _members_of(kind)
        if accepted != frozenset(decode):
            message = f"type: expected one that msgspec can decode, found {kind!r}: {error}"
            raise ArgumentError(message) from error
    if len(_readers) >= _READERS_MAX:
        _readers.clear()
    reader = _readers[kind] = (accepted, decode)
    return reader


def _members_of(kind: Any) -> dict[str, Any]:
    """Members of a union that msgspec cannot tell apart, by type name; none if that does not either."""
    if get_origin(kind) not in {Union, types.UnionType}:
        return {}
    found: dict[str, Any] = {}
    for member in get_args(kind):
        for name in _names_of(member) or ():
            if found.setdefault(name, member) is not member and member is not float:
                return {}
    return found


def _without_bytes(kind: Any) -> Any:
    """The same union without bytes, which are not decoded, and which msgspec takes for a str."""
    if get_origin(kind) not in {Union, types.UnionType}:
        return kind
    others = tuple(member for member in get_args(kind) if member is not bytes)
    return Union[others]  # noqa: UP007 - of a number of members that only the caller knows


def _names_of(kind: Any) -> frozenset[str] | None:
    if kind is Any or kind is object or isinstance(kind, TypeVar):
        return None
    origin = get_origin(kind)
    if origin is Annotated:
        return _names_of(get_args(kind)[0])
    if origin is Union or origin is types.UnionType:
        names: set[str] = set()
        for member in get_args(kind):
            accepted = _names_of(member)
            if accepted is None:
                return None
            names |= accepted
        return frozenset(names)
    if kind is float:
        return frozenset(_FLOATS)
    named = kind if origin is None else origin
    return frozenset((getattr(named, "__name__", str(named)),))

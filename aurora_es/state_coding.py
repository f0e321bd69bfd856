"""States of events as MessagePack that describes itself: what goes in comes out, types included.

Numbers, text, bytes, lists and maps are MessagePack's own; so is a UTC datetime (the timestamp
extension -1). The rest are extensions, as ``docs/format/event-state.md`` describes them::

    1  UUID                 16 bytes
    2  Decimal              text
    3  datetime             ISO 8601 text; naive, or with an offset other than UTC
    4  int                  beyond 64 bits: two's complement, big-endian
    5  tuple                an array
    6  registered           [name of the transcoding, data]

Theory of operation: decoders made from a class's annotations are fast and wrong, since nothing
checks values against annotations. So every value says itself what it is, and what was stored is
readable whatever the class is today. Values are walked before they are encoded, as msgspec would
store a tuple as a list and a UUID as text; the walk looks at the type of each value and leaves
the frequent ones alone.

The application's ``JSONTranscoder`` says which types are registered, at each call: a transcoding
that is registered later, or that replaces one of the library's three, is used from then on.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, SafeUUID

import msgspec
from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    TranscodingNotRegisteredError,
    UUIDAsHex,
)

from aurora_es.format.event_state import (
    DATETIME_EXTENSION,
    DECIMAL_EXTENSION,
    INTEGER_EXTENSION,
    REGISTERED_EXTENSION,
    TUPLE_EXTENSION,
    UUID_EXTENSION,
)

if TYPE_CHECKING:
    from eventsourcing.persistence import JSONTranscoder, Transcoding

_UUID_BYTES = 16
_REGISTERED_FIELDS = 2
_INTEGER_MIN = -(1 << 63)
_INTEGER_MAX = (1 << 64) - 1
# Deeper ones are stored as JSON: reading nested extensions takes more of the stack than writing.
_NESTING_MAX = 64

# What is stored as it is. No subclasses: an IntEnum is an int only after a conversion.
_PLAIN = frozenset({str, int, float, bool, type(None)})
# JSON knows these itself, so that a transcoding registered for one is never asked.
_CONTAINERS = frozenset({dict, list, tuple})
# Transcodings of the library for which there is an extension; others of these types are used.
_REPLACED = frozenset({UUIDAsHex, DecimalAsStr, DatetimeAsISO, type(None)})

_UNKNOWN = SafeUUID.unknown
_Extension = msgspec.msgpack.Ext
_encode_plain = msgspec.msgpack.Encoder().encode
_new = object.__new__
# The slots themselves: half the time of ``object.__setattr__`` (row "mapper alone").
_set_int = vars(UUID)["int"].__set__
_set_is_safe = vars(UUID)["is_safe"].__set__


class StateCoder:
    """Encodes and decodes states of events, with the transcodings of ``transcoder``.

    Safe to share between threads.
    """

    def __init__(self, transcoder: JSONTranscoder) -> None:
        """Use the registrations of ``transcoder``, now and later."""
        self.transcoder = transcoder
        self._decode = msgspec.msgpack.Decoder(ext_hook=self._unpack).decode

    def encode(self, state: dict[str, Any]) -> bytes:
        """Encode the attributes of an event.

        Raises TranscodingNotRegisteredError as the transcoder does. What is nested too deeply for
        MessagePack is stored as JSON, which ``decode`` reads as well.
        """
        try:
            return _encode(
                {
                    name: value if type(value) in _PLAIN else self._pack(value, _NESTING_MAX)
                    for name, value in state.items()
                }
            )
        except RecursionError:
            return self.transcoder.encode(state)

    def decode(self, data: bytes) -> dict[str, Any]:
        """Decode what ``encode`` or the library's transcoder made; raises ValueError and others."""
        state = self.transcoder.decode(data) if data[:1] == b"{" else self._decode(data)
        if type(state) is not dict:
            message = f"expected a map of attributes, found {type(state).__name__}"
            raise ValueError(message)
        return state

    # Walking values; called for every attribute (row "mapper alone").

    def _pack(self, value: Any, depth: int) -> Any:
        """Replace what MessagePack would not give back as it was."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind in _CONTAINERS:
            return self._pack_container(value, depth)
        transcoding = self.transcoder.types.get(kind)
        if type(transcoding) in _REPLACED:
            if kind is datetime:
                return value if value.tzinfo is UTC else _Extension(DATETIME_EXTENSION, _iso(value))
            if kind is UUID:
                return _Extension(UUID_EXTENSION, value.bytes)
            if kind is Decimal:
                return _Extension(DECIMAL_EXTENSION, str(value).encode())
            if kind is bytes:
                return value
        if transcoding is None:
            return self._pack_subclass(value, depth)
        return self._pack_registered(value, transcoding, depth)

    def _pack_container(self, value: Any, depth: int) -> Any:
        if depth == 0:
            raise RecursionError
        depth -= 1
        pack, plain = self._pack, _PLAIN
        if isinstance(value, dict):
            return {
                key if type(key) is str else _checked_key(key): (
                    item if type(item) in plain else pack(item, depth)
                )
                for key, item in value.items()
            }
        items = [item if type(item) in plain else pack(item, depth) for item in value]
        return items if isinstance(value, list) else _Extension(TUPLE_EXTENSION, _encode(items))

    def _pack_registered(self, value: Any, transcoding: Transcoding, depth: int) -> Any:
        if depth == 0:
            raise RecursionError
        data = self._pack_data(transcoding.encode(value), depth - 1)
        return _Extension(REGISTERED_EXTENSION, _encode([transcoding.name, data]))

    def _pack_data(self, value: Any, depth: int) -> Any:
        """As ``_pack``, but what a transcoding's ``decode`` expects: values as JSON returns them."""
        kind = type(value)
        if kind in _CONTAINERS or (
            isinstance(value, (dict, list, tuple)) and kind not in self.transcoder.types
        ):
            return self._pack_data_container(value, depth)
        return self._pack(value, depth)

    def _pack_data_container(self, value: Any, depth: int) -> Any:
        if depth == 0:
            raise RecursionError
        depth -= 1
        if isinstance(value, dict):
            return {
                str(key) if isinstance(key, str) else json.dumps(_checked_key(key)): (
                    self._pack_data(item, depth)
                )
                for key, item in value.items()
            }
        return [self._pack_data(item, depth) for item in value]

    def _pack_subclass(self, value: Any, depth: int) -> Any:
        """A value of a type that nobody registered: JSON takes subclasses for what they inherit."""
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__index__(value)
        if isinstance(value, float):
            return float.__pos__(value)
        if isinstance(value, (dict, list, tuple)):
            return self._pack_container(value, depth)
        message = (
            f"Object of type {type(value)} is not serializable. Please define and register a custom"
            " transcoding for this type."
        )
        raise TranscodingNotRegisteredError(message)

    # Reading extensions

    def _unpack(self, code: int, data: memoryview) -> Any:
        """Turn an extension into the value it stands for."""
        if code == UUID_EXTENSION:
            return _uuid_of(data)
        if code == DECIMAL_EXTENSION:
            return Decimal(str(data, "ascii"))
        if code == DATETIME_EXTENSION:
            return datetime.fromisoformat(str(data, "ascii"))
        if code == TUPLE_EXTENSION:
            return tuple(self._decode(data))
        if code == INTEGER_EXTENSION:
            return int.from_bytes(data, "big", signed=True)
        if code == REGISTERED_EXTENSION:
            return self._unpack_registered(self._decode(data))
        message = (
            f"extension {code} of MessagePack is not known; a newer version may have stored it"
        )
        raise ValueError(message)

    def _unpack_registered(self, fields: Any) -> Any:
        if type(fields) is not list or len(fields) != _REGISTERED_FIELDS:
            message = f"expected [name of a transcoding, data], found {fields!r}"
            raise ValueError(message)
        name, data = fields
        transcoding = self.transcoder.names.get(name)
        if transcoding is None:
            message = (
                f"Data serialized with name {name!r} is not deserializable. Please register a"
                " custom transcoding for this type."
            )
            raise TranscodingNotRegisteredError(message)
        return transcoding.decode(data)


def _encode(packed: Any) -> bytes:
    try:
        return _encode_plain(packed)
    except OverflowError:
        return _encode_plain(_without_big_integers(packed))


def _without_big_integers(packed: Any) -> Any:
    """Replace integers of more than 64 bits, which are too rare to look for in the first place."""
    if type(packed) is int and not _INTEGER_MIN <= packed <= _INTEGER_MAX:
        length = packed.bit_length() // 8 + 1
        return _Extension(INTEGER_EXTENSION, packed.to_bytes(length, "big", signed=True))
    if type(packed) is list:
        return [_without_big_integers(item) for item in packed]
    if type(packed) is dict:
        return {_plain_key(key): _without_big_integers(item) for key, item in packed.items()}
    return packed


def _plain_key(key: Any) -> Any:
    """A key as it is, or a big integer as the text that JSON would make of it."""
    if type(key) is int and not _INTEGER_MIN <= key <= _INTEGER_MAX:
        return str(key)
    return key


def _checked_key(key: Any) -> Any:
    """A key of a map, as MessagePack can hold it; raises TypeError for what JSON refuses."""
    if key is None or type(key) in _PLAIN:
        return key
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int):
        return int.__index__(key)
    if isinstance(key, float):
        return float.__pos__(key)
    message = f"keys must be str, int, float, bool or None, not {type(key).__name__}"
    raise TypeError(message)


def _iso(value: datetime) -> bytes:
    return value.isoformat().encode()


def _uuid_of(data: memoryview) -> UUID:
    """``UUID(bytes=data)``, without its many checks."""
    if len(data) != _UUID_BYTES:
        message = f"UUID: expected {_UUID_BYTES} bytes, found {len(data)}"
        raise ValueError(message)
    uuid = _new(UUID)
    _set_int(uuid, int.from_bytes(data, "big"))
    _set_is_safe(uuid, _UNKNOWN)
    return uuid

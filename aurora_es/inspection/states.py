"""Decodes the state of a record for people, with an application's own mapper or without one.

Theory of operation: the application knows best, but it may not be at hand, or may not know an event
that another one recorded. Then the bytes tell, or of a message that is a plain value its type: JSON, MessagePack of our fast mapper, either of them
behind zlib as the library's compressor leaves it, other text, and anything else as hexadecimal
digits. The result is JSON on one line: what was JSON is copied digit by digit.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import msgspec

from aurora_es.format.event_state import (
    DATETIME_EXTENSION,
    DECIMAL_EXTENSION,
    INTEGER_EXTENSION,
    MAP_BYTES,
    REGISTERED_EXTENSION,
    TUPLE_EXTENSION,
    UUID_EXTENSION,
)
from aurora_es.inspection.plain import attributes_of, escaped, plain

if TYPE_CHECKING:
    from aurora_es.journal.records import Record

JSON = "json"
MESSAGEPACK = "messagepack"
TEXT = "text"
HEXADECIMAL = "hexadecimal"
APPLICATION = "application"
_ZLIB = "zlib+"
_ZLIB_BYTE = 0x78  # no text of JSON and no map of MessagePack begins with it
_INFLATED_BYTES_MAX = 1 << 26
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # in no text that a person wrote
_REGISTERED_FIELDS = 2
_RECORD_FIELDS = frozenset({"originator_id", "originator_version"})  # of the event, too

# Messages of the queue that are of these types are MessagePack, whatever their bytes look like.
_PLAIN_TYPES = frozenset(
    {"NoneType", "bool", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"}
)

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode


class StateDecoder(Protocol):
    """Decodes with an application's mapper; see ``aurora_es.decoding``."""

    def domain_event(self, record: Record) -> object:
        """The event in ``record``; raises whatever the application raises."""


class DecodedState(msgspec.Struct, frozen=True):
    """A state as JSON on one line.

    ``coding`` is ``application``, ``json``, ``messagepack``, ``text`` or ``hexadecimal``, the latter
    four perhaps behind ``zlib+``; text and hexadecimal digits are one string of JSON.
    """

    coding: str
    value: msgspec.Raw
    problem: str | None = None  # why the application could not decode it

    @property
    def is_text(self) -> bool:
        """Whether the value is a text, or digits, and no JSON of the application's own."""
        return self.coding.endswith((TEXT, HEXADECIMAL))

    @property
    def text(self) -> str:
        """For people and for searches: JSON, but text without quotes, and no escapes."""
        raw = bytes(self.value)
        if self.is_text:
            return str(_decode_json(raw))
        return (_encode_json(_decode_json(raw)) if b"\\" in raw else raw).decode()


def decode_state(record: Record, decoder: StateDecoder | None = None) -> DecodedState:
    """Decode the state of ``record``; raises nothing."""
    if decoder is None:
        return _decode_message(record) or _decode(record.state)
    try:
        event = attributes_of(decoder.domain_event(record))
        attributes = {name: event[name] for name in event if name not in _RECORD_FIELDS}
        return DecodedState(APPLICATION, msgspec.Raw(_encode_json(plain(attributes))))
    except Exception as error:  # noqa: BLE001 - code of the application; what it said is shown
        found = _decode(record.state)
        problem = escaped(f"{type(error).__name__}: {error}")
        return msgspec.structs.replace(found, problem=problem)


def searched_text(record: Record, decoder: StateDecoder | None = None) -> str:
    """As ``decode_state(record, decoder).text``, faster for JSON without escapes (row "grep")."""
    state = record.state
    if decoder is None and state[:1] == b"{" and b"\\" not in state and len(state) > 1:
        try:
            text = state.decode()
        except UnicodeDecodeError:
            text = ""
        if text.isprintable() and text:
            return text
    return decode_state(record, decoder).text


def _decode_message(record: Record) -> DecodedState | None:
    """Decode a message that is a plain value; None for all else."""
    if record.originator_id is not None or record.topic not in _PLAIN_TYPES:
        return None
    try:
        value = plain(_decode_value(record.state))
    except (ValueError, RecursionError, OverflowError):
        return None  # not of the queue
    return DecodedState(MESSAGEPACK, msgspec.Raw(_encode_json(value)))


def _decode(state: bytes) -> DecodedState:
    """Decode without an application."""
    inflated = _inflated(state) if state[:1] == bytes([_ZLIB_BYTE]) else None
    prefix, data = ("", state) if inflated is None else (_ZLIB, inflated)
    json = one_line_json(data)
    if json is not None:
        return DecodedState(prefix + JSON, msgspec.Raw(json))
    if data and data[0] in MAP_BYTES:
        value = _decoded_map(data)
        if value is not None:
            return DecodedState(prefix + MESSAGEPACK, msgspec.Raw(_encode_json(plain(value))))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if _CONTROLS.search(text):
        return DecodedState(prefix + HEXADECIMAL, msgspec.Raw(_encode_json(f"0x{data.hex()}")))
    return DecodedState(prefix + TEXT, msgspec.Raw(_encode_json(text)))


def one_line_json(state: bytes) -> bytes | None:
    """JSON as it is, without line breaks; None for what is no JSON."""
    try:
        _decode_json(state)
        return msgspec.json.format(state, indent=-1) if b"\n" in state or b"\r" in state else state
    except (ValueError, RecursionError):
        return None


def _inflated(state: bytes) -> bytes | None:
    """What zlib makes of a state; None for what it did not make, and what is too long."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(state, _INFLATED_BYTES_MAX)
    except zlib.error:
        return None
    return data if inflater.eof and not inflater.unused_data else None


# Reading MessagePack of the fast mapper


def _decoded_map(data: bytes) -> dict[str, object] | None:
    """The attributes in a map; None for what is no such map."""
    try:
        value = _decode_value(data)
    except (ValueError, RecursionError, OverflowError):
        return None
    return value if isinstance(value, dict) and all(type(key) is str for key in value) else None


def _shown_extension(code: int, data: memoryview) -> object:
    """An extension as people read it; one that is not known, or broken, as its digits."""
    content = bytes(data)
    if code == UUID_EXTENSION and len(content) == 16:
        return str(UUID(bytes=content))
    if code in {DECIMAL_EXTENSION, DATETIME_EXTENSION}:
        return content.decode("ascii", "backslashreplace")
    if code == INTEGER_EXTENSION:
        return int.from_bytes(content, "big", signed=True)
    if code == TUPLE_EXTENSION:
        return _decode_value(content)
    if code == REGISTERED_EXTENSION:
        fields = _decode_value(content)
        if isinstance(fields, list) and len(fields) == _REGISTERED_FIELDS:
            # As the library's transcoder writes it to JSON.
            return {"_type_": fields[0], "_data_": fields[1]}
    return {"extension": code, "content": content}


_decode_value = msgspec.msgpack.Decoder(ext_hook=_shown_extension).decode

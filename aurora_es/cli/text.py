"""Turns what a journal holds into text that is safe to print.

Theory of operation: topics, ids and states are bytes of strangers. In text every character that is
not printable is escaped, so that none of them can steer a terminal, reorder a line or end it; in
JSON the same holds for the characters that JSON itself lets through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from aurora_es.journal.records import StoredRecord

# DEL, C1 controls, line separators and marks of text direction.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # in no text that a person wrote
_BASE64_KEY = "base64"

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class _JsonRecord(msgspec.Struct, gc=False):
    position: int
    timestamp: datetime
    originator_id: UUID | str | None
    originator_version: int | None
    topic: str
    state: msgspec.Raw | dict[str, bytes]
    tags: tuple[str, ...]
    uuid: UUID | None
    metadata: dict[str, object] | None


def printable(text: str) -> str:
    """Escape what is not printable."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def encodable(path: str) -> str:
    """Escape the bytes of a path that are no UTF-8, which JSON could not hold."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def time_text(time: datetime) -> str:
    """UTC to the microsecond, always equally long."""
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}Z"


def size_text(count: int) -> str:
    """A number of bytes for people."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def originator_texts(stored: StoredRecord) -> tuple[str, str]:
    """Originator id and version, both empty if there is none."""
    record = stored.record
    if record.originator_id is None:
        return "", ""
    return printable(str(record.originator_id)), str(record.originator_version)


def state_text(state: bytes) -> str:
    """A state on one line: JSON and other text as it is, anything else as hexadecimal digits."""
    try:
        text = state.decode()
    except UnicodeDecodeError:
        return f"0x{state.hex()}"
    if _CONTROLS.search(text):
        return f"0x{state.hex()}"
    if "\n" in text and (one_line := _one_line_json(state)) is not None:
        text = one_line.decode()
    return printable(text)


def plain_line(stored: StoredRecord) -> str:
    """A record as one line of fields with tabs between them, for other programs."""
    fields = (
        str(stored.position),
        time_text(stored.timestamp),
        *originator_texts(stored),
        printable(stored.record.topic),
        state_text(stored.record.state),
    )
    return "\t".join(fields) + "\n"


def json_line(stored: StoredRecord) -> bytes:
    """A record as one line of JSON.

    A state that is JSON is copied digit by digit; any other becomes ``{"base64": …}``, and so does
    JSON that looks just like that, so that the form has one meaning only.
    """
    record = stored.record
    line = _JsonRecord(
        position=stored.position,
        timestamp=stored.timestamp,
        originator_id=record.originator_id,
        originator_version=record.originator_version,
        topic=record.topic,
        state=_json_state(record.state),
        tags=record.tags,
        uuid=record.uuid,
        metadata=record.metadata,
    )
    return json_bytes(line)


def json_bytes(value: object) -> bytes:
    """A value as one line of JSON in UTF-8."""
    line = _encode_json(value)
    if not line.isascii() or b"\x7f" in line:
        # Such characters occur inside strings only, where this is their other spelling.
        line = _UNSAFE_IN_JSON.sub(_json_escape, line.decode()).encode()
    return line + b"\n"


def _json_escape(matched: re.Match[str]) -> str:
    return f"\\u{ord(matched[0]):04x}"


def _json_state(state: bytes) -> msgspec.Raw | dict[str, bytes]:
    try:
        value = _decode_json(state)
    except (ValueError, RecursionError):
        value = None
        one_line = None
    else:
        one_line = _one_line_json(state) if b"\n" in state or b"\r" in state else state
    if one_line is None or (isinstance(value, dict) and value.keys() == {_BASE64_KEY}):
        return {_BASE64_KEY: state}  # msgspec writes bytes as base64
    return msgspec.Raw(one_line)


def _one_line_json(state: bytes) -> bytes | None:
    try:
        _decode_json(state)
        return msgspec.json.format(state, indent=-1)
    except (ValueError, RecursionError):
        return None


def ranges_text(ranges: Iterable[tuple[int, int]]) -> str:
    """Positions such as ``3, 7-9``."""
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def lost_text(lost: Sequence[tuple[int, int]], lost_behind: int | None) -> str:
    """What is lost of a journal, as a line; ``lost_behind``: behind that, nobody knows."""
    count = sum(last - first + 1 for first, last in lost)
    text = f"{count:,} position{'s' * (count != 1)}: {ranges_text(lost)}" if lost else "nothing"
    if lost_behind is None:
        return f"lost: {text}"
    unknown = (
        f"not known behind position {lost_behind:,}: the mark is gone, and what was last cannot be"
        " read"
    )
    return f"lost: {text}; {unknown}" if lost else f"lost: {unknown}"

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

from aurora_es.inspection.plain import encodable
from aurora_es.inspection.states import StateDecoder, decode_state, one_line_json
from aurora_es.journal.records import Record, StoredRecord

__all__ = [
    "encodable",
    "json_bytes",
    "json_line",
    "lost_commits_text",
    "lost_text",
    "originator_texts",
    "plain_line",
    "printable",
    "ranges_text",
    "size_text",
    "state_text",
    "time_text",
]

# DEL, C1 controls, line separators and marks of text direction.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
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
    problem: str | msgspec.UnsetType  # why --app could not decode the state


def printable(text: str) -> str:
    """Escape what is not printable."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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


def state_text(record: Record, decoder: StateDecoder | None = None) -> str:
    """A state on one line: JSON and other text, anything else as hexadecimal digits.

    A decoder that failed is named behind it.
    """
    found = decode_state(record, decoder)
    told = "" if found.problem is None else f"  [not decoded: {found.problem}]"
    return printable(found.text + told)


def plain_line(stored: StoredRecord, decoder: StateDecoder | None = None) -> str:
    """A record as one line of fields with tabs between them, for other programs."""
    fields = (
        str(stored.position),
        time_text(stored.timestamp),
        *originator_texts(stored),
        printable(stored.record.topic),
        state_text(stored.record, decoder),
    )
    return "\t".join(fields) + "\n"


def json_line(stored: StoredRecord, decoder: StateDecoder | None = None) -> bytes:
    """A record as one line of JSON.

    A state that is JSON is copied digit by digit; any other becomes ``{"base64": …}``, and so does
    JSON that looks just like that, so that the form has one meaning only. What a decoder made of it
    takes its place; why a decoder failed is told beside it.
    """
    record = stored.record
    found = None if decoder is None else decode_state(record, decoder)
    is_decoded = found is not None and found.problem is None
    line = _JsonRecord(
        position=stored.position,
        timestamp=stored.timestamp,
        originator_id=record.originator_id,
        originator_version=record.originator_version,
        topic=record.topic,
        state=found.value if found is not None and is_decoded else _json_state(record.state),
        tags=record.tags,
        uuid=record.uuid,
        metadata=record.metadata,
        problem=msgspec.UNSET if found is None or found.problem is None else found.problem,
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
    one_line = one_line_json(state)
    if one_line is None or _is_base64(state):
        return {_BASE64_KEY: state}  # msgspec writes bytes as base64
    return msgspec.Raw(one_line)


def _is_base64(state: bytes) -> bool:
    value = _decode_json(state)
    return isinstance(value, dict) and value.keys() == {_BASE64_KEY}


def ranges_text(ranges: Iterable[tuple[int, int]]) -> str:
    """Positions such as ``3, 7-9``."""
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def lost_commits_text(count: int) -> str:
    """Number of lost commits without events, and what that means."""
    several = (
        "s that held tracking records only" if count > 1 else " that held a tracking record only"
    )
    return f"{count:,} commit{several}: who follows others handles some events again"


def lost_text(
    lost: Sequence[tuple[int, int]], lost_behind: int | None, lost_commits: int = 0
) -> str:
    """What is lost of a journal, as a line; ``lost_behind``: behind that, nobody knows."""
    count = sum(last - first + 1 for first, last in lost)
    texts = [f"{count:,} position{'s' * (count != 1)}: {ranges_text(lost)}"] if lost else []
    if lost_commits:
        texts.append(lost_commits_text(lost_commits))
    text = "; ".join(texts) or "nothing"
    if lost_behind is None:
        return f"lost: {text}"
    unknown = (
        f"not known behind position {lost_behind:,}: nothing is left that says whether there was more,"
        " since the mark is damaged"
    )
    return f"lost: {text}; {unknown}" if texts else f"lost: {unknown}"

"""What the page is told of a record.

Theory of operation: a state is sent as a text, JSON as the journal has it, digit by digit: a browser
that decoded it would round long numbers. In lists a long one is cut, so that a page of them is small
whatever was recorded.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from aurora_es.inspection.plain import encodable, plain
from aurora_es.inspection.states import decode_state

if TYPE_CHECKING:
    from aurora_es.inspection.states import StateDecoder
    from aurora_es.journal.records import StoredRecord

LISTED_CHARACTERS_MAX = 600
SHOWN_CHARACTERS_MAX = 1 << 18
_encode_json = msgspec.json.Encoder().encode


class ShownText(msgspec.Struct, frozen=True, kw_only=True):
    """A value as text: JSON, unless ``coding`` ends with ``text`` or ``hexadecimal``."""

    coding: str
    text: str
    is_cut: bool
    problem: str | None = None  # why the application could not decode it


class ShownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A record as the page lists it."""

    position: int
    time: datetime
    id: str | None
    version: int | None
    topic: str
    tags: tuple[str, ...]
    state: ShownText
    state_bytes: int
    metadata: ShownText | None = None


def shown_event(
    stored: StoredRecord, decoder: StateDecoder | None, *, characters_max: int
) -> ShownEvent:
    """Show a record, with at most so many characters of its state."""
    record = stored.record
    decoded = decode_state(record, decoder)
    text = decoded.text if decoded.is_text else bytes(decoded.value).decode()
    identity = None if record.originator_id is None else encodable(str(record.originator_id))
    return ShownEvent(
        position=stored.position,
        time=stored.timestamp,
        id=identity,
        version=record.originator_version,
        topic=record.topic,
        tags=record.tags,
        state=_cut(decoded.coding, text, characters_max, decoded.problem),
        state_bytes=len(record.state),
        metadata=None if record.metadata is None else shown_value(record.metadata, characters_max),
    )


def shown_value(value: object, characters_max: int = SHOWN_CHARACTERS_MAX) -> ShownText:
    """Show any value as JSON."""
    return _cut("json", _encode_json(plain(value)).decode(), characters_max, None)


def _cut(coding: str, text: str, characters_max: int, problem: str | None) -> ShownText:
    return ShownText(
        coding=coding,
        text=text[:characters_max],
        is_cut=len(text) > characters_max,
        problem=problem,
    )

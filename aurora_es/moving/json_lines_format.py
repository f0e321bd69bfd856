"""The lines of an export as JSON: values in, bytes out, and back.

A file is lines of JSON in UTF-8, each ended by a newline, in this order::

    {"header":{"format":"aurora_es events","version":1,"application":"Bank"}}
    {"part":"events","id":1,"originator_id":"6f1c…","originator_version":1,"topic":"…","state":{…}}
    …
    {"part":"snapshots", …}
    …
    {"tracking":{"part":"events","ids":{"Bank":42}}}
    {"end":{"counts":{"events":1},"digests":{"events":"…"}}}

A state that is JSON stands there as it is, digit by digit (``state``); any other, JSON on more than
one line too, as base64 (``state_base64``). So does metadata that JSON would change
(``metadata_base64``: MessagePack). See docs/format/json-lines.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from aurora_es.errors import ArgumentError, TooLargeError
from aurora_es.format.limits import (
    NOTIFICATION_ID_MAX,
    TRACKING_NAME_BYTES_MAX,
    VERSION_MAX,
    VERSION_MIN,
)
from aurora_es.format.payload import UNDECODABLE, encode_payload
from aurora_es.index.keys import text_key
from aurora_es.journal.records import check_metadata
from aurora_es.moving.pages import EVENTS, PARTS, TRACKING, has_extras

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aurora_es.moving.pages import Page, Row

FORMAT = "aurora_es events"
VERSION = 1
_TRACKED_PARTS = (EVENTS, TRACKING)
# A record of the greatest size, all of whose text is escaped.
LINE_BYTES_MAX = 1 << 27
_PLAIN_FIELDS = 4
_IDS_MAX = 1 << 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHITESPACE = (32, 9, 10, 13)
_UUID_BYTES = 16

Id = Annotated[int, msgspec.Meta(le=NOTIFICATION_ID_MAX)]
Version = Annotated[int, msgspec.Meta(ge=VERSION_MIN, le=VERSION_MAX)]


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """First line: what this is, and whose."""

    format: str
    version: int
    application: str = ""


class TrackedLine(msgspec.Struct, forbid_unknown_fields=True):
    """How far others were followed."""

    part: str
    ids: dict[str, int]


class End(msgspec.Struct, forbid_unknown_fields=True):
    """Last line: rows and digest of each part."""

    counts: dict[str, int]
    digests: dict[str, str] = {}  # msgspec copies defaults


class Line(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Any line; those of records have ``part``."""

    part: str | UnsetType = UNSET
    id: Id | UnsetType = UNSET
    originator_id: str | UnsetType | None = UNSET
    originator_id_type: Literal["text"] | UnsetType = UNSET  # where the text looks like a UUID
    originator_version: Version | UnsetType | None = UNSET
    topic: str | UnsetType = UNSET
    state: msgspec.Raw | UnsetType = UNSET
    state_base64: bytes | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    uuid: UUID | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    metadata_base64: bytes | UnsetType = UNSET
    timestamp: datetime | UnsetType = UNSET
    header: Header | UnsetType = UNSET
    tracking: TrackedLine | UnsetType = UNSET
    end: End | UnsetType = UNSET


class PlainLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A line of a record that has nothing but what most records have."""

    part: str
    id: Id
    originator_id: str
    originator_version: Version
    topic: str
    state: msgspec.Raw | UnsetType = UNSET
    state_base64: bytes | UnsetType = UNSET
    timestamp: datetime | UnsetType = UNSET


class BadLineError(Exception):
    """What was expected of a line, and what was found."""


class PlainLines(NamedTuple):
    """Lines of records of one part."""

    part: str
    rows: list[Row]
    ids: list[int]


class Decoded(NamedTuple):
    """A line of a record."""

    part: str
    row: Row
    id: int | None


_encoder = msgspec.json.Encoder()
_decode_line = msgspec.json.Decoder(Line).decode
_decode_plain_lines = msgspec.json.Decoder(PlainLine).decode_lines
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_metadata = msgspec.msgpack.Decoder(dict[str, Any]).decode


class LineCoder:
    """Encodes and decodes lines; remembers ids, of which most lines have one that was met before."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._texts: dict[bytes, str] = {}
        self._keys: dict[str, bytes | str] = {}

    def encode_page(self, page: Page) -> bytes:
        """The lines of a page's rows."""
        rows = page.rows
        are_json = _are_json([row[3] for row in rows])
        ids: Iterable[int | UnsetType] = page.ids if page.ids is not None else [UNSET] * len(rows)
        texts = self._texts
        lines = []
        for at, (row, row_id) in enumerate(zip(rows, ids, strict=True)):
            state = row[3]
            # A hot loop (benchmarks/moving.py, row "export to JSON lines").
            line = Line(
                page.part,
                row_id,
                texts.get(row[0]) or self._text_of(row[0]),
                UNSET,
                row[1],
                row[2],
                msgspec.Raw(state) if are_json[at] else UNSET,
                UNSET if are_json[at] else state,
            )
            if type(row[0]) is str and type(text_key(row[0])) is bytes:
                line.originator_id_type = "text"
            if len(row) > _PLAIN_FIELDS and has_extras(row):
                _add_extras(line, row)
            lines.append(line)
        if page.times is not None:
            times: dict[int, datetime] = {}
            for line, time in zip(lines, page.times, strict=True):
                if time not in times:
                    times[time] = _EPOCH + timedelta(microseconds=time)
                line.timestamp = times[time]
        return _encoder.encode_lines(lines)

    def _text_of(self, originator_id: bytes | str | None) -> str | None:
        if not isinstance(originator_id, bytes):
            return originator_id
        if len(self._texts) >= _IDS_MAX:
            self._texts.clear()
        text = self._texts[originator_id] = str(UUID(bytes=originator_id))
        return text

    def decode_plain(self, lines: list[bytes]) -> PlainLines | None:
        """All ``lines`` in one call; None if they are not all of one part and of the plain kind.

        Then ``decode`` looks at them one by one, and finds out what is wrong, if anything is.
        """
        try:
            decoded = _decode_plain_lines(b"\n".join(lines))
        except UNDECODABLE:
            return None
        part = decoded[0].part if decoded else ""
        if part not in PARTS or len(decoded) != len(lines):
            return None
        # A hot loop (benchmarks/moving.py, row "import from JSON lines").
        rows: list[Row] = []
        keys = self._keys
        for line in decoded:
            given, state, coded = line.originator_id, line.state, line.state_base64
            if line.part != part or (state is UNSET) == (coded is UNSET):
                return None
            rows.append(
                (
                    keys.get(given) or self._key_of(given),
                    line.originator_version,
                    line.topic,
                    bytes(state) if state is not UNSET else coded,
                )
            )
        return PlainLines(part, rows, [line.id for line in decoded])

    def decode(self, data: bytes) -> Decoded | Line:
        """A line, without its newline; raises BadLineError."""
        try:
            line = _decode_line(data)
        except UNDECODABLE as error:
            message = f"expected a line of the format, found one that cannot be read: {error}"
            raise BadLineError(message) from error
        if line.part is UNSET:
            return _checked_other(line)
        _check_alone(line)
        return self._decoded(line)

    def _decoded(self, line: Line) -> Decoded:
        if line.part not in PARTS:
            message = f"expected `part` to be {', '.join(PARTS)}, found {line.part!r}"
            raise BadLineError(message)
        topic, version = line.topic, line.originator_version
        if topic is UNSET or (line.state is UNSET) == (line.state_base64 is UNSET):
            message = "expected `topic`, and `state` or `state_base64`, found others"
            raise BadLineError(message)
        version = None if version is UNSET else version
        given = None if line.originator_id is UNSET else line.originator_id
        if (given is None) != (version is None):
            message = (
                "expected `originator_id` and `originator_version` together, found"
                f" {given!r} and {version!r}"
            )
            raise BadLineError(message)
        originator_id: bytes | str | None = None
        if given is not None:
            originator_id = self._keys.get(given) or self._key_of(given)
            if line.originator_id_type is not UNSET:
                originator_id = given
        state = line.state_base64 if line.state is UNSET else bytes(line.state)
        row: Row = (originator_id, version, topic, state)
        if (
            line.tags
            or line.uuid
            or line.metadata is not UNSET
            or line.metadata_base64 is not UNSET
        ):
            row = (*row, *_extras_of(line))
        return Decoded(str(line.part), row, None if line.id is UNSET else line.id)

    def _key_of(self, text: str) -> bytes | str:
        if len(self._keys) >= _IDS_MAX:
            self._keys.clear()
        key = self._keys[text] = text_key(text)
        return key


def encode_header(application: str) -> bytes:
    """The first line."""
    return _encoder.encode_lines([Line(header=Header(FORMAT, VERSION, application))])


def encode_tracked(part: str, ids: dict[str, int]) -> bytes:
    """A line of tracking records."""
    return _encoder.encode_lines([Line(tracking=TrackedLine(part, ids))])


def encode_end(counts: dict[str, int], digests: dict[str, str]) -> bytes:
    """The last line."""
    return _encoder.encode_lines([Line(end=End(counts, digests))])


def _check_alone(line: Line) -> None:
    """Raise BadLineError for a record's line that says something else, too."""
    if any(field is not UNSET for field in (line.header, line.tracking, line.end)):
        message = (
            "expected `header`, `tracking` and `end` on lines of their own, found `part` beside"
        )
        raise BadLineError(message)


def _checked_other(line: Line) -> Line:
    found = sum(field is not UNSET for field in (line.header, line.tracking, line.end))
    if found != 1:
        message = "expected one of `part`, `header`, `tracking` and `end`, found none or several"
        raise BadLineError(message)
    header = line.header
    if header is not UNSET and (header.format, header.version) != (FORMAT, VERSION):
        message = (
            f"expected format {FORMAT!r} of version {VERSION}, found {header.format!r} of version"
            f" {header.version}"
        )
        raise BadLineError(message)
    if line.tracking is not UNSET:
        _check_tracked(line.tracking)
    return line


def _check_tracked(line: TrackedLine) -> None:
    """The part becomes the name of a directory, and what is in it is recorded as it is."""
    if line.part not in _TRACKED_PARTS:
        message = f"expected `part` to be {' or '.join(_TRACKED_PARTS)}, found {line.part!r}"
        raise BadLineError(message)
    for name, reached in line.ids.items():
        if not 0 <= reached <= NOTIFICATION_ID_MAX or len(name.encode()) > TRACKING_NAME_BYTES_MAX:
            message = (
                f"expected names of up to {TRACKING_NAME_BYTES_MAX} bytes, and ids up to"
                f" {NOTIFICATION_ID_MAX}, found {reached} for {name!r:.80}"
            )
            raise BadLineError(message)


def _are_json(states: Sequence[bytes]) -> list[bool]:
    """Whether each state may stand in a line as it is.

    All of them are looked at in one call: they are values, one by one, if they come back as they
    were. What is skipped and not decoded may hold bytes that are no UTF-8.
    """
    joined = b",".join(states)
    try:
        joined.decode()
        raws = _decode_raws(b"[" + joined + b"]")
        if (
            b"\n" not in joined
            and b"\r" not in joined
            and len(raws) == len(states)
            and all(map(_is_same, raws, states))
        ):
            return [True] * len(states)
    except UNDECODABLE:
        # Some of them are no JSON; which, is found out one by one.
        pass
    return [len(states) > 1 and _are_json((state,))[0] for state in states]


def _is_same(raw: msgspec.Raw, state: bytes) -> bool:
    return bytes(raw) == state


def _add_extras(line: Line, row: Row) -> None:
    tags, event_uuid, metadata = row[_PLAIN_FIELDS:]
    if tags:
        line.tags = tuple(tags)
    if event_uuid is not None:
        line.uuid = UUID(bytes=event_uuid)
    if metadata is not None:
        plain = encode_payload(metadata)
        if _survives_json(metadata, plain):
            line.metadata = metadata
        else:
            line.metadata_base64 = plain


def _survives_json(metadata: dict[str, Any], plain: bytes) -> bool:
    """Whether metadata comes back from JSON as it was: bytes and NaN would not."""
    try:
        return encode_payload(msgspec.json.decode(_encoder.encode(metadata))) == plain
    except UNDECODABLE:
        return False


def _extras_of(line: Line) -> tuple[tuple[str, ...], bytes | None, dict[str, Any] | None]:
    tags = () if line.tags is UNSET else line.tags
    event_uuid = line.uuid.bytes if isinstance(line.uuid, UUID) else None
    metadata = None if line.metadata is UNSET else line.metadata
    if line.metadata_base64 is not UNSET:
        if line.metadata is not UNSET:
            message = "expected `metadata` or `metadata_base64`, found both"
            raise BadLineError(message)
        try:
            metadata = _decode_metadata(line.metadata_base64)
        except UNDECODABLE as error:
            message = f"expected `metadata_base64` to hold a map in MessagePack, found: {error}"
            raise BadLineError(message) from error
    if metadata is not None:
        _check_metadata(metadata)
    return tags, event_uuid, metadata


def _check_metadata(metadata: dict[str, Any]) -> None:
    """Raise BadLineError for what no record can have, or a journal could not give back."""
    try:
        check_metadata(metadata)
        encode_payload(metadata)
    except (ArgumentError, TooLargeError, OverflowError, *UNDECODABLE) as error:
        message = f"expected metadata that a record can have, found: {error}"
        raise BadLineError(message) from error

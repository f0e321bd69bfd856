"""Values that events may hold, for tests of the fast mapper against the library's."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    JSONTranscoder,
    Transcoding,
    UUIDAsHex,
)
from hypothesis import strategies as st


class Happened(Aggregate.Event):
    """An event without fields of its own: its state is whatever the test says."""


class Colour(StrEnum):
    """Text, as JSON sees it."""

    RED = "red"


class Size(IntEnum):
    """A number, as JSON sees it."""

    LARGE = 3


class Pair(NamedTuple):
    """A tuple, and for JSON a list."""

    left: Any
    right: Any


@dataclass(frozen=True)
class Point:
    """A value with a transcoding of its own."""

    x: Any
    y: Any


class Kind(Enum):
    """An enumeration with a transcoding of its own."""

    ONE = "one"


class Unknown:
    """What nobody registered."""


class PointAsMap(Transcoding):
    """Returns tuples and maps with keys of other types, and insists on what JSON makes of them."""

    type = Point
    name = "point"

    def encode(self, obj: Point) -> dict[Any, Any]:
        """Make a map with a number as key."""
        return {1: (obj.x, obj.y), "kind": Kind.ONE}

    def decode(self, data: Any) -> Point:
        """Refuse what JSON would not have returned."""
        assert list(data) == ["1", "kind"]
        assert type(data["1"]) is list
        assert data["kind"] is Kind.ONE
        return Point(*data["1"])


class KindAsText(Transcoding):
    """A plain one."""

    type = Kind
    name = "kind"

    def encode(self, obj: Kind) -> str:
        """Return the value."""
        return str(obj.value)

    def decode(self, data: str) -> Kind:
        """Find the member."""
        return Kind(data)


class BytesAsHex(Transcoding):
    """Text in place of bytes."""

    type = bytes
    name = "bytes_hex"

    def encode(self, obj: bytes) -> str:
        """Return digits."""
        return obj.hex()

    def decode(self, data: str) -> bytes:
        """Read digits."""
        return bytes.fromhex(data)


def transcoder(*more: Transcoding) -> JSONTranscoder:
    """A transcoder with the library's transcodings, ours above, and more."""
    made = JSONTranscoder()
    standard = (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO())
    for transcoding in (*standard, PointAsMap(), KindAsText(), *more):
        made.register(transcoding)
    return made


_ZONES = (
    st.none()
    | st.just(UTC)
    | st.sampled_from([ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")])
    | st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23)).map(timezone)
)
_KEYS = st.text(max_size=8) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1])
    | st.floats()
    | st.text(max_size=20)
    | st.uuids(allow_nil=True)
    | st.decimals()
    | st.datetimes(timezones=_ZONES)
    | st.sampled_from([Colour.RED, Size.LARGE, Kind.ONE, True, -0.0])
)


def _containers(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(items, max_size=4)
        | st.lists(items, max_size=4).map(tuple)
        | st.dictionaries(_KEYS, items, max_size=4)
        | st.dictionaries(_KEYS, items, max_size=4).map(OrderedDict)
        | st.dictionaries(st.sampled_from(["_type_", "_data_", "x"]), items, max_size=3)
        | st.builds(Pair, items, items)
        | st.builds(Point, items, items)
    )


VALUES = st.recursive(_SCALARS, _containers, max_leaves=20)
STATES = st.dictionaries(st.text(max_size=10), VALUES, max_size=6)


def is_same(one: Any, other: Any) -> bool:
    """Equal values of equal types, offsets of datetimes and signs of zero included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            is_same(*pair) for pair in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, Point):
        return is_same((one.x, one.y), (other.x, other.y))
    if isinstance(one, datetime):
        return one.utcoffset() == other.utcoffset() and bool(one == other)
    if isinstance(one, (float, Decimal)):
        return repr(one) == repr(other)
    return bool(one == other)


def is_at_least_as_true(ours: Any, theirs: Any, truth: Any) -> bool:
    """Say whether ``ours`` is as ``theirs``, or in what it differs is as the original was."""
    if is_same(ours, theirs) or is_same(ours, truth):
        return True
    # Where the library took a map for a registered value, ours has to be the truth.
    if isinstance(truth, dict):
        theirs = theirs if isinstance(theirs, dict) else {}
        # JSON makes text of keys and drops those that are the same text.
        texts = [key if isinstance(key, str) else json.dumps(key) for key in truth]
        return (
            type(ours) is dict
            and len(ours) == len(truth)
            and all(
                (is_same(key, original) or key == text)
                and is_at_least_as_true(ours[key], theirs.get(text), truth[original])
                for key, original, text in zip(ours, truth, texts, strict=True)
            )
        )
    if isinstance(truth, (list, tuple)):
        theirs = theirs if isinstance(theirs, list) else [None] * len(truth)
        return (
            type(ours) in {list, tuple}
            and issubclass(type(truth), type(ours))
            and len(ours) == len(truth)
            and all(map(is_at_least_as_true, ours, theirs, truth))
        )
    if isinstance(truth, Point):
        theirs = [theirs.x, theirs.y] if isinstance(theirs, Point) else None
        return is_at_least_as_true([ours.x, ours.y], theirs, [truth.x, truth.y])
    return False


def uuid_event(**state: Any) -> Happened:
    """An event with the given attributes."""
    made: Happened = object.__new__(Happened)
    attributes = {"originator_id": UUID(int=7), "originator_version": 3, **state}
    object.__setattr__(made, "__dict__", attributes)
    return made

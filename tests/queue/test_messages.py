"""How values become messages and come back."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import ArgumentError
from aurora_es.queue import Message, MessageTypeError
from aurora_es.queue.messages import decode_body, row_of_value
from tests.queue.support import Order


@dataclasses.dataclass
class Point:
    """A dataclass as users define them."""

    x: int
    y: int


class Colour(enum.Enum):
    """An enumeration as users define them."""

    RED = "red"


class Created(msgspec.Struct, tag=True):
    """One of a union."""

    name: str


class Deleted(msgspec.Struct, tag=True):
    """One of a union."""

    name: str


def back(value: Any, kind: Any) -> Any:
    """Encode and decode."""
    row = row_of_value(value, None, None)
    return decode_body(kind, row[2], row[3], 1)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        b"bytes",
        b"",
        7,
        1 << 63,
        1.5,
        True,
        None,
        [1, "two"],
        {"a": [1]},
        (1, 2),
        Order(1, 2.5),
        Point(1, 2),
        Colour.RED,
        Created("x"),
        uuid.UUID(int=3),
        decimal.Decimal("1.50"),
        dt.datetime(2023, 1, 2, tzinfo=dt.UTC),
        dt.timedelta(seconds=3),
    ],
    ids=repr,
)
def test_values_come_back(value: Any) -> None:
    """What was sent is received as an equal object of the same type."""
    found = back(value, type(value))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ([1, 2], list[int], [1, 2]),
        (3, float, 3.0),
        ("x", int | str, "x"),
        ("x", str | None, "x"),
        (None, str | None, None),
        (5, Annotated[int, msgspec.Meta(gt=0)], 5),
        (Deleted("y"), Created | Deleted, Deleted("y")),
        (Order(1), Any, {"number": 1, "amount": 0.0}),
        (Order(1), None, {"number": 1, "amount": 0.0}),
        (b"x", bytes | str, b"x"),
    ],
    ids=repr,
)
def test_annotations(value: Any, kind: Any, expected: Any) -> None:
    """Unions, generics and constraints are understood as msgspec understands them."""
    assert back(value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, int),
        ("1", int),
        (1, str),
        (Order(1), Point),
        (Created("x"), Deleted),
        ([1, "x"], list[int]),
        (-5, Annotated[int, msgspec.Meta(gt=0)]),
        (b"x", str),
        ("x", int | None),
        (1.5, int),
    ],
    ids=repr,
)
def test_wrong_types(value: Any, kind: Any) -> None:
    """Another type, or the same with other content, is an error that names position and type."""
    with pytest.raises(MessageTypeError) as caught:
        back(value, kind)
    assert caught.value.position == 1
    assert caught.value.type_name == type(value).__name__


def test_types_that_cannot_be() -> None:
    """A type that msgspec cannot decode is told so."""
    with pytest.raises(ArgumentError, match="msgspec can decode"):
        decode_body(dict[int, Order] | dict[str, int], "dict", b"\x80", 1)


@given(st.binary(max_size=40), st.sampled_from([str, int, list, Order, None]))
def test_any_bytes_are_a_value_or_an_error(body: bytes, kind: Any) -> None:
    """Bytes that somebody else wrote raise nothing but MessageTypeError."""
    with contextlib.suppress(MessageTypeError):
        decode_body(kind, "x" if kind is None else kind.__name__, body, 1)


def test_a_message_tells_its_time() -> None:
    """The time of a message is that of its commit, in UTC."""
    message = Message(1, 1_500_000, "str", b"\xa1x")
    assert message.timestamp == dt.datetime(1970, 1, 1, 0, 0, 1, 500_000, dt.UTC)
    assert message.decode(str) == "x"


def test_a_union_of_classes_is_told_apart_by_type_names() -> None:
    """Classes that msgspec cannot tell apart by their fields need no tags."""
    kinds: Any = Order | Point | None | float
    for value in (Order(1), Point(1, 2), None, 1.5):
        assert back(value, kinds) == value
    assert back(1, kinds) == 1.0
    with pytest.raises(MessageTypeError, match="Created"):
        back(Created("x"), kinds)
    with pytest.raises(ArgumentError, match="msgspec"):
        back([1], list[int] | list[str])

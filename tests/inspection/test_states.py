"""States decoded for people: by an application, or by what the bytes look like."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from eventsourcing.persistence import (
    DatetimeAsISO,
    DecimalAsStr,
    JSONTranscoder,
    UUIDAsHex,
)
from hypothesis import given
from hypothesis import strategies as st

from aurora_es import Record
from aurora_es.inspection.plain import plain
from aurora_es.inspection.states import decode_state, searched_text
from aurora_es.state_coding import StateCoder
from tests.inspection.bank import Iban, IbanAsText


def coder() -> StateCoder:
    """The coder of an application with a transcoding of its own."""
    transcoder = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO(), IbanAsText()):
        transcoder.register(transcoding)
    return StateCoder(transcoder)


def decoded(state: bytes) -> tuple[str, Any]:
    """Coding and value."""
    found = decode_state(Record(topic="t", state=state))
    assert found.problem is None
    return found.coding, json.loads(bytes(found.value))


@pytest.mark.parametrize(
    ("state", "coding", "value"),
    [
        (b'{"a":1}', "json", {"a": 1}),
        (b'{\n  "a": [1,\n 2]}', "json", {"a": [1, 2]}),
        (b"null", "json", None),
        (b"plain words\nin lines", "text", "plain words\nin lines"),
        (b"", "text", ""),
        (b"\x00\x01", "hexadecimal", "0x0001"),
        (b"\x80\x01pickled", "hexadecimal", "0x80017069636b6c6564"),
        (b"\x81\x01\x02", "hexadecimal", "0x810102"),
        (zlib.compress(b'{"a":1}'), "zlib+json", {"a": 1}),
        (zlib.compress(b"words"), "zlib+text", "words"),
        (zlib.compress(b'{"a":1}') + b"more", "hexadecimal", None),
        (b"x" * 9, "text", "x" * 9),
        (b"[" * 100_000, "text", "[" * 100_000),
    ],
)
def test_the_bytes_tell_what_they_are(state: bytes, coding: str, value: object) -> None:
    """JSON, MessagePack of ours, either behind zlib, text, and digits for all else."""
    found = decoded(state)
    assert found[0] == coding
    if value is not None:
        assert found[1] == value


@pytest.mark.parametrize(
    "value",
    ["hello", "", 7, 55, 123, -1.5, True, None, [1, "{"], {"a": [1]}, {1: 2}, ("a",), {3}],
    ids=repr,
)
def test_a_message_that_is_a_plain_value_is_shown_as_that(value: Any) -> None:
    """Its type tells what its bytes are: those of the number 55 look like the digit 7."""
    record = Record(topic=type(value).__name__, state=msgspec.msgpack.encode(value))
    found = decode_state(record)
    assert found.coding == "messagepack"
    assert json.loads(bytes(found.value)) == json.loads(msgspec.json.encode(plain(value)))
    assert searched_text(record) == found.text


def test_what_is_called_like_a_type_and_is_no_message_is_shown_by_its_bytes() -> None:
    """An event of that name, or bytes that are no MessagePack."""
    event = Record(topic="str", state=b"text", originator_id="a", originator_version=1)
    assert decode_state(event).coding == "text"
    assert decode_state(Record(topic="str", state=b"text")).coding == "text"
    assert decode_state(Record(topic="bytes", state=b"\xa1a")).coding == "hexadecimal"


def test_what_the_fast_mapper_stores_is_readable_without_it() -> None:
    """Every extension has a plain form; a value with a transcoding is shown as JSON shows it."""
    paris = timezone(timedelta(hours=1))
    state = {
        "id": UUID(int=5),
        "amount": Decimal("1.50"),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "there": datetime(2026, 1, 2, tzinfo=paris),
        "large": 2**80,
        "pair": (1, "two"),
        "iban": Iban("DE1"),
        "bytes": b"\xff",
        "float": 1.5,
    }
    for data, prefix in (
        (coder().encode(state), ""),
        (zlib.compress(coder().encode(state)), "zlib+"),
    ):
        assert decoded(data) == (
            f"{prefix}messagepack",
            {
                "id": str(UUID(int=5)),
                "amount": "1.50",
                "at": "2026-01-02T00:00:00+00:00",
                "there": "2026-01-02T00:00:00+01:00",
                "large": str(2**80),
                "pair": [1, "two"],
                "iban": {"_type_": "iban", "_data_": "DE1"},
                "bytes": "0xff",
                "float": 1.5,
            },
        )


def test_an_extension_that_nobody_knows_is_shown_as_its_digits() -> None:
    """A newer version may have stored it."""
    data = msgspec.msgpack.encode({"a": msgspec.msgpack.Ext(99, b"\x01")})
    assert decoded(data)[1] == {"a": {"extension": 99, "content": "0x01"}}


def test_json_keeps_its_digits_and_searches_see_no_escapes() -> None:
    """The value is what was stored; the text is what a person would search for."""
    found = decode_state(Record(topic="t", state=b'{"limit":1.00,"owner":"Zo\\u00eb"}'))
    assert bytes(found.value) == b'{"limit":1.00,"owner":"Zo\\u00eb"}'
    assert '"owner":"Zoë"' in found.text
    assert decode_state(Record(topic="t", state=b'say "no"')).text == 'say "no"'


jsons = st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.integers(), max_size=3)
states = (
    st.binary(max_size=80)
    | st.binary(max_size=40).map(zlib.compress)
    | st.binary(max_size=9).map(lambda data: b"{" + data)
    | jsons.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1).encode())
    | jsons.map(msgspec.json.encode)
)


@given(states)
def test_no_bytes_are_too_strange(state: bytes) -> None:
    """The result is JSON on one line, whatever was stored; and it is what searches see."""
    found = decode_state(Record(topic="t", state=state))
    assert searched_text(Record(topic="t", state=state)) == found.text
    assert b"\n" not in bytes(found.value)
    json.loads(bytes(found.value))
    assert isinstance(found.text, str)


class Failing:
    """A decoder of an application that does not know the event."""

    def domain_event(self, record: Record) -> object:
        """Fail as a mapper does."""
        raise LookupError(record.topic)


def test_a_decoder_that_fails_is_told_beside_what_the_bytes_say() -> None:
    """One event that cannot be decoded hides no other one."""
    found = decode_state(Record(topic="absent", state=b'{"a":1}'), Failing())
    assert (found.coding, bytes(found.value)) == ("json", b'{"a":1}')
    assert found.problem == "LookupError: 'absent'" or "absent" in str(found.problem)


class Hostile:
    """An object that objects to being looked at."""

    def __init__(self) -> None:
        """Have an attribute that leads back."""
        self.me = self

    def __repr__(self) -> str:
        """Raise."""
        raise RuntimeError

    __str__ = __repr__


class Slotted:
    """Without a dictionary."""

    __slots__ = ("a", "b")

    def __init__(self) -> None:
        """Set one of two."""
        self.a = {1, 2}


def test_any_value_becomes_what_json_can_hold() -> None:
    """Loops end, classes are named, and nothing of the object's own is called."""
    shown: Any = plain(Hostile())
    for _ in range(10):
        shown = shown["me"]
    json.dumps(plain({"a": [Hostile()], ("k", 1): float("inf"), None: object}))
    assert plain(Slotted()) == {"a": [1, 2]}
    assert plain({1: "one", UUID(int=1): 2}) == {"1": "one", str(UUID(int=1)): 2}
    assert plain(object()) == "<builtins.object>"
    assert plain("\udcff") == "\\udcff"

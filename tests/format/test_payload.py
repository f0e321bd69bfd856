"""Payloads: their bytes, and what the decoders make of other bytes."""

import contextlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.limits import METADATA_DEPTH_MAX
from aurora_es.format.payload import (
    UNDECODABLE,
    CheckpointPayload,
    EndPayload,
    FirstPayload,
    RecordData,
    RecordIdentity,
    TrackingData,
    begins_with_message,
    decode_checkpoint,
    decode_end,
    decode_first,
    decode_first_identities,
    decode_first_messages,
    decode_first_raw,
    decode_identities,
    decode_messages,
    decode_raw_records,
    decode_record,
    decode_records,
    encode_payload,
    is_one_message,
)

COMMIT_ID = bytes(range(16))
UUID_1 = UUID("00112233-4455-6677-8899-aabbccddeeff")
PLAIN_ROW = (UUID_1.bytes, 0, "t", b"s")
FULL_ROW = ("a", -1, "t", b"", ("x", "y"), UUID_1.bytes, {"k": None})
PLAIN_ROW_HEX = "94 c410 00112233445566778899aabbccddeeff 00 a174 c40173"
FULL_ROW_HEX = "97 a161 ff a174 c400 92a178a179c410 00112233445566778899aabbccddeeff 81a16bc0"
DECODERS: list[Callable[[bytes], Any]] = [
    decode_first,
    decode_records,
    decode_first_identities,
    decode_identities,
    decode_first_messages,
    decode_messages,
    decode_first_raw,
    decode_raw_records,
    decode_record,
    decode_checkpoint,
    decode_end,
]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
int64 = st.integers(-(1 << 63), (1 << 63) - 1)
metadata = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | int64 | st.floats(allow_nan=False) | texts | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
uuid_bytes = st.binary(min_size=16, max_size=16)
full_rows = st.tuples(
    st.none() | uuid_bytes | texts,
    st.none() | int64,
    texts,
    st.binary(max_size=30),
    st.lists(texts, max_size=3).map(tuple),
    st.none() | uuid_bytes,
    st.none() | metadata,
)
rows = full_rows | full_rows.map(lambda row: row[:4])
tracking_data = st.builds(
    TrackingData, texts, st.integers(0, (1 << 63) - 1), st.integers(0, 0xFFFF_FFFF)
)


def test_golden_first_payload() -> None:
    """A commit's first frame holds its id, its tracking record and its records."""
    encoded = encode_payload((COMMIT_ID, TrackingData("up", 5), [PLAIN_ROW, FULL_ROW]))
    assert encoded == bytes.fromhex(
        "93 c410 000102030405060708090a0b0c0d0e0f 93a275700500 92" + PLAIN_ROW_HEX + FULL_ROW_HEX
    )
    assert decode_first(encoded) == FirstPayload(
        COMMIT_ID, TrackingData("up", 5, 0), [RecordData(*PLAIN_ROW), RecordData(*FULL_ROW)]
    )


def test_golden_first_payload_without_anything() -> None:
    """Without tracking and records there are nil and an empty array."""
    encoded = bytes.fromhex("93 c410 000102030405060708090a0b0c0d0e0f c0 90")
    assert encode_payload((COMMIT_ID, None, [])) == encoded
    assert decode_first(encoded) == FirstPayload(COMMIT_ID, None, [])


def test_golden_further_payload() -> None:
    """The further frames of a commit hold an array of records."""
    encoded = bytes.fromhex("91" + PLAIN_ROW_HEX)
    assert encode_payload([PLAIN_ROW]) == encoded
    assert decode_records(encoded) == [RecordData(*PLAIN_ROW)]


def test_golden_checkpoint_payload() -> None:
    """A checkpoint holds the last timestamp and the tracking table."""
    payload = CheckpointPayload(7, [TrackingData("up", 5)])
    assert encode_payload(payload) == bytes.fromhex("92 07 91 93a275700500")
    assert decode_checkpoint(encode_payload(payload)) == payload


def test_golden_end_payload() -> None:
    """An end frame holds last position, last commit, and counts of records and frames."""
    payload = EndPayload(300, 20, 5, 2)
    assert encode_payload(payload) == bytes.fromhex("94 cd012c 14 05 02")
    assert decode_end(encode_payload(payload)) == payload


@given(st.none() | tracking_data, st.lists(rows, max_size=4))
def test_round_trip(tracking: TrackingData | None, commit: list[tuple[Any, ...]]) -> None:
    """All readers of a payload see what was encoded, each in its own form."""
    records = [RecordData(*row) for row in commit]
    identities = [RecordIdentity(*row[:2]) for row in commit]
    first, further = encode_payload((COMMIT_ID, tracking, commit)), encode_payload(commit)
    assert decode_first(first) == FirstPayload(COMMIT_ID, tracking, records)
    assert decode_records(further) == records
    assert decode_first_identities(first).records == decode_identities(further) == identities
    assert [decode_record(raw) for raw in decode_first_raw(first).records] == records
    assert [decode_record(raw) for raw in decode_raw_records(further)] == records


message_rows = st.builds(lambda row: (None, None, *row[2:]), rows)


@given(st.none() | tracking_data, st.lists(rows | message_rows, max_size=4))
def test_messages_are_known_by_their_first_bytes(
    tracking: TrackingData | None, commit: list[tuple[Any, ...]]
) -> None:
    """One record without originator and without tracking; and whether it is worth while to try."""
    encoded = encode_payload((COMMIT_ID, tracking, commit))
    are_messages = [row[:2] == (None, None) for row in commit]
    assert is_one_message(encoded) == (tracking is None and are_messages == [True])
    if tracking is None and all(are_messages) and commit:
        assert begins_with_message(encoded)
    if all(are_messages):
        assert len(decode_first_messages(encoded).records) == len(commit)
        assert len(decode_messages(encode_payload(commit))) == len(commit)
    else:
        for decode, payload in (
            (decode_first_messages, encoded),
            (decode_messages, encode_payload(commit)),
        ):
            with pytest.raises(UNDECODABLE):
                decode(payload)


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, 65_536])
def test_messages_in_arrays_of_all_lengths(count: int) -> None:
    """The beginning of the first record is found behind each kind of array."""
    message = (None, None, "t", b"s")
    assert begins_with_message(encode_payload((COMMIT_ID, None, [message] * count)))
    assert not begins_with_message(encode_payload((COMMIT_ID, None, [PLAIN_ROW] * count)))


@given(st.binary(max_size=40))
def test_looking_for_messages_takes_any_bytes(data: bytes) -> None:
    """Nothing is raised for what is no payload."""
    begins_with_message(data)
    assert not is_one_message(data) or data.startswith(b"\x93\xc4\x10")


def test_trailing_fields_that_are_unknown_are_ignored() -> None:
    """A record, a payload or a tracking record of a later version may be longer."""
    row = (*FULL_ROW, "new", [1, 2])
    encoded = encode_payload((COMMIT_ID, ("up", 5, 0, "new"), [row], {"new": 1}))
    assert decode_first(encoded) == FirstPayload(
        COMMIT_ID, TrackingData("up", 5, 0), [RecordData(*FULL_ROW)]
    )
    assert decode_first_identities(encoded).records == [RecordIdentity("a", -1)]
    assert decode_end(encode_payload((1, 2, 3, 4, 5))) == EndPayload(1, 2, 3, 4)


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=60))
def test_random_bytes_decode_or_raise_what_is_documented(
    decode: Callable[[bytes], Any], data: bytes
) -> None:
    """Whatever the bytes are, a decoder returns a value or raises one of UNDECODABLE."""
    with contextlib.suppress(*UNDECODABLE):
        decode(data)


@given(st.lists(rows, max_size=2), st.data())
def test_damaged_payloads_decode_or_raise_what_is_documented(
    commit: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """A payload with wrong bytes, which look more like one, raises nothing else either."""
    whole = bytearray(encode_payload((COMMIT_ID, TrackingData("up", 5), commit)))
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for decode in DECODERS:
        with contextlib.suppress(*UNDECODABLE):
            decode(damaged)


@pytest.mark.parametrize(
    "data",
    [
        b"\x97\xc0\xc0\xa1t\xc4\x00\x90\xc0" + b"\x81\xa1a" * 100_000 + b"\xc0",
        b"\x94\xc0\xc0\xa1\xff\xc4\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\x94\xc0\xc0\xa1t\xc6\xff\xff\xff\xff",
        b"\xc1",
        b"",
    ],
    ids=["nested deeply", "not UTF-8", "huge array", "huge bytes", "unused code", "nothing"],
)
def test_hostile_records_raise_what_is_documented(data: bytes) -> None:
    """Bytes made to exhaust stack or memory end in one of UNDECODABLE, at once."""
    with pytest.raises(UNDECODABLE):
        decode_record(data)


def test_the_deepest_allowed_metadata_is_read_on_a_deep_stack() -> None:
    """What may be written can be read where little of the interpreter's stack is left."""
    nested: Any = None
    for _ in range(METADATA_DEPTH_MAX):
        nested = {"k": nested}
    encoded = encode_payload((*FULL_ROW[:6], nested))

    def descend(levels: int) -> RecordData:
        return descend(levels - 1) if levels else decode_record(encoded)

    assert descend(600).metadata == nested

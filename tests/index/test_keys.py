"""Canonical keys: which ids are one originator."""

from hashlib import blake2b
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.index.keys import KINDS, Kind, key64, key_range, originator_key, text_key

UUID_1 = UUID("00112233-4455-6677-8899-aabbccddeeff")


@given(st.uuids())
def test_a_uuid_and_its_text_are_one_originator(value: UUID) -> None:
    """UUID, its 16 bytes as on disk, and its 36 lower-case characters have the same key."""
    assert originator_key(value) == originator_key(value.bytes) == originator_key(str(value))


@pytest.mark.parametrize(
    "text",
    [
        str(UUID_1).upper(),
        UUID_1.hex,
        "{" + str(UUID_1) + "}",
        "urn:uuid:" + str(UUID_1),
        str(UUID_1)[:-1] + "g",
        str(UUID_1)[:-1] + "-",
        "0011223--4455-6677-8899-aabbccddeeff",
        str(UUID_1).replace("0", "\N{FULLWIDTH DIGIT ZERO}"),
        "",
        "-" * 36,
    ],
)
def test_other_spellings_are_texts(text: str) -> None:
    """Only the canonical spelling is a UUID; whatever else UUID() would read stays a text."""
    assert text_key(text) == originator_key(text) == text


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_texts_are_different_originators(first: str, second: str) -> None:
    """No two texts share a key."""
    assert (text_key(first) == text_key(second)) == (first == second)


@pytest.mark.parametrize("nothing", [None, 5, object()])
def test_no_id_has_no_key(nothing: object) -> None:
    """What is no id has no key, so that the index leaves it alone."""
    assert originator_key(nothing) is None


GENESIS_ID = bytes(range(16))
TEXT = str(UUID_1)
GOLDEN_KEYS = [
    0x0D12D1DDA5B90456,
    0x49AC94F7EFE66609,
    0x86C5AA6226BC8329,
    0xDC949F064EA938A8,
]


@pytest.mark.parametrize("kind", KINDS)
def test_key64_is_the_hash_that_the_page_describes(kind: Kind) -> None:
    """62 bits of a keyed, personalized BLAKE2b, under two bits that say the kind."""
    value: bytes | str = UUID_1.bytes if kind == "event id" else "Käse"
    data = value if isinstance(value, bytes) else value.encode()
    digest = blake2b(data, digest_size=8, key=GENESIS_ID, person=kind.encode()).digest()
    expected = int.from_bytes(digest, "little") & (1 << 62) - 1 | KINDS.index(kind) << 62
    assert key64(GENESIS_ID, kind, value) == expected
    low, high = key_range(kind)
    assert low <= expected <= high


def test_golden_key64() -> None:
    """Keys in files that exist already are these."""
    assert [key64(GENESIS_ID, kind, TEXT) for kind in KINDS] == GOLDEN_KEYS


def test_key64_of_both_forms_of_an_originator() -> None:
    """A UUID's 16 bytes and its canonical text are one originator, and no other spelling is."""
    key = key64(GENESIS_ID, "originator", TEXT)
    assert key64(GENESIS_ID, "originator", UUID_1.bytes) == key
    assert key64(GENESIS_ID, "originator", TEXT.upper()) != key
    assert key64(GENESIS_ID, "event id", UUID_1.bytes) & (1 << 62) - 1 != key


def test_key64_of_a_text_that_is_no_unicode() -> None:
    """A lone surrogate, which no record can hold, has a key, so that asking for it finds nothing."""
    assert key64(GENESIS_ID, "tag", "\ud800") != key64(GENESIS_ID, "tag", "?")

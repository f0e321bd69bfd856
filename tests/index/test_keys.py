"""Canonical keys: which ids are one originator."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.index.keys import originator_key, text_key

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

"""Records of views: their bytes, as the page of the format shows them, and what is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.format.payload import UNDECODABLE
from aurora_es.format.view import (
    Change,
    CheckpointPart,
    decode_changes,
    decode_checkpoint_part,
    encode_changes,
    encode_checkpoint_part,
)

_APPLE = b"\xa5apple"
_GOLDEN_CHANGE = "9193a6636f756e7473a56170706c6507"
_GOLDEN_DELETION = "9192a6636f756e7473a56170706c65"
_GOLDEN_CHECKPOINT = "94050101" + _GOLDEN_CHANGE

_ENCODED = st.one_of(st.none(), st.integers(0, 2**40), st.text(), st.lists(st.text())).map(
    msgspec.msgpack.encode
)
_CHANGES: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(st.text(), _ENCODED, _ENCODED | st.just(b""))
)


def test_golden_bytes() -> None:
    """The bytes of the page's example, both ways."""
    change = ("counts", _APPLE, b"\x07")
    assert encode_changes([change]).hex() == _GOLDEN_CHANGE
    assert encode_changes([("counts", _APPLE, b"")]).hex() == _GOLDEN_DELETION
    part = CheckpointPart(5, 1, 1, [change])
    assert encode_checkpoint_part(part).hex() == _GOLDEN_CHECKPOINT
    assert decode_changes(bytes.fromhex(_GOLDEN_CHANGE)) == [change]
    assert decode_changes(bytes.fromhex(_GOLDEN_DELETION)) == [("counts", _APPLE, b"")]
    assert decode_checkpoint_part(bytes.fromhex(_GOLDEN_CHECKPOINT), 1 << 40) == part


@given(changes=_CHANGES, position=st.integers(0, 2**63 - 1))
def test_what_is_encoded_is_decoded(changes: list[Change], position: int) -> None:
    """Keys and values come back as the bytes that they were."""
    assert decode_changes(encode_changes(changes)) == changes
    part = CheckpointPart(position, 2, 3, [change for change in changes if change[2]])
    assert decode_checkpoint_part(encode_checkpoint_part(part), part.position + 1) == part


@pytest.mark.parametrize("state", ["", "07", "9107", "919107", "9391a16101", "94050201" + "90"])
def test_what_is_none_is_refused(state: str) -> None:
    """Anything else raises one of the errors that callers expect."""
    data = bytes.fromhex(state)
    with pytest.raises(UNDECODABLE):
        decode_changes(data)
    with pytest.raises(UNDECODABLE):
        decode_checkpoint_part(data, 1 << 40)


def test_fields_of_later_versions_are_ignored() -> None:
    """A change with a fourth field, a checkpoint with a fifth."""
    assert decode_changes(bytes.fromhex("9194a16101" + "0203")) == [("a", b"\x01", b"\x02")]
    assert decode_checkpoint_part(bytes.fromhex("9501010190c0"), 2).rows == []

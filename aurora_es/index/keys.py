"""Canonical keys: a UUID and its 36-character lower-case text are one originator.

Keys in memory are the UUID's 16 bytes, or the text itself when it is not a canonical UUID.

Keys in index runs, ``key64``, are 64-bit numbers: the kind (originator, topic, tag or event id) in
the two highest bits, then 62 bits of a BLAKE2b keyed with the journal's genesis id. So the kinds
lie apart in a sorted run, and a merge, which sees nothing but keys, can tell originators, whose
versions it compares and whose number it keeps, from the rest. Two texts may share a key64: a hit
is confirmed against the record.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, get_args
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

_CANONICAL_LENGTH = 36
_UUID_BYTES = 16

Kind = Literal["originator", "topic", "tag", "event id"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HASH_BITS = 62
_HASH_MASK = (1 << HASH_BITS) - 1


def originator_key(originator_id: object) -> bytes | str | None:
    """Key of an originator id: a UUID, its 16 bytes as on disk, a text, or None."""
    if isinstance(originator_id, UUID):
        return originator_id.bytes
    if isinstance(originator_id, str):
        return text_key(originator_id)
    if isinstance(originator_id, bytes):
        return originator_id
    return None


def text_key(text: str) -> bytes | str:
    """Key of a textual id."""
    if len(text) == _CANONICAL_LENGTH and text[8] == "-":
        try:
            value = UUID(text)
        except ValueError:
            return text
        if str(value) == text:
            return value.bytes
    return text


def key_range(kind: Kind) -> tuple[int, int]:
    """Lowest and highest key64 of a kind."""
    number = KINDS.index(kind)
    return number << HASH_BITS, number << HASH_BITS | _HASH_MASK


def key64(genesis_id: bytes, kind: Kind, value: bytes | str) -> int:
    """Key of a topic, tag or textual originator id (str), or of a UUID or event id (16 bytes)."""
    return key_hasher(genesis_id, kind)(value)


def key_hasher(genesis_id: bytes, kind: Kind) -> Callable[[bytes | str], int]:
    """Return ``key64`` for one journal and kind, set up once."""
    template = blake2b(digest_size=8, key=genesis_id, person=kind.encode())
    number = key_range(kind)[0]
    is_originator = kind == "originator"

    def hashed(value: bytes | str) -> int:
        if isinstance(value, str):
            data = value.encode("utf-8", "surrogatepass")
        elif is_originator and len(value) == _UUID_BYTES:
            text = value.hex()
            data = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()
        else:
            data = value
        state = template.copy()
        state.update(data)
        return number | int.from_bytes(state.digest(), "little") & _HASH_MASK

    return hashed

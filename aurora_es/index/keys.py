"""Canonical keys: a UUID and its 36-character lower-case text are one originator.

Keys are the UUID's 16 bytes, or the text itself when it is not a canonical UUID.
"""

from __future__ import annotations

from uuid import UUID

_CANONICAL_LENGTH = 36


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

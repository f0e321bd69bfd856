"""States of the records of a journaled view: its changes, and its checkpoints.

A view change is a record with the topic ``VIEW_CHANGE`` and no originator::

    [ [table, key, value], [table, key], ... ]        two fields: the key was deleted

A view checkpoint is one or more records of one commit with the topic ``VIEW_CHECKPOINT``; their
originator is ``VIEW_CHECKPOINT``, too, with versions that rise by one from part to part, so that
the index knows the newest::

    [ position, part, parts, [ [table, key, value], ... ] ]

``position`` is the last one that the checkpoint reflects; 0 means that it reflects nothing of what
was before and takes its place, from the position of its last part on (a view that was rebuilt).
Keys and values are MessagePack of any kind; equal keys are equal bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aurora_es.format.payload import encode_payload

if TYPE_CHECKING:
    from collections.abc import Iterable

VIEW_CHANGE = "aurora_es.view-change"
VIEW_CHECKPOINT = "aurora_es.view-checkpoint"

# table, key, value as they are on disk; the value of a key that was deleted is empty
Change = tuple[str, bytes, bytes]


class _Change(msgspec.Struct, array_like=True, gc=False):
    table: str
    key: msgspec.Raw
    value: msgspec.Raw = msgspec.Raw(b"")


class _Checkpoint(msgspec.Struct, array_like=True, gc=False):
    position: int
    part: int
    parts: int
    rows: list[_Change]


class CheckpointPart(msgspec.Struct, frozen=True):
    """One record of a checkpoint; parts count from 1."""

    position: int
    part: int
    parts: int
    rows: list[Change]


_decode_changes = msgspec.msgpack.Decoder(list[_Change]).decode
_decode_checkpoint = msgspec.msgpack.Decoder(_Checkpoint).decode


def encode_changes(changes: Iterable[Change]) -> bytes:
    """State of a view change."""
    return encode_payload([_fields(change) for change in changes])


def decode_changes(state: bytes) -> list[Change]:
    """Changes, in order; raises what is in ``payload.UNDECODABLE``."""
    return [
        (change.table, bytes(change.key), bytes(change.value)) for change in _decode_changes(state)
    ]


def encode_checkpoint_part(part: CheckpointPart) -> bytes:
    """State of one record of a checkpoint."""
    return encode_payload(
        (part.position, part.part, part.parts, [_fields(row) for row in part.rows])
    )


def decode_checkpoint_part(state: bytes, at: int) -> CheckpointPart:
    """The record of a checkpoint at position ``at``; raises what is in ``payload.UNDECODABLE``."""
    found = _decode_checkpoint(state)
    rows = [(row.table, bytes(row.key), bytes(row.value)) for row in found.rows]
    if not 1 <= found.part <= found.parts:
        message = f"part {found.part} of {found.parts}"
        raise ValueError(message)
    if not 0 <= found.position < at:
        message = f"a checkpoint that reflects position {found.position} in the record at {at}"
        raise ValueError(message)
    return CheckpointPart(found.position, found.part, found.parts, rows)


def _fields(change: Change) -> tuple[object, ...]:
    table, key, value = change
    if value:
        return table, msgspec.Raw(key), msgspec.Raw(value)
    return table, msgspec.Raw(key)

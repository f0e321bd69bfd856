"""Payloads of a cooled segment: *packed* frames, and an end frame that says what was cooled.

    packed   [ [commit, commit, ...], [record, record, ...] ]
    commit   [ commit number, commit id, record count, timestamp, tracking or nil ]
    end      [ last position, last commit number, record count, frame count,
               end offset before, last header checksum before, logical digest ]
    lost     [ first position, last position, first commit number, last commit number ]

Theory of operation: a frame of a single small event costs as much to check and decompress as one of
sixty, so a cooled segment puts many commits into one frame of about 16 KiB. The table comes first;
each commit owns the next *record count* records. A commit that does not fit goes on in the next
frame, where it is listed again with its further count and without its tracking. Records and
tracking are copied as they are, never encoded again, so that fields of a later version survive.

A *lost* frame stands in a repaired segment in the place of commits that no byte in the directory
could bring back. Its header counts the lost positions as if they were records, so that a walk goes
on behind them; they are never used again. Where no position was lost, the last is the first - 1.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from aurora_es.format.limits import TIMESTAMP_MAX
from aurora_es.format.payload import RecordData, TrackingData

COMMIT_ID_BYTES = 16
DIGEST_BYTES = 32
# About what a commit takes in the table besides its tracking: array, numbers, commit id.
COMMIT_ENTRY_BYTES = 40

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=TIMESTAMP_MAX)]


class PackedCommit(msgspec.Struct, array_like=True, gc=False):
    """An entry of a packed frame's table."""

    commit_number: _Count
    commit_id: bytes
    record_count: _Count  # in this frame
    timestamp: _Time
    tracking: msgspec.Raw  # nil, also where the commit began in an earlier frame


class PackedTime(msgspec.Struct, array_like=True, gc=False):
    """The same entry as a reader of records wants it."""

    commit_number: _Count
    commit_id: msgspec.Raw
    record_count: _Count
    timestamp: _Time


class PackedRecords(msgspec.Struct, array_like=True, gc=False):
    """Payload of a packed frame as a reader of pages wants it: the table is passed over."""

    commits: msgspec.Raw
    records: list[RecordData]


class PackedGroups(msgspec.Struct, array_like=True, gc=False):
    """The same payload with the times of its commits."""

    commits: list[PackedTime]
    records: list[RecordData]


class PackedOne(msgspec.Struct, array_like=True, gc=False):
    """The same payload, to decode one record of many."""

    commits: list[PackedTime]
    records: list[msgspec.Raw]


class PackedSome(msgspec.Struct, array_like=True, gc=False):
    """The same payload, to decode some records without their times."""

    commits: msgspec.Raw
    records: list[msgspec.Raw]


class PackedPayload(msgspec.Struct, array_like=True, gc=False):
    """The same payload, to copy its commits."""

    commits: list[PackedCommit]
    records: list[msgspec.Raw]


class SourcePayload(msgspec.Struct, array_like=True, gc=False):
    """Payload of the first *records* frame of a commit, to copy the commit."""

    commit_id: bytes
    tracking: msgspec.Raw
    records: list[msgspec.Raw]


class SealedEndPayload(msgspec.Struct, array_like=True, gc=False):
    """Payload of an end frame; the last three fields stand in a cooled segment only."""

    last_position: int
    last_commit: int
    record_count: int
    frame_count: int
    # The successor's header names these of the segment that it followed, before any cooling.
    original_end: int = 0
    original_checksum: int = 0
    digest: bytes = b""


class LostPayload(msgspec.Struct, array_like=True, frozen=True):
    """Payload of a lost frame: bounds of what is gone, all included."""

    first_position: _Count
    last_position: _Count
    first_commit: _Count
    last_commit: _Count

    @property
    def positions(self) -> tuple[int, int]:
        """First and last position, as the manifest lists them."""
        return self.first_position, self.last_position

    @property
    def record_count(self) -> int:
        """Number of positions that are gone."""
        return self.last_position + 1 - self.first_position

    @property
    def bare_commits(self) -> tuple[int, int]:
        """First and last of the commits, if all held a tracking record only; else the last is below."""
        return self.first_commit, self.first_commit - 1 if self.record_count else self.last_commit


NIL = msgspec.Raw(b"\xc0")  # a tracking field that holds none

decode_packed_records = msgspec.msgpack.Decoder(PackedRecords).decode
decode_packed_groups = msgspec.msgpack.Decoder(PackedGroups).decode
decode_packed_some = msgspec.msgpack.Decoder(PackedSome).decode
decode_packed_one = msgspec.msgpack.Decoder(PackedOne).decode
decode_packed = msgspec.msgpack.Decoder(PackedPayload).decode
decode_source = msgspec.msgpack.Decoder(SourcePayload).decode
decode_sealed_end = msgspec.msgpack.Decoder(SealedEndPayload).decode
decode_lost = msgspec.msgpack.Decoder(LostPayload).decode
decode_tracking = msgspec.msgpack.Decoder(TrackingData).decode
decode_fields = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
encode_packed = msgspec.msgpack.Encoder().encode


def unknown_fields(payload: bytes, known: int) -> bool:
    """Whether the array ``payload`` has more than ``known`` fields (at most 15): a later version's."""
    return payload[0] != 0x90 + known and len(decode_fields(payload)) > known

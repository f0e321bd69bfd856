"""Reads many small commits of a raw segment at once, as fast as checksums can be computed.

Theory of operation: a commit of one event is a frame of its own, and what a ``CommitWalk`` has to
look at for each takes longer than its bytes are worth. Here the headers of a megabyte are compared
as numpy columns, and payloads are decoded one behind the other. Taken is the longest stretch of
commits that are, beyond doubt, valid, uncompressed, and of one frame each; the walk goes on behind
it with whatever comes next, and judges it. Every check of a walk is made. (``aurora-es verify`` reads
one-event commits three times as fast by this.)

Imported late, by whoever needs it, since numpy takes longer to import than all else.
"""

from __future__ import annotations

from itertools import chain as flattened
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from aurora_es.codecs.compression import CODEC_NONE
from aurora_es.files.layer import read_exactly
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    ALIGNMENT,
    CHECKED_BYTES,
    FRAME_VERSION,
    HEADER_BYTES,
    KIND_RECORDS,
)
from aurora_es.format.limits import FRAME_RAW_BYTES_MAX, TIMESTAMP_MAX
from aurora_es.format.packed import COMMIT_ID_BYTES
from aurora_es.format.payload import UNDECODABLE, RecordData

if TYPE_CHECKING:
    from aurora_es.segment.commits import CommitWalk

_BLOCK_BYTES = 1 << 20
_HEADER = np.dtype(
    [
        ("salt", "<u8"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("codec", "u1"),
        ("version", "u1"),
        ("stored_length", "<u4"),
        ("raw_length", "<u4"),
        ("record_count", "<u4"),
        ("first_position", "<u8"),
        ("commit_number", "<u8"),
        ("timestamp", "<u8"),
        ("synced_to", "<u8"),
        ("frame_number", "<u2"),
        ("frames_in_commit", "<u2"),
        ("previous_checksum", "<u4"),
        ("payload_checksum", "<u4"),
        ("checksum", "<u4"),
    ]
)
assert _HEADER.itemsize == HEADER_BYTES
# What the logical digest takes in front of each commit: see ``segment/digest.py``.
_DIGEST_HEAD = np.dtype(
    [("number", "<u8"), ("timestamp", "<u8"), ("count", "<u4"), ("tracking", "<u4"), ("id", "V16")]
)
_LENGTH_AT = 12  # offset of the stored length in a header
# A payload without tracking, and with fewer than 16 records, begins so: array of 3, bin of 16 bytes,
# the commit id, nil, array of that many records.
_ID_AT, _NIL_AT, _COUNT_AT, _RECORDS_AT = 3, 19, 20, 21
_BEGIN = b"\x93\xc4\x10"
_NIL, _ARRAY, _SMALL_COUNT_MAX = 0xC0, 0x90, 15


class _BulkPayload(msgspec.Struct, array_like=True, gc=False):
    """Payload of a commit of one frame without tracking."""

    commit_id: bytes
    tracking: None
    records: list[RecordData]


_decode_payload = msgspec.msgpack.Decoder(_BulkPayload).decode


class Batch(NamedTuple):
    """Commits that follow each other, without tracking."""

    first_commit: int
    last_commit: int
    first_position: int
    last_position: int
    first_timestamp: int
    last_timestamp: int
    records: list[RecordData]
    digested: bytes  # what their logical digest takes


def take_batch(walk: CommitWalk, end: int) -> Batch | None:
    """Take the commits at the walk's place, and move it behind them; None if it has to look itself.

    ``end`` is the offset at which the segment ends. Only for raw segments, between two commits.
    """
    chain, file = walk.chain, walk.file
    length = min(_BLOCK_BYTES, end - chain.offset)
    data = read_exactly(file.files, file.fd, length, chain.offset)
    found = np.frombuffer(data, "u1")
    starts = _frame_starts(data, file.salt)
    if not len(starts):
        return None
    headers = found[starts[:, None] + np.arange(HEADER_BYTES)].view(_HEADER)[:, 0]
    begins = starts + HEADER_BYTES
    counts = headers["record_count"]
    valid = _is_expected(walk, headers)
    for at, byte in enumerate(_BEGIN):
        valid &= found[begins + at] == byte
    valid &= (found[begins + _NIL_AT] == _NIL) & (counts <= _SMALL_COUNT_MAX)
    valid &= found[begins + _COUNT_AT] == _ARRAY + counts
    size = len(starts) if valid.all() else int(np.argmin(valid))
    if not size:
        return None
    headers, counts, offsets = headers[:size], counts[:size], starts[:size].tolist()
    lengths = headers["stored_length"].tolist()
    payloads = [
        data[at : at + length] for at, length in zip(begins.tolist(), lengths, strict=False)
    ]
    if [crc32c(data[at : at + CHECKED_BYTES]) for at in offsets] != headers[
        "checksum"
    ].tolist() or [*map(crc32c, payloads)] != headers["payload_checksum"].tolist():
        return None
    try:
        records = [one.records for one in map(_decode_payload, payloads)]
    except UNDECODABLE:
        return None
    if [*map(len, records)] != counts.tolist():
        return None
    return _taken(walk, headers, offsets, payloads, records)


def _frame_starts(data: bytes, salt: bytes) -> np.typing.NDArray[np.int64]:
    """Where frames begin that follow each other without a gap and end inside of ``data``."""
    words = np.frombuffer(data, "<u8", len(data) // ALIGNMENT)
    starts = np.flatnonzero(words == np.frombuffer(salt, "<u8")[0]) * ALIGNMENT
    starts = starts[starts <= len(data) - HEADER_BYTES - _RECORDS_AT]
    if not len(starts) or starts[0]:
        return starts[:0]
    laid = np.frombuffer(data, "u1")[starts[:, None] + np.arange(_LENGTH_AT, _LENGTH_AT + 4)]
    lengths = laid.view("<u4")[:, 0].astype(np.int64)
    ends = (starts + HEADER_BYTES + lengths + (ALIGNMENT - 1)) & -ALIGNMENT
    valid = (lengths > _RECORDS_AT) & (lengths <= FRAME_RAW_BYTES_MAX) & (ends <= len(data))
    valid[1:] &= starts[1:] == ends[:-1]
    return starts if valid.all() else starts[: int(np.argmin(valid))]


def _is_expected(
    walk: CommitWalk, headers: np.typing.NDArray[np.void]
) -> np.typing.NDArray[np.bool_]:
    """Which headers are what the chain expects if all before are, checksums aside."""
    chain = walk.chain
    counts = headers["record_count"].astype(np.uint64)
    firsts = np.uint64(chain.position + 1) + np.cumsum(counts) - counts
    first = chain.commit_number + 1
    numbers = np.arange(first, first + len(headers), dtype=np.uint64)
    previous = np.concatenate(
        (np.array([chain.previous_checksum], np.uint32), headers["checksum"][:-1])
    )
    valid: np.typing.NDArray[np.bool_] = (
        (headers["salt"] == np.frombuffer(walk.file.salt, "<u8")[0])
        & (headers["kind"] == KIND_RECORDS)
        & (headers["flags"] == 0)
        & (headers["codec"] == CODEC_NONE)
        & (headers["version"] == FRAME_VERSION)
        & (headers["raw_length"] == headers["stored_length"])
        & (headers["first_position"] == firsts)
        & (headers["timestamp"] <= TIMESTAMP_MAX)
        & (headers["commit_number"] == numbers)
        & (headers["frame_number"] == 1)
        & (headers["frames_in_commit"] == 1)
        & (headers["previous_checksum"] == previous)
    )
    return valid


def _taken(
    walk: CommitWalk,
    headers: np.typing.NDArray[np.void],
    offsets: list[int],
    payloads: list[bytes],
    records: list[list[RecordData]],
) -> Batch:
    chain, places = walk.chain, walk.places
    first_commit, first_position = chain.commit_number + 1, chain.position + 1
    heads = np.zeros(len(offsets), _DIGEST_HEAD)
    heads["number"], heads["timestamp"] = headers["commit_number"], headers["timestamp"]
    heads["count"] = headers["record_count"]
    heads["id"] = np.frombuffer(
        b"".join([payload[_ID_AT : _ID_AT + COMMIT_ID_BYTES] for payload in payloads]), "V16"
    )
    packed = heads.tobytes()
    size = _DIGEST_HEAD.itemsize
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    bodies = [payload[_RECORDS_AT:] for payload in payloads]
    digested = b"".join(flattened.from_iterable(zip(pieces, bodies, strict=True)))
    last = headers[-1]
    end = (offsets[-1] + HEADER_BYTES + int(last["stored_length"]) + 7) & ~7
    with_records = headers["record_count"] > 0
    relative = headers["first_position"][with_records] - np.uint64(places.base_position)
    places.positions.frombytes(relative.astype(np.uint32).tobytes())
    absolute = np.array(offsets)[with_records] + chain.offset
    places.offsets.frombytes((absolute >> 3).astype(np.uint32).tobytes())
    timestamps = headers["timestamp"]
    chain.previous_checksum = int(last["checksum"])
    chain.commit_number = int(last["commit_number"])
    chain.position = int(last["first_position"]) + int(last["record_count"]) - 1
    chain.frame_count += len(offsets)
    chain.timestamp = max(chain.timestamp, int(timestamps.max()))
    if chain.first_timestamp is None:
        chain.first_timestamp = int(timestamps[0])
    if with_records.any():
        places.last_position = chain.position
        at = int(np.flatnonzero(with_records)[-1])
        length = int(headers["stored_length"][at])
        places.end = chain.offset + ((offsets[at] + HEADER_BYTES + length + 7) & ~7)
    chain.offset += end
    return Batch(
        first_commit,
        chain.commit_number,
        first_position,
        chain.position,
        int(timestamps[0]),
        int(timestamps[-1]),
        [*flattened.from_iterable(records)],
        digested,
    )

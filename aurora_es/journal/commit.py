"""Encodes one commit to self-contained bytes, before any lock is taken.

Theory of operation: rows (records as tuples in the order of the format) are cut into frames of
about 16 KiB raw, encoded, compressed and check-summed here. What is still missing, the numbers in
the frame headers, is filled in by the appender under the lock. A ``PreparedCommit`` is also the
place where its caller waits for the verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aurora_es.codecs.compression import CODEC_NONE, compress
from aurora_es.errors import ArgumentError, AuroraError, TooLargeError
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import HEADER_BYTES
from aurora_es.format.limits import (
    COMMIT_BYTES_MAX,
    FRAME_BYTES_TARGET,
    FRAMES_IN_COMMIT_MAX,
    NOTIFICATION_ID_MAX,
    RECORD_BYTES_MAX,
    TRACKING_NAME_BYTES_MAX,
)
from aurora_es.format.payload import TrackingData, encode_payload

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Sequence

    from aurora_es.index.postings import Label
    from aurora_es.index.query import Condition

    Row = tuple[Any, ...]  # RecordData's fields in order; trailing defaults may be missing
    Identity = tuple[bytes | str | None, int | None]  # (key, version)

# TypeError also comes for subclasses of str, int and bytes, which would not come back as such.
_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)
_PLAIN_ROW_FIELDS = 4
# Around topic, state and id of a plain record: array and type bytes, a UUID, a version.
_ROW_OVERHEAD_BYTES = 48
# From this estimate on the encoded size is looked at exactly: UTF-8 may take 4 bytes a character.
_LARGE_ROW_BYTES = RECORD_BYTES_MAX // 8
# Larger commits are not encoded as a whole first, to see how many frames they take.
_EVEN_BYTES_MAX = 1 << 22


class PreparedCommit:
    """A commit ready to be written.

    ``frames`` are (payload as stored, raw length, record count, codec, payload checksum),
    ``places`` (offset inside the commit, length with header and padding, record count). The
    remaining attributes carry the verdict; they are written by the leader of a group commit and
    read by the caller after ``done`` is set.
    """

    # Until the verdict; class attributes, since most commits change two of them.
    first_position = 0
    error: BaseException | None = None
    error_depends_on_group = False  # conflicts with a commit of its own group
    wakeup: LockType | None = None  # held while the caller waits; released to wake it
    group: Sequence[PreparedCommit] = ()  # whose verdicts it tells, while it leads
    taken = False  # a leader has it; the caller must wait for the verdict
    left = False  # the caller has gone away
    done = False
    begun = 0.0  # monotonic seconds; when it was given to the group commit
    rises = False  # versions are above all that their originators have before the tail
    # No record above ``looked_to`` or above its own bound may match it; written by its caller, and
    # by the leader under the append lock.
    condition: Condition | None = None
    looked_to = 0
    looked_epoch: int | None = None  # of the mark when that was found out
    # The upstream was restored to a point before what is tracked, and all of it is tracked anew.
    tracking_may_fall = False
    is_broken = False  # a match was found in what was sealed between that look and the lock

    def __init__(  # noqa: PLR0913, PLR0917 - made by prepare_commit alone, once per append
        self,
        commit_id: bytes,
        rows: Sequence[Row],
        identities: Sequence[Identity],
        tracking: TrackingData | None,
        frames: list[tuple[bytes, int, int, int, int]],
        places: list[tuple[int, int, int]],
        stored_bytes: int,
    ) -> None:
        """Keep the parts; nothing is known of the verdict."""
        self.commit_id = commit_id
        self.rows = rows
        self.identities = identities
        self.tracking = tracking
        self.frames = frames
        self.places = places
        self.record_count = len(identities)
        self.stored_bytes = stored_bytes

    def labels(self) -> list[Label]:
        """Topic and tags of each record."""
        return [(row[2], row[4] if len(row) > _PLAIN_ROW_FIELDS else ()) for row in self.rows]


def prepare_commit(
    commit_id: bytes,
    rows: Sequence[Row],
    identities: Sequence[Identity],
    tracking: TrackingData | None,
    codec: int,
) -> PreparedCommit:
    """Encode and compress a commit; raises ArgumentError, TooLargeError."""
    try:
        if codec == CODEC_NONE and len(rows) == 1 and len(rows[0][3]) < FRAME_BYTES_TARGET:
            # The most frequent commit, without loops (row "one-event insert").
            payload = encode_payload((commit_id, tracking, rows))
            length = len(payload)
            if length <= FRAME_BYTES_TARGET:
                frames = [(payload, length, 1, CODEC_NONE, crc32c(payload))]
                length = (HEADER_BYTES + 7 + length) & ~7
                return PreparedCommit(
                    commit_id, rows, identities, tracking, frames, [(0, length, 1)], length
                )
        payloads = _encode_evenly(commit_id, rows, tracking) or _encode_cut(
            commit_id, rows, tracking
        )
    except AuroraError:
        raise
    except _UNENCODABLE as error:
        raise ArgumentError(_why_unencodable(rows, error)) from error
    if len(payloads) > 1:
        _check_commit_size(payloads)
    frames = []
    for payload, count in payloads:
        if codec == CODEC_NONE:
            frames.append((payload, len(payload), count, CODEC_NONE, crc32c(payload)))
        else:
            used, stored = compress(codec, payload)
            frames.append((stored, len(payload), count, used, crc32c(stored)))
    places = []
    offset = 0
    for frame in frames:
        length = (HEADER_BYTES + 7 + len(frame[0])) & ~7
        places.append((offset, length, frame[2]))
        offset += length
    return PreparedCommit(commit_id, rows, identities, tracking, frames, places, offset)


def tracking_data(application_name: object, notification_id: object) -> TrackingData:
    """Check the parts of a tracking record; raises ArgumentError, TooLargeError."""
    if not isinstance(application_name, str):
        message = f"tracking: expected an application name (str), found {application_name!r}"
        raise ArgumentError(message)
    if isinstance(notification_id, bool) or not isinstance(notification_id, int):
        message = f"tracking: expected a notification id (int), found {notification_id!r}"
        raise ArgumentError(message)
    try:
        name_bytes = len(application_name.encode())
    except UnicodeEncodeError as error:
        message = f"tracking: expected a name that UTF-8 can encode, found {application_name!r}"
        raise ArgumentError(message) from error
    if name_bytes > TRACKING_NAME_BYTES_MAX:
        message = f"tracking name: at most {TRACKING_NAME_BYTES_MAX} bytes, found {name_bytes}"
        raise TooLargeError(message)
    if not 0 <= notification_id <= NOTIFICATION_ID_MAX:
        message = f"notification id: expected 0 to {NOTIFICATION_ID_MAX}, found {notification_id}"
        raise TooLargeError(message)
    return TrackingData(application_name, notification_id)


def _encode_evenly(
    commit_id: bytes, rows: Sequence[Row], tracking: TrackingData | None
) -> list[tuple[bytes, int]] | None:
    """Encode rows into frames of equally many; None if those would not be about 16 KiB each.

    Most commits hold events of about one size; looking at the size of each would take as long as
    encoding them all (row "insert of 100 events").
    """
    if not rows:
        return [(encode_payload((commit_id, tracking, rows)), 0)]
    if len(rows) * len(rows[0][3]) > _EVEN_BYTES_MAX:
        return None
    whole = encode_payload((commit_id, tracking, rows))
    count = -(-len(whole) // FRAME_BYTES_TARGET)
    if count == 1:
        return [(whole, len(rows))]
    step = -(-len(rows) // count)
    payloads = [(encode_payload((commit_id, tracking, rows[:step])), step)]
    for begin in range(step, len(rows), step):
        part = rows[begin : begin + step]
        payloads.append((encode_payload(part), len(part)))
    if max(len(payload) for payload, _ in payloads) > FRAME_BYTES_TARGET * 5 // 4:
        return None
    return payloads


def _encode_cut(
    commit_id: bytes, rows: Sequence[Row], tracking: TrackingData | None
) -> list[tuple[bytes, int]]:
    """Encode rows into frames that are cut by the size of each row."""
    parts = _cut(rows)
    payloads = [(encode_payload((commit_id, tracking, parts[0])), len(parts[0]))]
    payloads += [(encode_payload(part), len(part)) for part in parts[1:]]
    return payloads


def _cut(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Cut rows into frames of about 16 KiB; a greater record gets a frame of its own."""
    sizes = [
        len(row[2]) + len(row[3]) + _ROW_OVERHEAD_BYTES
        if len(row) == _PLAIN_ROW_FIELDS and type(row[0]) is bytes
        else len(encode_payload(row))
        for row in rows
    ]
    total = sum(sizes)
    if total <= FRAME_BYTES_TARGET:
        return [rows]
    if total > COMMIT_BYTES_MAX:
        message = f"commit: at most {COMMIT_BYTES_MAX} bytes, found {total}; split the call"
        raise TooLargeError(message)
    parts: list[Sequence[Row]] = []
    begin = size = 0
    for at, row_size in enumerate(sizes):
        if row_size > _LARGE_ROW_BYTES:
            _check_record_size(at, len(encode_payload(rows[at])))
        if size and size + row_size > FRAME_BYTES_TARGET:
            parts.append(rows[begin:at])
            begin, size = at, 0
        size += row_size
    parts.append(rows[begin:])
    return parts


def _why_unencodable(rows: Sequence[Row], error: Exception) -> str:
    """Say which record of a commit cannot be encoded."""
    for at, row in enumerate(rows):
        try:
            encode_payload(row)
        except _UNENCODABLE as fault:
            return (
                f"record {at} of this call, with topic {row[2]!r}, cannot be encoded: {fault};"
                " nothing was written; expected values that MessagePack can hold"
            )
    return (
        f"commit cannot be encoded: {error}; nothing was written; expected values that"
        " MessagePack can hold"
    )


def _check_record_size(at: int, size: int) -> None:
    if size > RECORD_BYTES_MAX:
        message = (
            f"record {at} of this call: at most {RECORD_BYTES_MAX} bytes, found {size}; nothing was"
            " written. Keep large content outside the event and a reference in it"
        )
        raise TooLargeError(message)


def _check_commit_size(payloads: list[tuple[bytes, int]]) -> None:
    size = sum(len(payload) for payload, _ in payloads)
    if size > COMMIT_BYTES_MAX or len(payloads) > FRAMES_IN_COMMIT_MAX:
        message = (
            f"commit: at most {COMMIT_BYTES_MAX} bytes in {FRAMES_IN_COMMIT_MAX} frames, found"
            f" {size} in {len(payloads)}; split the call"
        )
        raise TooLargeError(message)

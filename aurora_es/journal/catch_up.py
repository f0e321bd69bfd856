"""Lets the in-memory state of a handle catch up with the mark.

Theory of operation: from the chain's place the segments are walked up to the mark; every commit on
the way goes into the index once (by commit number). A segment below the mark's is read to its end
frame, and the next one's header must name that frame. Bytes at or beyond the mark are never looked
at. What does not fit is corruption, with one exception: under weak sync modes bytes between the
durable and the visible offset may be gone after a power cut, and then a recovery has to decide.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.codecs.compression import CODEC_NONE, DecompressionError, decompress
from aurora_es.errors import CorruptionError, NeedsRecoveryError
from aurora_es.format.frame import (
    HEADER_BYTES,
    KIND_CHECKPOINT,
    KIND_RECORDS,
    FrameHeader,
    frame_bytes,
)
from aurora_es.format.names import segment_name
from aurora_es.format.payload import (
    UNDECODABLE,
    TrackingData,
    begins_with_message,
    decode_checkpoint,
    decode_first_identities,
    decode_first_messages,
    decode_identities,
    decode_messages,
    is_one_message,
)
from aurora_es.index.keys import originator_key
from aurora_es.journal.closing import indexing
from aurora_es.journal.generation import renew_if_due, renew_past
from aurora_es.journal.handle import MissingSegmentError, State
from aurora_es.journal.logs import logger
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.segment.walk import Chain, Stop, Walk, WalkedFrame, start_of, stop_error

if TYPE_CHECKING:
    from aurora_es.format.mark import Mark
    from aurora_es.journal.commit import Identity
    from aurora_es.journal.handle import Handle
    from aurora_es.segment.walk import WholeCommit

_NOBODY: Identity = (None, None)


def refresh(handle: Handle) -> int:
    """Catch up with the mark; returns the visible position. Takes no lock when nothing is new."""
    descriptors = handle.usable()
    if descriptors is None:
        return 0
    mark = descriptors.mark.read()
    state = handle.state
    if (
        state.indexed_commit != mark.visible_commit
        or handle.epoch != mark.epoch
        or state.is_changing
    ):
        catch_up(handle, mark)
        state = handle.state
    return state.index.position


def catch_up(handle: Handle, mark: Mark) -> None:
    """Index every commit up to ``mark``; raises CorruptionError, NeedsRecoveryError."""
    renew_if_due(handle)
    stop = advance(handle, mark)
    if stop is not None:
        raise _not_at_mark(handle, mark, stop)


def advance(handle: Handle, mark: Mark) -> Stop | None:
    """Index commits up to ``mark``; returns where and why the chain ends before it, if it does."""
    while True:
        try:
            return _advance_from_state(handle, not_behind_sealed(handle, mark))
        except MissingSegmentError as error:
            if not renew_past(handle, error.segment_number):
                raise


def not_behind_sealed(handle: Handle, mark: Mark) -> Mark:
    """The same mark, moved behind all that the manifest lists.

    That was visible and on disk before it was listed. A mark may be older if its last sync failed,
    or if its writer died before the sync and a power cut followed.
    """
    sealed = handle.sealed
    if sealed is None or mark.segment_number > sealed.last_segment:
        return mark
    end = sealed.end_chain()
    assert end is not None
    chain = first_chain(*open_successor(handle, end))
    return mark._replace(
        visible_commit=chain.commit_number,
        visible_position=chain.position,
        segment_number=chain.segment_number,
        visible_offset=chain.offset,
        durable_offset=chain.offset,
    )


def _advance_from_state(handle: Handle, mark: Mark) -> Stop | None:
    if handle.epoch is not None and handle.epoch != mark.epoch:
        # Before the lock, which a log handler could want: two threads may both say it.
        logger.warning(
            "%s: epoch %d has followed epoch %d: visible commits were taken back; the newest"
            " position is %d",
            handle.path,
            mark.epoch,
            handle.epoch,
            mark.visible_position,
        )
    with indexing(handle):
        if handle.epoch != mark.epoch or handle.state.is_changing:
            handle.forget_state()
            handle.epoch = mark.epoch
        state = handle.state
        if state.chain is None:
            sealed = state.index.sealed
            # Walks begin behind what the manifest lists with a run: its records are indexed there.
            state.chain = (sealed and sealed.end_chain()) or start_of(handle.segment(1, 1))
            state.indexed_commit = state.chain.commit_number
        state.is_changing = True
        try:
            stop = _advance(handle, state, state.chain, mark)
            state.is_changing = False
            return stop
        except BaseException:
            # Stopped or interrupted in the middle of a commit: half an entry cannot be told apart.
            handle.forget_state()
            raise


def _advance(handle: Handle, state: State, chain: Chain, mark: Mark) -> Stop | None:
    while (chain.segment_number, chain.offset) < (mark.segment_number, mark.visible_offset):
        if chain.ended and chain.segment_number < mark.segment_number:
            _, state.chain = open_successor(handle, chain)
            chain = state.chain
        file = handle.segment(chain.segment_number, chain.base_position)
        is_tail = chain.segment_number == mark.segment_number
        walk = Walk(file, chain, mark.visible_offset if is_tail else file.size_bytes())
        if state.index.begin_segment(chain.segment_number, chain.base_position):
            handle.has_new_segment = True
        while True:
            _index_whole(handle, state, file, walk.take_whole())
            frames = walk.next_commit()
            if frames is None:
                break
            _index_commit(handle, state, file, frames)
        if is_tail:
            return None if chain.offset == mark.visible_offset else walk.stop
        if not chain.ended:
            raise stop_error(file, walk.stop)
    return None


def _index_whole(
    handle: Handle, state: State, file: SegmentFile, commits: list[WholeCommit]
) -> None:
    """Index commits of one frame each; messages that follow each other, at once.

    Of a message the index has to know its place only (row "4 processes" of the queue).
    """
    offsets: list[int] = []
    lengths: list[int] = []
    wants_ids = bool(handle.unresolved)
    for offset, header, payload, _ in commits:
        if (
            header[7] == 1  # record
            and header[3] == CODEC_NONE
            and header[5] == header[6]  # lengths as stored and raw
            and header[9] > state.indexed_commit
            and is_one_message(payload)
            and not wants_ids
        ):
            offsets.append(offset)
            lengths.append((HEADER_BYTES + 7 + header[5]) & ~7)
            continue
        if offsets:
            _index_messages(state, offsets, lengths, header[9] - 1)
            offsets, lengths = [], []
        frame = WalkedFrame(offset, FrameHeader._make(header), payload)
        _index_commit(handle, state, file, [frame])
    if offsets:
        _index_messages(state, offsets, lengths, commits[-1][1][9])


def _index_messages(state: State, offsets: list[int], lengths: list[int], last_commit: int) -> None:
    state.index.add_messages(offsets, lengths)
    state.indexed_commit = last_commit


def _index_commit(
    handle: Handle, state: State, file: SegmentFile, frames: list[WalkedFrame]
) -> None:
    header = frames[0].header
    if header.kind == KIND_CHECKPOINT:
        known = state.index.tracking
        for tracking in read_checkpoint(file, frames[0]):
            before = known.get(tracking.application_name)
            if before is None or before.notification_id < tracking.notification_id:
                known[tracking.application_name] = tracking
    if header.kind != KIND_RECORDS or header.commit_number <= state.indexed_commit:
        return
    commit_id, tracking_record, identities = decode_commit(file, frames)
    try:
        state.index.add_commit(
            identities,
            [
                (frame.offset, frame_bytes(len(frame.payload)), frame.header.record_count)
                for frame in frames
            ],
            tracking_record,
        )
    except OverflowError as error:  # a number that no writer of ours lets pass
        raise _undecodable(file, frames[0], error) from error
    state.indexed_commit = header.commit_number
    if commit_id in handle.unresolved:
        handle.unresolved[commit_id] = header.first_position + 1


def decode_commit(
    file: SegmentFile, frames: list[WalkedFrame]
) -> tuple[bytes, TrackingData | None, list[Identity]]:
    """Commit id, tracking record and identities of a walked commit, as the index takes them."""
    try:
        payloads = [_raw(frame) for frame in frames]
        decoded = _decode_messages(payloads) or _decode_identities(payloads)
    except (DecompressionError, *UNDECODABLE) as error:
        raise _undecodable(file, frames[0], error) from error
    count = frames[0].header.record_count
    for frame in frames[1:]:
        count += frame.header.record_count
    if len(decoded[2]) != count:
        raise _undecodable(file, frames[0], ValueError(f"{len(decoded[2])} records"))
    return decoded


def _decode_identities(payloads: list[bytes]) -> tuple[bytes, TrackingData | None, list[Identity]]:
    first = decode_first_identities(payloads[0])
    records = first.records
    for payload in payloads[1:]:
        records += decode_identities(payload)
    identities = [
        (
            # The bytes of a UUID are its key already; a message has none.
            key
            if (key := item.originator_id) is None or type(key) is bytes
            else originator_key(key),
            item.originator_version,
        )
        for item in records
    ]
    return first.commit_id, first.tracking, identities


def _decode_messages(
    payloads: list[bytes],
) -> tuple[bytes, TrackingData | None, list[Identity]] | None:
    """The same in a fraction of the time if there are messages only, None if not (row "send_many")."""
    if not begins_with_message(payloads[0]):
        return None  # nearly always, but in a queue
    try:
        first = decode_first_messages(payloads[0])
        count = len(first.records)
        for payload in payloads[1:]:
            count += len(decode_messages(payload))
    except UNDECODABLE:
        return None  # there is an originator among them, or damage: looking closer tells
    return first.commit_id, first.tracking, [_NOBODY] * count


def read_checkpoint(file: SegmentFile, frame: WalkedFrame) -> list[TrackingData]:
    """Tracking table of a checkpoint frame."""
    try:
        return decode_checkpoint(_raw(frame)).tracking
    except (DecompressionError, *UNDECODABLE) as error:
        raise _undecodable(file, frame, error) from error


def open_successor(handle: Handle, after: Chain) -> tuple[SegmentFile, Chain]:
    """Open the segment behind the end frame at ``after``; returns it and its first chain.

    Its header must name that end frame: raises CorruptionError where it does not.
    """
    name = segment_name(after.segment_number + 1, after.position + 1)
    path = os.path.join(handle.path, name)
    try:
        file = SegmentFile(handle.files, path, writable=False)
    except FileNotFoundError as error:
        raise MissingSegmentError(
            path,
            after.segment_number + 1,
            expected=f"the segment behind segment {after.segment_number}",
        ) from error
    check_segment(handle.genesis_id, file, after.segment_number + 1, after.position + 1)
    header = file.header
    expected = (after.offset, after.position, after.previous_checksum, after.commit_number + 1)
    found = (
        header.previous_end,
        header.previous_position,
        header.previous_checksum,
        header.base_commit,
    )
    if expected != found:
        raise CorruptionError(
            path,
            0,
            expected="predecessor's end {}, position {}, checksum {}, next commit {}".format(
                *expected
            ),
            found="end {}, position {}, checksum {}, next commit {}".format(*found),
        )
    chain = start_of(file)
    chain.timestamp = after.timestamp
    return file, chain


def first_chain(file: SegmentFile, chain: Chain) -> Chain:
    """Walk the checkpoint frame of a new segment; returns the chain behind it."""
    walk = Walk(file, chain, file.size_bytes())
    frames = next(iter(walk), None)
    if frames is None or frames[0].header.kind != KIND_CHECKPOINT:
        raise CorruptionError(
            file.path, walk.stop.offset, expected="a checkpoint frame", found=walk.stop.found
        )
    return chain


def _not_at_mark(handle: Handle, mark: Mark, stop: Stop) -> Exception:
    chain = handle.state.chain
    assert chain is not None
    file = handle.segment(chain.segment_number, chain.base_position)
    error = stop_error(file, stop)
    if isinstance(error, CorruptionError) and stop.offset >= mark.durable_offset:
        message = (
            f"{file.path}: bytes from offset {stop.offset} were visible but not yet synced"
            f" ({stop.expected}; {stop.found}). Open the journal for appending (Journal.open): that"
            " recovers it"
        )
        return NeedsRecoveryError(message)
    return error


def _raw(frame: WalkedFrame) -> bytes:
    header = frame.header
    if header.codec == CODEC_NONE and header.raw_length == len(frame.payload):
        return frame.payload
    return decompress(header.codec, frame.payload, header.raw_length)


def _undecodable(file: SegmentFile, frame: WalkedFrame, error: Exception) -> CorruptionError:
    return CorruptionError(
        file.path, frame.offset, expected="a payload that decodes", found=str(error)
    )

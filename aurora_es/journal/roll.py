"""The roll: closes the tail with an end frame and starts the next segment.

Theory of operation: the end frame goes to the mark's offset while the mark stays where it is, so
that whoever owns the lock next, should this process die, sees bytes there and recovers, and
recovery finishes the roll. The old segment is synced, in every sync mode, before the new one
exists; the new one is on disk under its name before the mark moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.codecs.compression import CODEC_OF
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    FRAME_VERSION,
    KIND_END,
    FrameHeader,
    encode_frame,
)
from aurora_es.format.payload import EndPayload, encode_payload
from aurora_es.journal.catch_up import catch_up, first_chain, open_successor
from aurora_es.journal.generation import renew_manifest
from aurora_es.journal.logs import logger
from aurora_es.journal.tail_writes import (
    FULL_DISK_ERRNOS,
    poisoned,
    publish_synced,
    storage_error,
    write_tail,
)
from aurora_es.options import RollBounds, RollCycle, Sync
from aurora_es.segment.create import link_segment, write_segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.format.mark import Mark
    from aurora_es.format.payload import TrackingData
    from aurora_es.journal.handle import Handle
    from aurora_es.segment.file import SegmentFile
    from aurora_es.segment.walk import Chain


def roll_is_due(bounds: RollBounds, chain: Chain, now: int) -> bool:
    """Say whether the next commit belongs into a new segment; ``now`` is its timestamp."""
    first = chain.first_timestamp
    if first is None:
        return False
    bytes_max, events_max, period, shift = bounds
    if chain.offset >= bytes_max or chain.position - chain.base_position + 1 >= events_max:
        return True
    # As ``RollBounds.same_cycle`` has it; every append comes here.
    return period > 0 and (first + shift) // period != (now + shift) // period


def roll(handle: Handle, mark: Mark) -> Mark:
    """Start a new segment; the caller holds the append lock and the state is at ``mark``."""
    chain = handle.state.chain
    assert chain is not None
    tail = handle.open_tail(chain)
    frame, checksum = _end_frame(tail, chain, mark)
    ended = chain.copy()
    ended.offset += len(frame)
    ended.previous_checksum = checksum
    # Killed from here to the publication: bytes at the mark's offset, so the next owner of the lock
    # recovers, finds the end frame, and finishes the roll from wherever it was.
    write_tail(handle, tail, frame, mark)
    try:
        handle.files.ftruncate(tail.fd, ended.offset)
        meters, begun = handle.meters, handle.effects.monotonic()
        handle.files.fsync(tail.fd)
        meters.note_sync(handle.effects.monotonic() - begun, meters.appended_commits)
    except OSError as error:
        raise poisoned(handle, tail.path, error) from error
    finish_roll(handle, ended, handle.state.index.tracking.values(), epoch=mark.epoch)
    next_chain = first_chain(*open_successor(handle, ended))
    mark = mark._replace(
        sequence=mark.sequence + 1,
        segment_number=next_chain.segment_number,
        visible_offset=next_chain.offset,
        durable_offset=next_chain.offset,
    )
    # A power cut may take the mark back to the old segment: recovery walks over its end frame.
    publish_synced(handle, mark)
    handle.in_doubt = False
    meters.rolls += 1
    catch_up(handle, mark)
    take_roll_cycle(handle)
    logger.info(
        "%s: rolled to segment %d, which begins at position %d",
        handle.path,
        mark.segment_number,
        mark.visible_position + 1,
    )
    return mark


def finish_roll(
    handle: Handle, ended: Chain, tracking: Iterable[TrackingData], *, epoch: int
) -> None:
    """Make the segment behind the end frame at ``ended`` and sync its name.

    A full disk raises StorageFullError and may be tried again by the next owner of the lock;
    any other failure is that of a sync and makes the handle final.
    """
    try:
        name = write_segment(
            handle.effects,
            handle.path,
            genesis_id=handle.genesis_id,
            after=ended,
            epoch=epoch,
            codec=CODEC_OF[handle.compression],
            tracking=tracking,
            reserve=handle.sync_mode == Sync.ALWAYS,
        )
        link_segment(handle.files, handle.path, name)
    except OSError as error:
        if error.errno in FULL_DISK_ERRNOS:
            raise storage_error(handle.path, error) from error
        raise poisoned(handle, handle.path, error) from error


def take_roll_cycle(handle: Handle) -> None:
    """Let a roll cycle that was set meanwhile hold from this segment on."""
    renew_manifest(handle)
    if handle.manifest is not None:
        handle.set_roll_cycle(RollCycle.parse(handle.manifest.roll_cycle))


def _end_frame(tail: SegmentFile, chain: Chain, mark: Mark) -> tuple[bytes, int]:
    payload = encode_payload(
        EndPayload(
            last_position=chain.position,
            last_commit=chain.commit_number,
            record_count=chain.position - chain.base_position + 1,
            frame_count=chain.frame_count,
        )
    )
    header = FrameHeader(
        salt=tail.salt,
        kind=KIND_END,
        flags=0,
        codec=0,
        version=FRAME_VERSION,
        stored_length=len(payload),
        raw_length=len(payload),
        record_count=0,
        first_position=chain.position + 1,
        commit_number=chain.commit_number,
        timestamp=chain.timestamp,
        synced_to=mark.durable_offset,
        frame_number=1,
        frames_in_commit=1,
        previous_checksum=chain.previous_checksum,
        payload_checksum=crc32c(payload),
    )
    return encode_frame(header, payload)

"""Appends a group of commits under the append lock: steps 4 to 10 of docs/internals/crash-safety.md.

The loops and local names in ``_assemble`` are for ``benchmarks`` (row "one-event insert").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import CommitOutcomeUnknownError
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    CHECKSUM,
    FRAME_VERSION,
    HEADER,
    KIND_RECORDS,
    PADDING,
)
from aurora_es.format.mark import Mark
from aurora_es.journal.catch_up import advance
from aurora_es.journal.recovery import recover
from aurora_es.journal.roll import take_roll_cycle
from aurora_es.journal.tail_writes import reserve, write_tail
from aurora_es.options import Sync

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.journal.commit import PreparedCommit
    from aurora_es.journal.handle import Handle
    from aurora_es.journal.mark_file import MarkFile

_NOT_WRITTEN = bytes(8)
_CONTENDED_APPENDS = 64  # own appends in a row after which others are taken to have gone
_new_mark = tuple.__new__  # half the time of the call of a NamedTuple
_pack_header = HEADER.pack
_pack_checksum = CHECKSUM.pack


def mark_under_lock(handle: Handle) -> Mark:
    """Read the mark, catch up, and recover if anybody left bytes behind it.

    Recovery is a step of every acquisition of the lock, not only of opening: debris of a dead or
    interrupted writer never stays below new bytes.
    """
    descriptors = handle.descriptors or handle.attached()
    mark = descriptors.mark.read()
    if mark is handle.own_mark and handle.state.chain is not None:
        if handle.contended:
            handle.contended -= 1
    else:
        handle.reserved_end = 0
        if handle.own_mark is not None:
            handle.contended = _CONTENDED_APPENDS
        before = handle.state.chain
        segment_number = 0 if before is None else before.segment_number
        if advance(handle, mark) is not None:
            # A power cut under a weak sync mode: the mark reached the disk, and the bytes did not.
            return recover(handle)
        if mark.segment_number != segment_number:
            take_roll_cycle(handle)
    chain = handle.state.chain
    assert chain is not None
    if handle.in_doubt:
        # A thread of this process was interrupted between its write and its publication.
        return recover(handle)
    tail = handle.tail
    if tail is None or tail.header.segment_number != chain.segment_number:
        tail = handle.open_tail(chain)
    ahead = handle.files.pread(tail.fd, 8, mark.visible_offset)
    if ahead and ahead != _NOT_WRITTEN[: len(ahead)]:
        # Another process was killed between its write and its publication, or in the middle of a roll.
        return recover(handle)
    return mark


def write_group(
    handle: Handle, mark: Mark, group: Sequence[PreparedCommit], timestamp: int
) -> Mark:
    """Write, sync and publish the commits of ``group``; sets each ``first_position``.

    Raises StorageFullError, StorageError or PoisonedHandleError with nothing written, and
    CommitOutcomeUnknownError when a sync failed.
    """
    descriptors = handle.descriptors or handle.attached()
    chain = handle.state.chain
    assert chain is not None
    tail = handle.tail
    if tail is None or tail.header.segment_number != chain.segment_number:
        tail = handle.open_tail(chain)  # a roll may have come between: never the old segment
    # Taken apart at once: each look at a field of a named tuple costs several times as much.
    sequence, commit_number, position, segment_number, epoch, offset, durable_offset = mark
    data, previous, position = _assemble(tail.salt, chain.previous_checksum, mark, group, timestamp)
    end = offset + len(data)
    durable = handle.sync_mode is Sync.ALWAYS
    if durable:
        durable_offset = end
        if end > handle.reserved_end:
            reserve(handle, tail, offset, len(data))
    # Killed in here: a torn tail behind the mark. Killed from here on: complete commits, adopted by
    # whoever recovers; from the publication on they are visible, and only the caller does not know.
    write_tail(handle, tail, data, mark)
    published = _new_mark(
        Mark,
        (
            sequence + 1,
            commit_number + len(group),
            position,
            segment_number,
            epoch,
            end,
            durable_offset,
        ),
    )
    try:
        if durable:
            begun = handle.effects.monotonic()
            handle.files.fdatasync(tail.fd)
            meters = handle.meters
            seconds = handle.effects.monotonic() - begun
            meters.note_sync(seconds, meters.appended_commits + len(group))
        _publish(handle, descriptors.mark, published, group, previous, timestamp)
    except OSError as error:
        # The kernel may have dropped the pages; whoever opens next writes the bytes again.
        handle.poison_with(error)
        message = (
            f"{tail.path}: the sync failed ({error}); the commit may or may not be on disk, and"
            " this handle is final. Open the journal again (Journal.open), which recovers, and"
            " read"
        )
        raise CommitOutcomeUnknownError(message) from error
    handle.own_mark = published
    handle.in_doubt = False
    return published


def _publish(  # noqa: PLR0913, PLR0917 - the results of the write, used nowhere else
    handle: Handle,
    mark_file: MarkFile,
    mark: Mark,
    group: Sequence[PreparedCommit],
    previous: int,
    timestamp: int,
) -> None:
    """Publish the mark and index the group in one hold of ``index_lock``.

    So no reader thread walks over commits that this thread is about to add.
    """
    state = handle.state
    chain = state.chain
    assert chain is not None
    with handle.index_lock:
        mark_file.publish(mark)
        state.is_changing = True
        try:
            index = state.index
            offset = chain.offset
            for commit in group:
                index.add_commit(
                    commit.identities, commit.places, commit.tracking, offset, rises=commit.rises
                )
                offset += commit.stored_bytes
                chain.frame_count += len(commit.frames)
                if handle.keeps_postings:
                    index.tail.add_postings(commit.first_position, commit.labels())
            _, commit_number, chain.position, _, _, chain.offset, _ = mark
            state.indexed_commit = chain.commit_number = commit_number
            chain.previous_checksum = previous
            chain.timestamp = timestamp
            if chain.first_timestamp is None:
                chain.first_timestamp = timestamp
            state.is_changing = False
        except BaseException:
            # Interrupted behind the publication: the index lacks what everybody sees.
            handle.forget_state()
            raise


def _assemble(
    salt: bytes, previous: int, mark: Mark, group: Sequence[PreparedCommit], timestamp: int
) -> tuple[bytes, int, int]:
    """Put headers before the payloads, and number the commits.

    Returns the bytes, the last header checksum and the last position; ``previous`` is the header
    checksum before.
    """
    parts: list[bytes] = []
    _, commit_number, position, _, _, _, synced_to = mark
    position += 1
    for commit in group:
        commit_number += 1
        commit.first_position = position
        frames = commit.frames
        frame_count = len(frames)
        for frame_number, frame in enumerate(frames, 1):
            payload, raw_length, count, codec, payload_checksum = frame
            length = len(payload)
            header = _pack_header(
                salt,
                KIND_RECORDS,
                0,
                codec,
                FRAME_VERSION,
                length,
                raw_length,
                count,
                position,
                commit_number,
                timestamp,
                synced_to,
                frame_number,
                frame_count,
                previous,
                payload_checksum,
            )
            previous = crc32c(header)
            parts += (header, _pack_checksum(previous), payload, PADDING[length & 7])
            position += count
    return b"".join(parts), previous, position - 1

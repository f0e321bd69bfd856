"""Writes the first commits of a segment again, as a raw segment that ends behind them.

Theory of operation: for restoring to a point inside of a segment, raw or cooled, its newest one
included. Records and tracking are copied as bytes, so the logical digest of what is kept stays the
same. Header fields but the salt are those of the source; frames are stored uncompressed, and cut as
an appender cuts them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.errors import CorruptionError
from aurora_es.files.layer import open_regular, write_all
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    FRAME_VERSION,
    KIND_CHECKPOINT,
    KIND_RECORDS,
    FrameHeader,
    encode_frame,
)
from aurora_es.format.limits import FRAME_BYTES_TARGET
from aurora_es.format.names import segment_name
from aurora_es.format.packed import decode_tracking
from aurora_es.format.payload import TrackingData, decode_checkpoint, encode_payload
from aurora_es.format.segment_header import encode_segment_header
from aurora_es.segment.commits import CommitWalk, raw_payload
from aurora_es.segment.create import new_salt
from aurora_es.segment.walk import Chain, Walk, start_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from aurora_es.files.layer import Effects
    from aurora_es.segment.commits import SegmentCommit
    from aurora_es.segment.file import SegmentFile


class Rewritten(NamedTuple):
    """A segment that was written again."""

    name: str
    ended: Chain  # behind its end frame
    tracking: dict[str, TrackingData]  # as of its end


def rewrite_segment(
    effects: Effects,
    directory: str,
    source: SegmentFile,
    *,
    last_commit: int,
    end_frame: Callable[[bytes, Chain], tuple[bytes, int]],
) -> Rewritten:
    """Write the commits of ``source`` up to ``last_commit`` to ``directory``, and sync.

    Raises CorruptionError if one of them is missing or damaged.
    """
    header = source.header._replace(salt=new_salt(effects), compatible_flags=0, codec=0)
    data, checksum = encode_segment_header(header)
    name = segment_name(header.segment_number, header.base_position)
    path = os.path.join(directory, name)
    fd = open_regular(effects.files, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        write_all(effects.files, fd, data, 0)
        chain = Chain(
            header.segment_number,
            header.base_position,
            len(data),
            checksum,
            header.base_commit - 1,
            header.base_position - 1,
        )
        writer = _Writer(effects, fd, header.salt, chain)
        tracking = writer.add_checkpoint(source)
        for commit in CommitWalk(source) if last_commit >= header.base_commit else ():
            if commit.tracking is not None:
                tracked = decode_tracking(commit.tracking)
                tracking[tracked.application_name] = tracked
            writer.add(commit)
            if commit.commit_number == last_commit:
                break
        if chain.commit_number != last_commit:
            raise CorruptionError(
                source.path,
                chain.offset,
                expected=f"commit {last_commit}",
                found=f"commits up to {chain.commit_number}",
            )
        frame, end_checksum = end_frame(header.salt, chain)
        writer.write(frame, end_checksum)
        chain.ended = True
        effects.files.fsync(fd)
    finally:
        effects.files.close(fd)
    return Rewritten(name, chain, tracking)


class _Writer:
    """Writes frames one behind the other, and keeps the chain."""

    def __init__(self, effects: Effects, fd: int, salt: bytes, chain: Chain) -> None:
        self._files, self._fd, self._salt, self.chain = effects.files, fd, salt, chain

    def add_checkpoint(self, source: SegmentFile) -> dict[str, TrackingData]:
        """Copy the checkpoint of ``source``; returns its tracking table."""
        walk = Walk(source, start_of(source), source.size_bytes(), packed=True)
        frames = next(iter(walk), None)
        if frames is None or frames[0].header.kind != KIND_CHECKPOINT:
            raise CorruptionError(
                source.path, walk.stop.offset, expected="a checkpoint frame", found=walk.stop.found
            )
        payload = raw_payload(source, frames[0])
        chain = self.chain
        chain.timestamp = frames[0].header.timestamp
        self._frame(KIND_CHECKPOINT, payload, 0, chain.commit_number, (1, 1))
        return {one.application_name: one for one in decode_checkpoint(payload).tracking}

    def add(self, commit: SegmentCommit) -> None:
        """Write one commit, in frames of about 16 KiB."""
        parts = _cut_evenly(commit.records)
        chain = self.chain
        chain.timestamp = commit.timestamp
        if chain.first_timestamp is None:
            chain.first_timestamp = commit.timestamp
        for number, part in enumerate(parts, 1):
            payload = encode_payload(
                (commit.commit_id, commit.tracking, part) if number == 1 else part
            )
            self._frame(
                KIND_RECORDS, payload, len(part), commit.commit_number, (number, len(parts))
            )
        chain.commit_number = commit.commit_number

    def write(self, frame: bytes, checksum: int) -> None:
        """Write an encoded frame."""
        chain = self.chain
        write_all(self._files, self._fd, frame, chain.offset)
        chain.offset += len(frame)
        chain.previous_checksum = checksum
        chain.frame_count += 1

    def _frame(
        self, kind: int, payload: bytes, count: int, commit_number: int, place: tuple[int, int]
    ) -> None:
        chain = self.chain
        self.write(
            *encode_frame(
                FrameHeader(
                    salt=self._salt,
                    kind=kind,
                    flags=0,
                    codec=0,
                    version=FRAME_VERSION,
                    stored_length=len(payload),
                    raw_length=len(payload),
                    record_count=count,
                    first_position=chain.position + 1,
                    commit_number=commit_number,
                    timestamp=chain.timestamp,
                    synced_to=0,
                    frame_number=place[0],
                    frames_in_commit=place[1],
                    previous_checksum=chain.previous_checksum,
                    payload_checksum=crc32c(payload),
                ),
                payload,
            )
        )
        chain.position += count


def _cut_evenly(records: list[msgspec.Raw]) -> list[list[msgspec.Raw]]:
    parts: list[list[msgspec.Raw]] = [[]]
    size = 0
    for record in records:
        if parts[-1] and size + len(record) > FRAME_BYTES_TARGET:
            parts.append([])
            size = 0
        parts[-1].append(record)
        size += len(record)
    return parts

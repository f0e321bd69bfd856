"""Iterates over the commits of a sealed segment, raw or cooled, and checks everything on the way.

Theory of operation: a ``CommitWalk`` walks the frames from the checkpoint to the end frame and puts
commits together again, whatever frames they were cut into. Records and tracking are handed out as
the bytes they are on disk. Frames are checked by ``Walk``; here it is checked that payloads hold
what their headers say, that commits have no gap, and that the end frame's totals are right. A file
that does not end with its end frame is corrupt: sealed segments have no slack and no torn tail.

The loops are for ``benchmarks``: sealing and cooling look at every commit of a segment.
"""

from __future__ import annotations

from itertools import chain as flattened
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aurora_es.codecs.compression import CODEC_NONE, DecompressionError, decompress
from aurora_es.errors import CorruptionError, UnsupportedFormatError
from aurora_es.format.frame import (
    KIND_CHECKPOINT,
    KIND_END,
    KIND_LOST,
    KIND_PACKED,
    KIND_RECORDS,
    frame_bytes,
)
from aurora_es.format.frame_table import SegmentIdentity
from aurora_es.format.packed import (
    COMMIT_ID_BYTES,
    DIGEST_BYTES,
    NIL,
    LostPayload,
    PackedCommit,
    decode_lost,
    decode_packed,
    decode_sealed_end,
    decode_source,
    decode_tracking,
    unknown_fields,
)
from aurora_es.format.payload import UNDECODABLE, decode_checkpoint, decode_raw_records
from aurora_es.segment.frame_table import FramePlaces
from aurora_es.segment.walk import Walk, start_of, stop_error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aurora_es.format.payload import TrackingData
    from aurora_es.segment.file import SegmentFile
    from aurora_es.segment.walk import Chain, WalkedFrame

Raw = msgspec.Raw


class SegmentCommit(NamedTuple):
    """One commit; records and tracking are MessagePack, as on disk."""

    commit_number: int
    commit_id: bytes
    timestamp: int  # microseconds, UTC
    tracking: Raw | None
    first_position: int  # of its first record, or of the next one to come
    records: list[Raw]


_make_commit = SegmentCommit._make  # half as long as the constructor


class SegmentEnd(NamedTuple):
    """What an end frame says and where it ends; for a raw segment the original is the same."""

    end_offset: int
    last_checksum: int
    original_end: int
    original_checksum: int
    digest: bytes  # stated logical digest; empty for a raw segment


class CommitWalk:
    """Iterates over all commits of one sealed segment, once; memory is that of one commit,
    or of one packed frame.

    Raises CorruptionError, UnsupportedFormatError. Behind the last commit ``end`` is set, ``places``
    holds all frames with records and ``chain`` stands behind the end frame.
    """

    def __init__(
        self,
        file: SegmentFile,
        *,
        lost: Collection[tuple[int, int]] | None = (),
        refuse_unknown: bool = False,
        resumed: Chain | None = None,
        visible_offset: int | None = None,
    ) -> None:
        """Prepare to walk ``file``.

        ``lost`` are the ranges of positions that the manifest lists as lost in this segment: these
        and no others may be missing. None is for whoever makes a manifest: whatever is lost.
        ``refuse_unknown`` is for copying: then fields and frames of a later version that a reader
        ignores, and a copy would lose, raise UnsupportedFormatError. ``resumed`` is a chain behind
        damaged bytes: the walk begins there, and cannot count the frames before. With
        ``visible_offset`` the segment is a tail: the walk has to get there, to no end frame.
        """
        self.file = file
        self.chain = start_of(file) if resumed is None else resumed
        self._is_resumed = resumed is not None
        self.places = FramePlaces(file.header.base_position)
        self.checkpoint: WalkedFrame | None = None  # set before the first commit
        self.end: SegmentEnd | None = None
        self.is_packed = False  # a packed frame was met
        self.lost: list[LostPayload] = []  # what is lost, up to here
        self._listed = None if lost is None else frozenset(lost)
        self.is_cut = False  # what stopped the walk is that the bytes end
        self._refuse_unknown = refuse_unknown
        self._is_tail = visible_offset is not None
        self._size = file.size_bytes() if visible_offset is None else visible_offset
        # A commit of packed frames that may go on in the next one.
        self.pending: SegmentCommit | None = None

    def __iter__(self) -> Iterator[SegmentCommit]:
        """Yield the commits in order."""
        return flattened.from_iterable(self.groups())

    def groups(self) -> Iterator[list[SegmentCommit]]:
        """Yield the same, those of a packed frame together; positions in a group have no gap."""
        file, places = self.file, self.places
        walk = Walk(file, self.chain, self._size, packed=True)
        last_commit = self.chain.commit_number  # before the frames at hand
        for frames in walk:
            frame = frames[0]
            header = frame.header
            if header.kind == KIND_PACKED:
                self.is_packed = True
                yield from self._unpacked(frame)
                self._place(frame)
                last_commit = self.chain.commit_number
                continue
            if self.pending is not None:
                yield [self.pending]
                self.pending = None
            if header.kind == KIND_RECORDS:
                commit = self._commit(frames)
                for part in frames:
                    places.add(
                        part.header.first_position,
                        part.header.record_count,
                        part.offset,
                        frame_bytes(part.header.stored_length),
                    )
                yield [commit]
            elif header.kind == KIND_CHECKPOINT:
                self.checkpoint = frame
            elif header.kind == KIND_END:
                self._read_end(frame)
            elif header.kind == KIND_LOST:
                self._read_lost(frame, last_commit)
            elif self._refuse_unknown:
                raise self._unsupported(frame, f"a frame of kind {header.kind}")
            last_commit = self.chain.commit_number
        if self._is_tail and walk.stop.reason == "end" and self.chain.offset == self._size:
            return
        if walk.stop.reason != "ended":
            self.is_cut = walk.stop.reason in {"end", "short"}
            raise stop_error(file, walk.stop)
        if self.chain.offset != self._size:
            raise CorruptionError(
                file.path,
                self.chain.offset,
                expected="the end of the file behind the end frame",
                found=f"{self._size - self.chain.offset} more bytes",
            )
        found = {lost.positions for lost in self.lost}
        if self._listed is not None and found != self._listed:
            raise CorruptionError(
                file.path,
                0,
                expected=f"lost positions as in the manifest: {sorted(self._listed)}",
                found=f"{sorted(found)}",
            )

    def identity(self, revision: int) -> SegmentIdentity:
        """What tells this file's contents from others; only behind the last commit."""
        assert self.end is not None
        header, end = self.file.header, self.end
        return SegmentIdentity(
            header.genesis_id,
            header.segment_number,
            header.base_position,
            revision,
            end.end_offset,
            end.last_checksum,
        )

    def check_digest(self, found: bytes) -> None:
        """Raise CorruptionError if the end frame states another digest than was ``found``."""
        assert self.end is not None
        stated = self.end.digest
        if stated not in {b"", found}:
            raise CorruptionError(
                self.file.path,
                self.end.end_offset,
                expected=f"logical digest {stated.hex()}",
                found=found.hex(),
            )

    def tracking_before(self) -> list[TrackingData]:
        """Tracking table of the checkpoint, that is, of all segments before."""
        assert self.checkpoint is not None
        try:
            return decode_checkpoint(raw_payload(self.file, self.checkpoint)).tracking
        except UNDECODABLE as error:
            raise self._damaged(self.checkpoint, "a tracking table", str(error)) from error

    def _commit(self, frames: list[WalkedFrame]) -> SegmentCommit:
        """Put a commit of *records* frames together."""
        frame = frames[0]
        header = frame.header
        payload = raw_payload(self.file, frame)
        try:
            first = decode_source(payload)
            records = first.records
            count = header.record_count
            for part in frames[1:]:
                records += decode_raw_records(raw_payload(self.file, part))
                count += part.header.record_count
        except UNDECODABLE as error:
            raise self._damaged(frame, "the payload of a commit", str(error)) from error
        if len(records) != count:
            raise self._damaged(frame, f"{count} records", f"{len(records)}")
        if self._refuse_unknown and unknown_fields(payload, 3):
            raise self._unsupported(frame, "a commit with further fields")
        commit_id, tracking = first.commit_id, first.tracking
        if len(commit_id) != COMMIT_ID_BYTES:
            raise self._damaged(frame, "a commit id of 16 bytes", repr(commit_id))
        return SegmentCommit(
            header.commit_number,
            commit_id,
            header.timestamp,
            None if tracking == NIL else self._tracking(frame, tracking),
            header.first_position,
            records,
        )

    def _unpacked(self, frame: WalkedFrame) -> Iterator[list[SegmentCommit]]:
        """Yield the commits that end before the last one of a packed frame; keep that one."""
        payload = raw_payload(self.file, frame)
        try:
            decoded = decode_packed(payload)
        except UNDECODABLE as error:
            raise self._damaged(frame, "a table of commits and records", str(error)) from error
        if self._refuse_unknown and unknown_fields(payload, 2):
            raise self._unsupported(frame, "a packed frame with further fields")
        commits, records = decoded.commits, decoded.records
        self._check_packed(frame, commits, len(records))
        whole: list[SegmentCommit] = []
        try:
            self._take_packed(frame, commits, records, whole)
        except CorruptionError:
            yield whole  # a salvage wants what lies in front of the damage
            raise
        yield whole

    def _take_packed(
        self,
        frame: WalkedFrame,
        commits: list[PackedCommit],
        records: list[Raw],
        whole: list[SegmentCommit],
    ) -> None:
        """Add to ``whole`` what is whole once the next commit begins."""
        pending, first, begin = self.pending, frame.header.first_position, 0
        last = self.chain.commit_number
        for commit in commits:
            end = begin + commit.record_count
            part = records[begin:end]
            number, tracking = commit.commit_number, commit.tracking
            if pending is not None and number == pending.commit_number:
                self._check_rest(frame, commit, pending)
                pending.records.extend(part)
            elif number != last + 1:
                raise self._damaged(frame, f"commit {last + 1}", f"commit {number}")
            else:
                if pending is not None:
                    whole.append(pending)
                known = None if tracking == NIL else self._tracking(frame, tracking)
                self.pending = pending = _make_commit(
                    (number, commit.commit_id, commit.timestamp, known, first + begin, part)
                )
                self.chain.commit_number = last = number
            begin = end

    def _check_packed(
        self, frame: WalkedFrame, commits: list[PackedCommit], record_count: int
    ) -> None:
        header = frame.header
        listed = sum([commit.record_count for commit in commits])
        if not listed == record_count == header.record_count:
            found = f"{record_count}, {listed} in the table of commits"
            raise self._damaged(frame, f"{header.record_count} records", found)
        expected = (header.commit_number, header.timestamp)
        if not commits or (commits[0].commit_number, commits[-1].timestamp) != expected:
            raise self._damaged(frame, "commits from {} to time {}".format(*expected), "others")
        for wrong in [one.commit_id for one in commits if len(one.commit_id) != COMMIT_ID_BYTES]:
            raise self._damaged(frame, "a commit id of 16 bytes", repr(wrong))
        if self.chain.first_timestamp is None:
            self.chain.first_timestamp = commits[0].timestamp

    def _check_rest(self, frame: WalkedFrame, commit: PackedCommit, pending: SegmentCommit) -> None:
        """A commit that goes on is listed with the same id and time, and without tracking."""
        if (commit.commit_id, commit.timestamp) != pending[1:3] or commit.tracking != NIL:
            expected = f"the rest of commit {pending.commit_number}"
            raise self._damaged(frame, expected, "other id, time or tracking")

    def _tracking(self, frame: WalkedFrame, tracking: Raw) -> Raw:
        """The same, once it is known to be a tracking record."""
        try:
            decode_tracking(tracking)
        except UNDECODABLE as error:
            raise self._damaged(frame, "a tracking record", str(error)) from error
        return tracking

    def _place(self, frame: WalkedFrame) -> None:
        header = frame.header
        self.places.add(
            header.first_position,
            header.record_count,
            frame.offset,
            frame_bytes(header.stored_length),
        )

    def _read_lost(self, frame: WalkedFrame, last_commit: int) -> None:
        header = frame.header
        try:
            lost = decode_lost(raw_payload(self.file, frame))
        except UNDECODABLE as error:
            raise self._damaged(frame, "bounds of what is lost", str(error)) from error
        first = header.first_position
        last = first + header.record_count - 1
        expected = LostPayload(first, last, last_commit + 1, header.commit_number)
        if lost != expected:
            raise self._damaged(frame, f"{expected}", f"{lost}")
        if self._listed is not None and lost.positions not in self._listed:
            found = f"positions {first} to {last} lost, which the manifest does not list"
            raise self._damaged(frame, "commits", found)
        self.lost.append(lost)
        self._place(frame)

    def _read_end(self, frame: WalkedFrame) -> None:
        payload = raw_payload(self.file, frame)
        try:
            end = decode_sealed_end(payload)
        except UNDECODABLE as error:
            raise self._damaged(frame, "the totals of the segment", str(error)) from error
        if self._refuse_unknown and unknown_fields(payload, 7):
            raise self._unsupported(frame, "an end frame with further fields")
        chain = self.chain
        count = chain.position + 1 - chain.base_position
        expected = (chain.position, chain.commit_number, count, chain.frame_count - 1)
        found = (end.last_position, end.last_commit, end.record_count, end.frame_count)
        compared = 3 if self._is_resumed else 4
        if found[:compared] != expected[:compared]:
            text = "last position {}, last commit {}, {} records, {} frames"
            raise self._damaged(frame, text.format(*expected), text.format(*found))
        place = (chain.offset, chain.previous_checksum)
        if not end.digest and not self.is_packed:
            self.end = SegmentEnd(*place, *place, b"")
        elif len(end.digest) == DIGEST_BYTES:
            original = (end.original_end, end.original_checksum)
            self.end = SegmentEnd(*place, *original, end.digest)
        else:
            raise self._damaged(frame, "a digest of 32 bytes", f"{len(end.digest)}")

    def _damaged(self, frame: WalkedFrame, expected: str, found: str) -> CorruptionError:
        return CorruptionError(self.file.path, frame.offset, expected=expected, found=found)

    def _unsupported(self, frame: WalkedFrame, found: str) -> UnsupportedFormatError:
        message = (
            f"{self.file.path}, offset {frame.offset}: expected what this version of aurora_es can"
            f" copy, found {found}; nothing was changed. Use the version that wrote it:"
            " `pip install --upgrade aurora-es`"
        )
        return UnsupportedFormatError(message)


def iterate_commits(
    file: SegmentFile, lost: Collection[tuple[int, int]] = ()
) -> Iterator[SegmentCommit]:
    """All commits of a sealed segment, raw or cooled; raises as ``CommitWalk`` does."""
    return iter(CommitWalk(file, lost=lost))


def raw_payload(file: SegmentFile, frame: WalkedFrame) -> bytes:
    """Payload of a walked frame, decompressed; raises CorruptionError."""
    header, payload = frame.header, frame.payload
    if header.codec == CODEC_NONE and header.raw_length == len(payload):
        return payload
    try:
        return decompress(header.codec, payload, header.raw_length)
    except DecompressionError as error:
        raise CorruptionError(
            file.path,
            frame.offset,
            expected=f"{header.raw_length} bytes after decompression",
            found=str(error),
        ) from error

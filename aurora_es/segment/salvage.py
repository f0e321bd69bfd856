"""Reads a damaged segment, raw or cooled, to its end: what is whole, and what lies between.

    commit  commit  [ gap: frames that are not valid ]  commit  commit  [ gap ]  end frame
                    ^ found by its checksums             ^ found by the segment's salt

Theory of operation: commits are walked as ever until something is not valid. From there the bytes
are searched for the salt, at offsets where a frame may begin, and the walk goes on at the next frame
that has valid checksums and begins a commit. The salt is random for each segment, so no payload is
taken for a frame. Positions and commit numbers of the frames on both sides of a gap tell what is
lost in it. A commit of which one frame is lost is lost as a whole. That is known of raw segments,
whose frames are counted in their commits. A packed frame does not tell whether its last commit goes
on in the next one; where neither the header of the damaged frame nor the positions around it tell,
the commits at the edges of a gap count as lost: half a commit must never pass for a whole one.

Where the header of the segment is damaged, its salt is that of its frames, and the rest of it is
known from outside.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.errors import CorruptionError
from aurora_es.files.layer import open_regular, read_exactly
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    ALIGNMENT,
    FRAME_VERSION,
    HEADER_BYTES,
    KIND_CHECKPOINT,
    KIND_END,
    KIND_LOST,
    KIND_PACKED,
    KIND_RECORDS,
    FrameHeader,
    decode_header,
    frame_bytes,
)
from aurora_es.format.limits import FRAME_RAW_BYTES_MAX, TAIL_SLACK_BYTES_MAX
from aurora_es.format.packed import decode_lost
from aurora_es.format.payload import UNDECODABLE
from aurora_es.format.segment_header import (
    FORMAT_VERSION,
    NO_KEY,
    SEGMENT_HEADER_BYTES,
    SEGMENT_MAGIC,
    SegmentHeader,
)
from aurora_es.segment.commits import CommitWalk, SegmentCommit, SegmentEnd
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.walk import Chain, WalkedFrame, start_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.files.layer import Files

_BLOCK_BYTES = 1 << 20
_RESTARTS = frozenset({KIND_RECORDS, KIND_PACKED, KIND_END})

HEADER = "header"  # of the segment
FRAME = "frame"
CUT = "cut"  # the bytes end too early
OVERLONG = "overlong"  # there are bytes behind the end frame


class Gap(NamedTuple):
    """A stretch of a segment that is not valid, and what was in it.

    Nothing is lost where the last commit and position are below the first ones: then what is
    damaged holds no commit. They are None where nothing valid lies behind, and nothing else tells.
    """

    reason: str  # one of the above
    offset: int  # of what is not valid
    end: int  # offset of the next valid frame, or of the end of the bytes
    expected: str
    found: str
    first_commit: int
    last_commit: int | None
    first_position: int
    last_position: int | None

    @property
    def bare_commits(self) -> tuple[int, int]:
        """First and last lost commit, if all held a tracking record only; else the last is below."""
        is_bare = self.last_position is not None and self.last_position < self.first_position
        last = self.last_commit if is_bare else None
        return self.first_commit, self.first_commit - 1 if last is None else last


class Place(NamedTuple):
    """What is known of a segment from outside: from its name, the manifest, or its neighbours."""

    genesis_id: bytes
    segment_number: int
    base_position: int
    base_commit: int | None = None
    last_position: int | None = None  # of its last record
    last_commit: int | None = None
    visible_offset: int | None = None  # of a tail: where the mark says that it ends


def open_damaged(files: Files, path: str, place: Place) -> tuple[SegmentFile | None, Gap | None]:
    """Open a segment whose header may be damaged; the gap is that of its header, if it is.

    None for the file where not one of its frames is valid. Raises UnsupportedFormatError, OSError.
    """
    try:
        return SegmentFile(files, path, writable=False), None
    except CorruptionError as error:
        first = place.base_commit or 1
        gap = Gap(
            HEADER,
            0,
            SEGMENT_HEADER_BYTES,
            error.expected,
            error.found,
            first,
            first - 1,
            place.base_position,
            place.base_position - 1,
        )
    known = _header_from_frames(files, path, place)
    if known is None:
        return None, gap
    return SegmentFile(files, path, writable=False, known=known), gap


class Salvage:
    """Iterates over all whole commits and all gaps of one segment, in order, once.

    Memory is that of one commit. Raises UnsupportedFormatError for frames of a newer version.
    """

    def __init__(self, file: SegmentFile, place: Place) -> None:
        """Prepare to read ``file``; ``place`` is what is known of it from outside."""
        self.file = file
        self.place = place
        self.checkpoint: WalkedFrame | None = None  # set behind the first commit, if it is valid
        self.end: SegmentEnd | None = None  # set at the end, if the end frame is valid
        self.lost: list[tuple[int, int]] = []  # positions that an earlier repair has found lost
        self.bare_lost: list[tuple[int, int]] = []  # commits without positions that it has found so
        self.last_commit = file.header.base_commit - 1  # of what was read, lost or not
        self.last_position = file.header.base_position - 1
        self._size = file.size_bytes()
        if place.visible_offset is not None:
            self._size = min(self._size, place.visible_offset)

    def __iter__(self) -> Iterator[SegmentCommit | Gap]:
        """Yield what is there, and what is not."""
        start: Chain | None = start_of(self.file)
        gap: _OpenGap | None = None
        while start is not None:
            # Where reading went on before it does not again; the first frame may be a copy of another.
            begin = start.offset if gap is None else start.offset + ALIGNMENT
            walk = CommitWalk(
                self.file,
                lost=None,  # what a repair has found lost before, the numbers around it tell
                resumed=start if gap else None,
                visible_offset=self.place.visible_offset,
            )
            failed: CorruptionError | None = None
            commits = iter(walk)
            while True:
                try:
                    commit = next(commits, None)
                except CorruptionError as error:
                    failed = error
                    break
                self.checkpoint = self.checkpoint or walk.checkpoint
                if gap is not None:
                    is_rest = commit is not None and gap.may_hold_the_begin_of(commit)
                    yield from self._closed(gap, walk, commit, is_rest=is_rest)
                    gap = None
                    if is_rest:
                        continue
                if commit is None:
                    break
                self._pass(commit)
                yield commit
            self.checkpoint = self.checkpoint or walk.checkpoint
            self.lost += [one.positions for one in walk.lost]
            self.bare_lost += [one.bare_commits for one in walk.lost]
            self.end = walk.end
            if failed is None:
                return
            if walk.end is not None:
                if gap is not None:
                    yield from self._closed(gap, walk, None, is_rest=False)
                yield self._overlong(failed)
                return
            pending = walk.pending
            if gap and pending and not gap.may_hold_the_begin_of(pending):
                yield from self._closed(gap, walk, pending, is_rest=False)
                gap = None
            if gap is None:
                gap = _OpenGap(self.file, failed, walk, self.last_position)
            start = self._next_start(max(failed.offset, begin), gap)
        assert gap is not None
        yield from self._last(gap)

    def _note_bare(self, offset: int, header: FrameHeader) -> None:
        """Note the commits of a lost frame from which reading does not go on."""
        file, length = self.file, header.stored_length
        payload = read_exactly(file.files, file.fd, length, offset + HEADER_BYTES)
        with contextlib.suppress(*UNDECODABLE):
            self.bare_lost.append(decode_lost(payload).bare_commits)

    def _pass(self, commit: SegmentCommit) -> None:
        self.last_commit = commit.commit_number
        self.last_position = _end_of(commit)

    def _closed(
        self, gap: _OpenGap, walk: CommitWalk, commit: SegmentCommit | None, *, is_rest: bool
    ) -> Iterator[SegmentCommit | Gap]:
        """What was held back, if it is whole, and the gap, before ``commit`` or the end."""
        chain = walk.chain
        if commit is None:
            next_commit, next_position = chain.commit_number + 1, chain.position + 1
        elif is_rest:
            next_commit, next_position = commit.commit_number + 1, _end_of(commit) + 1
        else:
            next_commit, next_position = commit.commit_number, commit.first_position
        if (held := gap.whole_before(gap.restart_position)) is not None:
            self._pass(held)
            yield held
        yield self._gap(gap, gap.restart_offset, next_commit - 1, next_position - 1)
        self.last_commit, self.last_position = next_commit - 1, next_position - 1

    def _last(self, gap: _OpenGap) -> Iterator[SegmentCommit | Gap]:
        """The gap that goes up to the end of the bytes."""
        place = self.place
        behind = None if place.last_position is None else place.last_position + 1
        if (held := gap.whole_before(behind)) is not None:
            self._pass(held)
            yield held
        yield self._gap(gap, self._size, place.last_commit, place.last_position)

    def _gap(
        self, gap: _OpenGap, end: int, last_commit: int | None, last_position: int | None
    ) -> Gap:
        error = gap.error
        return Gap(
            CUT if gap.is_cut else FRAME,
            error.offset,
            end,
            error.expected,
            error.found,
            self.last_commit + 1,
            last_commit,
            self.last_position + 1,
            last_position,
        )

    def _overlong(self, error: CorruptionError) -> Gap:
        commit, position = self.last_commit, self.last_position
        return Gap(
            OVERLONG,
            error.offset,
            self._size,
            error.expected,
            error.found,
            commit + 1,
            commit,
            position + 1,
            position,
        )

    def _next_start(self, begin: int, gap: _OpenGap) -> Chain | None:
        """The chain in front of the next valid frame that begins a commit or ends the segment."""
        for offset, header in frames_from(self.file, begin, self._size):
            if header.kind == KIND_LOST:
                # Nothing can be read on from it, but what it says holds.
                first = header.first_position
                self.lost.append((first, first + header.record_count - 1))
                self._note_bare(offset, header)
            if (
                header.kind in _RESTARTS
                and header.frame_number == 1
                and header.first_position > self.last_position
                and header.commit_number >= self.last_commit + (header.kind == KIND_RECORDS)
                and not self._is_astray(offset, header)
            ):
                gap.restart_offset, gap.restart_position = offset, header.first_position
                gap.restart_is_packed = header.kind == KIND_PACKED
                return Chain(
                    segment_number=self.file.header.segment_number,
                    base_position=self.file.header.base_position,
                    offset=offset,
                    previous_checksum=header.previous_checksum,
                    commit_number=header.commit_number - (header.kind != KIND_END),
                    position=header.first_position - 1,
                    frame_count=1,
                )
        return None

    def _is_astray(self, offset: int, header: FrameHeader) -> bool:
        """Whether a whole frame is a copy that a write has brought here from further behind.

        Then the next one is of before it, and of what has not been read yet.
        """
        behind = frames_from(self.file, offset + frame_bytes(header.stored_length), self._size)
        following = next(behind, None)
        if following is None:
            return False
        copied = (header.first_position, header.commit_number)
        found = (following[1].first_position, following[1].commit_number)
        if header.kind == KIND_END and following[1].kind == KIND_END:
            return found == copied  # nothing follows the end but bytes that nobody wrote there
        return (self.last_position, self.last_commit) < found < copied


class _OpenGap:
    """A gap whose end is not known yet, and the commit before it that may go on in it."""

    def __init__(
        self, file: SegmentFile, error: CorruptionError, walk: CommitWalk, position: int
    ) -> None:
        self.error = error
        self.is_cut = walk.is_cut
        # Of the frame at which reading goes on:
        self.restart_offset = self.restart_position = 0
        self.restart_is_packed = False
        held = self._held = walk.pending
        self._position = position if held is None else _end_of(held)  # of the last record before
        # The header of the first damaged frame, where only its payload is.
        data = read_exactly(file.files, file.fd, HEADER_BYTES, error.offset)
        decoded = decode_header(data, 0)
        self._header: FrameHeader | None = None
        if (
            decoded is not None
            and decoded[0].salt == file.salt
            and _belongs(decoded[0], error.offset, walk.chain)
        ):
            self._header = decoded[0]

    def whole_before(self, position: int | None) -> SegmentCommit | None:
        """The commit in front of the gap if it is whole; ``position`` is the next one known."""
        held, header = self._held, self._header
        if held is None:
            return None
        if header is not None and header.kind == KIND_PACKED:
            return held if header.commit_number > held.commit_number else None
        # The rest of a commit would have records.
        return held if position == _end_of(held) + 1 else None

    def may_hold_the_begin_of(self, commit: SegmentCommit) -> bool:
        """Whether ``commit``, found behind the gap, may have begun in it."""
        if not self.restart_is_packed or commit.tracking is not None:
            return False
        held, header = self._held, self._header
        if held is not None and held.commit_number == commit.commit_number:
            return True
        if commit.first_position == self._position + 1:
            return False  # the begin of a commit that goes on has records
        if header is None or header.kind != KIND_PACKED:
            return True
        end = self.error.offset + frame_bytes(header.stored_length)
        # The time of a packed frame is that of its last commit.
        return end != self.restart_offset or header.timestamp == commit.timestamp


def _belongs(header: FrameHeader, offset: int, chain: Chain) -> bool:
    """Whether a valid header at ``offset`` was written for there, and not for another place.

    A write that went astray leaves the header of another frame, whose numbers prove nothing here.
    """
    # The chain is behind frames of which only the contents turned out to be wrong.
    return offset < chain.offset or (header.previous_checksum, header.first_position) == (
        chain.previous_checksum,
        chain.position + 1,
    )


def _end_of(commit: SegmentCommit) -> int:
    """Position of its last record, or of the last one before it."""
    return commit.first_position + len(commit.records) - 1


def has_end_frame(file: SegmentFile, begin: int = SEGMENT_HEADER_BYTES) -> bool:
    """Whether a valid end frame lies behind ``begin``: then the segment is closed."""
    return any(header.kind == KIND_END for _, header in frames_from(file, begin, file.size_bytes()))


def blown_up(file: SegmentFile, end: int) -> Gap | None:
    """What lies behind the ``end`` of a tail if it is more than anybody writes: nobody appends there."""
    size = file.size_bytes()
    if size <= end + TAIL_SLACK_BYTES_MAX:
        return None
    expected = f"the end of the file, within {TAIL_SLACK_BYTES_MAX} bytes"
    return Gap(OVERLONG, end, size, expected, f"{size - end} more bytes", 1, 0, 1, 0)


def frames_from(file: SegmentFile, begin: int, end: int) -> Iterator[tuple[int, FrameHeader]]:
    """Offset and header of all valid frames from ``begin`` to ``end``, whatever lies between.

    No segment has a gap of the greatest slack: a file that somebody has blown up is not searched on.
    """
    at = behind = begin
    while at < end and at - behind <= TAIL_SLACK_BYTES_MAX:
        length = min(_BLOCK_BYTES + HEADER_BYTES, end - at)
        block = read_exactly(file.files, file.fd, length, at)
        found = block.find(file.salt)
        while 0 <= found < _BLOCK_BYTES:
            offset = at + found
            decoded = decode_header(block, found) if offset % ALIGNMENT == 0 else None
            if decoded is not None and _is_whole(file.files, file.fd, offset, decoded[0], end):
                yield offset, decoded[0]
                behind = offset
            found = block.find(file.salt, found + 1)
        at += _BLOCK_BYTES


def _is_whole(files: Files, fd: int, offset: int, header: FrameHeader, end: int) -> bool:
    """Whether the payload behind a valid header is valid, too."""
    length = header.stored_length
    if header.version != FRAME_VERSION or length > FRAME_RAW_BYTES_MAX:
        return False
    if offset + frame_bytes(length) > end:
        return False
    payload = read_exactly(files, fd, length, offset + HEADER_BYTES)
    return len(payload) == length and crc32c(payload) == header.payload_checksum


def _header_from_frames(files: Files, path: str, place: Place) -> tuple[SegmentHeader, int] | None:
    """Header and checksum of a segment whose own are damaged, by its frames and its place."""
    fd = open_regular(files, path, os.O_RDONLY)
    try:
        found = _first_frame(files, fd, place.visible_offset or files.fstat(fd).st_size)
    finally:
        files.close(fd)
    if found is None:
        return None
    offset, frame = found
    is_checkpoint = offset == SEGMENT_HEADER_BYTES and frame.kind == KIND_CHECKPOINT
    base_commit = place.base_commit
    if base_commit is None:
        base_commit = frame.commit_number + is_checkpoint
    header = SegmentHeader(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        0,
        0,
        place.segment_number,
        place.genesis_id,
        place.base_position,
        base_commit,
        frame.salt,
        0,
        0,
        0,
        NO_KEY,
        0,
        0,
        0,
    )
    # The checkpoint frame names the checksum of the header.
    return header, frame.previous_checksum if is_checkpoint else 0


def _first_frame(files: Files, fd: int, size: int) -> tuple[int, FrameHeader] | None:
    """The first valid frame of any salt: every offset where one may begin is tried."""
    at = SEGMENT_HEADER_BYTES
    while at < min(size, TAIL_SLACK_BYTES_MAX):
        block = read_exactly(files, fd, _BLOCK_BYTES + HEADER_BYTES, at)
        for start in range(0, min(_BLOCK_BYTES, len(block.rstrip(b"\0"))), ALIGNMENT):
            decoded = decode_header(block, start)
            if decoded is None or not any(decoded[0].salt):
                continue
            if _is_whole(files, fd, at + start, decoded[0], size):
                return at + start, decoded[0]
        at += _BLOCK_BYTES
    return None

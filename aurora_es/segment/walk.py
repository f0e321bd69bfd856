"""Walks the chain of frames in one segment, commit by commit, checking everything.

Theory of operation: a ``Chain`` is the state between two commits: where the next frame goes and
what it has to name. A walk advances a chain over complete, valid, chained commits and stops at the
first thing that is none. It never judges: that a chain ends in zeros, in half a frame or in rot
are three findings, and whether they mean "nothing more yet", a torn tail or corruption depends on
the mark and is decided by the caller (catch-up or recovery).

A cooled segment holds *packed* frames, each of which is yielded alone. Which commits it completes
stands in its payload, which a walk does not decode: whoever iterates sets ``chain.commit_number``
to that of the last one before going on. A repaired segment holds *lost* frames, too, behind which
the chain goes on. In a tail, which is what most walks see, both are unsupported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from aurora_es.codecs.compression import CODEC_OF, CODEC_ZSTD
from aurora_es.errors import CorruptionError, UnsupportedFormatError
from aurora_es.files.layer import read_exactly
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    CHECKED_BYTES,
    CHECKSUM,
    FLAG_COMPATIBLE,
    FRAME_VERSION,
    HEADER,
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
from aurora_es.format.limits import FRAME_RAW_BYTES_MAX, TIMESTAMP_MAX
from aurora_es.format.segment_header import SEGMENT_HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.segment.file import SegmentFile

_BLOCK_BYTES = 1 << 20
_NOT_WRITTEN = bytes(8)
_PLAIN_RECORDS = (KIND_RECORDS, 0)  # kind and flags
_unpack_header = HEADER.unpack
_unpack_checksum = CHECKSUM.unpack_from
_make_header = FrameHeader._make
_CODECS = frozenset(CODEC_OF.values())
_PACKED_CODECS = _CODECS | {CODEC_ZSTD}


# A commit of one frame: offset in the segment, fields of its header in their order, payload as stored,
# header checksum.
WholeCommit = tuple[int, tuple[Any, ...], bytes, int]


@dataclass(slots=True)
class Chain:
    """State of the journal between two commits."""

    segment_number: int
    base_position: int
    offset: int  # of the next frame, in the segment
    previous_checksum: int
    commit_number: int  # of the last commit
    position: int  # of the last record
    timestamp: int = 0  # of the last commit, microseconds
    frame_count: int = 0  # frames in this segment so far
    first_timestamp: int | None = None  # of the first commit in this segment
    ended: bool = False  # the last frame was the segment's end frame

    def copy(self) -> Chain:
        """Copy it, for a walk that may have to be forgotten."""
        return replace(self)

    @property
    def has_commit(self) -> bool:
        """Whether this segment holds a commit."""
        return self.first_timestamp is not None


class WalkedFrame(NamedTuple):
    """A valid frame: its offset in the segment, header, and payload as stored."""

    offset: int
    header: FrameHeader
    payload: bytes


class Stop(NamedTuple):
    """Why a walk stopped, and where."""

    reason: str  # "end", "zeros", "short", "invalid", "unsupported", "ended"
    offset: int
    expected: str = ""
    found: str = ""


def start_of(file: SegmentFile) -> Chain:
    """The chain in front of a segment's first frame."""
    header = file.header
    return Chain(
        segment_number=header.segment_number,
        base_position=header.base_position,
        offset=SEGMENT_HEADER_BYTES,
        previous_checksum=file.header_checksum,
        commit_number=header.base_commit - 1,
        position=header.base_position - 1,
        timestamp=0,
    )


class Walk:
    """Iterates over the complete commits between ``chain.offset`` and ``end``.

    Each is a list of frames; the checkpoint and the end frame come as lists of one. ``chain`` is
    advanced behind a list before it is yielded; after the iteration ``stop`` says why it ended.
    Who wants many commits at once calls ``take_whole`` and ``next_commit`` in turn instead.
    """

    def __init__(self, file: SegmentFile, chain: Chain, end: int, *, packed: bool = False) -> None:
        """Prepare to walk ``file`` from ``chain.offset`` to the offset ``end``.

        ``packed`` says that packed frames are expected, too.
        """
        self.file = file
        self.packed = packed
        self.chain = chain
        self.end = end
        self.stop = Stop("end", chain.offset)
        self._buffer = b""
        self._buffer_offset = chain.offset

    def __iter__(self) -> Iterator[list[WalkedFrame]]:
        """Yield commits until something stops the walk."""
        while True:
            for offset, header, payload, checksum in self._whole_commits():
                frame = WalkedFrame(offset, _make_header(header), payload)
                self._advance([frame], offset + frame_bytes(header[5]), checksum)
                yield [frame]
            commit = self.next_commit()
            if commit is None:
                return
            yield commit

    def next_commit(self) -> list[WalkedFrame] | None:
        """Return the next commit, behind which the chain then is; None, and ``stop``, at the end."""
        chain = self.chain
        if chain.ended:
            self.stop = Stop("ended", chain.offset)
            return None
        commit: list[WalkedFrame] = []
        offset, previous, position = chain.offset, chain.previous_checksum, chain.position
        while True:
            step = self._next_frame(offset, previous, position, commit)
            if isinstance(step, Stop):
                self.stop = step
                return None
            frame, previous = step
            header = frame.header
            commit.append(frame)
            offset += frame_bytes(header.stored_length)
            position += header.record_count
            if len(commit) == header.frames_in_commit:
                self._advance(commit, offset, previous)
                return commit

    def take_whole(self) -> list[WholeCommit]:
        """Return the next commits as long as each is, beyond doubt, one valid *records* frame.

        The chain then is behind them all. That there are none means nothing but "look closer":
        ``next_commit`` does.
        """
        taken = self._whole_commits()
        if taken:
            chain = self.chain
            offset, header, _, checksum = taken[-1]
            chain.offset = offset + frame_bytes(header[5])
            chain.previous_checksum = checksum
            chain.position = header[8] + header[7] - 1
            chain.commit_number = header[9]
            chain.frame_count += len(taken)
            if chain.first_timestamp is None:
                chain.first_timestamp = taken[0][1][10]
            chain.timestamp = max(chain.timestamp, *[one[1][10] for one in taken])
        return taken

    def _advance(self, commit: list[WalkedFrame], offset: int, previous: int) -> None:
        chain, header = self.chain, commit[-1].header
        chain.offset = offset
        chain.previous_checksum = previous
        chain.position = header.first_position + header.record_count - 1
        chain.frame_count += len(commit)
        if header.kind == KIND_LOST:
            chain.commit_number = header.commit_number
        elif header.kind == KIND_RECORDS:
            chain.commit_number = header.commit_number
            if chain.first_timestamp is None:
                chain.first_timestamp = header.timestamp
        chain.timestamp = max(chain.timestamp, header.timestamp)
        chain.ended = header.kind == KIND_END

    def _whole_commits(self) -> list[WholeCommit]:
        """Commits of one frame each, up to a block, at the chain's place, which stays there.

        By far the most commits are of that kind: what is looked at for each is in one loop (rows "4
        processes" of the journal and of the queue, and opening).
        """
        taken: list[WholeCommit] = []
        chain, salt = self.chain, self.file.salt
        offset = chain.offset
        if chain.ended or offset >= self.end:
            return taken
        at = self._fill(offset, HEADER_BYTES)
        buffer, begin = self._buffer, self._buffer_offset
        last = len(buffer) - HEADER_BYTES
        previous = chain.previous_checksum
        position, number = chain.position + 1, chain.commit_number + 1
        while at <= last:
            checked = buffer[at : at + CHECKED_BYTES]
            header = _unpack_header(checked)
            start = at + HEADER_BYTES
            end = start + header[5]
            behind = (end + 7) & ~7
            if (
                header[1:3] != _PLAIN_RECORDS
                or header[12:15] != (1, 1, previous)
                or header[8] != position
                or header[10] > TIMESTAMP_MAX
                or header[9] != number
                or header[4] != FRAME_VERSION
                or header[3] not in _CODECS
                or header[0] != salt
                or behind > len(buffer)
            ):
                break
            previous = _unpack_checksum(buffer, at + CHECKED_BYTES)[0]
            payload = buffer[start:end]
            if crc32c(checked) != previous or crc32c(payload) != header[15]:
                break
            taken.append((begin + at, header, payload, previous))
            at = behind
            position += header[7]
            number += 1
        return taken

    def _next_frame(
        self, offset: int, previous: int, position: int, commit: list[WalkedFrame]
    ) -> tuple[WalkedFrame, int] | Stop:
        if offset >= self.end:
            return Stop("end", offset)
        at = self._fill(offset, HEADER_BYTES)
        buffer = self._buffer
        if buffer[at : at + 8] == _NOT_WRITTEN:
            return Stop("zeros", offset, "a frame", "zeros")
        if len(buffer) - at < HEADER_BYTES:
            return Stop("short", offset, "a frame header of 72 bytes", f"{len(buffer) - at} bytes")
        decoded = decode_header(buffer, at)
        if decoded is None or decoded[0].salt != self.file.salt:
            found = repr(buffer[at : at + 16])
            return Stop("invalid", offset, "a frame header with salt and checksum", found)
        header, checksum = decoded
        problem = self._check(header, offset, previous, position, commit)
        if problem is not None:
            return problem
        length = frame_bytes(header.stored_length)
        at = self._fill(offset, length)
        payload = self._buffer[at + HEADER_BYTES : at + HEADER_BYTES + header.stored_length]
        if len(self._buffer) - at < length:
            # Without all of its padding, too, a frame is unfinished: its end is not in the file.
            expected = f"a payload of {header.stored_length} bytes and its padding"
            return Stop("short", offset, expected, f"{len(payload)} bytes")
        if crc32c(payload) != header.payload_checksum:
            expected = f"payload checksum {header.payload_checksum:#010x}"
            return Stop("invalid", offset, expected, f"{crc32c(payload):#010x}")
        return WalkedFrame(offset, header, payload), checksum

    def _check(
        self,
        header: FrameHeader,
        offset: int,
        previous: int,
        position: int,
        commit: list[WalkedFrame],
    ) -> Stop | None:
        if header.version != FRAME_VERSION:
            return Stop(
                "unsupported", offset, f"frame version {FRAME_VERSION}", f"{header.version}"
            )
        if header.codec not in (_PACKED_CODECS if header.kind == KIND_PACKED else _CODECS):
            return Stop("unsupported", offset, "a known codec", f"codec {header.codec}")
        if header.previous_checksum != previous:
            expected = f"previous checksum {previous:#010x}"
            return Stop("invalid", offset, expected, f"{header.previous_checksum:#010x}")
        if header.stored_length > FRAME_RAW_BYTES_MAX or header.first_position != position + 1:
            expected = f"position {position + 1}, at most {FRAME_RAW_BYTES_MAX} bytes"
            found = f"position {header.first_position}, {header.stored_length} bytes"
            return Stop("invalid", offset, expected, found)
        if header.timestamp > TIMESTAMP_MAX:
            expected = f"a time of {TIMESTAMP_MAX} microseconds at most"
            return Stop("invalid", offset, expected, f"{header.timestamp}")
        number = (header.kind, header.commit_number, header.frame_number, header.frames_in_commit)
        last = self.chain.commit_number
        if header.kind == KIND_RECORDS:
            frames = commit[0].header.frames_in_commit if commit else header.frames_in_commit
            wanted = (KIND_RECORDS, last + 1, len(commit) + 1, frames)
        elif header.kind == KIND_PACKED and self.packed:
            # It may begin with the rest of the last commit.
            wanted = (KIND_PACKED, last + (header.commit_number != last), 1, 1)
        elif header.kind == KIND_LOST and self.packed:
            wanted = (KIND_LOST, max(header.commit_number, last + 1), 1, 1)
        elif header.kind == KIND_CHECKPOINT and offset == SEGMENT_HEADER_BYTES:
            wanted = (KIND_CHECKPOINT, last, 1, 1)
        elif header.kind == KIND_END or header.flags & FLAG_COMPATIBLE:
            wanted = (header.kind, last, 1, 1)
        else:
            return Stop("unsupported", offset, "a known kind of frame", f"kind {header.kind}")
        if (
            number != wanted
            or not 1 <= number[2] <= number[3]
            or (commit and last + 1 != number[1])
        ):
            expected = "kind {}, commit {}, frame {} of {}".format(*wanted)
            return Stop(
                "invalid", offset, expected, "kind {}, commit {}, frame {} of {}".format(*number)
            )
        return None

    def _fill(self, offset: int, length: int) -> int:
        """Make sure that ``length`` bytes at ``offset`` are buffered; returns their index."""
        at = offset - self._buffer_offset
        if at + length > len(self._buffer) and self._buffer_offset + len(self._buffer) < self.end:
            wanted = min(max(length, _BLOCK_BYTES), self.end - offset)
            self._buffer = read_exactly(self.file.files, self.file.fd, wanted, offset)
            self._buffer_offset = offset
            return 0
        return at


def stop_error(file: SegmentFile, stop: Stop) -> CorruptionError | UnsupportedFormatError:
    """The error for a walk that ended where it may not."""
    if stop.reason == "unsupported":
        message = (
            f"{file.path}, offset {stop.offset}: expected {stop.expected}, found {stop.found};"
            " nothing was changed. Open it with the version of aurora_es that wrote it:"
            " `pip install --upgrade aurora-es`"
        )
        return UnsupportedFormatError(message)
    expected = stop.expected or "a frame, or an end frame"
    return CorruptionError(
        file.path, stop.offset, expected=expected, found=stop.found or "end of file"
    )

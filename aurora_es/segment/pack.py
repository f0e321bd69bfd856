"""Cools a sealed segment: writes its commits again, in packed frames, and proves that it did.

    source, checked frame by frame ──> commits ──> packed frames of about 16 KiB ──> <name>.new, synced
                                          └──> logical digest <── compared with what is read back

Theory of operation: nothing is decoded but the commits' frames; records and tracking are copied as
bytes. The end frame also says where the segment ended before it was cooled, since that is what the
successor's header names, and what its commits' digest is. ``write_packed`` leaves a synced file
``.new``; ``verify_packed`` reads it back, from the medium where the system lets it, before anybody
links it to its name and lets the raw segment go. A cooled segment can be cooled again, with another
codec, under a higher revision.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.codecs.compression import CODEC_NONE, compress
from aurora_es.errors import CorruptionError
from aurora_es.files.layer import open_regular, write_all
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    FRAME_VERSION,
    KIND_CHECKPOINT,
    KIND_END,
    KIND_PACKED,
    FrameHeader,
    encode_frame,
)
from aurora_es.format.limits import FRAME_BYTES_TARGET, FRAME_RAW_BYTES_MAX
from aurora_es.format.names import NEW_SUFFIX, REVISION_MAX, segment_name
from aurora_es.format.packed import COMMIT_ENTRY_BYTES, NIL, SealedEndPayload, encode_packed
from aurora_es.format.segment_header import encode_segment_header
from aurora_es.segment.commits import CommitWalk, SegmentEnd, raw_payload
from aurora_es.segment.create import new_salt, remove_if_there
from aurora_es.segment.digest import LogicalDigest, logical_digest
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.frame_table import FramePlaces

if TYPE_CHECKING:
    import msgspec

    from aurora_es.files.layer import Effects, Files
    from aurora_es.format.frame_table import SegmentIdentity
    from aurora_es.format.segment_header import SegmentHeader
    from aurora_es.segment.commits import SegmentCommit

_WRITE_BYTES = 1 << 20


class PackedSegment(NamedTuple):
    """What is known of a cooled segment once it is written."""

    name: str  # under which it is to be linked; it is ``<name>.new`` before
    identity: SegmentIdentity
    end: SegmentEnd
    last_position: int
    last_commit: int
    places: FramePlaces  # for its table of frames

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.identity.end_offset


def write_packed(
    effects: Effects, directory: str, source: SegmentFile, *, revision: int, codec: int
) -> PackedSegment:
    """Write the sealed segment ``source``, raw or cooled, as ``<name>.new`` and sync it.

    Raises CorruptionError, UnsupportedFormatError for a source that is not whole or that holds what
    a copy would lose, AuroraConfigurationError for a codec that is not installed, OSError; nothing
    is left then, unless the process dies.
    """
    assert 0 < revision <= REVISION_MAX
    files, header = effects.files, source.header
    compress(codec, b"")  # a missing package is to be noticed before a file is made
    name = segment_name(header.segment_number, header.base_position, revision)
    path = os.path.join(directory, name + NEW_SUFFIX)
    remove_if_there(files, path)
    fd = open_regular(files, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        try:
            cooled = header._replace(
                salt=new_salt(effects), created_at=effects.clock(), codec=codec, compatible_flags=0
            )
            writer = _PackedWriter(files, fd, cooled)
            walk, end = _copy_commits(source, writer)
            files.fsync(fd)
        finally:
            files.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_if_there(files, path)
        raise
    identity = walk.identity(revision)._replace(
        end_offset=end.end_offset, last_checksum=end.last_checksum
    )
    chain = walk.chain
    return PackedSegment(name, identity, end, chain.position, chain.commit_number, writer.places)


def verify_packed(files: Files, directory: str, packed: PackedSegment, path: str = "") -> None:
    """Read a written segment back, all of it, and compare; raises CorruptionError.

    ``path`` defaults to that of the file that ``write_packed`` has left.
    """
    path = path or os.path.join(directory, packed.name + NEW_SUFFIX)
    file = SegmentFile(files, path, writable=False)
    files.drop_cached(file.fd)
    _, walk = logical_digest(file)
    found = (walk.identity(packed.identity.revision), walk.end)
    if found != (packed.identity, packed.end):
        raise CorruptionError(
            path, 0, expected=f"{packed.identity}, {packed.end}", found=f"{found[0]}, {found[1]}"
        )
    places, expected = walk.places, packed.places
    if (places.positions, places.offsets) != (expected.positions, expected.offsets):
        raise CorruptionError(path, 0, expected="the frames that were written", found="others")


def _copy_commits(source: SegmentFile, writer: _PackedWriter) -> tuple[CommitWalk, SegmentEnd]:
    """Copy all of a segment; returns the finished walk over it and the end of the copy."""
    walk = CommitWalk(source, refuse_unknown=True)
    digest = LogicalDigest()
    for commit in walk:
        if not writer.frame_count:
            writer.add_checkpoint(source, walk)
        digest.add(commit)
        writer.add(commit)
    if not writer.frame_count:
        writer.add_checkpoint(source, walk)
    found = digest.digest()
    walk.check_digest(found)
    assert walk.end is not None
    original = (walk.end.original_end, walk.end.original_checksum)
    chain = walk.chain
    writer.finish(
        SealedEndPayload(
            chain.position,
            chain.commit_number,
            chain.position + 1 - chain.base_position,
            0,  # frames: set by the writer, which still has one to write
            *original,
            found,
        ),
        chain.timestamp,
    )
    return walk, SegmentEnd(writer.offset, writer.checksum, *original, found)


class _PackedWriter:
    """Cuts commits into packed frames and writes them, one behind the other."""

    def __init__(self, files: Files, fd: int, header: SegmentHeader) -> None:
        """Begin with the header of the segment."""
        self._files, self._fd = files, fd
        self._salt, self._codec = header.salt, header.codec
        data, self.checksum = encode_segment_header(header)
        self.offset = len(data)  # of the next frame
        self.frame_count = 0
        self.places = FramePlaces(header.base_position)
        self._waiting = [data]  # bytes that are not written yet, in front of ``offset``
        self._waiting_bytes = len(data)
        self._position = header.base_position  # of the next frame's first record
        # The frame that is being filled: its table, its records, their size.
        self._commits: list[tuple[int, bytes, int, int, msgspec.Raw]] = []
        self._records: list[msgspec.Raw] = []
        self._size = 0

    def add_checkpoint(self, source: SegmentFile, walk: CommitWalk) -> None:
        """Copy the checkpoint frame that the walk has met."""
        assert walk.checkpoint is not None
        payload = raw_payload(source, walk.checkpoint)
        walk.tracking_before()  # raises if it is none
        header = walk.checkpoint.header
        self._add_frame(KIND_CHECKPOINT, payload, 0, header.commit_number, header.timestamp)

    def add(self, commit: SegmentCommit) -> None:
        """Add a commit; it is cut where the frame is full."""
        number, commit_id, timestamp, tracking, _, records = commit
        encoded = NIL if tracking is None else tracking
        size = self._size + COMMIT_ENTRY_BYTES + len(encoded)
        whole = size + sum(map(len, records))
        if whole <= FRAME_BYTES_TARGET:
            self._commits.append((number, commit_id, len(records), timestamp, encoded))
            self._records += records
            self._size = whole
            return
        if self._size and (not records or size + len(records[0]) > FRAME_BYTES_TARGET):
            size -= self._size
            self._flush()
        begin = 0
        for at, record in enumerate(records):
            length = len(record)
            if at > begin and size + length > FRAME_BYTES_TARGET:
                self._commits.append((number, commit_id, at - begin, timestamp, encoded))
                self._records += records[begin:at]
                self._flush()
                begin, size, encoded = at, COMMIT_ENTRY_BYTES, NIL
            size += length
        self._commits.append((number, commit_id, len(records) - begin, timestamp, encoded))
        self._records += records[begin:]
        self._size = size

    def finish(self, end: SealedEndPayload, timestamp: int) -> None:
        """Write what is left, and the end frame."""
        self._flush()
        end.frame_count = self.frame_count
        self._add_frame(KIND_END, encode_packed(end), 0, end.last_commit, timestamp)
        self._write()

    def _flush(self) -> None:
        """Make a frame of what was gathered."""
        commits, records = self._commits, self._records
        if commits:
            payload = encode_packed((commits, records))
            self._add_frame(KIND_PACKED, payload, len(records), commits[0][0], commits[-1][3])
            self._commits, self._records, self._size = [], [], 0

    def _add_frame(
        self, kind: int, payload: bytes, record_count: int, commit_number: int, timestamp: int
    ) -> None:
        raw_length = len(payload)
        assert raw_length <= FRAME_RAW_BYTES_MAX
        codec = CODEC_NONE
        if kind == KIND_PACKED:
            codec, payload = compress(self._codec, payload)
        frame, self.checksum = encode_frame(
            FrameHeader(
                salt=self._salt,
                kind=kind,
                flags=0,
                codec=codec,
                version=FRAME_VERSION,
                stored_length=len(payload),
                raw_length=raw_length,
                record_count=record_count,
                first_position=self._position,
                commit_number=commit_number,
                timestamp=timestamp,
                synced_to=0,
                frame_number=1,
                frames_in_commit=1,
                previous_checksum=self.checksum,
                payload_checksum=crc32c(payload),
            ),
            payload,
        )
        self.places.add(self._position, record_count, self.offset, len(frame))
        self._position += record_count
        self.offset += len(frame)
        self.frame_count += 1
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        if self._waiting_bytes >= _WRITE_BYTES:
            self._write()

    def _write(self) -> None:
        data = b"".join(self._waiting)
        write_all(self._files, self._fd, data, self.offset - len(data))
        self._waiting.clear()
        self._waiting_bytes = 0

"""Writes the frames of a cooled or repaired segment, one behind the other.

Theory of operation: commits are gathered until they make a packed frame of about 16 KiB; one that
does not fit goes on in the next. Records and tracking are copied as bytes. What is lost gets a frame
of its own. Whoever writes syncs the file, and reads it back before anybody relies on it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from aurora_es.codecs.compression import CODEC_NONE, compress
from aurora_es.files.layer import open_regular, write_all
from aurora_es.format.checksum import crc32c
from aurora_es.format.frame import (
    FRAME_VERSION,
    KIND_CHECKPOINT,
    KIND_END,
    KIND_LOST,
    KIND_PACKED,
    FrameHeader,
    encode_frame,
)
from aurora_es.format.limits import FRAME_BYTES_TARGET, FRAME_RAW_BYTES_MAX
from aurora_es.format.names import NEW_SUFFIX
from aurora_es.format.packed import COMMIT_ENTRY_BYTES, NIL, encode_packed
from aurora_es.format.segment_header import encode_segment_header
from aurora_es.segment.create import remove_if_there
from aurora_es.segment.frame_table import FramePlaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    import msgspec

    from aurora_es.files.layer import Files
    from aurora_es.format.packed import LostPayload, SealedEndPayload
    from aurora_es.format.segment_header import SegmentHeader
    from aurora_es.segment.commits import SegmentCommit

_WRITE_BYTES = 1 << 20


@contextmanager
def packed_file(files: Files, directory: str, name: str) -> Iterator[int]:
    """Make ``<name>.new`` anew and sync it behind the block; after an error in it nothing is left."""
    path = os.path.join(directory, name + NEW_SUFFIX)
    remove_if_there(files, path)
    fd = open_regular(files, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        try:
            yield fd
            files.fsync(fd)
        finally:
            files.close(fd)
    except BaseException:
        with suppress(OSError):
            remove_if_there(files, path)
        raise


class PackedWriter:
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
        self._timestamp = 0  # of the last commit, for a lost frame behind it
        # The frame that is being filled: its table, its records, their size.
        self._commits: list[tuple[int, bytes, int, int, msgspec.Raw]] = []
        self._records: list[msgspec.Raw] = []
        self._size = 0

    def add_checkpoint(self, payload: bytes, commit_number: int, timestamp: int) -> None:
        """Write the checkpoint frame, which names the last commit before the segment."""
        self._add_frame(KIND_CHECKPOINT, payload, 0, commit_number, timestamp)
        self._timestamp = timestamp

    def add(self, commit: SegmentCommit) -> None:
        """Add a commit; it is cut where the frame is full."""
        number, commit_id, timestamp, tracking, _, records = commit
        self._timestamp = timestamp
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
            self.flush()
        begin = 0
        for at, record in enumerate(records):
            length = len(record)
            if at > begin and size + length > FRAME_BYTES_TARGET:
                self._commits.append((number, commit_id, at - begin, timestamp, encoded))
                self._records += records[begin:at]
                self.flush()
                begin, size, encoded = at, COMMIT_ENTRY_BYTES, NIL
            size += length
        self._commits.append((number, commit_id, len(records) - begin, timestamp, encoded))
        self._records += records[begin:]
        self._size = size

    def add_lost(self, lost: LostPayload) -> None:
        """Say that the positions and commits from here to the end of ``lost`` are lost."""
        self.flush()
        assert lost.first_position == self._position
        payload = encode_packed(lost)
        self._add_frame(KIND_LOST, payload, lost.record_count, lost.last_commit, self._timestamp)

    def finish(self, end: SealedEndPayload, timestamp: int) -> None:
        """Write what is left, and the end frame."""
        self.flush()
        end.frame_count = self.frame_count
        self._add_frame(KIND_END, encode_packed(end), 0, end.last_commit, timestamp)
        self._write()

    def flush(self) -> None:
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

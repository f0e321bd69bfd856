"""The sealed segments that a manifest lists: opened when they are needed, read by position.

Theory of operation: a sealed segment is read through its table of frames, so that one or two reads
give any record. Descriptor, salt and table are one object, opened and dropped together: a segment
that is cooled meanwhile goes on being read as it was opened. The table is a cache: where it is
damaged or missing, the segment is walked instead, and the table written anew.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.files.layer import read_exactly
from aurora_es.format.frame_table import SegmentIdentity
from aurora_es.format.names import frames_name, segment_name
from aurora_es.journal.holes import holes_of
from aurora_es.journal.logs import logger
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.truncation import missing_segment, truncated
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.segment.frame_table import (
    FramePlaces,
    FrameTable,
    TableDamagedError,
    write_frame_table,
)
from aurora_es.segment.read import decode_groups, read_record, read_wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import SealedSegment
    from aurora_es.format.payload import RecordData

_OPEN_SEGMENTS_MAX = 256  # two descriptors each; opening one again takes longer than reading it


class WalkedTable:
    """Answers as a ``FrameTable`` does, from memory: what a walk over the segment has found."""

    def __init__(self, places: FramePlaces) -> None:
        """Keep the places."""
        self._places = places

    def close(self) -> None:
        """Do nothing; there is no descriptor."""

    def frame_of(self, position: int) -> tuple[int, int, int]:
        """Offset, length and first position of the frame that holds ``position``."""
        offsets, firsts, length = self.frames_between(position, position, 0)
        return offsets[0], length, firsts[0]

    def frames_between(
        self, position: int, until: int, bytes_max: int
    ) -> tuple[list[int], list[int], int]:
        """Offsets and first positions of frames in one piece, and its length; one at least."""
        places = self._places
        base, positions = places.base_position, places.positions
        at = bisect_right(positions, position - base) - 1
        end = max(at + 1, bisect_right(positions, until - base))
        begin = places.offsets[at]
        while end > at + 1 and (self._end(end) - (begin << 3)) > bytes_max:
            end = at + max(1, (end - at) // 2)
        return (
            [offset << 3 for offset in places.offsets[at:end]],
            [first + base for first in positions[at:end]],
            self._end(end) - (begin << 3),
        )

    def _end(self, frame: int) -> int:
        places = self._places
        return places.offsets[frame] << 3 if frame < len(places.offsets) else places.end


class OpenSealed(NamedTuple):
    """An open sealed segment."""

    file: SegmentFile
    table: FrameTable | WalkedTable
    segment: SealedSegment


class SealedSegments:
    """The listed segments of one generation of a manifest; for any number of threads."""

    def __init__(
        self,
        effects: Effects,
        path: str,
        genesis_id: bytes,
        segments: Sequence[SealedSegment],
        *,
        read_only: bool,
    ) -> None:
        """Know ``segments``, in their order; none is opened yet."""
        self.effects = effects
        self.path = path
        self.genesis_id = genesis_id
        self.segments = tuple(segments)
        self.read_only = read_only
        self.holes = holes_of(self.segments)
        self._bases = [segment.base_position for segment in self.segments]
        # By segment number. Any thread may put in and take out; each step is one of a dictionary.
        self._open: dict[int, OpenSealed] = {}

    def close(self) -> None:
        """Close all descriptors now; only for the child of a fork, where nobody else reads."""
        for opened in self._open.values():
            opened.file.close()
            opened.table.close()

    def take_open(self, other: SealedSegments) -> None:
        """Take over what ``other``, of an earlier generation, has open and is unchanged."""
        revisions = {segment.segment_number: segment.revision for segment in self.segments}
        for number, opened in list(other._open.items()):
            if revisions.get(number) == opened.segment.revision:
                self._open[number] = opened

    def listed_at(self, position: int) -> SealedSegment:
        """What the manifest lists of the segment that holds ``position``; raises TruncatedError."""
        if position < self._bases[0]:
            raise truncated(self.path, position, self._bases[0])
        return self.segments[bisect_right(self._bases, position) - 1]

    # Reading

    def frame_run(
        self, position: int, until: int, bytes_max: int
    ) -> tuple[SegmentFile, list[int], list[int], int]:
        """Frames in one piece of one segment, from the one that holds ``position`` on.

        Returns the file, the frames' offsets and first positions, and the length of the piece.
        """
        opened = self.at(position)
        until = min(until, opened.segment.last_position)
        try:
            found = opened.table.frames_between(position, until, bytes_max)
        except TableDamagedError as error:
            opened = self._mended(opened, error)
            found = opened.table.frames_between(position, until, bytes_max)
        return opened.file, *found

    def read_record(self, position: int) -> RecordData:
        """Read one record."""
        file, offset, length, first = self.frame_of(position)
        return read_record(file, offset, length, first, position - first)

    def read_wanted(self, wanted: tuple[int, int]) -> tuple[list[RecordData], int]:
        """As ``read_wanted`` of ``segment.read``, the frame found by the first position."""
        file, offset, length, first = self.frame_of(wanted[0])
        return read_wanted(file, offset, length, first, wanted)

    def read_groups(self, position: int) -> list[tuple[int, int, list[RecordData]]]:
        """The frame that holds ``position``, commit by commit: first position, time, records."""
        file, offset, length, first = self.frame_of(position)
        buffer = read_exactly(file.files, file.fd, length, offset)
        return decode_groups(file, buffer, 0, offset, first)

    def frame_of(self, position: int) -> tuple[SegmentFile, int, int, int]:
        """File, offset, length and first position of the frame that holds ``position``."""
        opened = self.at(position)
        try:
            found = opened.table.frame_of(position)
        except TableDamagedError as error:
            opened = self._mended(opened, error)
            found = opened.table.frame_of(position)
        return opened.file, *found

    # Opening

    def at(self, position: int) -> OpenSealed:
        """The segment that holds ``position``, opened; raises TruncatedError, CorruptionError."""
        segment = self.listed_at(position)
        opened = self._open.get(segment.segment_number)
        return self.open_segment(segment) if opened is None else opened

    def open_segment(self, segment: SealedSegment) -> OpenSealed:
        """Open a listed segment with its table of frames."""
        try:
            opened = self._open_files(segment)
        except FileNotFoundError as error:
            # Cooled since the manifest was read? The newest one tells.
            newest = self._newest(segment.segment_number)
            if newest is None or newest.revision == segment.revision:
                raise missing_segment(
                    self.effects.files, self.path, segment.base_position, error
                ) from error
            opened = self._open_files(newest)
        while len(self._open) >= _OPEN_SEGMENTS_MAX:
            self._open.pop(next(iter(self._open)), None)
        self._open[segment.segment_number] = opened
        return opened

    def _open_files(self, segment: SealedSegment) -> OpenSealed:
        number, base, revision = segment.segment_number, segment.base_position, segment.revision
        path = os.path.join(self.path, segment_name(number, base, revision))
        file = SegmentFile(self.effects.files, path, writable=False)
        check_segment(self.genesis_id, file, number, base)
        try:
            table: FrameTable | WalkedTable = FrameTable(
                self.effects.files,
                os.path.join(self.path, frames_name(number, base, revision)),
                identity_of(self.genesis_id, segment),
            )
        except TableDamagedError as error:
            table = self._walk(segment, file, error)
        return OpenSealed(file, table, segment)

    def _newest(self, segment_number: int) -> SealedSegment | None:
        manifest = read_manifest(self.effects.files, self.path)
        for segment in manifest.segments if manifest is not None else ():
            if segment.segment_number == segment_number:
                return segment
        return None

    def _mended(self, opened: OpenSealed, error: TableDamagedError) -> OpenSealed:
        table = self._walk(opened.segment, opened.file, error)
        mended = OpenSealed(opened.file, table, opened.segment)
        self._open[opened.segment.segment_number] = mended
        return mended

    def _walk(
        self, segment: SealedSegment, file: SegmentFile, error: TableDamagedError
    ) -> WalkedTable:
        """Find the frames in the segment itself, and write its table anew for the next reader."""
        logger.warning("%s; the segment is walked instead", error)
        walk = CommitWalk(file, lost=segment.lost or ())
        for _ in walk:
            pass
        if not self.read_only:
            try:
                write_frame_table(
                    self.effects, self.path, identity_of(self.genesis_id, segment), walk.places
                )
            except OSError as fault:
                logger.warning("%s: no new table of frames: %s", file.path, fault)
        return WalkedTable(walk.places)


def identity_of(genesis_id: bytes, segment: SealedSegment) -> SegmentIdentity:
    """What the table of frames of a listed segment has to name."""
    return SegmentIdentity(
        genesis_id,
        segment.segment_number,
        segment.base_position,
        segment.revision,
        segment.size_bytes,
        segment.file_checksum,
    )

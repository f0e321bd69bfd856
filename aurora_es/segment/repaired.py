"""Writes the repaired revision of a segment: its commits that could be read, and what is lost.

    commits and gaps, in order ──> packed frames, lost frames ──> end frame ──> <name>.new, synced

Theory of operation: a repaired segment takes the place of one that is damaged or missing, under a
revision of its own, as a cooled one does. It begins and ends where that one did: its header names
the same predecessor, and its end frame the end that the successor's header names. Where that is not
known, since the successor is made by the same repair, both name the place of this end frame. The
caller reads the copy back before anybody relies on it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.codecs.compression import CODEC_LZ4
from aurora_es.errors import CorruptionError
from aurora_es.format.frame_table import SegmentIdentity
from aurora_es.format.names import REVISION_MAX, segment_name
from aurora_es.format.packed import LostPayload, SealedEndPayload
from aurora_es.format.payload import encode_payload
from aurora_es.format.segment_header import (
    FORMAT_VERSION,
    NO_KEY,
    SEGMENT_MAGIC,
    SegmentHeader,
)
from aurora_es.segment.commits import SegmentEnd
from aurora_es.segment.create import new_salt
from aurora_es.segment.digest import LogicalDigest
from aurora_es.segment.pack import PackedSegment
from aurora_es.segment.packed_writer import PackedWriter, packed_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aurora_es.files.layer import Effects
    from aurora_es.format.payload import CheckpointPayload
    from aurora_es.segment.commits import SegmentCommit


class RepairedPlace(NamedTuple):
    """Where a repaired segment stands in its journal."""

    genesis_id: bytes
    segment_number: int
    base_position: int
    base_commit: int
    epoch: int
    # End offset, last position and last header checksum of the predecessor; zeros in segment 1.
    previous: tuple[int, int, int]
    # End offset and last header checksum that the successor names; None: nobody names any.
    original_end: tuple[int, int] | None


class RepairedSegment(NamedTuple):
    """A written one: what has to be known to list it, and to let a segment follow."""

    packed: PackedSegment
    base_commit: int
    first_timestamp: int
    last_timestamp: int


def write_repaired(  # noqa: PLR0913 - what a segment is made from
    effects: Effects,
    directory: str,
    place: RepairedPlace,
    parts: Iterable[SegmentCommit | LostPayload],
    *,
    revision: int,
    checkpoint: CheckpointPayload,
) -> RepairedSegment:
    """Write ``parts``, which follow each other without a gap, as ``<name>.new`` and sync it.

    ``checkpoint`` is the tracking table of all that is before. Raises CorruptionError where they do
    not, OSError, and whatever reading ``parts`` raises, after which nothing is left.
    """
    assert 0 < revision <= REVISION_MAX
    name = segment_name(place.segment_number, place.base_position, revision)
    with packed_file(effects.files, directory, name) as fd:
        writer = PackedWriter(effects.files, fd, _header(effects, place))
        following = _following(os.path.join(directory, name), place, parts)
        return _write_parts(writer, place, following, checkpoint, name, revision)


def _following(
    path: str, place: RepairedPlace, parts: Iterable[SegmentCommit | LostPayload]
) -> Iterator[SegmentCommit | LostPayload]:
    """The same parts; raises CorruptionError at one that does not follow the one before.

    What damaged bytes seem to say decides of it, so that it is looked at in every run of Python: a
    segment that nobody can read must not be listed.
    """
    commit, position = place.base_commit, place.base_position  # the next ones
    for part in parts:
        if isinstance(part, LostPayload):
            first, behind = part.first_commit, (part.last_commit + 1, part.last_position + 1)
        else:
            first = part.commit_number
            behind = (first + 1, part.first_position + len(part.records))
        if (first, part.first_position) != (commit, position) or min(
            behind[0] - commit, behind[1] - position
        ) < 0:
            raise CorruptionError(
                path,
                0,
                expected=f"commit {commit} with position {position} next",
                found=f"commits {first} to {behind[0] - 1}, positions {part.first_position} to"
                f" {behind[1] - 1}",
            )
        commit, position = behind
        yield part


def _header(effects: Effects, place: RepairedPlace) -> SegmentHeader:
    return SegmentHeader(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        0,
        0,
        place.segment_number,
        place.genesis_id,
        place.base_position,
        place.base_commit,
        new_salt(effects),
        effects.clock(),
        place.epoch,
        CODEC_LZ4,
        NO_KEY,
        *place.previous,
    )


def _write_parts(  # noqa: PLR0913, PLR0917 - the parts of one file
    writer: PackedWriter,
    place: RepairedPlace,
    parts: Iterable[SegmentCommit | LostPayload],
    checkpoint: CheckpointPayload,
    name: str,
    revision: int,
) -> RepairedSegment:
    timestamp, first_timestamp = checkpoint.timestamp, 0
    writer.add_checkpoint(encode_payload(checkpoint), place.base_commit - 1, timestamp)
    digest = LogicalDigest()
    position, commit_number = place.base_position - 1, place.base_commit - 1
    lost: list[tuple[int, int]] = []
    for part in parts:
        if isinstance(part, LostPayload):
            writer.add_lost(part)
            lost.append(part.positions)
            position, commit_number = part.last_position, part.last_commit
            continue
        writer.add(part)
        digest.add(part)
        position, commit_number = position + len(part.records), part.commit_number
        timestamp = max(timestamp, part.timestamp)
        first_timestamp = first_timestamp or part.timestamp
    writer.flush()
    original = place.original_end or (writer.offset, writer.checksum)
    found = digest.digest()
    record_count = position + 1 - place.base_position
    writer.finish(
        SealedEndPayload(position, commit_number, record_count, 0, *original, found), timestamp
    )
    identity = SegmentIdentity(
        place.genesis_id,
        place.segment_number,
        place.base_position,
        revision,
        writer.offset,
        writer.checksum,
    )
    end = SegmentEnd(writer.offset, writer.checksum, *original, found)
    packed = PackedSegment(name, identity, end, position, commit_number, writer.places, tuple(lost))
    return RepairedSegment(packed, place.base_commit, first_timestamp or timestamp, timestamp)

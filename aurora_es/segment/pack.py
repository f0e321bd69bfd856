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

import os
from typing import TYPE_CHECKING, NamedTuple

from aurora_es.codecs.compression import compress
from aurora_es.errors import CorruptionError
from aurora_es.format.names import NEW_SUFFIX, REVISION_MAX, segment_name
from aurora_es.format.packed import SealedEndPayload
from aurora_es.segment.commits import CommitWalk, SegmentEnd, raw_payload
from aurora_es.segment.create import new_salt
from aurora_es.segment.digest import LogicalDigest, logical_digest
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.packed_writer import PackedWriter, packed_file

if TYPE_CHECKING:
    from collections.abc import Collection

    from aurora_es.files.layer import Effects, Files
    from aurora_es.format.frame_table import SegmentIdentity
    from aurora_es.segment.frame_table import FramePlaces


class PackedSegment(NamedTuple):
    """What is known of a cooled segment once it is written."""

    name: str  # under which it is to be linked; it is ``<name>.new`` before
    identity: SegmentIdentity
    end: SegmentEnd
    last_position: int
    last_commit: int
    places: FramePlaces  # for its table of frames
    lost: tuple[tuple[int, int], ...] = ()  # ranges of positions

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.identity.end_offset


def write_packed(  # noqa: PLR0913 - a source, and how it is to be written
    effects: Effects,
    directory: str,
    source: SegmentFile,
    *,
    revision: int,
    codec: int,
    lost: Collection[tuple[int, int]] = (),
) -> PackedSegment:
    """Write the sealed segment ``source``, raw or cooled, as ``<name>.new`` and sync it.

    ``lost`` is what the manifest lists as lost in it, and stays lost in the copy.

    Raises CorruptionError, UnsupportedFormatError for a source that is not whole or that holds what
    a copy would lose, AuroraConfigurationError for a codec that is not installed, OSError; nothing
    is left then, unless the process dies.
    """
    assert 0 < revision <= REVISION_MAX
    files, header = effects.files, source.header
    compress(codec, b"")  # a missing package is to be noticed before a file is made
    name = segment_name(header.segment_number, header.base_position, revision)
    with packed_file(files, directory, name) as fd:
        cooled = header._replace(
            salt=new_salt(effects), created_at=effects.clock(), codec=codec, compatible_flags=0
        )
        writer = PackedWriter(files, fd, cooled)
        walk, end = _copy_commits(source, writer, lost)
    identity = walk.identity(revision)._replace(
        end_offset=end.end_offset, last_checksum=end.last_checksum
    )
    chain = walk.chain
    return PackedSegment(
        name, identity, end, chain.position, chain.commit_number, writer.places, tuple(lost)
    )


def verify_packed(files: Files, directory: str, packed: PackedSegment, path: str = "") -> None:
    """Read a written segment back, all of it, and compare; raises CorruptionError.

    ``path`` defaults to that of the file that ``write_packed`` has left.
    """
    path = path or os.path.join(directory, packed.name + NEW_SUFFIX)
    file = SegmentFile(files, path, writable=False)
    files.drop_cached(file.fd)
    _, walk = logical_digest(file, packed.lost)
    found = (walk.identity(packed.identity.revision), walk.end)
    if found != (packed.identity, packed.end):
        raise CorruptionError(
            path, 0, expected=f"{packed.identity}, {packed.end}", found=f"{found[0]}, {found[1]}"
        )
    places, expected = walk.places, packed.places
    if (places.positions, places.offsets) != (expected.positions, expected.offsets):
        raise CorruptionError(path, 0, expected="the frames that were written", found="others")


def _copy_commits(
    source: SegmentFile, writer: PackedWriter, lost: Collection[tuple[int, int]]
) -> tuple[CommitWalk, SegmentEnd]:
    """Copy all of a segment; returns the finished walk over it and the end of the copy."""
    walk = CommitWalk(source, lost=lost, refuse_unknown=True)
    digest = LogicalDigest()
    copied = 0  # of what is lost
    for commit in walk:
        if not writer.frame_count:
            _copy_checkpoint(source, walk, writer)
        copied = _copy_lost(walk, writer, copied)
        digest.add(commit)
        writer.add(commit)
    if not writer.frame_count:
        _copy_checkpoint(source, walk, writer)
    _copy_lost(walk, writer, copied)
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


def _copy_checkpoint(source: SegmentFile, walk: CommitWalk, writer: PackedWriter) -> None:
    """Copy the checkpoint frame that the walk has met."""
    assert walk.checkpoint is not None
    payload = raw_payload(source, walk.checkpoint)
    walk.tracking_before()  # raises if it is none
    header = walk.checkpoint.header
    writer.add_checkpoint(payload, header.commit_number, header.timestamp)


def _copy_lost(walk: CommitWalk, writer: PackedWriter, copied: int) -> int:
    """Copy what the walk has found lost since the first ``copied``; returns how many those are."""
    for lost in walk.lost[copied:]:
        writer.add_lost(lost)
    return len(walk.lost)

"""Punches holes into a journal, as a repair would leave them: for tests of reading."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

import msgspec

from aurora_es.care.indexing import index_segments
from aurora_es.files.layer import Effects
from aurora_es.format.manifest import SealedSegment
from aurora_es.format.names import segment_name
from aurora_es.format.packed import LostPayload
from aurora_es.format.payload import CheckpointPayload
from aurora_es.journal.manifest_file import change_manifest, read_manifest
from aurora_es.journal.seal import SegmentPostings
from aurora_es.segment.commits import CommitWalk, SegmentCommit
from aurora_es.segment.create import link_segment
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.frame_table import write_frame_table
from aurora_es.segment.pack import verify_packed
from aurora_es.segment.repaired import RepairedPlace, write_repaired


def punch(effects: Effects, path: str, lost: Collection[int]) -> None:
    """Lose the commits with these numbers, of the sealed segments that nobody has open."""
    manifest = read_manifest(effects.files, path)
    assert manifest is not None
    segments, changed = [], set()
    for segment in manifest.segments:
        numbers = range(segment.base_commit, segment.last_commit + 1)
        if any(number in numbers for number in lost):
            segments.append(
                _repaired(effects, path, bytes.fromhex(manifest.genesis_id), segment, lost)
            )
            changed.add(segment.segment_number)
        else:
            segments.append(segment)
    listed = msgspec.structs.replace(manifest, segments=segments)
    runs = index_segments(effects, path, listed, changed).runs
    change_manifest(effects, path, lambda _: {"segments": segments, "runs": runs}, lock_timeout=5.0)


def _repaired(
    effects: Effects, path: str, genesis_id: bytes, segment: SealedSegment, lost: Collection[int]
) -> SealedSegment:
    number, base, revision = segment.segment_number, segment.base_position, segment.revision
    file = SegmentFile(
        effects.files, os.path.join(path, segment_name(number, base, revision)), writable=False
    )
    walk = CommitWalk(file, lost=segment.lost or ())
    commits = list(walk)
    assert walk.checkpoint is not None
    header = file.header
    place = RepairedPlace(
        genesis_id,
        number,
        base,
        header.base_commit,
        header.epoch,
        (header.previous_end, header.previous_position, header.previous_checksum),
        (segment.end_offset, segment.last_checksum),
    )
    written = write_repaired(
        effects,
        path,
        place,
        parts_of(commits, lost, segment.last_commit, segment.last_position, header.base_commit),
        revision=revision + 1,
        checkpoint=CheckpointPayload(walk.checkpoint.header.timestamp, walk.tracking_before()),
    )
    verify_packed(effects.files, path, written.packed)
    link_segment(effects.files, path, written.packed.name)
    write_frame_table(effects, path, written.packed.identity, written.packed.places)
    new = SegmentFile(effects.files, os.path.join(path, written.packed.name), writable=False)
    entry = SegmentPostings(new, revision=revision + 1, lost=written.packed.lost).entry
    expected = (written.first_timestamp, written.last_timestamp)
    assert (entry.first_timestamp, entry.last_timestamp) == expected
    effects.files.unlink(file.path)
    return entry


def parts_of(
    commits: list[SegmentCommit],
    lost: Collection[int],
    last_commit: int,
    last_position: int,
    first_commit: int,
) -> Iterator[SegmentCommit | LostPayload]:
    """The commits that are left, and what is lost between them, in order."""
    kept = [commit for commit in commits if commit.commit_number not in lost]
    position, number = (commits[0].first_position if commits else last_position + 1), first_commit
    # What an earlier hole has taken is in no commit: the numbers tell.
    if commits and commits[0].commit_number > first_commit:
        raise AssertionError("punch all at once")
    for commit in kept:
        if commit.commit_number > number:
            yield LostPayload(position, commit.first_position - 1, number, commit.commit_number - 1)
        yield commit
        position, number = commit.first_position + len(commit.records), commit.commit_number + 1
    if number <= last_commit:
        yield LostPayload(position, last_position, number, last_commit)

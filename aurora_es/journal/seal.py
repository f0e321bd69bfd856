"""Seals a segment that has been rolled: writes its run and its table of frames, and lists it.

Theory of operation: one pass over the segment verifies everything and gathers postings, places and
the logical digest. Run and table are caches, written and synced under their names before a new
generation of the manifest lists the segment; killed anywhere before, it is sealed again. The caller
holds ``background.lock``; the append lock is never taken, and readers go on as they were.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from aurora_es.errors import CorruptionError
from aurora_es.format.manifest import IndexRun, SealedSegment
from aurora_es.format.names import segment_name
from aurora_es.format.run import Source, source_digest
from aurora_es.index.keys import key_range
from aurora_es.journal.gathering import Gathered, gather
from aurora_es.journal.logs import logger
from aurora_es.journal.manifest_file import change_manifest, read_manifest
from aurora_es.journal.mark_file import read_mark
from aurora_es.journal.sealed_index import SealedIndex, file_name_of
from aurora_es.journal.sealed_segments import identity_of
from aurora_es.late_imports import fork_waits
from aurora_es.segment.commits import CommitWalk
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.segment.frame_table import write_frame_table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest
    from aurora_es.format.run import Columns
    from aurora_es.index.collect import PostingCollector

LOCK_TIMEOUT_SECONDS = 60.0  # for manifest.lock, which nobody holds for long


class SegmentPostings:
    """What one pass over a sealed segment finds, for its run and its place in the manifest."""

    def __init__(
        self, file: SegmentFile, *, revision: int = 0, lost: Collection[tuple[int, int]] = ()
    ) -> None:
        """Walk ``file`` to its end; raises CorruptionError, UnsupportedFormatError.

        ``lost`` is what the manifest lists as lost in it.
        """
        self.walk = CommitWalk(file, lost=lost)
        gathered = Gathered(self.walk, is_indexed=True)
        self.entry = entry_of(self.walk, gathered, revision=revision)
        assert gathered.collector is not None
        self.collector: PostingCollector = gathered.collector


def entry_of(walk: CommitWalk, gathered: Gathered, *, revision: int) -> SealedSegment:
    """Walk a segment, and say how the manifest lists it; ``gathered`` is new.

    Raises CorruptionError, UnsupportedFormatError.
    """
    gather(walk, gathered, is_raw=not revision)
    digest = gathered.finish()
    header, chain, end = walk.file.header, walk.chain, walk.end
    assert end is not None
    return SealedSegment(
        segment_number=header.segment_number,
        base_position=header.base_position,
        last_position=chain.position,
        base_commit=header.base_commit,
        last_commit=chain.commit_number,
        end_offset=end.original_end,
        last_checksum=end.original_checksum,
        # Where all commits are lost, the time of the last one before.
        first_timestamp=gathered.first_timestamp or chain.timestamp,
        last_timestamp=gathered.last_timestamp or chain.timestamp,
        revision=revision,
        size_bytes=end.end_offset,
        file_checksum=end.last_checksum,
        digest=digest.hex(),
        lost=tuple(lost.positions for lost in walk.lost) or UNSET,
    )


def next_unsealed(effects: Effects, path: str, manifest: Manifest) -> str | None:
    """Name of the oldest segment that is closed and not listed; None when there is none."""
    listed = manifest.segments[-1] if manifest.segments else None
    number = 1 if listed is None else listed.segment_number + 1
    if read_mark(effects.files, path).segment_number <= number:
        return None
    return segment_name(number, 1 if listed is None else listed.last_position + 1)


def seal_next(effects: Effects, path: str) -> SealedSegment | None:
    """Seal the oldest closed segment that is not listed; None when there is none.

    The caller holds ``background.lock``. Raises CorruptionError with nothing changed.
    """
    manifest = read_manifest(effects.files, path)
    name = None if manifest is None else next_unsealed(effects, path, manifest)
    if manifest is None or name is None:
        return None
    genesis_id = bytes.fromhex(manifest.genesis_id)
    file = SegmentFile(effects.files, os.path.join(path, name), writable=False)
    _check_follows(file, genesis_id, manifest)
    found = SegmentPostings(file)
    entry = found.entry
    write_frame_table(effects, path, identity_of(genesis_id, entry), found.walk.places)
    sealed = SealedIndex(effects, path, genesis_id, manifest, read_only=False, owns_lock=True)
    run = write_segment_run(
        effects, path, genesis_id, entry, found, rises=lambda columns: rises_above(columns, sealed)
    )
    # Killed before this: unlisted files, which the next run writes again under the same names.
    change_manifest(
        effects,
        path,
        lambda current: (
            {}
            if any(one.segment_number == entry.segment_number for one in current.segments)
            else {"segments": [*current.segments, entry], "runs": [*current.runs, run]}
        ),
        lock_timeout=LOCK_TIMEOUT_SECONDS,
    )
    logger.info(
        "%s: sealed segment %d, positions %d to %d",
        path,
        entry.segment_number,
        entry.base_position,
        entry.last_position,
    )
    return entry


def write_segment_run(  # noqa: PLR0913 - what a run is made from
    effects: Effects,
    path: str,
    genesis_id: bytes,
    entry: SealedSegment,
    found: SegmentPostings,
    *,
    rises: Callable[[Columns], bool],
) -> IndexRun:
    """Write the run of one segment under its name, and sync; returns its place in the manifest."""
    with fork_waits:
        from aurora_es.index.build import build_run, sorted_postings
        from aurora_es.index.run_writer import Coverage, publish_run

    source = digest_of([entry])
    collector = found.collector
    columns = sorted_postings(collector.postings())
    run = IndexRun(
        level=0,
        first_segment=entry.segment_number,
        last_segment=entry.segment_number,
        base_position=entry.base_position,
        last_position=entry.last_position,
        source_digest=source.hex(),
        rises=False,
    )
    run_path = os.path.join(path, file_name_of(run))
    header = build_run(
        effects,
        run_path,
        Coverage(
            genesis_id,
            0,
            entry.segment_number,
            entry.segment_number,
            entry.base_position,
            entry.last_position,
            source,
        ),
        postings=columns,
        topics=collector.topics(),
        commons=collector.commons(),
    )
    publish_run(effects.files, run_path)
    return msgspec.structs.replace(run, rises=header.is_monotone == 1 and rises(columns))


def digest_of(segments: list[SealedSegment]) -> bytes:
    """Source digest of a run over ``segments``, which are in order."""
    return source_digest(
        Source(
            segment.segment_number,
            segment.base_position,
            segment.last_position,
            segment.end_offset,
            segment.last_checksum,
            segment.lost or (),
        )
        for segment in segments
    )


def rises_above(columns: Columns, sealed: SealedIndex) -> bool:
    """Whether every originator's first version here is above all its earlier ones."""
    with fork_waits:
        import numpy as np

    if not sealed.runs:
        return True
    keys, ordinals, positions = columns
    end = int(np.searchsorted(keys, np.uint64(key_range("originator")[1]), side="right"))
    is_first = np.ones(end, bool)
    is_first[1:] = keys[1:end] != keys[: max(end - 1, 0)]
    first = np.flatnonzero(is_first)
    return sealed.rise_above((keys[first], ordinals[first], positions[first]))


def _check_follows(file: SegmentFile, genesis_id: bytes, manifest: Manifest) -> None:
    """Make sure that a segment is the one behind the last listed one."""
    listed = manifest.segments[-1] if manifest.segments else None
    number = 1 if listed is None else listed.segment_number + 1
    check_segment(genesis_id, file, number, 1 if listed is None else listed.last_position + 1)
    if listed is None:
        return
    header = file.header
    expected = (listed.end_offset, listed.last_position, listed.last_checksum)
    found = (header.previous_end, header.previous_position, header.previous_checksum)
    if expected != found:
        raise CorruptionError(
            file.path,
            0,
            expected="a predecessor that ends at {} with position {}, checksum {}".format(
                *expected
            ),
            found="end {}, position {}, checksum {}".format(*found),
        )

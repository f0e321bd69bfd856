"""Makes index runs and tables of frames for a list of segments that is not in the manifest yet.

Theory of operation: what a run has to contain is determined by the segments, so runs are written
before the manifest that lists them. Where segments have changed (a repair found some of their
positions lost), the runs over them are built anew with the same bounds: versions have only gone, so
a run that rose above all earlier ones still does. Segments that had no run get theirs one by one,
merged as sealing merges. The caller holds ``background.lock``; memory is that of one segment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import CorruptionError
from aurora_es.format.names import segment_name
from aurora_es.index.run import Run
from aurora_es.journal.merge import runs_to_merge, write_merged_run
from aurora_es.journal.seal import SegmentPostings, digest_of, rises_above, write_segment_run
from aurora_es.journal.sealed_index import SealedIndex, file_name_of
from aurora_es.journal.sealed_segments import identity_of
from aurora_es.late_imports import fork_waits
from aurora_es.segment.file import SegmentFile, check_segment
from aurora_es.segment.frame_table import write_frame_table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import IndexRun, Manifest, SealedSegment


def index_segments(
    effects: Effects,
    path: str,
    manifest: Manifest,
    changed: Collection[int],
    *,
    told: Callable[[int], object] = lambda _: None,
) -> Manifest:
    """Bring the runs of ``manifest`` in line with its segments; returns it with these runs.

    Its runs cover its first segments without a gap, or none. ``changed`` are the numbers of segments
    that are not what their run was made from, or whose run is not what it should be. ``told`` is
    called with the number of each segment that was read. Raises CorruptionError, OSError.
    """
    covered = max((run.last_segment for run in manifest.runs), default=0)
    runs = []
    for run in sorted(manifest.runs, key=lambda one: one.first_segment):
        numbers = range(run.first_segment, run.last_segment + 1)
        is_changed = any(number in numbers for number in changed)
        runs.append(_built(effects, path, manifest, run, told) if is_changed else run)
    manifest = msgspec.structs.replace(manifest, runs=runs)
    for segment in manifest.segments:
        if segment.segment_number > covered:
            manifest = _added(effects, path, manifest, segment)
            told(segment.segment_number)
    return manifest


def _built(
    effects: Effects, path: str, manifest: Manifest, run: IndexRun, told: Callable[[int], object]
) -> IndexRun:
    """Build ``run`` anew with the same bounds."""
    with fork_waits:
        from aurora_es.index.merge import merge_runs
        from aurora_es.index.run_writer import publish_run

    genesis_id = bytes.fromhex(manifest.genesis_id)
    segments = [
        one
        for one in manifest.segments
        if run.first_segment <= one.segment_number <= run.last_segment
    ]
    source = digest_of(segments)
    entry = msgspec.structs.replace(run, source_digest=source.hex())
    entry_path = os.path.join(path, file_name_of(entry))
    parts = []
    for segment in segments:
        found = walk_listed(effects, path, genesis_id, segment)
        write_frame_table(effects, path, identity_of(genesis_id, segment), found.walk.places)
        part = write_segment_run(effects, path, genesis_id, segment, found, rises=lambda _: False)
        part_path = os.path.join(path, file_name_of(part))
        part_source = bytes.fromhex(part.source_digest)
        parts.append(
            Run(effects.files, part_path, genesis_id=genesis_id, source_digest=part_source)
        )
        told(segment.segment_number)
    if parts[0].path != entry_path:
        merge_runs(effects, entry_path, parts, level=entry.level, source_digest=source)
        publish_run(effects.files, entry_path)
        for part_run in parts:
            effects.files.unlink(part_run.path)
    return entry


def _added(effects: Effects, path: str, manifest: Manifest, segment: SealedSegment) -> Manifest:
    """Write run and table of the first segment that has none, and merge what is due then."""
    sealed = _sealed(effects, path, manifest)
    found = walk_listed(effects, path, bytes.fromhex(manifest.genesis_id), segment)
    write_frame_table(effects, path, identity_of(sealed.genesis_id, segment), found.walk.places)
    run = write_segment_run(
        effects,
        path,
        sealed.genesis_id,
        segment,
        found,
        rises=lambda columns: rises_above(columns, sealed),
    )
    manifest = msgspec.structs.replace(manifest, runs=[*manifest.runs, run])
    while due := runs_to_merge(manifest):
        merged = write_merged_run(
            _sealed(effects, path, manifest), due, level=max(one.level for one in due) + 1
        )
        kept = [one for one in manifest.runs if one not in due]
        manifest = msgspec.structs.replace(manifest, runs=[*kept, merged])
    return manifest


def walk_listed(
    effects: Effects, path: str, genesis_id: bytes, segment: SealedSegment
) -> SegmentPostings:
    """Walk a listed segment; raises CorruptionError if it is not what is listed."""
    number, base, revision = segment.segment_number, segment.base_position, segment.revision
    file = SegmentFile(
        effects.files,
        os.path.join(path, segment_name(number, base, revision)),
        writable=False,
    )
    check_segment(genesis_id, file, number, base)
    found = SegmentPostings(file, revision=revision, lost=segment.lost or ())
    if found.entry != segment:
        raise CorruptionError(file.path, 0, expected=f"{segment}", found=f"{found.entry}")
    return found


def _sealed(effects: Effects, path: str, manifest: Manifest) -> SealedIndex:
    genesis_id = bytes.fromhex(manifest.genesis_id)
    return SealedIndex(effects, path, genesis_id, manifest, read_only=False, owns_lock=True)

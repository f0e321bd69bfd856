"""Drops sealed segments from the front of a journal, for retention and compaction.

Theory of operation: one new generation of the manifest leaves the segments out, says from which
position the journal is retained, and lists their files as obsolete: these are removed a minute
later, so that a reader in the middle of them can finish. Runs that cover dropped segments only go
with them; one that covers others too is written anew without the dropped part before, so that runs
always cover exactly what is listed. The newest sealed segment always stays: its end is what the next
one has to follow. Killed anywhere, nothing is dropped, or everything. The caller holds
``background.lock``.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from aurora_es.format.manifest import IndexRun, ObsoleteFile
from aurora_es.format.names import frames_name, segment_name
from aurora_es.format.payload import decode_record
from aurora_es.index.run_file import RunDamagedError
from aurora_es.journal.logs import logger
from aurora_es.journal.manifest_file import change_manifest
from aurora_es.journal.seal import LOCK_TIMEOUT_SECONDS, digest_of
from aurora_es.journal.sealed_index import SealedIndex, file_name_of
from aurora_es.late_imports import fork_waits
from aurora_es.segment.commits import iterate_commits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest, SealedSegment


def drop_front(effects: Effects, path: str, manifest: Manifest, count: int) -> None:
    """Drop the first ``count`` listed segments, fewer than all; raises CorruptionError."""
    dropped, kept = manifest.segments[:count], manifest.segments[count:]
    if not dropped:
        return
    first = kept[0]
    sealed = SealedIndex(
        effects, path, bytes.fromhex(manifest.genesis_id), manifest, read_only=False, owns_lock=True
    )
    gone = [run for run in manifest.runs if run.first_segment < first.segment_number]
    shrunk = [
        _write_shrunk_run(sealed, run, kept)
        for run in gone
        if run.last_segment >= first.segment_number
    ]
    now = effects.clock()
    names = [file_name_of(run) for run in gone]
    for segment in dropped:
        place = segment.segment_number, segment.base_position, segment.revision
        names += [segment_name(*place), frames_name(*place)]
    obsolete = [ObsoleteFile(file_name=name, since=now) for name in names]

    def change(current: Manifest) -> dict[str, object]:
        return {
            "segments": current.segments[count:],
            "runs": [*shrunk, *(run for run in current.runs if run not in gone)],
            "retained_from": first.base_position,
            "obsolete": [*(current.obsolete or ()), *obsolete],
        }

    change_manifest(effects, path, change, lock_timeout=LOCK_TIMEOUT_SECONDS)
    logger.info(
        "%s: dropped %d segments; retained from position %d", path, count, first.base_position
    )


def _write_shrunk_run(
    sealed: SealedIndex, entry: IndexRun, kept: Sequence[SealedSegment]
) -> IndexRun:
    """Write a run anew for those of its segments that are kept; returns its place in the manifest."""
    with fork_waits:
        from aurora_es.index.run_writer import publish_run
        from aurora_es.index.shrink import shrink_run

    covered = [one for one in kept if one.segment_number <= entry.last_segment]
    source = digest_of(covered)
    shrunk = msgspec.structs.replace(
        entry,
        first_segment=covered[0].segment_number,
        base_position=covered[0].base_position,
        source_digest=source.hex(),
    )
    path = os.path.join(sealed.path, file_name_of(shrunk))
    run = sealed.open_run(entry)
    counts = _topics_before(sealed, entry, covered[0]) if run.topics() is not None else {}
    while True:
        try:
            header = shrink_run(
                sealed.effects,
                path,
                run,
                first_segment=shrunk.first_segment,
                base_position=shrunk.base_position,
                source_digest=source,
                dropped_topics=counts,
            )
            break
        except RunDamagedError as error:
            run = sealed.mended(entry, run, error)
    publish_run(sealed.effects.files, path)
    # The oldest run rises as soon as its own versions do: nothing is before it.
    return msgspec.structs.replace(shrunk, rises=header.is_monotone == 1)


def _topics_before(sealed: SealedIndex, entry: IndexRun, first: SealedSegment) -> Counter[str]:
    """Records of each topic in the segments of a run that are before ``first``."""
    counts: Counter[str] = Counter()
    for segment in sealed.manifest.segments:
        if entry.first_segment <= segment.segment_number < first.segment_number:
            opened = sealed.segments.open_segment(segment)
            for commit in iterate_commits(opened.file, opened.segment.lost or ()):
                counts.update(decode_record(record).topic for record in commit.records)
    return counts

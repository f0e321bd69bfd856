"""Builds a damaged or missing index run anew from the segments that it covers.

Theory of operation: run by run of a single segment, then merged, in bounded memory. A writing
process puts the result under the run's own name, so that the next one finds it. A reading one, which
never writes to a journal, and one that cannot, say on a full disk, put it into a temporary directory
and go on with the open file. What a run has to contain is determined by the segments, so the manifest
need not change.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

from aurora_es.errors import LockTimeoutError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.names import run_name
from aurora_es.index.run import Run
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.logs import logger
from aurora_es.journal.seal import SegmentPostings, digest_of, write_segment_run
from aurora_es.late_imports import fork_waits

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import IndexRun, SealedSegment
    from aurora_es.index.run_file import RunDamagedError
    from aurora_es.journal.sealed_index import SealedIndex

_LOCK_TIMEOUT_SECONDS = 600.0  # another process may be building the same

# Called after each segment, with how many are done, and of how many: who looks at a terminal may want
# to know why an answer takes long. Set by the command line.
told: Callable[[int, int], object] | None = None


def built_anew(sealed: SealedIndex, entry: IndexRun, error: RunDamagedError) -> Run:
    """Build a listed run anew and open it; raises CorruptionError if a segment is damaged too."""
    logger.warning(
        "%s; it is built anew from segments %d to %d",
        error,
        entry.first_segment,
        entry.last_segment,
    )
    if not sealed.read_only:
        try:
            return _built_in_place(sealed, entry)
        except (OSError, LockTimeoutError) as fault:
            logger.warning("%s: it cannot be put there: %s", error.path, fault)
    directory = tempfile.mkdtemp(prefix="aurora-es-")
    try:
        # Outside of the journal, whatever its own files are.
        effects = replace(sealed.effects, files=SYSTEM_EFFECTS.files)
        return _build(sealed, entry, effects, directory)
    finally:
        for name in os.listdir(directory):  # open files stay readable
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)


def _built_in_place(sealed: SealedIndex, entry: IndexRun) -> Run:
    if sealed.owns_lock:
        return _build(sealed, entry, sealed.effects, sealed.path)
    with BackgroundLock(sealed.effects, sealed.path, timeout=_LOCK_TIMEOUT_SECONDS):
        return _build(sealed, entry, sealed.effects, sealed.path)


def _build(sealed: SealedIndex, entry: IndexRun, effects: Effects, directory: str) -> Run:
    with fork_waits:
        from aurora_es.index.merge import merge_runs
        from aurora_es.index.run_writer import publish_run

    segments = [
        segment
        for segment in sealed.manifest.segments
        if entry.first_segment <= segment.segment_number <= entry.last_segment
    ]
    parts = []
    for done, segment in enumerate(segments):
        parts.append(_build_part(sealed, segment, effects, directory))
        logger.info("%s: %d of %d segments indexed", sealed.path, done + 1, len(segments))
        if told is not None:
            told(done + 1, len(segments))
    if entry.first_segment == entry.last_segment:
        return parts[0]
    name = run_name(
        level=entry.level, first_segment=entry.first_segment, last_segment=entry.last_segment
    )
    path = os.path.join(directory, name)
    source = bytes.fromhex(entry.source_digest)
    merge_runs(effects, path, parts, level=entry.level, source_digest=source)
    publish_run(effects.files, path)
    # Killed before this: the parts are unlisted files, which the next background run removes.
    for part in parts:
        effects.files.unlink(part.path)
    return Run(effects.files, path, genesis_id=sealed.genesis_id, source_digest=source)


def _build_part(
    sealed: SealedIndex, segment: SealedSegment, effects: Effects, directory: str
) -> Run:
    opened = sealed.segments.open_segment(segment)
    found = SegmentPostings(
        opened.file, revision=opened.segment.revision, lost=opened.segment.lost or ()
    )
    write_segment_run(effects, directory, sealed.genesis_id, segment, found, rises=lambda _: False)
    number = segment.segment_number
    return Run(
        effects.files,
        os.path.join(directory, run_name(level=0, first_segment=number, last_segment=number)),
        genesis_id=sealed.genesis_id,
        source_digest=digest_of([segment]),
    )

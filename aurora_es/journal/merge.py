"""Merges index runs, so that their number grows with the logarithm of the journal's length.

Theory of operation: two adjacent runs of one level become one of the next. (With four, merging would
write each entry half as often, but twice as many runs would have to be asked: 7 instead of 4 at 10^7
events, and 2.6 µs each is most of what a look-up takes.) The merged run is on disk under its name
before a new generation of the manifest lists it in their place; they are listed as obsolete then,
and removed later: a process that has them open goes on using them. The caller holds
``background.lock``.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

from aurora_es.format.manifest import IndexRun, ObsoleteFile
from aurora_es.index.run_file import RunDamagedError
from aurora_es.journal.logs import logger
from aurora_es.journal.manifest_file import change_manifest, read_manifest
from aurora_es.journal.seal import LOCK_TIMEOUT_SECONDS, digest_of
from aurora_es.journal.sealed_index import SealedIndex, file_name_of
from aurora_es.late_imports import fork_waits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest

# No run over more records than this: with tags and event ids a record has several entries, and what
# a run can hold is bounded (``limits.RUN_BLOCKS_MAX``).
_RECORDS_MAX = 1 << 28


def runs_to_merge(manifest: Manifest) -> list[IndexRun]:
    """The two runs to be merged next, in order; empty when no level has two that may be."""
    by_level: dict[int, list[IndexRun]] = {}
    for run in sorted(manifest.runs, key=lambda one: one.first_segment):
        by_level.setdefault(run.level, []).append(run)
    for level in sorted(by_level):
        for left, right in pairwise(by_level[level]):
            if right.last_position - left.base_position < _RECORDS_MAX:
                return [left, right]
    return []


def merge_next(
    effects: Effects, path: str, chosen: Sequence[IndexRun] | None = None
) -> IndexRun | None:
    """Merge the runs that are due, or those ``chosen``; None when there is nothing to merge."""
    manifest = read_manifest(effects.files, path)
    if manifest is None:
        return None
    inputs = runs_to_merge(manifest) if chosen is None else [*chosen]
    if len(inputs) < 2:
        return None
    sealed = SealedIndex(
        effects, path, bytes.fromhex(manifest.genesis_id), manifest, read_only=False, owns_lock=True
    )
    merged = write_merged_run(sealed, inputs, level=max(run.level for run in inputs) + 1)
    now = effects.clock()

    def change(current: Manifest) -> dict[str, object]:
        if not all(run in current.runs for run in inputs):
            return {}
        kept = [run for run in current.runs if run not in inputs]
        obsolete = [ObsoleteFile(file_name=file_name_of(run), since=now) for run in inputs]
        return {"runs": [*kept, merged], "obsolete": [*(current.obsolete or ()), *obsolete]}

    change_manifest(effects, path, change, lock_timeout=LOCK_TIMEOUT_SECONDS)
    logger.info("%s: merged %d runs to %s", path, len(inputs), file_name_of(merged))
    return merged


def write_merged_run(sealed: SealedIndex, inputs: Sequence[IndexRun], *, level: int) -> IndexRun:
    """Merge listed runs under the name of their union, and sync; a damaged one is built anew."""
    with fork_waits:
        from aurora_es.index.merge import merge_runs
        from aurora_es.index.run_writer import publish_run

    first, last = inputs[0].first_segment, inputs[-1].last_segment
    source = digest_of(
        [one for one in sealed.manifest.segments if first <= one.segment_number <= last]
    )
    merged = IndexRun(
        level=level,
        first_segment=first,
        last_segment=last,
        base_position=inputs[0].base_position,
        last_position=inputs[-1].last_position,
        source_digest=source.hex(),
        rises=all(run.rises for run in inputs),
    )
    path = os.path.join(sealed.path, file_name_of(merged))
    runs = [sealed.open_run(run) for run in inputs]
    try:
        merge_runs(sealed.effects, path, runs, level=level, source_digest=source)
    except RunDamagedError as error:
        runs = [
            sealed.mended(entry, run, error) if run.path == error.path else run
            for entry, run in zip(inputs, runs, strict=True)
        ]
        merge_runs(sealed.effects, path, runs, level=level, source_digest=source)
    publish_run(sealed.effects.files, path)
    return merged

"""Writes an index run anew without its first segments, which are being dropped.

The entries stay in their order, so this is one pass over the run, in bounded memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aurora_es.index.columns import PIECE_BLOCKS, read_columns
from aurora_es.index.run_writer import Coverage, RunWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aurora_es.files.layer import Effects
    from aurora_es.format.run import RunHeader
    from aurora_es.index.run import Run


def shrink_run(  # noqa: PLR0913 - what a run is made from
    effects: Effects,
    path: str,
    run: Run,
    *,
    first_segment: int,
    base_position: int,
    source_digest: bytes,
    dropped_topics: Mapping[str, int],
) -> RunHeader:
    """Write the run ``<path>.new``: what ``run`` says from ``base_position`` on, and sync it.

    ``dropped_topics`` counts the records of each topic before ``base_position``. Raises
    RunDamagedError, and leaves no file then.
    """
    header = run.header
    coverage = Coverage(
        genesis_id=header.genesis_id,
        level=header.level,
        first_segment=first_segment,
        last_segment=header.last_segment,
        base_position=base_position,
        last_position=header.last_position,
        source_digest=source_digest,
    )
    with RunWriter(effects, path, coverage, ordinal_width=header.ordinal_width) as writer:
        for start in range(0, header.block_count, PIECE_BLOCKS):
            end = min(start + PIECE_BLOCKS, header.block_count)
            keys, ordinals, positions = read_columns(run, start, end)
            kept = positions >= np.uint64(base_position)
            writer.add((keys[kept], ordinals[kept], positions[kept]))
        commons = [
            (key, max(first, base_position), last)
            for key, first, last in run.directory.commons
            if last >= base_position
        ]
        topics = run.topics()
        if topics is not None:
            left = {topic: count - dropped_topics.get(topic, 0) for topic, count in topics.items()}
            topics = {topic: count for topic, count in left.items() if count > 0}
        return writer.finish(topics, commons)

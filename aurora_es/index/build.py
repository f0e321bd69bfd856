"""Builds an index run from the postings of a segment, all of them in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aurora_es.index.run_writer import Coverage, RunWriter, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aurora_es.files.layer import Effects
    from aurora_es.format.run import Columns, RunHeader


def build_run(  # noqa: PLR0913 - what a run consists of
    effects: Effects,
    path: str,
    coverage: Coverage,
    *,
    postings: Columns,
    topics: Mapping[str, int] | None,
    commons: Iterable[tuple[int, int, int]],
) -> RunHeader:
    """Write the run ``<path>.new`` and sync it; ``publish_run`` gives it its name.

    ``postings`` are keys, ordinals and absolute positions in any order. The header returned says
    whether the run is monotone, and how many entries and originators it has.
    """
    ordinals = postings[1]
    extremes = (int(ordinals.min()), int(ordinals.max())) if len(ordinals) else ()
    with RunWriter(effects, path, coverage, ordinal_width=width_of(extremes)) as writer:
        writer.add(sorted_postings(postings))
        return writer.finish(topics, commons)


def sorted_postings(postings: Columns) -> Columns:
    """Sort by (key, ordinal, position) and drop repetitions.

    A stable sort by key alone leaves nearly everything in place, since postings come in the order
    of positions, in which versions rise; where they do not, all three columns are sorted.
    """
    keys, ordinals, positions = taken(postings, np.argsort(postings[0], kind="stable"))
    same = keys[1:] == keys[:-1]
    equal = same & (ordinals[1:] == ordinals[:-1])
    falls = (same & (ordinals[1:] < ordinals[:-1])) | (equal & (positions[1:] < positions[:-1]))
    if falls.any():
        order = np.lexsort((positions, ordinals, keys))
        keys, ordinals, positions = taken((keys, ordinals, positions), order)
        equal = (keys[1:] == keys[:-1]) & (ordinals[1:] == ordinals[:-1])
    repeated = equal & (positions[1:] == positions[:-1])
    if not repeated.any():
        return keys, ordinals, positions
    return taken((keys, ordinals, positions), np.append(np.ones(1, bool), ~repeated).nonzero()[0])


def taken(columns: Columns, order: np.typing.NDArray[np.intp]) -> Columns:
    """Entries at the indexes ``order``."""
    return columns[0][order], columns[1][order], columns[2][order]

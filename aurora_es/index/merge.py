"""Merges index runs of adjacent segments to one, in bounded memory.

Theory of operation: of each input a window of blocks is in memory. Whatever is at most the least
of the windows' last entries cannot be preceded by anything unread, so it is taken from all windows,
sorted and written; the window that gave the least entry is empty then and is read anew. So every
step makes progress, also where one key fills many windows. Inputs come in the order of their
positions, hence a stable sort by key leaves little to sort.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from aurora_es.index.build import sorted_postings
from aurora_es.index.columns import read_columns
from aurora_es.index.run_writer import Coverage, RunWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.files.layer import Effects
    from aurora_es.format.run import Columns, RunHeader
    from aurora_es.index.run import Run

_WINDOW_BLOCKS_MAX = 1 << 11  # of all inputs together: 2 MiB, 128 Ki entries
_WINDOW_BLOCKS_MIN = 16


class _Window:
    """The part of an input that is in memory."""

    def __init__(self, run: Run, blocks: int) -> None:
        self._run = run
        self._blocks = blocks
        self._next_block = 0
        self._columns = _NOTHING

    @property
    def is_last(self) -> bool:
        """Whether nothing of the input is unread."""
        return self._next_block == self._run.header.block_count

    def fill(self) -> int:
        """Read the next blocks if the window is empty; number of entries in it."""
        if not len(self._columns[0]) and not self.is_last:
            end = min(self._next_block + self._blocks, self._run.header.block_count)
            self._columns = read_columns(self._run, self._next_block, end)
            self._next_block = end
        return len(self._columns[0])

    def last_entry(self) -> tuple[int, int, int]:
        """Key, ordinal and position of the last entry in the window."""
        keys, ordinals, positions = self._columns
        return int(keys[-1]), int(ordinals[-1]), int(positions[-1])

    def take(self, bound: tuple[int, int, int] | None) -> Columns:
        """Take the entries up to ``bound``, or all, out of the window."""
        keys, ordinals, positions = self._columns
        end = len(keys)
        if bound is not None:
            first = int(np.searchsorted(keys, np.uint64(bound[0])))
            end = int(np.searchsorted(keys, np.uint64(bound[0]), side="right"))
            first, end = (
                first + int(np.searchsorted(ordinals[first:end], np.int64(bound[1]))),
                first + int(np.searchsorted(ordinals[first:end], np.int64(bound[1]), side="right")),
            )
            end = first + int(
                np.searchsorted(positions[first:end], np.uint64(bound[2]), side="right")
            )
        self._columns = keys[end:], ordinals[end:], positions[end:]
        return keys[:end], ordinals[:end], positions[:end]


_NOTHING: Columns = (np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.uint64))


def merge_runs(
    effects: Effects, path: str, runs: Sequence[Run], *, level: int, source_digest: bytes
) -> RunHeader:
    """Write the run ``<path>.new`` that says what ``runs`` say, and sync it.

    ``runs`` cover adjacent segments of one journal, in their order; ``source_digest`` is that of
    all these segments. Raises RunDamagedError if an input is damaged, and leaves no file then.
    """
    headers = [run.header for run in runs]
    for left, right in pairwise(headers):
        assert left.genesis_id == right.genesis_id
        assert left.last_segment + 1 == right.first_segment
        assert left.last_position + 1 == right.base_position
    coverage = Coverage(
        genesis_id=headers[0].genesis_id,
        level=level,
        first_segment=headers[0].first_segment,
        last_segment=headers[-1].last_segment,
        base_position=headers[0].base_position,
        last_position=headers[-1].last_position,
        source_digest=source_digest,
    )
    width = max(header.ordinal_width for header in headers)
    with RunWriter(effects, path, coverage, ordinal_width=width) as writer:
        _merge_entries(writer, runs)
        commons = [common for run in runs for common in run.directory.commons]
        return writer.finish(_topics(runs), commons)


def _merge_entries(writer: RunWriter, runs: Sequence[Run]) -> None:
    blocks = max(_WINDOW_BLOCKS_MIN, _WINDOW_BLOCKS_MAX // len(runs))
    windows = [_Window(run, blocks) for run in runs]
    while windows := [window for window in windows if window.fill()]:
        bounds = [window.last_entry() for window in windows if not window.is_last]
        bound = min(bounds) if bounds else None
        pieces = [window.take(bound) for window in windows]
        keys, ordinals, positions = zip(*pieces, strict=True)
        writer.add(
            sorted_postings(
                (np.concatenate(keys), np.concatenate(ordinals), np.concatenate(positions))
            )
        )


def _topics(runs: Sequence[Run]) -> dict[str, int] | None:
    """Records of each topic in all runs; None if one of them does not list its topics."""
    counts: dict[str, int] = {}
    for run in runs:
        topics = run.topics()
        if topics is None:
            return None
        for topic, count in topics.items():
            counts[topic] = counts.get(topic, 0) + count
    return counts

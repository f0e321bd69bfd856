"""Whole stretches of an index run as numpy columns: for merging and for listing keys.

Imported late, by whoever needs it, since numpy takes longer to import than all else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import numpy as np

from aurora_es.format.run import (
    BLOCK_BYTES,
    BLOCK_HEAD_BYTES,
    KEY_BYTES,
    RUN_HEADER_BYTES,
    decode_blocks,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from aurora_es.format.run import Columns, Keys, Ordinals
    from aurora_es.index.run_file import RunFile

PIECE_BLOCKS = 1 << 10  # 64 Ki entries, 1 MiB
_GAP = 4  # reading so many blocks in one piece is cheaper than one of them by itself


def read_columns(run: RunFile, first_block: int, end_block: int) -> Columns:
    """Keys, ordinals and absolute positions of the blocks from ``first_block`` to ``end_block``.

    Raises RunDamagedError. The range may not be empty.
    """
    header = run.header
    length = (end_block - first_block) * BLOCK_BYTES
    data = run.read(RUN_HEADER_BYTES + first_block * BLOCK_BYTES, length)
    widths = header.ordinal_width, header.position_width
    columns = decode_blocks(data, widths, header.salt, first_block)
    full = end_block * run.block_entries
    expected = min(full, header.entry_count) - first_block * run.block_entries
    if columns is None or len(columns[0]) != expected:
        raise run.damaged(
            f"blocks {first_block} to {end_block - 1} with valid checksums", "other bytes"
        )
    keys, ordinals, positions = columns
    return keys, ordinals, positions + np.uint64(header.base_position)


def position_column(run: RunFile, first: int, end: int) -> npt.NDArray[np.uint64]:
    """Absolute positions of the entries number ``first`` to ``end``, excluded, of the whole run."""
    capacity = run.block_entries
    block = first // capacity
    positions = read_columns(run, block, -(-end // capacity))[2]
    return positions[first - block * capacity : end - block * capacity]


def last_ordinals(run: RunFile, keys: Keys) -> tuple[Ordinals, npt.NDArray[np.bool_]]:
    """Highest ordinal of each of ``keys``, which rise, and whether the run has that key at all.

    Raises RunDamagedError. Reads every block once that a look-up of each key would read.
    """
    fence = np.frombuffer(run.fence, np.uint64)
    blocks = np.searchsorted(fence, keys, side="right").astype(np.int64) - 1
    ordinals, is_there = np.zeros(len(keys), np.int64), np.zeros(len(keys), bool)
    at = int(np.searchsorted(blocks, 0))  # keys below the first block's are not here
    while at < len(keys):
        first = int(blocks[at])
        end = int(np.searchsorted(blocks, first + PIECE_BLOCKS))
        wanted = np.unique(blocks[at:end])
        columns = _columns_of(run, wanted)
        found = np.searchsorted(columns[0], keys[at:end], side="right").astype(np.int64) - 1
        is_there[at:end] = columns[0][found] == keys[at:end]
        ordinals[at:end] = columns[1][found]
        at = end
    return ordinals, is_there


def _columns_of(run: RunFile, wanted: npt.NDArray[np.int64]) -> Columns:
    """Keys, ordinals and positions of some blocks, rising; in one read if they lie close."""
    first, end = int(wanted[0]), int(wanted[-1]) + 1
    if end - first <= _GAP * len(wanted):
        return read_columns(run, first, end)
    capacity, header = run.block_entries, run.header
    data = b"".join([run.read_block(block)[0] for block in wanted.tolist()])
    laid = np.frombuffer(data, "u1").reshape(-1, BLOCK_BYTES)[:, BLOCK_HEAD_BYTES:]
    split = KEY_BYTES * capacity
    keys = laid[:, :split].copy().view("<u8").reshape(-1)
    width = header.ordinal_width
    ordinals = laid[:, split : split + width * capacity].copy().view(f"<i{width}").reshape(-1)
    count = len(keys)
    if end == header.block_count:  # only the last block of all is not full
        count -= end * capacity - header.entry_count
    return keys[:count], ordinals[:count].astype(np.int64), keys[:0]


def key_entries(run: RunFile, low: int, high: int) -> Iterator[tuple[int, int, int, int]]:
    """Key, count, last ordinal and lowest position of each key from ``low`` to ``high``."""
    fence = run.fence
    first, end = max(bisect_left(fence, low) - 1, 0), bisect_right(fence, high)
    open_group: tuple[int, int, int, int] | None = None  # may go on in the next piece
    for start in range(first, end, PIECE_BLOCKS):
        columns = read_columns(run, start, min(start + PIECE_BLOCKS, end))
        for group in _groups(columns, low, high):
            if open_group is None:
                open_group = group
            elif open_group[0] == group[0]:
                _, count, _, position = open_group
                open_group = (group[0], count + group[1], group[2], min(position, group[3]))
            else:
                yield open_group
                open_group = group
    if open_group is not None:
        yield open_group


def distinct_keys(run: RunFile, low: int, high: int) -> Keys:
    """The keys from ``low`` to ``high``, each once, rising; raises RunDamagedError.

    A key that fills several blocks costs one of them: the fence tells which hold nothing else.
    """
    fence = np.frombuffer(run.fence, np.uint64)
    first, end = max(bisect_left(run.fence, low) - 1, 0), bisect_right(run.fence, high)
    blocks = np.arange(first, end)
    if len(blocks):
        blocks = blocks[np.append(fence[first : end - 1] != fence[first + 1 : end], True)]
    pieces = [
        np.unique(_columns_of(run, blocks[at : at + PIECE_BLOCKS])[0])
        for at in range(0, len(blocks), PIECE_BLOCKS)
    ]
    found = np.unique(np.concatenate(pieces)) if pieces else fence[:0]
    return found[
        np.searchsorted(found, np.uint64(low)) : np.searchsorted(found, np.uint64(high), "right")
    ]


def _groups(columns: Columns, low: int, high: int) -> Iterator[tuple[int, int, int, int]]:
    first = int(np.searchsorted(columns[0], np.uint64(low)))
    end = int(np.searchsorted(columns[0], np.uint64(high), side="right"))
    if first == end:
        return iter(())
    keys, ordinals, positions = (column[first:end] for column in columns)
    starts = np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1))
    ends = np.append(starts[1:], end - first)
    return zip(
        keys[starts].tolist(),
        (ends - starts).tolist(),
        ordinals[ends - 1].tolist(),
        np.minimum.reduceat(positions, starts).tolist(),
        strict=True,
    )

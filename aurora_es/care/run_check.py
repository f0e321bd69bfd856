"""Checks an index run: every checksum, its order, and its entries against the records.

Theory of operation: a run is read once, in pieces. That its entries are those that the records of
its segments make is told by their fingerprints; where these differ, the segments are walked once more
and compared entry by entry, so that the block that is wrong can be named. If a segment is damaged,
nothing tells what a run ought to hold, and only the run itself is checked.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from aurora_es.care.findings import (
    RUN_DAMAGED,
    RUN_MISSING,
    RUN_WRONG,
    Finding,
    rebuild_command,
    repair_command,
)
from aurora_es.errors import ForeignDirectoryError
from aurora_es.format.run import BLOCK_BYTES, RUN_HEADER_BYTES
from aurora_es.index.build import sorted_postings, taken
from aurora_es.index.columns import PIECE_BLOCKS, read_columns
from aurora_es.index.fingerprint import FINGERPRINTS, fingerprint
from aurora_es.index.keys import key_range
from aurora_es.index.run import Run
from aurora_es.index.run_file import RunDamagedError
from aurora_es.index.run_writer import joined_ranges
from aurora_es.journal.sealed_index import file_name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aurora_es.care.segment_facts import IndexFacts
    from aurora_es.files.layer import Files
    from aurora_es.format.manifest import IndexRun
    from aurora_es.format.run import Columns

_LAST_ORIGINATOR_KEY = np.uint64(key_range("originator")[1])


class _WrongError(Exception):
    """A run that is valid by itself is wrong, at an offset."""

    def __init__(self, offset: int, expected: str, found: str) -> None:
        super().__init__(expected)
        self.offset, self.expected, self.found = offset, expected, found


def check_run(  # noqa: PLR0913 - what a run is compared with
    files: Files,
    directory: str,
    entry: IndexRun,
    *,
    genesis_id: bytes,
    facts: Sequence[IndexFacts] | None,
    postings_of: Callable[[int], Columns],
) -> Finding | None:
    """What is wrong with a listed run, if anything is.

    ``facts`` are those of its segments, in order; None where one is damaged. ``postings_of`` gives
    the entries of a segment, by its place among them; it is called only for a run that is wrong.
    """
    path = os.path.join(directory, file_name_of(entry))

    is_foreign = False

    def finding(kind: str, offset: int | None, expected: str, found: str) -> Finding:
        # What is no file of ours is moved aside; a rebuild replaces files only.
        cure = repair_command(directory) if is_foreign else rebuild_command(directory)
        return Finding(
            kind=kind, path=path, offset=offset, expected=expected, found=found, cure=cure
        )

    try:
        source = bytes.fromhex(entry.source_digest)
        run = Run(files, path, genesis_id=genesis_id, source_digest=source)
        found = _read_run(run)
        if facts is not None:
            _compare(run, entry, found, facts, postings_of)
    except FileNotFoundError:
        return finding(RUN_MISSING, None, "an index run", "no file")
    except ForeignDirectoryError as error:
        is_foreign = True
        return finding(RUN_DAMAGED, None, "an index run", str(error))
    except OSError as error:
        return finding(RUN_DAMAGED, None, "an index run", str(error))
    except RunDamagedError as error:
        kind = RUN_WRONG if error.expected.startswith("genesis id") else RUN_DAMAGED
        return finding(kind, error.offset, error.expected, error.found)
    except _WrongError as error:
        return finding(RUN_WRONG, error.offset, error.expected, error.found)
    return None


class _Read:
    """What one pass over a run's blocks finds."""

    def __init__(self) -> None:
        self.fingerprint = 0
        self.originators = 0
        self.is_monotone = True
        self.last: Columns | None = None


def _read_run(run: Run) -> _Read:
    """Read all blocks, check their order; raises RunDamagedError, _WrongError."""
    found = _Read()
    header = run.header
    for start in range(0, header.block_count, PIECE_BLOCKS):
        end = min(start + PIECE_BLOCKS, header.block_count)
        try:
            columns = read_columns(run, start, end)
        except RunDamagedError:
            for block in range(start, end):
                run.read_block(block)  # raises for the one that it is
            raise
        _observe(run, found, columns, start)
    expected = (found.originators, int(found.is_monotone))
    stated = (header.originator_count, header.is_monotone)
    if expected != stated:
        text = "{} originators, monotone {}"
        raise _WrongError(0, text.format(*expected), text.format(*stated))
    return found


def _observe(run: Run, found: _Read, columns: Columns, first_block: int) -> None:
    header = run.header
    first_keys = columns[0][:: run.block_entries]
    fence = np.frombuffer(run.fence, np.uint64)[first_block : first_block + len(first_keys)]
    wrong = np.flatnonzero(first_keys != fence)
    if len(wrong):
        block = first_block + int(wrong[0])
        raise _WrongError(
            _offset(block), f"a block that begins with the key {fence[wrong[0]]:#x}", "another key"
        )
    found.fingerprint = (found.fingerprint + fingerprint(columns)) % FINGERPRINTS
    joined = columns
    if found.last is not None:
        keys, ordinals, positions = (
            np.concatenate(pair) for pair in zip(found.last, columns, strict=True)
        )
        joined = keys, ordinals, positions
    keys, ordinals, positions = joined
    same = keys[1:] == keys[:-1]
    ordinal_rises = ordinals[1:] > ordinals[:-1]
    position_rises = positions[1:] > positions[:-1]
    rises = ordinal_rises | ((ordinals[1:] == ordinals[:-1]) & position_rises)
    falls = np.flatnonzero(~((keys[1:] > keys[:-1]) | (same & rises)))
    outside = (columns[2] < np.uint64(header.base_position)) | (
        columns[2] > np.uint64(header.last_position)
    )
    if len(falls) or outside.any():
        behind_last = 1 if found.last is None else 0  # index of the entry behind joined[0]
        at = int(falls[0]) + behind_last if len(falls) else int(np.flatnonzero(outside)[0])
        block = first_block + at // run.block_entries
        raise _WrongError(_offset(block), "entries that rise, of covered positions", "others")
    originators = int(np.searchsorted(keys, _LAST_ORIGINATOR_KEY, side="right"))
    of_originators = same[: max(originators - 1, 0)]
    both_rise = (ordinal_rises & position_rises)[: len(of_originators)]
    found.is_monotone &= bool((both_rise | ~of_originators).all())
    changes = len(of_originators) - int(of_originators.sum())
    found.originators += changes + (1 if found.last is None and originators else 0)
    found.last = (columns[0][-1:], columns[1][-1:], columns[2][-1:])


def _compare(
    run: Run,
    entry: IndexRun,
    found: _Read,
    facts: Sequence[IndexFacts],
    postings_of: Callable[[int], Columns],
) -> None:
    """Compare a run with the records of its segments; raises _WrongError."""
    header = run.header
    expected = (entry.level, entry.first_segment, entry.last_segment)
    stated = (header.level, header.first_segment, header.last_segment)
    expected_span = (entry.base_position, entry.last_position)
    stated_span = (header.base_position, header.last_position)
    if (expected, expected_span) != (stated, stated_span):
        text = "level {}, segments {} to {}, positions {} to {}"
        raise _WrongError(
            0, text.format(*expected, *expected_span), text.format(*stated, *stated_span)
        )
    wanted = sum(one.fingerprint for one in facts) % FINGERPRINTS
    if (found.fingerprint, header.entry_count) != (wanted, sum(one.entry_count for one in facts)):
        _raise_wrong_entry(run, facts, postings_of)
    topics: Counter[str] = Counter()
    for one in facts:
        topics.update(one.topics)
    listed = run.topics()
    if listed is not None and listed != topics:
        raise _WrongError(header.directory_offset, f"{len(topics)} topics, counted", "others")
    commons = joined_ranges(common for one in facts for common in one.commons)
    if [tuple(one) for one in run.directory.commons] != commons:
        raise _WrongError(header.directory_offset, f"{len(commons)} common topics", "others")


def _raise_wrong_entry(
    run: Run, facts: Sequence[IndexFacts], postings_of: Callable[[int], Columns]
) -> None:
    """Raise _WrongError for the first block that is not what the records of a segment make."""
    for at, one in enumerate(facts):
        wanted = sorted_postings(postings_of(at))
        found, blocks = _entries_between(run, one.base_position, one.last_position)
        count = min(len(found[0]), len(wanted[0]))
        differs = np.zeros(count, bool)
        for has, wants in zip(found, wanted, strict=True):
            differs |= has[:count] != wants[:count]
        first = int(np.flatnonzero(differs)[0]) if differs.any() else count
        if first < max(len(found[0]), len(wanted[0])):
            block = (
                int(blocks[first]) if first < len(blocks) else max(run.header.block_count - 1, 0)
            )
            raise _WrongError(
                _offset(block),
                f"the entries that positions {one.base_position} to {one.last_position} make",
                "others",
            )
    raise _WrongError(0, "the entries that the records make", "others, of no segment")


def _entries_between(
    run: Run, first: int, last: int
) -> tuple[Columns, np.typing.NDArray[np.int64]]:
    """The entries of a run with positions from ``first`` to ``last``, and the block of each."""
    parts: list[tuple[Columns, np.typing.NDArray[np.int64]]] = []
    for start in range(0, run.header.block_count, PIECE_BLOCKS):
        columns = read_columns(run, start, min(start + PIECE_BLOCKS, run.header.block_count))
        inside = (columns[2] >= np.uint64(first)) & (columns[2] <= np.uint64(last))
        chosen = np.flatnonzero(inside)
        parts.append((taken(columns, chosen), start + chosen // run.block_entries))
    keys, ordinals, positions = (
        np.concatenate([columns[at] for columns, _ in parts]) for at in range(3)
    )
    return (keys, ordinals, positions), np.concatenate([blocks for _, blocks in parts])


def _offset(block: int) -> int:
    return RUN_HEADER_BYTES + block * BLOCK_BYTES

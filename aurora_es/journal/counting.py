"""Counts the originators of a journal without reading its records, in bounded memory.

Theory of operation: keys of originators are hashes, so those below a bound are a fair sample: of the
keys in the lowest thousandth of all possible ones there are, give or take, a thousandth of all
originators. The runs and the indexes in memory say how many each of them knows; the bound is chosen
so that about ``SAMPLE_KEYS`` of these lie below it. Below it every key is counted once, whatever
number of runs knows it. Where all of them are as few, the bound is the highest key, and the count is
exact; else it is a guess whose standard error is less than one percent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aurora_es.index.keys import key_hasher, key_range

if TYPE_CHECKING:
    from aurora_es.format.run import Keys
    from aurora_es.index.run import Run
    from aurora_es.journal.handle import Handle

SAMPLE_KEYS = 1 << 15


class OriginatorCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many originators have records; two that share a 62-bit hash count as one."""

    count: int
    is_exact: bool


def count_originators(handle: Handle, *, sample_keys: int = SAMPLE_KEYS) -> OriginatorCount:
    """Count those with records up to the position of the handle's index; raises OSError."""
    sealed, tails = handle.state.index.parts
    runs = [] if sealed is None else sealed.runs
    in_memory = [tail.originator_keys() for tail in tails]
    known = sum(map(len, in_memory))
    for entry in runs:
        assert sealed is not None
        known += sealed.ask(entry, lambda run: run.header.originator_count)
    low, high = key_range("originator")
    is_exact = known <= sample_keys
    bound = high if is_exact else low + (high - low) * sample_keys // known

    def below(run: Run) -> Keys:
        return run.distinct_keys(low, bound)

    found: set[int] = set()
    for entry in runs:
        assert sealed is not None
        found.update(sealed.ask(entry, below).tolist())
    hashed = key_hasher(handle.genesis_id, "originator")
    for keys in in_memory:
        found.update(key64 for key64 in map(hashed, keys) if key64 <= bound)
    count = len(found) * (high - low) // (bound - low)
    return OriginatorCount(count=count, is_exact=is_exact)

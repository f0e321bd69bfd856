"""Compares sets of index entries without sorting either.

Theory of operation: the fingerprint of a set is the sum of a 64-bit hash of each entry, modulo 2^64.
It does not depend on the order, those of disjoint sets add up, and two sets that differ have the
same one with a probability of about 2^-64. So what the records of some segments say and what a run
over them holds are compared in one pass over each, in bounded memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from aurora_es.format.run import Columns

FINGERPRINTS = 1 << 64
# Odd constants of splitmix64 and of the golden ratio.
_KEY_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_ORDINAL_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_POSITION_FACTOR = np.uint64(0x94D049BB133111EB)
_SHIFT, _SHIFT_BACK = np.uint64(29), np.uint64(32)


def fingerprint(columns: Columns) -> int:
    """The fingerprint of entries, each of which is there once."""
    keys, ordinals, positions = columns
    mixed = keys * _KEY_FACTOR
    mixed ^= ordinals.astype(np.uint64) * _ORDINAL_FACTOR
    mixed ^= mixed >> _SHIFT
    mixed *= _KEY_FACTOR
    mixed += positions * _POSITION_FACTOR
    mixed ^= mixed >> _SHIFT_BACK
    mixed *= _ORDINAL_FACTOR
    mixed ^= mixed >> _SHIFT
    return int(mixed.sum(dtype=np.uint64))

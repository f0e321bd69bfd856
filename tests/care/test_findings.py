"""Findings as values: ranges of positions, and command lines that a shell takes as they are."""

from __future__ import annotations

import shlex
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aurora_es.care.findings import (
    SEGMENT_MISSING,
    Finding,
    doctor_command,
    joined,
    rebuild_command,
    repair_command,
)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60))))
def test_joined_ranges_hold_the_same_positions(ranges: list[tuple[int, int]]) -> None:
    """Joining loses no position, adds none, and leaves a gap between any two ranges."""
    result = joined(ranges)
    positions = {position for first, last in ranges for position in range(first, last + 1)}
    listed = [position for first, last in result for position in range(first, last + 1)]
    assert listed == sorted(positions)
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(result))


def test_a_cure_is_one_command_line() -> None:
    """A path with a space or a quote comes out of a shell's parsing as it went in."""
    path = "/stores/it's a store/events"
    assert shlex.split(repair_command(path)) == ["aurora-es", "repair", path, "--dry-run"]
    assert shlex.split(rebuild_command(path)) == ["aurora-es", "rebuild", path]
    assert shlex.split(doctor_command(path)) == ["aurora-es", "doctor", path]


def test_findings_survive_json() -> None:
    """What a program reads from JSON equals what was found."""
    finding = Finding(
        kind=SEGMENT_MISSING,
        path="/j/0000000002-00000000000000000007.segment",
        offset=None,
        expected="segment 2",
        found="no file",
        lost=((7, 12),),
        cure=repair_command("/j"),
    )
    assert msgspec.json.decode(msgspec.json.encode(finding), type=Finding) == finding

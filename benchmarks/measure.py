"""Clocks, blocks and medians."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from aurora_es.care.measure import percentile, run_in_turn, time_calls

__all__ = [
    "median_or_none",
    "percentile",
    "percentiles",
    "ratios",
    "run_in_turn",
    "time_calls",
    "waits_met",
]


def percentiles(blocks: Sequence[Sequence[float]], percent: float) -> list[float]:
    """The percentile of each block."""
    return [percentile(block, percent) for block in blocks]


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratios of values that were measured side by side."""
    pairs = zip(numerators, denominators, strict=True)
    return [top / bottom for top, bottom in pairs if bottom > 0]


def median_or_none(values: Sequence[float]) -> float | None:
    """The median, or None of nothing."""
    return median(values) if values else None


def waits_met(seconds: Iterable[float], step: float = 0.001) -> list[float]:
    """How long somebody who comes at any moment waits for the call that is then under way.

    Takes one writer's calls in order, and looks every ``step`` seconds. A percentile of calls
    hides starvation: a writer that waits two seconds makes one call in them, and its luckier
    neighbours thousands. This does not: two seconds of waiting are two thousand moments.
    """
    waits = []
    begins = moment = 0.0
    for taken in seconds:
        ends = begins + taken
        while moment < ends:
            waits.append(ends - moment)
            moment += step
        begins = ends
    return waits

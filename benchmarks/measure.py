"""Clocks, blocks and medians."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def time_calls(function: Callable[[Any], object], arguments: Iterable[Any]) -> list[float]:
    """Call the function with each argument; the seconds each call took."""
    seconds = []
    for argument in arguments:
        started = perf_counter()
        function(argument)
        seconds.append(perf_counter() - started)
    return seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that ``percent`` of all do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


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


def run_in_turn(
    parts: Mapping[str, Callable[[Argument], Result]],
    prepare: Callable[[], Argument],
    *,
    blocks: int,
    advance: Callable[[], None] = lambda: None,
    warm_blocks: int = 1,
) -> dict[str, list[Result]]:
    """Let the parts work in turn, the order rotating, and return the results of their blocks.

    ``prepare`` makes each block's work, untimed, and all parts get the same. The first
    ``warm_blocks`` are not counted. Garbage is collected before each part's turn, and what
    the stores hold by then is frozen, so that nobody pays for traversing another's objects; the
    collector itself stays on, as it is in an application.
    """
    names = list(parts)
    results: dict[str, list[Result]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()
    try:
        for block in range(-warm_blocks, blocks):
            argument = prepare()
            shift = block % len(names) if names else 0
            for name in names[shift:] + names[:shift]:
                gc.collect()
                result = parts[name](argument)
                if block >= 0:
                    results[name].append(result)
                    advance()
    finally:
        gc.unfreeze()
    return results

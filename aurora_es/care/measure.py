"""Times calls, side by side, and says what is usual and what is rare among them."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, TypeVar

from aurora_es.files.layer import SYSTEM_EFFECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def time_calls(function: Callable[[Any], object], arguments: Iterable[Any]) -> list[float]:
    """Call the function with each argument; the seconds each call took."""
    monotonic = SYSTEM_EFFECTS.monotonic
    seconds = []
    for argument in arguments:
        begun = monotonic()
        function(argument)
        seconds.append(monotonic() - begun)
    return seconds


def time_for(duration: float, function: Callable[[], object]) -> list[float]:
    """Call the function for so many seconds, once at least; the seconds each call took."""
    monotonic = SYSTEM_EFFECTS.monotonic
    begun = monotonic()
    end = begun + duration
    seconds: list[float] = []
    while not seconds or begun < end:
        function()
        ended = monotonic()
        seconds.append(ended - begun)
        begun = ended
    return seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that ``percent`` of all do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


def run_in_turn(
    parts: Mapping[str, Callable[[Argument], Result]],
    prepare: Callable[[], Argument],
    *,
    blocks: int,
    advance: Callable[[], object] = lambda: None,
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

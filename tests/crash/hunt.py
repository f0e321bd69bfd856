"""Lives through histories until one fails: ``python -m tests.crash.hunt FACTOR``.

The last line of the output is ``rounds|harness|message``; 0 rounds mean that nothing failed.
"""

from __future__ import annotations

import logging
import random
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from aurora_es.options import Sync
from tests.crash.history import History
from tests.crash.scripted import SCENES, Scripted
from tests.crash.test_every_operation import UNSTRUCK_SEEDS, strikes_on
from tests.crash.test_rot import cases, closed_journal, flip_used, split, try_damage
from tests.crash.truth import FileReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_SECONDS_MAX = 10  # of computing, for one round: a mutant may loop for ever


_FIRST_SEEDS = 6  # of each scene before anything else


class _Stuck(BaseException):
    """A round does not end."""


def _histories(mode: str, first: int, count: int) -> Iterator[Callable[[], None]]:
    for seed in range(first, first + count):
        yield History(seed, Sync.parse(mode)).run


def _unstruck_scenes(seeds: range) -> Iterator[Callable[[], None]]:
    for scene in SCENES:
        for seed in seeds:
            yield Scripted(scene, (), seed).play


def _scenes(stride: int) -> Iterator[Callable[[], None]]:
    turn = 0
    for scene in SCENES:
        run = Scripted(scene)
        run.play()
        for strike in strikes_on(run.operations[len(scene.steps) - 1]):
            turn += 1
            if turn % stride == 0:
                yield Scripted(scene, (strike,), turn).play


def _rot(seed: int, count: int) -> Iterator[Callable[[], None]]:
    disk, rng = closed_journal(seed), random.Random(seed)
    used, _ = split(disk, FileReader(disk).read())
    for place in rng.sample(used, count):
        yield partial(flip_used, disk, [place], rng)
    for damage in cases().values():
        yield partial(try_damage, damage)


def _rounds(factor: float) -> Iterator[tuple[str, Callable[[], None]]]:
    many = int(100 * factor)
    # Short hunts, of code that is not broken, need not see all of it.
    seeds, flips = min(UNSTRUCK_SEEDS, int(100 * factor)), min(100, int(400 * factor))
    plan: tuple[tuple[str, Iterator[Callable[[], None]]], ...] = (
        ("scenes", _unstruck_scenes(range(min(_FIRST_SEEDS, seeds)))),
        ("always", _histories("always", 0, many)),
        ("never", _histories("never", 0, many)),
        ("rot", _rot(1, flips)),
        ("interval", _histories("60000ms", 0, many // 2)),
        ("scenes", _unstruck_scenes(range(_FIRST_SEEDS, seeds))),
        ("scenes", _scenes(max(1, int(30 / factor)))),
        ("always", _histories("always", many, 9 * many)),
        ("never", _histories("never", many, 4 * many)),
    )
    for name, rounds in plan:
        for run in rounds:
            yield name, run


def _alarm(number: int, frame: FrameType | None) -> None:
    raise _Stuck


def main(factor: float) -> str:
    """Hunt; returns the line that tells the outcome."""
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGVTALRM, _alarm)
    count = 0
    name = "none"
    try:
        for harness, run in _rounds(factor):
            name, count = harness, count + 1
            signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS_MAX)
            run()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return f"{count}|{name}|{message[:160]}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return "0||"


if __name__ == "__main__":
    sys.stdout.write(main(float(sys.argv[1])) + "\n")

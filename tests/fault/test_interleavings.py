"""Races that are forced: the actors change at chosen file operations, or die there.

A failure is repeated by its plan, which it names: ``Interleaving(plan).play()``.
"""

import logging
import random
from collections.abc import Iterator

import pytest

from aurora_es.errors import AuroraError
from aurora_es.testing.crashable import CrashableFiles
from tests.fault.figures import Figures
from tests.fault.interleaving import ACTORS, Interleaving
from tests.fault.scheduler import KILL, Switch
from tests.fault.told import ViolationError

_CHOICES = (KILL, *range(len(ACTORS)))
_DENSE_STEPS = 1_500


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def play(plan: list[Switch], figures: Figures) -> None:
    """Run a plan, naming it on failure."""
    run = Interleaving(plan)
    try:
        run.play()
    except BaseException as error:
        error.add_note(f"Interleaving({plan!r}).play()")
        raise
    figures.trials += 1
    figures.add(
        steps=run.scheduler.steps,
        switches=run.scheduler.switches,
        conflicts=run.conflicts,
        killed=sum(actor.files.dead for actor in run.scheduler.actors),
    )


def steps_without_switches() -> int:
    """How many steps there are when nobody is interrupted."""
    run = Interleaving()
    run.play()
    return run.scheduler.steps


def sparse(rng: random.Random, steps: int) -> list[Switch]:
    """A few switches, anywhere."""
    count = rng.choice((2, 2, 3, 5))
    return [Switch(rng.randrange(1, steps), rng.choice(_CHOICES)) for _ in range(count)]


def dense(rng: random.Random, steps: int) -> list[Switch]:
    """Switches all the time, among some of the actors, and perhaps one death."""
    actors = rng.sample(range(len(ACTORS)), rng.choice((2, 3, 4)))
    distance = rng.choice((1, 2, 4, 9))
    plan = [Switch(step, rng.choice(actors)) for step in range(1, _DENSE_STEPS, distance)]
    if rng.random() < 0.5:
        plan.append(Switch(rng.randrange(2, steps), KILL))
    return plan


def play_many(count: int) -> None:
    """Run drawn plans of both kinds."""
    rng, steps = random.Random(count), steps_without_switches()
    for name, draw in (("some switches", sparse), ("many switches", dense)):
        with Figures("E8", f"interleavings, {name}", "interleaving") as figures:
            for _ in range(count):
                play(draw(rng, steps), figures)
        assert figures.counts["killed"]
    assert figures.counts["conflicts"]


def play_single_switches(stride: int) -> None:
    """Run the plans of one switch or death, every ``stride``-th of them."""
    with Figures("E8", "interleavings, one switch at any step", "interleaving") as figures:
        figures.is_exhaustive = stride == 1
        plans = [Switch(step, to) for step in range(1, steps_without_switches()) for to in _CHOICES]
        for switch in plans[::stride]:
            play([switch], figures)


def test_a_plan_is_repeatable() -> None:
    """The same plan gives the same steps."""
    plan = dense(random.Random(1), steps_without_switches())
    first, second = Interleaving(plan), Interleaving(plan)
    first.play()
    second.play()
    assert first.scheduler.trace == second.scheduler.trace


def test_some_interleavings() -> None:
    """Two writers, a reader and a worker: one order, one winner, nothing lost, whoever dies when."""
    play_many(60)


def test_one_switch_at_some_steps() -> None:
    """The same with one switch or one death."""
    play_single_switches(61)


def test_locks_that_do_not_lock_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the locks two writers overwrite each other within some plans."""
    monkeypatch.setattr(CrashableFiles, "flock", lambda *_: None)
    with pytest.raises((AuroraError, ViolationError)):
        play_many(60)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_many_interleavings(reliability_factor: int) -> None:
    """The same for many plans."""
    play_many(100 * reliability_factor)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_one_switch_at_every_step() -> None:
    """The same with one switch or one death, at every step, to every actor."""
    play_single_switches(1)

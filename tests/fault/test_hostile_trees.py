"""Whole directories that somebody else has changed: errors of ours or answers, and nothing outside touched."""

import logging
import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fault.figures import Figures
from tests.fault.hostile import original
from tests.fault.hostile_trees import (
    FOUND,
    KINDS,
    Place,
    Step,
    attack,
    attack_tree,
)
from tests.fault.test_hostile_bytes import resident_peak

_SECONDS_MAX = 30.0  # of a processor: a tail of a terabyte is searched for a gibibyte, some times
_GROWTH_BYTES_MAX = 256 << 20
_FILES = len([path for path, content in original().items() if content is not None])
# What belongs to a step of each kind, where there is more than one choice.
_CHOICES: dict[object, list[bytes]] = {
    Place.edit: [bytes([at & 0xFF, at >> 8, 1, 1, 7]) for at in (9, 40, 150, 300)],
    Place.cut: [b"\0\0", b"\x40\0", b"\xc8\0"],
    Place.blow_up: [b"", b"12345678"],
    Place.link: [bytes([number]) for number in range(7)],
    Place.add_junk: [bytes(number) for number in range(12)],
}
_OF_TWO: set[object] = {Place.swap, Place.copy, Place.join}


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def every_step(kind: int) -> list[Step]:
    """All steps of a kind: each file, each choice, each other file."""
    choices = _CHOICES.get(KINDS[kind], [b""])
    seconds = range(_FILES) if KINDS[kind] in _OF_TWO else (0,)
    return [
        Step(kind, first, second, data)
        for first in range(_FILES)
        for second in seconds
        for data in choices
    ]


def test_the_original_is_fine() -> None:
    """Nothing is wrong with a journal that nobody changed."""
    attack_tree(original(), [])


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=lambda kind: KINDS[kind].__name__)
def test_some_changes(kind: int) -> None:
    """Every 13th of all single changes."""
    for step in every_step(kind)[kind % 13 :: 13]:
        attack_tree(original(), [step])


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("kind", range(len(KINDS)), ids=lambda kind: KINDS[kind].__name__)
def test_every_change(kind: int) -> None:
    """Each kind of change, of each file, with each other."""
    with Figures("E12", f"one change of a tree, {KINDS[kind].__name__}", "tree") as figures:
        figures.is_exhaustive = True
        for step in every_step(kind):
            attack_tree(original(), [step])
            figures.trials += 1


@given(st.binary(max_size=40))
def test_chosen_changes(data: bytes) -> None:
    """Several changes, and edits that are sealed again, as Hypothesis chooses."""
    attack(data)


@pytest.mark.parametrize("steps", FOUND, ids=str)
def test_changes_that_once_found_something(steps: list[Step]) -> None:
    """What was put right stays so."""
    attack_tree(original(), steps)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_many_random_changes(reliability_factor: int) -> None:
    """The same for many random changes, with the greatest time and growth of memory."""
    before, slowest = resident_peak(), 0.0
    with Figures("E12", "trees", "tree") as figures:
        for _ in range(reliability_factor * 50):
            data = os.urandom(24)
            began = time.thread_time()
            try:
                attack(data)
            except BaseException as error:
                error.add_note(f"attack({data!r})")
                raise
            slowest = max(slowest, time.thread_time() - began)
            figures.trials += 1
        figures.counts["slowest ms"] = round(slowest * 1000, 1)
        figures.counts["growth MiB"] = (resident_peak() - before) >> 20
    assert slowest < _SECONDS_MAX
    assert resident_peak() - before < _GROWTH_BYTES_MAX

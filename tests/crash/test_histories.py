"""Thousands of seeded histories of the real code on a crashable disk.

Each history is repeated by its seed and sync mode, which a failure names:
``History(seed, Sync.parse(mode)).run()``.
"""

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from aurora_es.options import Sync
from tests.crash.history import History

_BLOCK = 50  # histories in one test
_MODES = ("always", "never", "60000ms")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Recoveries are logged by the thousand here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def live(mode: str, seeds: range) -> Counter[str]:
    """Run the histories of ``seeds``; returns what happened in them."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        history = History(seed, Sync.parse(mode))
        try:
            history.run()
        except BaseException as error:
            steps = "\n".join(history.log[-30:])
            error.add_note(f"History({seed}, Sync.parse({mode!r})); its last steps:\n{steps}")
            raise
        counts += history.counts
    return counts


@pytest.mark.parametrize("block", range(8))
def test_what_was_acknowledged_survives(block: int) -> None:
    """Under ``always`` no kill, power cut or failed sync loses, splits or reorders a commit."""
    live("always", range(block * _BLOCK, (block + 1) * _BLOCK))


@pytest.mark.parametrize("mode", _MODES[1:])
@pytest.mark.parametrize("block", range(3))
def test_weak_modes_lose_only_the_end(mode: str, block: int) -> None:
    """Under weak modes a power cut leaves a prefix, down to the last sync, and says so."""
    live(mode, range(block * _BLOCK, (block + 1) * _BLOCK))


@pytest.mark.parametrize("mode", _MODES)
def test_histories_meet_everything_that_may_happen(mode: str) -> None:
    """The histories contain crashes, adopted commits, cuts, unknown outcomes and conflicts."""
    counts = live(mode, range(1_000, 1_000 + _BLOCK))
    expected = (
        "adopted",
        "cuts",
        "power cut",
        "kill",
        "append: SimulatedKill",
        "append: SimulatedInterrupt",
        "append: CommitOutcomeUnknownError",
        "append: PoisonedHandleError",
        "append: ConflictError",
        "append: StorageFullError",
        "open: SimulatedKill",
        "open: PoisonedHandleError",
    )
    assert [event for event in expected if not counts[event]] == []


@pytest.mark.reliability
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("part", range(20))
def test_many_histories(mode: str, part: int, reliability_factor: int) -> None:
    """The same for 2,000 histories per mode, times the reliability factor."""
    count = 100 * reliability_factor
    live(mode, range(10_000 + part * count, 10_000 + (part + 1) * count))

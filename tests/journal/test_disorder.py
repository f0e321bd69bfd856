"""Versions in any order over tail, closed segments, index runs and merged ones, against a plain list.

The library writes versions that rise; but a journal takes them in any order, and the short cuts of a
look-up must not be taken where they do not.
"""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

import pytest

from aurora_es import ConflictError, Journal, RollCycle
from aurora_es.files.layer import Effects
from aurora_es.index.keys import text_key
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.seal import seal_next
from tests.journal.support import effects_with, event, open_with

TRIALS = 24
IDS = ("a", "b", "c")
VERSIONS = range(14)

Positions = dict[str, dict[int, int]]  # by id and version


def draw(rng: random.Random) -> list[tuple[str, int]]:
    """All versions of all originators: in order, but for some that were exchanged."""
    drawn = [(name, version) for version in VERSIONS for name in IDS]
    for _ in range(rng.choice((0, 1, 1, 3, 40))):
        first, second = rng.sample(range(len(drawn)), 2)
        drawn[first], drawn[second] = drawn[second], drawn[first]
    return drawn


def tend(rng: random.Random, path: Path, effects: Effects) -> None:
    """Seal one segment or all, or merge."""
    chance = rng.random()
    if chance < 0.3:
        with BackgroundLock(effects, str(path), timeout=0):
            seal_next(effects, str(path))
    elif chance < 0.4:
        background.seal(str(path), effects=effects)
    elif chance < 0.5:
        background.merge(str(path), everything=True, effects=effects)


def check(journal: Journal, positions: Positions, limits: tuple[int | None, ...]) -> None:
    """Compare every answer."""
    until = journal.last_position
    index = journal.handle.state.index
    for name, owned in positions.items():
        key = text_key(name)
        assert index.last_version(key) == max(owned, default=None)
        for gt, lte, desc, limit in product((None, 0, 5, 12), (None, 4, 9), (False, True), limits):
            chosen = sorted(
                (
                    version
                    for version in owned
                    if (gt is None or version > gt) and (lte is None or version <= lte)
                ),
                reverse=desc,
            )
            found = index.select(key, gt=gt, lte=lte, desc=desc, limit=limit, until=until)
            assert found[0] == [owned[version] for version in chosen[:limit]]


def check_taken(journal: Journal, name: str, positions: Positions) -> None:
    """Each version is there once."""
    for version in positions[name]:
        with pytest.raises(ConflictError):
            journal.append([event(name, version)])


@pytest.mark.parametrize("trial", range(TRIALS))
def test_any_order(trial: int, tmp_path: Path) -> None:
    """Whatever is sealed, merged or in memory, all versions are found, and taken."""
    rng = random.Random(trial)
    effects, path = effects_with(), tmp_path / "journal"
    positions: Positions = {name: {} for name in (*IDS, "absent")}
    cycle = RollCycle.events(rng.choice((1, 2, 5)))
    with open_with(path, effects, roll_cycle=cycle) as journal, open_with(path, effects) as other:
        for name, version in draw(rng):
            writer = rng.choice((journal, journal, other))
            (positions[name][version],) = writer.append([event(name, version)])
            tend(rng, path, effects)
            if rng.random() < 0.2:
                rng.choice((journal, other)).handle.manifest_looked_at = float("-inf")
            if rng.random() < 0.1:
                check(journal, positions, (None, 1))
                check_taken(rng.choice((journal, other)), rng.choice(IDS), positions)
        check(journal, positions, (None, 1, 3))
        check(other, positions, (None, 1, 3))
        with open_with(path, effects, read_only=True) as fresh:
            check(fresh, positions, (None, 1, 3))

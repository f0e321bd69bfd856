"""Journals to look at, with commits at chosen times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from aurora_es import Journal, Record, RollCycle
from aurora_es.inspection.finding import open_to_read
from aurora_es.journal import background
from tests.journal.support import ManualClock, effects_with, open_with

SECOND = 1_000_000
BEGIN = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)  # of the first commit


def make_timed(
    path: Path, commits: Iterable[list[Record]], *, roll: int = 8, sealed: int = 0
) -> Path:
    """Append commits, a second apart; what is closed after ``sealed`` of them is sealed then."""
    clock = ManualClock()
    effects = effects_with(clock=clock)
    with open_with(path, effects, roll_cycle=RollCycle.events(roll)) as journal:
        for number, records in enumerate(commits, 1):
            journal.append(records)
            clock.now += SECOND
            if number == sealed:
                background.seal(str(path), effects=effects)
    return path


@contextmanager
def looked_at(path: Path) -> Iterator[Journal]:
    """The journal ``path``, opened as for looking."""
    with open_to_read(str(path)) as journal:
        yield journal

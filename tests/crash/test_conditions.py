"""Histories in which commits have conditions: kills, power cuts and faults let none be overlooked."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from aurora_es.errors import ConflictError
from aurora_es.index.query import Condition, query_of_topics
from aurora_es.options import Sync
from aurora_es.testing.faulty import FaultyFiles
from tests.crash.drawing import Drawn
from tests.crash.history import History
from tests.crash.machine import Process
from tests.crash.truth import ViolationError

_EVERY = query_of_topics(["t"])  # the topic of all records of a history
_BLOCK = 60


class ConditionalHistory(History):
    """A history whose commits, half of them, demand that nothing was recorded meanwhile."""

    def _draw(self, process: Process) -> Drawn:
        drawn = super()._draw(process)
        rng = random.Random(drawn.tried.commit_id)
        if drawn.tried.states and rng.random() < 0.5:
            # What the caller has seen; or a little less, which is broken by what he has seen.
            after = max(len(self.truth.states) + rng.choice((0, 0, 0, -1, 1)), 0)
            drawn.commit.condition = Condition(_EVERY, after)
            process.journal.handle.keeps_postings = True
        return drawn

    def _judge_one(self, drawn: Drawn, error: BaseException | None, files: FaultyFiles) -> None:
        condition, tried = drawn.commit.condition, drawn.tried
        if condition is not None and error is None:
            self.counts["held"] += 1
            if drawn.commit.first_position > condition.after + 1:
                raise ViolationError("acknowledged against its condition")
        if (
            condition is not None
            and isinstance(error, ConflictError)
            and len(self.truth.states) > condition.after
            and tried not in self.truth.visible
        ):
            self.counts["broken"] += 1
            self.truth.refuse(tried)
            return
        super()._judge_one(drawn, error, files)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Recoveries are logged by the thousand here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("mode", ["always", "never", "60000ms"])
@pytest.mark.parametrize("block", range(2))
def test_conditions_hold_in_every_history(mode: str, block: int) -> None:
    """No commit is acknowledged against its condition, none is refused without a reason."""
    held = broken = 0
    for seed in range(block * _BLOCK, (block + 1) * _BLOCK):
        history = ConditionalHistory(seed, Sync.parse(mode))
        try:
            history.run()
        except BaseException as error:
            steps = "\n".join(history.log[-30:])
            error.add_note(f"ConditionalHistory({seed}, {mode!r}); its last steps:\n{steps}")
            raise
        held += history.counts["held"]
        broken += history.counts["broken"]
    assert min(held, broken) > _BLOCK

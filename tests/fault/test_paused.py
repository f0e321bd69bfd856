"""Processes that are stopped in the middle of anything, the append lock in their hands or not."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from aurora_es import Journal, LockTimeoutError, Record, RollCycle
from tests.fault.figures import Figures
from tests.patience import PATIENCE_SECONDS
from tests.processes.test_kills import Reader, acknowledgements_in
from tests.processes.workers import Worker

_LOCK_SECONDS = 0.1
_WRITERS = 2


def pause_many(directory: Path, count: int, figures: Figures) -> None:
    """Stop a writer, append and read meanwhile, let it go on; again and again."""
    rng = random.Random(count)
    path = directory / "journal"
    parent = [Record(topic="t", state=b"parent")]
    with Journal.open(path, roll_cycle=RollCycle.events(60), lock_timeout=_LOCK_SECONDS) as journal:
        journal.append(parent)
        with (
            acknowledgements_in(directory) as acknowledgements,
            Worker("nursery", path, acknowledgements.path) as nursery,
        ):
            writers = [int(nursery.ask(f"start w{number}")) for number in range(_WRITERS)]
            reader = Reader()
            for _ in range(count):
                acknowledgements.wait_for(rng.randint(1, 5))
                # Not to wait for anything: the moment itself is what is drawn.
                threading.Event().wait(rng.uniform(0, 0.004))
                paused = rng.choice(writers)
                os.kill(paused, signal.SIGSTOP)
                began = time.monotonic()
                try:
                    journal.append(parent)
                except LockTimeoutError:
                    figures.add(timed_out=1)
                    assert time.monotonic() - began < PATIENCE_SECONDS
                else:
                    figures.add(appended=1)
                assert journal.last_position >= reader.checked  # readers wait for nobody
                os.kill(paused, signal.SIGCONT)
                acknowledgements.drain()
                figures.trials += 1
            for pid in writers:
                os.kill(pid, signal.SIGKILL)
                nursery.ask(f"reap {pid}")
            acknowledgements.drain()
            journal.append(parent)
            reader.check(journal, acknowledgements)
            assert not acknowledgements.commits
            figures.add(acknowledged=reader.acknowledged)


def test_some_pauses(tmp_path: Path) -> None:
    """Who is stopped keeps its lock, others time out or go on, and nothing is lost or stolen."""
    with Figures("E10", "paused writers", "pause") as figures:
        pause_many(tmp_path, 20, figures)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_many_pauses(tmp_path: Path, reliability_factor: int) -> None:
    """The same, ten times the reliability factor."""
    with Figures("E10", "paused writers", "pause") as figures:
        for number in range(-(-reliability_factor // 10)):
            directory = tmp_path / str(number)
            directory.mkdir()
            pause_many(directory, 100, figures)

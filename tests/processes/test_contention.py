"""Processes and threads that contend for the same originators, and others that follow them."""

import itertools
import json
import shutil
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aurora_es import CompressionFormat, Journal, Record, RollCycle
from tests.fault.figures import Figures
from tests.patience import PATIENCE_SECONDS
from tests.processes.workers import Worker

PROCESSES, THREADS, FOLLOWERS = 4, 4, 2
WINS = 25  # of each thread: hundreds of conflicts


def contend(path: Path, wins: int, processes: int = PROCESSES) -> Counter[str]:
    """Let everybody contend for so many records, and compare what they say; returns counts."""
    options: dict[str, Any] = {
        "roll_cycle": RollCycle.events(300),
        "compression": CompressionFormat.LZ4,
    }
    with ExitStack() as stack:
        journal = stack.enter_context(Journal.open(path, lock_timeout=PATIENCE_SECONDS, **options))
        followers = [stack.enter_context(Worker("follower", path)) for _ in range(FOLLOWERS)]
        for follower in followers:
            assert follower.receive() == "following"
        contenders = [
            stack.enter_context(Worker("contender", path, number, THREADS, wins))
            for number in range(processes)
        ]
        for contender in contenders:
            assert contender.receive() == "ready"
        for contender in contenders:
            contender.send("go")
        told = [json.loads(contender.receive()) for contender in contenders]
        journal.append([Record(topic="end", state=b"")])
        followed = [json.loads(follower.receive()) for follower in followers]
        check(journal, told, followed)
    return Counter(
        inserts=sum(len(one["won"]) for one in told),
        conflicts=sum(one["conflicts"] for one in told),
    )


def check(journal: Journal, told: list[Any], followed: list[Any]) -> None:
    """Positions are gapless, versions have one winner each, and everybody saw the same order."""
    *stored, end = journal.read()
    assert end.record.topic == "end"
    everything = [
        [
            one.position,
            str(one.record.originator_id),
            one.record.originator_version,
            one.record.state.decode(),
        ]
        for one in stored
    ]
    authors = {one.record.state.split(b".")[0] for one in stored}
    assert [position for position, *_ in everything] == list(range(1, len(stored) + 1))
    won = itertools.chain.from_iterable(one["won"] for one in told)
    winners = sorted([position, *rest, state] for *rest, position, state in won)
    assert winners == everything
    versions: dict[Any, list[Any]] = defaultdict(list)
    for _, originator_id, version, _ in everything:
        versions[originator_id].append(version)
    for found in versions.values():
        assert found == list(range(len(found)))
    assert all(one == everything for one in followed)
    # Without these the test would show little.
    assert sum(one["conflicts"] for one in told) > 10
    assert len(authors) == len(told)


def test_processes_and_threads_contend(tmp_path: Path) -> None:
    """Four processes of four threads each, two followers: one order, one winner, no gap."""
    contend(tmp_path / "journal", WINS)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_processes_and_threads_contend_for_longer(tmp_path: Path, reliability_factor: int) -> None:
    """Eight processes, until there are 10,000 inserts times the reliability factor."""
    with Figures("E8", "8 processes of 4 threads", "insert") as figures:
        number = 0
        while figures.trials < 10_000 * reliability_factor:
            number += 1
            path = tmp_path / str(number)
            counts = contend(path, 8 * WINS, processes=8)
            shutil.rmtree(path)
            figures.trials += counts["inserts"]
            figures.add(conflicts=counts["conflicts"])
        figures.counts["anomalies"] = 0

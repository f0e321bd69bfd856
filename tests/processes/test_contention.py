"""Processes and threads that contend for the same originators, and others that follow them."""

import itertools
import json
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aurora_es import CompressionFormat, Journal, Record, RollCycle
from tests.processes.workers import Worker

PROCESSES, THREADS, FOLLOWERS = 4, 4, 2


def contend(path: Path, seconds: float) -> None:
    """Let everybody contend for some seconds, and compare what they say."""
    options: dict[str, Any] = {
        "roll_cycle": RollCycle.events(300),
        "compression": CompressionFormat.LZ4,
    }
    with ExitStack() as stack:
        journal = stack.enter_context(Journal.open(path, lock_timeout=30, **options))
        followers = [stack.enter_context(Worker("follower", path)) for _ in range(FOLLOWERS)]
        for follower in followers:
            assert follower.receive() == "following"
        contenders = [
            stack.enter_context(Worker("contender", path, number, THREADS, seconds))
            for number in range(PROCESSES)
        ]
        told = [json.loads(contender.receive()) for contender in contenders]
        journal.append([Record(topic="end", state=b"")])
        followed = [json.loads(follower.receive()) for follower in followers]
        check(journal, told, followed)


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
    assert len(authors) == PROCESSES


def test_processes_and_threads_contend(tmp_path: Path) -> None:
    """Four processes of four threads each, two followers: one order, one winner, no gap."""
    contend(tmp_path / "journal", seconds=3)


@pytest.mark.reliability
def test_processes_and_threads_contend_for_longer(tmp_path: Path, reliability_factor: int) -> None:
    """The same for as long as the run is to take."""
    for number in range(reliability_factor):
        contend(tmp_path / str(number), seconds=8)

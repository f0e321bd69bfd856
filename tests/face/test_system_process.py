"""One application of a system per process: it follows, stands by, takes over, and never repeats."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import InterfaceError, ProgrammingError
from eventsourcing.system import ProcessApplication, System

from aurora_es.runner import SystemProcess
from tests.face.domain import Counters, Totals
from tests.face.support import Script
from tests.patience import PATIENCE_SECONDS

Environment = dict[str, str]
SYSTEM = System(pipes=[[Counters, Totals]])


class FailingTotals(Totals):
    """Fails at the first event."""

    name = "Totals"

    def policy(self, domain_event: Any, processing_event: Any) -> None:
        """Fail."""
        raise ZeroDivisionError


FAILING = System(pipes=[[Counters, FailingTotals]])


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """One AURORA_PATH for all applications."""
    return {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path), "AURORA_SYNC": "never"}


def total(process: SystemProcess) -> int:
    """What the follower has counted."""
    application = process.app
    assert isinstance(application, Totals)
    return application.total


def test_a_follower_in_the_same_process(env: Environment) -> None:
    """It catches up, follows live, resumes, and leaves the lock behind."""
    with Counters(env) as counters:
        counter_id = counters.begin(3)
        for expected in (4, 5):
            with SystemProcess(SYSTEM, "Totals", env) as process:
                assert process.wait_until_working(PATIENCE_SECONDS)
                last = counters.tick(counter_id)
                process.app.recorder.wait("Counters", last, timeout=PATIENCE_SECONDS)  # type: ignore[attr-defined]
                assert total(process) == expected
            assert not process.is_working
            with pytest.raises(InterfaceError, match="stands by, or was stopped"):
                _ = process.app


def test_a_leader_that_does_not_exist_yet(env: Environment) -> None:
    """It is followed as soon as it records its first event."""
    with SystemProcess(SYSTEM, "Totals", env) as process:
        assert process.wait_until_working(PATIENCE_SECONDS)
        with Counters(env) as counters:
            counters.begin(2)
        process.app.recorder.wait("Counters", 3, timeout=PATIENCE_SECONDS)  # type: ignore[attr-defined]
        assert total(process) == 2


def test_a_leader_alone(env: Environment) -> None:
    """An application that follows nobody runs, too, and hands out its application."""
    with SystemProcess(SYSTEM, "Counters", env) as process:
        assert process.wait_until_working(PATIENCE_SECONDS)
        application = process.app
        assert isinstance(application, Counters)
        application.begin(1)


def test_the_second_stands_by(env: Environment) -> None:
    """It works when the first one stops, and not before."""
    with SystemProcess(SYSTEM, "Totals", env) as first:
        assert first.wait_until_working(PATIENCE_SECONDS)
        second = SystemProcess(SYSTEM, "Totals", env)
        second.start()
        assert not second.wait_until_working(0.3)
        first.stop()
        assert second.wait_until_working(PATIENCE_SECONDS)
        second.stop()
    third = SystemProcess(SYSTEM, "Totals", env)
    third.stop()  # never started


def test_stopping_while_standing_by(env: Environment) -> None:
    """It ends without having worked."""
    with SystemProcess(SYSTEM, "Totals", env) as first:
        assert first.wait_until_working(PATIENCE_SECONDS)
        with SystemProcess(SYSTEM, "Totals", env) as second:
            pass
        assert not second.is_working
        assert not second.wait_until_working(PATIENCE_SECONDS)


def test_what_a_policy_raises_is_raised(env: Environment) -> None:
    """Whoever runs it hears of the error, and the lock is free."""
    with Counters(env) as counters:
        counters.begin(1)
    process = SystemProcess(FAILING, "Totals", env)
    with pytest.raises(ZeroDivisionError):
        process.run_forever(PATIENCE_SECONDS)
    with SystemProcess(SYSTEM, "Totals", env) as working:
        assert working.wait_until_working(PATIENCE_SECONDS)
        working.app.recorder.wait("Counters", 2, timeout=PATIENCE_SECONDS)  # type: ignore[attr-defined]
        assert total(working) == 1


def test_what_cannot_be_run(env: Environment) -> None:
    """Unknown names at once, other backends when it starts."""
    with pytest.raises(ProgrammingError, match="'Bills': expected one of Counters, Totals"):
        SystemProcess(SYSTEM, "Bills", env)
    process = SystemProcess(SYSTEM, "Totals", env | {"PERSISTENCE_MODULE": "eventsourcing.popo"})
    with pytest.raises(ProgrammingError, match="expected PERSISTENCE_MODULE=aurora_es"):
        process.run_forever(PATIENCE_SECONDS)


class Sums(ProcessApplication[UUID]):
    """Follows two leaders."""

    name = "Sums"

    def policy(self, domain_event: Any, processing_event: Any) -> None:
        """Take note of the position only."""


def test_several_leaders(env: Environment) -> None:
    """All of them are followed at once."""
    system = System(pipes=[[Counters, Totals, Sums], [Counters, Sums]])
    with Counters(env) as counters:
        counters.begin(2)
    with SystemProcess(system, "Totals", env) as totals, SystemProcess(system, "Sums", env) as sums:
        assert totals.wait_until_working(PATIENCE_SECONDS)
        assert sums.wait_until_working(PATIENCE_SECONDS)
        recorder: Any = sums.app.recorder
        recorder.wait("Counters", 3, timeout=PATIENCE_SECONDS)
        recorder.wait("Totals", 3, timeout=PATIENCE_SECONDS)
        assert recorder.max_notification_id() is None


_FOLLOWER = """
import os, sys
from aurora_es.runner import SystemProcess
from tests.face.test_system_process import SYSTEM
env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": sys.argv[1], "AURORA_SYNC": "never"}
process = SystemProcess(SYSTEM, "Totals", env)
process.start()
process.wait_until_working()
print(os.getpid(), flush=True)
process.run_forever()
"""


def kill_again_and_again(env: Environment, rounds: int) -> None:
    """Kill whoever works in the middle of it, and let the next one take over, each time."""
    with Counters(env) as counters:
        counter_id = counters.begin(200)
        with Script(_FOLLOWER, env["AURORA_PATH"]) as first:
            scripts = [first]
            pid = int(first.hear())
            for _ in range(rounds):
                with_next = Script(_FOLLOWER, env["AURORA_PATH"])
                scripts.append(with_next)
                last = counters.tick(counter_id)
                os.kill(pid, signal.SIGKILL)
                pid = int(with_next.hear())
            with Totals(env) as totals:
                totals.recorder.wait("Counters", last, timeout=PATIENCE_SECONDS)
                assert totals.total == 200 + rounds
            for script in scripts:
                script.__exit__()


def test_the_next_one_takes_over_from_one_that_was_killed(env: Environment) -> None:
    """The total is exact: no tick twice, none left out."""
    kill_again_and_again(env, 3)


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_killed_very_often(env: Environment, reliability_factor: int) -> None:
    """The same many times."""
    kill_again_and_again(env, 10 * reliability_factor)

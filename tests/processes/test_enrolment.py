"""Processes and threads that enrol students at once: no course gets more than it has places for."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.face.support import factory_on
from tests.processes.workers import Worker

PROCESSES, THREADS, COURSES, CAPACITY = 4, 3, 12, 20


def enrol(root: Path, seconds: float) -> None:
    """Let everybody enrol for some seconds, while segments roll and are sealed, and count the students."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker("enroller", root, name, THREADS, COURSES, CAPACITY, seconds))
            for name in range(PROCESSES)
        ]
        told = [Counter(json.loads(worker.receive())) for worker in workers]
        factory = factory_on(root, "School")
        stack.callback(factory.close)
        events = [each.event for each in factory.dcb_recorder().read()]
    students = Counter(event.tags[0] for event in events)
    assert max(students.values()) <= CAPACITY
    assert len({event.tags[1] for event in events}) == len(events)
    total = sum(told, Counter())
    assert total["enrolled"] == len(events)
    assert total["threads"] == PROCESSES * THREADS
    # Without these the test would show little.
    assert total["conflict"] > 10
    assert len(students) == COURSES


def test_no_course_is_over_its_capacity(tmp_path: Path) -> None:
    """Four processes of three threads each enrol in a dozen courses."""
    enrol(tmp_path, seconds=3)


@pytest.mark.reliability
def test_no_course_is_ever_over_its_capacity(tmp_path: Path, reliability_factor: int) -> None:
    """The same, again and again."""
    for number in range(reliability_factor):
        enrol(tmp_path / str(number), seconds=5)

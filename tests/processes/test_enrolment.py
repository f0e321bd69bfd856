"""Processes and threads that enrol students at once: no course gets more than it has places for."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.face.support import factory_on
from tests.processes.workers import Worker

PROCESSES, THREADS, COURSES, CAPACITY = 4, 3, 12, 20
REFUSALS = 20  # of each thread: by then nearly all courses are full


def enrol(root: Path, refusals: int) -> None:
    """Let everybody enrol until courses are full, while segments roll, and count the students."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                Worker("enroller", root, name, THREADS, COURSES, CAPACITY, refusals)
            )
            for name in range(PROCESSES)
        ]
        for worker in workers:
            assert worker.receive() == "ready"
        for worker in workers:
            worker.send("go")
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
    enrol(tmp_path, REFUSALS)


@pytest.mark.reliability
def test_no_course_is_ever_over_its_capacity(tmp_path: Path, reliability_factor: int) -> None:
    """The same, again and again."""
    for number in range(reliability_factor):
        enrol(tmp_path / str(number), 2 * REFUSALS)

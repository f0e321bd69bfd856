"""The course-enrolment example."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.course_enrolment.school import RefusedError, School

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="school")
def _school(tmp_path: Path) -> Iterator[School]:
    """A school in a store of its own."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": str(tmp_path)}
    with School(env=env) as school:
        yield school


def test_the_example_runs(tmp_path: Path) -> None:
    """Started as its docstring says, it fills the course and refuses the others."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.course_enrolment"],
        cwd=ROOT,
        env=os.environ | {"AURORA_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 were enrolled; to the others it was said: Algebra has no place left\n" in done.stdout
    assert done.stdout.endswith("After opening the store again, Algebra has 5.\n")
    assert {path.name for path in (tmp_path / "School").iterdir()} == {"dcb"}


def test_the_rules(school: School) -> None:
    """A course is offered once, has its places, and nobody takes more than three."""
    for course in ("Algebra", "Botany", "Chemistry", "Drawing"):
        school.offer(course, places=2)
    with pytest.raises(RefusedError, match="offered already"):
        school.offer("Algebra", places=9)
    with pytest.raises(RefusedError, match="Etching is not offered"):
        school.change_places("Etching", 9)
    for course in ("Algebra", "Botany", "Chemistry"):
        school.enrol("Ada", course)
    with pytest.raises(RefusedError, match="Ada is enrolled in Algebra already"):
        school.enrol("Ada", "Algebra")
    with pytest.raises(RefusedError, match="Ada is enrolled in 3 courses"):
        school.enrol("Ada", "Drawing")
    school.enrol("Bob", "Algebra")
    with pytest.raises(RefusedError, match="Algebra has no place left"):
        school.enrol("Cid", "Algebra")
    school.change_places("Algebra", 3)
    school.enrol("Cid", "Algebra")
    assert school.students_of("Algebra") == ["Ada", "Bob", "Cid"]


def test_threads_that_enrol_one_student(school: School) -> None:
    """A student who asks for four courses at once gets three of them, whichever."""
    courses = ["Algebra", "Botany", "Chemistry", "Drawing"]
    for course in courses:
        school.offer(course, places=10)
    refused: list[str] = []

    def ask(course: str) -> None:
        try:
            school.enrol("Ada", course)
        except RefusedError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=ask, args=(course,)) for course in courses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["Ada is enrolled in 3 courses"]
    assert sum(len(school.students_of(course)) for course in courses) == 3

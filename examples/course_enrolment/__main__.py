"""Run the course-enrolment example: ``python -m examples.course_enrolment``."""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from examples.course_enrolment.school import RefusedError, School

PLACES = 5
STUDENTS = 20


def main() -> int:
    """Run the example in AURORA_PATH, or in a temporary directory; returns the exit status."""
    if path := os.environ.get("AURORA_PATH"):
        run(path)
        return 0
    with tempfile.TemporaryDirectory(prefix="course-enrolment-") as path:
        run(path)
    return 0


def run(path: str) -> None:
    """Offer a course, let many students ask for it at once, and look at it once more."""
    env = {"PERSISTENCE_MODULE": "aurora_es", "AURORA_PATH": path}
    print(f"The store is at {path}.")
    with School(env=env) as school:
        school.offer("Algebra", places=PLACES)

        def ask(number: int) -> str:
            try:
                school.enrol(f"student {number}", "Algebra")
            except RefusedError as error:
                return str(error)
            return "enrolled"

        with ThreadPoolExecutor(STUDENTS) as threads:
            answers = list(threads.map(ask, range(STUDENTS)))
        print(f"{STUDENTS} students asked for {PLACES} places at once.")
        print(f"{answers.count('enrolled')} were enrolled; to the others it was said:", end=" ")
        print(*{answer for answer in answers if answer != "enrolled"}, sep="; ")
    with School(env=env) as school:
        print(f"After opening the store again, Algebra has {len(school.students_of('Algebra'))}.")


if __name__ == "__main__":
    sys.exit(main())

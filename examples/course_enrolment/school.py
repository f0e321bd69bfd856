"""A school: courses with few places, students with little time, and decisions about both at once.

Neither a course nor a student is an aggregate here. Each decision reads what it depends on, by tags
and types, and is recorded on condition that nothing of the kind was recorded meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    DCBReadResponse,
    DCBSequencedEvent,
)
from eventsourcing.dcb.application import DCBApplication
from eventsourcing.persistence import IntegrityError

COURSES_MAX = 3
_ATTEMPTS = 10

Decide = Callable[[DCBReadResponse], DCBEvent]


class RefusedError(Exception):
    """A rule of the school forbids it; the message says which."""


class School(DCBApplication):
    """Offers courses and enrols students; any number of processes may do so at once."""

    def offer(self, course: str, places: int) -> None:
        """Offer a course with so many places, once."""
        query = DCBQuery([DCBQueryItem(types=["CourseOffered"], tags=[_course(course)])])

        def decide(offered: DCBReadResponse) -> DCBEvent:
            if next(offered, None) is not None:
                message = f"{course} is offered already"
                raise RefusedError(message)
            return _event("CourseOffered", [_course(course)], places=places)

        self._record(query, decide)

    def change_places(self, course: str, places: int) -> None:
        """Give a course more or fewer places; nobody who is enrolled loses his."""
        query = DCBQuery([DCBQueryItem(types=["CourseOffered"], tags=[_course(course)])])

        def decide(offered: DCBReadResponse) -> DCBEvent:
            if next(offered, None) is None:
                message = f"{course} is not offered"
                raise RefusedError(message)
            return _event("PlacesChanged", [_course(course)], places=places)

        self._record(query, decide)

    def enrol(self, student: str, course: str) -> None:
        """Enrol a student; raises RefusedError if the course is full or the student busy."""
        query = DCBQuery(
            [
                DCBQueryItem(
                    types=["CourseOffered", "PlacesChanged", "Enrolled"], tags=[_course(course)]
                ),
                DCBQueryItem(types=["Enrolled"], tags=[_student(student)]),
            ]
        )

        def decide(relevant: DCBReadResponse) -> DCBEvent:
            places = taken = 0
            courses: set[str] = set()
            for sequenced in relevant:
                event = sequenced.event
                if event.type != "Enrolled":
                    places = _content(sequenced)["places"]
                    continue
                if _course(course) in event.tags:
                    taken += 1
                if _student(student) in event.tags:
                    courses.update(tag for tag in event.tags if tag.startswith("course:"))
            _check(course, places, taken, student, courses)
            return _event("Enrolled", [_course(course), _student(student)])

        self._record(query, decide)

    def students_of(self, course: str) -> list[str]:
        """The students enrolled in a course, in the order in which they came."""
        query = DCBQuery([DCBQueryItem(types=["Enrolled"], tags=[_course(course)])])
        return [
            tag.removeprefix("student:")
            for sequenced in self.recorder.read(query)
            for tag in sequenced.event.tags
            if tag.startswith("student:")
        ]

    def _record(self, query: DCBQuery, decide: Decide) -> None:
        """Read, decide, and record; anew if something relevant was recorded meanwhile."""
        for attempt in range(1, _ATTEMPTS + 1):
            relevant = self.recorder.read(query)
            event = decide(relevant)
            try:
                self.recorder.append([event], DCBAppendCondition(query, after=relevant.head))
            except IntegrityError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                return


def _check(course: str, places: int, taken: int, student: str, courses: set[str]) -> None:
    if _course(course) in courses:
        message = f"{student} is enrolled in {course} already"
    elif len(courses) >= COURSES_MAX:
        message = f"{student} is enrolled in {COURSES_MAX} courses"
    elif taken >= places:
        message = f"{course} has no place left"
    else:
        return
    raise RefusedError(message)


def _course(name: str) -> str:
    return f"course:{name}"


def _student(name: str) -> str:
    return f"student:{name}"


def _event(kind: str, tags: list[str], **content: object) -> DCBEvent:
    return DCBEvent(type=kind, data=json.dumps(content).encode(), tags=tags)


def _content(sequenced: DCBSequencedEvent) -> Mapping[str, Any]:
    content: dict[str, Any] = json.loads(sequenced.event.data)
    return content

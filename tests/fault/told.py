"""What appenders have told, and whether a journal agrees: the judge of all faults from outside.

An appender tells each commit twice, in a line before it tries and in one behind the outcome::

    try <appender> <serial> <records>
    ok <appender> <serial> <first position>
    refused <appender> <serial>
    unknown <appender> <serial>

A commit without an outcome (its appender died) and one whose outcome is unknown may be in the
journal or not, whole. Each record's state begins with ``<appender> <serial> <part>/<records>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aurora_es import Journal, Record

Commit = tuple[str, int]  # appender and serial


class ViolationError(AssertionError):
    """The journal broke a promise."""


class Found(NamedTuple):
    """A commit in a journal."""

    commit: Commit
    position: int  # of its first record
    records: int


class Told:
    """What is known of the commits that were tried."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """Take in lines."""
        self.tried: dict[Commit, int] = {}  # number of records
        self.acknowledged: dict[Commit, int] = {}  # first position
        self.refused: set[Commit] = set()
        self.unknown: set[Commit] = set()
        for line in lines:
            self.take(line)

    def take(self, line: str) -> None:
        """Take in one line; others than those above are none of ours."""
        word, *rest = line.split()
        if word not in {"try", "ok", "refused", "unknown"}:
            return
        commit = rest[0], int(rest[1])
        if word == "try":
            self.tried[commit] = int(rest[2])
        elif word == "ok":
            self.acknowledged[commit] = int(rest[2])
        elif word == "refused":
            self.refused.add(commit)
        else:
            self.unknown.add(commit)

    def check(self, journal: Journal) -> int:
        """Compare with a journal; returns how many commits it has, or raises ViolationError."""
        found = [*commits_of(journal)]
        places = {one.commit: one.position for one in found}
        if len(places) != len(found):
            raise ViolationError(f"a commit is there twice: {found}")
        for one in found:
            if self.tried.get(one.commit) != one.records:
                raise ViolationError(f"a commit that nobody tried: {one}")
            if one.commit in self.refused:
                raise ViolationError(f"a commit that was refused has appeared: {one}")
        for commit, position in self.acknowledged.items():
            if places.get(commit) != position:
                raise ViolationError(
                    f"{commit} was acknowledged at {position}, found at {places.get(commit)}"
                )
        return len(found)


def commits_of(journal: Journal) -> Iterator[Found]:
    """Read all commits; raises ViolationError at a gap or a part of a commit."""
    expected: list[str] = []
    for position, stored in enumerate(journal.read(), 1):
        if stored.position != position:
            raise ViolationError(f"position {stored.position} behind {position - 1}")
        appender, serial, part = stored.record.state.decode().split(" ")[:3]
        number, records = map(int, part.split("/"))
        head = f"{appender} {serial} "
        if not expected:
            expected = [f"{head}{later}/{records}" for later in range(records)]
            yield Found((appender, int(serial)), position, records)
        if expected.pop(0) != f"{head}{number}/{records}":
            raise ViolationError(f"a part of a commit at position {position}")
    if expected:
        raise ViolationError(f"the end of a commit is missing: {expected}")


def records_of(appender: str, serial: int, count: int, filling: int = 0) -> list[Record]:
    """Make the records of a commit."""
    return [
        Record(
            topic=f"topic {part % 2}",
            state=f"{appender} {serial} {part}/{count} ".encode() + b"x" * filling,
            originator_id=f"{appender} {part}",
            originator_version=serial,
        )
        for part in range(count)
    ]

"""What the workloads store: events of chosen sizes, and aggregates that some like better.

Choices are seeded, so every run and every store gets the same.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from .events import aggregate_id

STATE_BYTES = 200
_TOPIC = "shop.domain:Order.Changed"
_HEAD, _TAIL = b'{"timestamp":"2026-11-25T09:00:00.000000+00:00","note":"', b'"}'


class Zipf:
    """Chooses one of ``count`` numbers; number n about 1/(n + 1) ** ``exponent`` as often as 0."""

    def __init__(self, count: int, exponent: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._sums = list(accumulate((n + 1) ** -exponent for n in range(count)))

    def choose(self) -> int:
        """The next number."""
        return bisect(self._sums, self._random.random() * self._sums[-1])


class Events:
    """Makes events; knows the version that each aggregate has reached. For one thread."""

    def __init__(self, seed: int, state_bytes: int = STATE_BYTES, first_number: int = 0) -> None:
        self.random = random.Random(seed)
        self._next_number = first_number
        self.versions: dict[int, int] = {}
        self._state_bytes = state_bytes

    def event(self, number: int) -> StoredEvent:
        """The next event of the aggregate with this number."""
        version = self.versions[number] = self.versions.get(number, 0) + 1
        return self.event_at(aggregate_id(number), version)

    def event_at(self, originator_id: UUID | str, version: int) -> StoredEvent:
        """An event with this identity."""
        return StoredEvent(originator_id, version, _TOPIC, self._state())

    def new_aggregate(self, size: int) -> list[StoredEvent]:
        """The first events of one more aggregate."""
        number = self._next_number
        self._next_number += 1
        return [self.event(number) for _ in range(size)]

    def _state(self) -> bytes:
        # Hexadecimal digits: a compressor can halve them, as it can JSON of numbers and words.
        room = self._state_bytes - len(_HEAD) - len(_TAIL)
        return _HEAD + self.random.randbytes(room).hex()[:room].encode() + _TAIL


def one_commit_each(events: Events, numbers: Sequence[int]) -> list[list[StoredEvent]]:
    """Commits of one event, of these aggregates."""
    return [[events.event(number)] for number in numbers]


def history(events: Events, numbers: Sequence[int]) -> list[list[StoredEvent]]:
    """What is stored before anything is measured: events of these aggregates, a hundred a commit."""
    return [
        [events.event(number) for number in numbers[begin : begin + 100]]
        for begin in range(0, len(numbers), 100)
    ]

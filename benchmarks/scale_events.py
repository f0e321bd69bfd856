"""The history that costs are measured on from 10^4 to 10^7 events: any part of it, in any process.

Theory of operation: what is at position n follows from n and the size of the history alone. One
aggregate in ten events; an aggregate's ten events lie ``window`` events apart, so that it lives for
a part of the history and then rests, as most do. Twenty aggregates live all the time: their hundred
events are spread evenly over the whole history. One event in 10,000 has a topic of its own. States
are JSON with names, words, sums and rising times and numbers: they shrink as such states do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from .events import NUMBERS_PER_WRITER, TOPICS, aggregate_id

LONG_AGGREGATES = 20
LONG_VERSIONS = 100
LONG_EVENTS = LONG_AGGREGATES * LONG_VERSIONS
RARE_TOPIC = "bank.domain:Account.Frozen"
RARE_EVERY = 10_000
VERSIONS = 10
"""Events of each aggregate but the long ones."""
_WINDOW_MAX = 10_000
_FIRST_LONG = 500 * NUMBERS_PER_WRITER
_FIRST_ABSENT = 600 * NUMBERS_PER_WRITER

_NAMES = "Ada Ben Cleo Dan Eva Finn Gita Hugo Iris Jan Kofi Lena Mats Nora Omar Pia".split()
_FAMILIES = "Adeyemi Berg Costa Dubois Engel Ferrari Garcia Haddad Ito Jensen Kaya Lund".split()
_CITIES = "Accra Berlin Cairo Dublin Espoo Florence Geneva Hanoi Istanbul Jakarta Kyiv".split()
_CURRENCIES = ("EUR", "EUR", "EUR", "USD", "GBP")
_NOTES = (
    "rent",
    "salary",
    "groceries and household",
    "invoice",
    "transfer to savings",
    "card payment abroad",
    "refund",
)
_STATE = (
    b'{"timestamp":"2026-%02d-%02dT%02d:%02d:%02d.%06d+00:00","amount":"%d.%02d","currency":"%s",'
    b'"payee":{"name":"%s %s","city":"%s"},"reference":"TX-%09d","note":"%s"}'
)


def make_varied_state(number: int) -> bytes:
    """JSON of about 150 bytes; times and references rise with the number, the rest is mixed."""
    mixed = number * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    mixed ^= mixed >> 29
    return _STATE % (
        1 + number // 2_500_000 % 12,
        1 + number // 86_400 % 28,
        number // 3_600 % 24,
        number // 60 % 60,
        number % 60,
        mixed % 999_983,
        mixed % 4_999,
        mixed % 97,
        _CURRENCIES[mixed % 5].encode(),
        _NAMES[mixed % 16].encode(),
        _FAMILIES[(mixed >> 8) % 12].encode(),
        _CITIES[(mixed >> 16) % 11].encode(),
        number,
        _NOTES[(mixed >> 24) % 7].encode(),
    )


def long_id(number: int) -> UUID:
    """The id of one of the aggregates whose events are spread over all the history."""
    return aggregate_id(_FIRST_LONG + number)


def absent_id(number: int) -> UUID:
    """An id that is in no history."""
    return aggregate_id(_FIRST_ABSENT + number)


@dataclass(frozen=True, slots=True)
class ScaleHistory:
    """The history of so many events, 10^4 at least."""

    size: int

    @property
    def stride(self) -> int:
        """Every so many events, one is of a long aggregate."""
        return self.size // LONG_EVENTS

    @property
    def window(self) -> int:
        """Aggregates that receive events at a time."""
        return min(_WINDOW_MAX, self.size // 100)

    @property
    def aggregates(self) -> int:
        """Number of aggregates that all have their ten events, numbered from 0."""
        return (self.size - LONG_EVENTS) // (VERSIONS * self.window) * self.window

    @property
    def singles(self) -> int:
        """How many events, at the beginning, have a commit of their own."""
        return self.size // 10

    def events(self, first: int, last: int) -> Iterator[StoredEvent]:
        """The events at the positions from ``first`` to ``last``."""
        stride, window = self.stride, self.window
        period, group, ids = VERSIONS * window, -1, [aggregate_id(0)]
        for position in range(first, last + 1):
            longs, at = divmod(position, stride)
            if not at and longs <= LONG_EVENTS:
                version, number = divmod(longs - 1, LONG_AGGREGATES)
                originator_id = long_id(number)
            else:
                found, at = divmod(position - min(longs, LONG_EVENTS) - 1, period)
                if found != group:
                    group = found
                    ids = [aggregate_id(group * window + slot) for slot in range(window)]
                version, slot = divmod(at, window)
                originator_id = ids[slot]
            is_rare = position % RARE_EVERY == RARE_EVERY // 2
            yield StoredEvent(
                originator_id,
                version + 1,
                RARE_TOPIC if is_rare else TOPICS[position % len(TOPICS)],
                make_varied_state(position),
            )

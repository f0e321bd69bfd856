"""Events of about 200 B, the same for every store, and the same in every process.

Aggregates are numbered; the id of number n is a digest of n. So any process can name an aggregate
that another one wrote, and ids are as scattered as random ones.
"""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID

from eventsourcing.persistence import StoredEvent

STATE_BYTES = 167
TOPICS = (
    "bank.domain:Account.Registered",
    "bank.domain:Account.Transacted",
    "bank.domain:Account.Overdrawn_",
    "bank.domain:Account.Statements",
)
OPEN_AGGREGATES = 100
"""How many aggregates receive single events in turn."""
VERSIONS_MAX = 10
"""Single events per aggregate; after these a new aggregate takes its place."""
NUMBERS_PER_WRITER = 10**9
"""Writer w numbers its aggregates from w times this: writers never collide."""

_STATE = (
    b'{"timestamp":"2026-01-01T%02d:%02d:%02d.%06d+00:00","amount":"%d.%02d",'
    b'"balance":"%d.%02d","currency":"EUR","reference":"%s","note":"'
)
_END = b'"}'
_STAMP = b'{"stamp":%020d,"note":"'
_STAMP_DIGITS = slice(9, 29)


def aggregate_id(number: int) -> UUID:
    """The id of the aggregate with this number."""
    digest = blake2b(number.to_bytes(8, "big"), digest_size=16).digest()
    return UUID(bytes=digest, version=4)


def _padded(head: bytes) -> bytes:
    return head + b"x" * (STATE_BYTES - len(head) - len(_END)) + _END


def make_state(number: int) -> bytes:
    """JSON-like state of exactly ``STATE_BYTES``, different for every number."""
    digest = blake2b(number.to_bytes(8, "big"), digest_size=8).digest()
    noise = int.from_bytes(digest, "big")
    return _padded(
        _STATE
        % (
            noise % 24,
            noise % 59,
            noise % 57,
            noise % 999_983,
            noise % 99_991,
            noise % 97,
            noise % 999_979,
            noise % 89,
            digest.hex().encode(),
        )
    )


def make_stamped_state(stamp_ns: int) -> bytes:
    """State of exactly ``STATE_BYTES`` that carries a reading of ``time.monotonic_ns``."""
    return _padded(_STAMP % stamp_ns)


def read_stamp(state: bytes) -> int:
    """The reading that :func:`make_stamped_state` put in."""
    return int(state[_STAMP_DIGITS])


class EventSource:
    """Makes the history of one writer. Not thread-safe."""

    def __init__(self, writer: int = 0) -> None:
        self._next_number = writer * NUMBERS_PER_WRITER
        self._next_state = self._next_number
        self._open: list[tuple[UUID, int]] = []
        self._turn = 0

    def _event(self, originator_id: UUID, version: int) -> StoredEvent:
        self._next_state += 1
        return StoredEvent(
            originator_id=originator_id,
            originator_version=version,
            topic=TOPICS[self._next_state % len(TOPICS)],
            state=make_state(self._next_state),
        )

    def _new_id(self) -> UUID:
        self._next_number += 1
        return aggregate_id(self._next_number - 1)

    def skip_to(self, number: int) -> None:
        """Let the next aggregate have this number."""
        self._next_number = self._next_state = number

    def commit(self, size: int) -> list[StoredEvent]:
        """Events 1 to ``size`` of the next aggregate."""
        originator_id = self._new_id()
        return [self._event(originator_id, version) for version in range(1, size + 1)]

    def commits(self, count: int, size: int) -> list[list[StoredEvent]]:
        """``count`` commits of ``size`` events, each of an aggregate of its own."""
        return [self.commit(size) for _ in range(count)]

    def singles(self, count: int) -> list[list[StoredEvent]]:
        """``count`` commits of one event, spread over a ring of open aggregates."""
        return [[self._single()] for _ in range(count)]

    def _single(self) -> StoredEvent:
        turn = self._turn
        self._turn = (turn + 1) % OPEN_AGGREGATES
        if turn == len(self._open):
            self._open.append((self._new_id(), 0))
        originator_id, version = self._open[turn]
        if version == VERSIONS_MAX:
            originator_id, version = self._new_id(), 0
        self._open[turn] = (originator_id, version + 1)
        return self._event(originator_id, version + 1)

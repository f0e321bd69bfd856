"""A process that appends to one journal and tracks how far the other one is: ``OWN OTHER``."""

from __future__ import annotations

import os
import sys

from aurora_es import ConflictError, Journal, Record, RollCycle, Sync

SEGMENT_EVENTS = 100
EVENTS_OF_A_LINE = 300


def main() -> None:
    """Append so many events for each line that is read: as fast as it goes, but no more."""
    own_path, other_path = sys.argv[1:]
    other_name = os.path.basename(os.path.dirname(other_path))
    cycle = RollCycle.events(SEGMENT_EVENTS)
    with (
        Journal.open(own_path, roll_cycle=cycle, sync=Sync.NEVER) as own,
        Journal.open(other_path, read_only=True) as other,
    ):
        for _ in sys.stdin:
            for _ in range(EVENTS_OF_A_LINE):
                _append(own, other, other_name)


def _append(own: Journal, other: Journal, other_name: str) -> None:
    record = Record(topic="t", state=os.urandom(20))
    tracked = other.last_position
    try:
        own.append([record], tracking=(other_name, tracked) if tracked else None)
    except ConflictError:
        own.append([record])


if __name__ == "__main__":
    main()

"""A process that appends to one journal and tracks how far the other one is: ``OWN OTHER STOP``."""

from __future__ import annotations

import os
import sys

from aurora_es import ConflictError, Journal, Record, RollCycle, Sync


def main() -> None:
    """Append until there is a file ``STOP``, as fast as it goes."""
    own_path, other_path, stop = sys.argv[1:]
    other_name = os.path.basename(os.path.dirname(other_path))
    cycle = RollCycle.events(4_000)
    with (
        Journal.open(own_path, roll_cycle=cycle, sync=Sync.NEVER) as own,
        Journal.open(other_path, read_only=True) as other,
    ):
        while not os.path.exists(stop):
            record = Record(topic="t", state=os.urandom(20))
            tracked = other.last_position
            try:
                own.append([record], tracking=(other_name, tracked) if tracked else None)
            except ConflictError:
                own.append([record])


if __name__ == "__main__":
    main()

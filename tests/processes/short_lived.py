"""A process that appends a few records and ends at once; it can start no background run.

Arguments: path of the journal, number of records. Each record starts a segment.
"""

import sys

from aurora_es import Journal, Record, RollCycle


def main(path: str, count: int) -> None:
    """Append."""
    sys.executable = ""
    with Journal.open(path, roll_cycle=RollCycle.events(1), background=True) as journal:
        for _ in range(count):
            journal.append([Record(topic="t", state=b"state")])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

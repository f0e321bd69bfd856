"""A process that opens a journal at a signal, appends one record and tells what it met.

Arguments: path of the journal, state to append. Reads a line, then prints position, recoveries,
adopted commits, bytes cut and milliseconds.
"""

import sys
import time

from aurora_es import Journal, Record
from tests.patience import PATIENCE_SECONDS


def main(path: str, state: str) -> None:
    """Wait for the signal, open, append, tell."""
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    begin = time.monotonic()
    with Journal.open(path, lock_timeout=PATIENCE_SECONDS) as journal:
        (position,) = journal.append([Record(topic="t", state=state.encode())])
        took_ms = (time.monotonic() - begin) * 1000
        statistics = journal.statistics()
        print(  # noqa: T201
            position,
            statistics.recoveries,
            statistics.adopted_commits,
            statistics.cut_bytes,
            int(took_ms),
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

"""A process that forks writers on demand, so that starting and killing hundreds takes seconds.

Arguments: path of the journal, path of a FIFO. Understands ``start <name>`` (answers the pid) and
``reap <pid>`` (waits for its end, answers the status). A writer appends commits of one to three
records for ever, and tells each through the FIFO, behind the append: a line ``<name> <number>
<first position> <records>``.
"""

import os
import random
import sys

from aurora_es import Journal, Record
from tests.patience import PATIENCE_SECONDS


def write_for_ever(path: str, fifo: str, name: str) -> None:
    """Append and acknowledge until killed."""
    rng = random.Random(name)
    acknowledgements = os.open(fifo, os.O_WRONLY)
    journal = Journal.open(path, lock_timeout=PATIENCE_SECONDS)
    number = 0
    while True:
        count = rng.randint(1, 3)
        filling = "x" * rng.choice([0, 0, 100, 3000])
        records = [
            Record(
                topic="t",
                state=f"{name} {number} {part} {count} {filling}".encode(),
                originator_id=f"{name} {part}",
                originator_version=number,
            )
            for part in range(count)
        ]
        positions = journal.append(records)
        os.write(acknowledgements, f"{name} {number} {positions[0]} {count}\n".encode())
        number += 1


def main(path: str, fifo: str) -> None:
    """Obey."""
    for line in sys.stdin:
        command, argument = line.split()
        if command == "start":
            pid = os.fork()
            if pid == 0:
                try:
                    write_for_ever(path, fifo, argument)
                finally:
                    os._exit(1)
            print(pid, flush=True)  # noqa: T201
        else:
            print(os.waitpid(int(argument), 0)[1], flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

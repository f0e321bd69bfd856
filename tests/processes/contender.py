"""A process whose threads append to the same few originators as everybody else, optimistically.

Arguments: path of the journal, own name, number of threads, how many records each of them has to
win. Says "ready", and begins with the next line of its input. Prints, as JSON, what it won: a list of (originator, version, position, state), and how many conflicts it met.
"""

import json
import random
import sys
import threading
from typing import Any

from aurora_es import ConflictError, Journal, Record
from aurora_es.index.keys import text_key
from tests.patience import PATIENCE_SECONDS

ORIGINATORS = 6


def contend(journal: Journal, name: str, wins: int) -> tuple[list[Any], int]:
    """Read an originator's last version and append the next one; on conflict, look again."""
    rng = random.Random(name)
    won: list[Any] = []
    conflicts = 0
    while len(won) < wins:
        originator = f"originator {rng.randrange(ORIGINATORS)}"
        journal.last_position  # noqa: B018 - brings the index up to date
        last = journal.handle.state.index.last_version(text_key(originator))
        version = 0 if last is None else last + 1
        state = f"{name}.{len(won)}"
        record = Record(
            topic="t",
            state=state.encode(),
            originator_id=originator,
            originator_version=version,
        )
        try:
            (position,) = journal.append([record])
        except ConflictError as error:
            conflicts += len(error.conflicts)
        else:
            won.append((originator, version, position, state))
    return won, conflicts


def main(path: str, name: str, threads: int, wins: int) -> None:
    """Contend in several threads, and tell."""
    won: list[Any] = []
    conflicts = []
    with Journal.open(path, lock_timeout=PATIENCE_SECONDS) as journal:
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()

        def run(thread: int) -> None:
            mine, count = contend(journal, f"{name}.{thread}", wins)
            won.extend(mine)
            conflicts.append(count)

        running = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
        for one in running:
            one.start()
        for one in running:
            one.join()
    assert len(conflicts) == threads, "a thread has failed"
    print(json.dumps({"won": won, "conflicts": sum(conflicts)}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

"""A process whose threads enrol students in courses, each decision on a DCB condition.

Arguments: AURORA_PATH, own name, number of threads, courses, capacity, and by how many full courses
each thread is turned down before it ends. Says "ready", and begins with the next line of its input.
Prints, as JSON, how many students it enrolled, how often it was turned down by a full course, and
by a conflict.
"""

import json
import random
import sys
import threading
from collections import Counter

from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import IntegrityError
from eventsourcing.utils import Environment

from aurora_es import AuroraDCBRecorder, AuroraFactory
from tests.patience import PATIENCE_SECONDS


def enrol(recorder: AuroraDCBRecorder, course: str, student: str, capacity: int) -> str:
    """Enrol a student if there is a place; "conflict" if somebody else was faster."""
    query = DCBQuery([DCBQueryItem(types=["enrolled"], tags=[course])])
    response = recorder.read(query)
    taken = sum(1 for _ in response)
    if taken >= capacity:
        return "full"
    condition = DCBAppendCondition(query, after=response.head)
    try:
        recorder.append([DCBEvent("enrolled", b"", [course, student])], condition)
    except IntegrityError:
        return "conflict"
    return "enrolled"


def main() -> None:
    """Enrol in several threads, and tell."""
    root, name = sys.argv[1:3]
    threads, courses, capacity = map(int, sys.argv[3:6])
    refusals = int(sys.argv[6])
    counts: Counter[str] = Counter()
    env = {
        "AURORA_PATH": root,
        "AURORA_ROLL_CYCLE": "50events",
        "AURORA_LOCK_TIMEOUT": str(PATIENCE_SECONDS),
    }
    factory = AuroraFactory(Environment("School", env))
    recorder = factory.dcb_recorder()
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()

    def work(thread: int) -> None:
        rng = random.Random(f"{name}.{thread}")
        number = refused = 0
        while refused < refusals:
            number += 1
            student = f"student {name}.{thread}.{number}"
            outcome = enrol(recorder, f"course {rng.randrange(courses)}", student, capacity)
            counts[outcome] += 1
            refused += outcome == "full"
        counts["threads"] += 1

    running = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    factory.close()
    print(json.dumps(counts))  # noqa: T201


if __name__ == "__main__":
    main()

"""A process that seals, merges, cools and clears away on demand.

Argument: path of the journal. Understands ``seal`` (answers how many), ``start`` (forks a child that
works for ever, so that killing hundreds takes seconds; answers its pid) and ``reap <pid>`` (waits for
its end, answers the status).
"""

import os
import random
import sys

from aurora_es.errors import LockTimeoutError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from tests.patience import PATIENCE_SECONDS


def tend_for_ever(path: str) -> None:
    """Work until killed, or until whoever started it is."""
    rng, parent = random.Random(os.getpid()), os.getppid()
    while os.getppid() == parent:
        background.seal(path)
        background.merge(path, everything=rng.random() < 0.2)
        background.cool(path, codec=rng.choice(["lz4", "none", "snappy"]), older_than_hours=-1)
        with BackgroundLock(SYSTEM_EFFECTS, path, timeout=PATIENCE_SECONDS):
            clear_away(SYSTEM_EFFECTS, path, at_once=True)


def main(path: str) -> None:
    """Obey."""
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        answer: object
        if command == "seal":
            try:
                answer = background.seal(path, lock_timeout=PATIENCE_SECONDS)
            except LockTimeoutError as error:
                answer = error
        elif command == "start":
            answer = os.fork()
            if answer == 0:
                try:
                    tend_for_ever(path)
                finally:
                    os._exit(1)
        else:
            answer = os.waitpid(int(argument), 0)[1]
        print(answer, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])

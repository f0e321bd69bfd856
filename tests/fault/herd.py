"""A process that forks appenders, followers and a tender on demand: seconds for hundreds of starts.

Argument: directory of the journal. Understands ``start <name>`` (forks four appenders, two followers
and one that seals, merges, cools and clears away) and ``reap`` (ends all, answers ``reaped``). All
write lines to the common standard output: appenders those of ``told.py``; a follower, for every
record, ``saw <follower> <position> <appender> <serial> <part>``.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
from collections.abc import Callable

from aurora_es import Journal, RollCycle
from aurora_es.errors import AuroraError, CorruptionError
from aurora_es.journal import background
from tests.fault.told import records_of
from tests.fault.workload import tell_output

APPENDERS = 4
FOLLOWERS = 2
CYCLE = RollCycle.events(40)
_LOCK_SECONDS = 120.0


def append_for_ever(path: str, name: str) -> None:
    """Append and tell until something fails or kills."""
    rng = random.Random(name)
    with Journal.open(path, roll_cycle=CYCLE, lock_timeout=_LOCK_SECONDS) as journal:
        serial = 0
        while True:
            serial += 1
            count = rng.randint(1, 3)
            tell_output(f"try {name} {serial} {count}")
            filling = rng.choice((0, 50, 2_000))
            positions = journal.append(records_of(name, serial, count, filling))
            tell_output(f"ok {name} {serial} {positions[0]}")


def follow_for_ever(path: str, name: str) -> None:
    """Tell every record that comes."""
    with (
        Journal.open(path, read_only=True, poll_interval=0.05) as journal,
        journal.tail() as tailer,
    ):
        for stored in tailer:
            head = stored.record.state.decode().split(" ", 3)[:3]
            tell_output(f"saw {name} {stored.position} {' '.join(head)}")


def tend_for_ever(path: str, name: str) -> None:
    """Seal, merge, cool and clear away, again and again."""
    while True:
        background.seal(path, lock_timeout=_LOCK_SECONDS)
        background.merge(path, everything=True, lock_timeout=_LOCK_SECONDS)
        background.cool(path, older_than_hours=-1, lock_timeout=_LOCK_SECONDS)


def fork(act: Callable[[str, str], None], path: str, name: str) -> int:
    """Run ``act`` in a child until it fails; what it says of it is told."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            act(path, name)
        except CorruptionError as error:
            tell_output(f"corrupt {name} {error}")
        except (AuroraError, OSError) as error:
            tell_output(f"ended {name} {type(error).__name__} {error}".replace("\n", " "))
            status = 0
        finally:
            os._exit(status)
    return child


def main(path: str) -> None:
    """Obey."""
    logging.disable(logging.CRITICAL)  # syncs that fail are what it is for
    children: list[int] = []
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "start":
            children += [
                fork(append_for_ever, path, f"{rest[0]}.{number}") for number in range(APPENDERS)
            ]
            children += [
                fork(follow_for_ever, path, f"{rest[0]}.{number}") for number in range(FOLLOWERS)
            ]
            children.append(fork(tend_for_ever, path, f"{rest[0]}.tender"))
        else:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            children.clear()
            tell_output("reaped")


if __name__ == "__main__":
    main(sys.argv[1])

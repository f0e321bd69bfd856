"""Writers that are killed at random moments: nothing acknowledged is lost, nobody is blocked."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aurora_es import Journal, Record, RollCycle, Sync
from tests.fault.figures import Figures
from tests.patience import PATIENCE_SECONDS
from tests.processes.workers import Worker

BLOCKED_SECONDS_MAX = 90.0  # behind a lock that stays it is twice as much
KILLS = 100
WRITERS = 3


class Acknowledgements:
    """What writers have told through the FIFO."""

    def __init__(self, path: str) -> None:
        """Make the FIFO; it is open for writing as well, so that it never ends."""
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._rest = b""
        self.commits: dict[int, tuple[str, int]] = {}  # by first position: state's beginning, count

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def wait_for(self, count: int) -> None:
        """Block until ``count`` more have come."""
        os.set_blocking(self._fd, True)
        while count > 0:
            count -= self._take(os.read(self._fd, 4096))
        os.set_blocking(self._fd, False)

    def drain(self) -> None:
        """Take all that is there."""
        while True:
            try:
                self._take(os.read(self._fd, 65536))
            except BlockingIOError:
                return

    def _take(self, data: bytes) -> int:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            name, number, position, count = line.decode().split()
            self.commits[int(position)] = (f"{name} {number}", int(count))
        return len(lines)


class Reader:
    """Checks everything that is in the journal, once."""

    def __init__(self) -> None:
        """Nothing was checked."""
        self.checked = 0
        self.opening_seconds: list[float] = []
        self.acknowledged = 0
        self._commits: dict[int, tuple[str, int]] = {}  # as in Acknowledgements

    def check(self, journal: Journal, acknowledgements: Acknowledgements) -> None:
        """Check what is new: no gap, no part of a commit, all acknowledged ones in their places."""
        states: list[str] = []
        for stored in journal.read(start=self.checked + 1):
            assert stored.position == self.checked + len(states) + 1
            states.append(stored.record.state.decode())
        at = 0
        while at < len(states):
            if states[at] == "parent":
                at += 1
                continue
            name, number, _, count, _ = states[at].split(" ")
            commit = states[at : at + int(count)]
            assert [state.split(" ")[:4] for state in commit] == [
                [name, number, str(part), count] for part in range(int(count))
            ]
            self._commits[self.checked + at + 1] = (f"{name} {number}", int(count))
            at += int(count)
        self.checked += len(states)
        # A writer that lives may have told of a commit that came after the last record read here.
        for position in [one for one in acknowledgements.commits if one <= self.checked]:
            assert acknowledgements.commits.pop(position) == self._commits.pop(position)
            self.acknowledged += 1


@contextmanager
def acknowledgements_in(directory: Path) -> Iterator[Acknowledgements]:
    """Open a FIFO for acknowledgements."""
    acknowledgements = Acknowledgements(str(directory / "acknowledgements"))
    try:
        yield acknowledgements
    finally:
        acknowledgements.close()


def open_and_append(path: Path, reader: Reader, acknowledgements: Acknowledgements) -> None:
    """Open anew, append, check; the first two wait for no dead process, whatever it held."""
    acknowledgements.drain()
    known = max(acknowledgements.commits, default=0)
    begin = time.monotonic()
    with Journal.open(path, lock_timeout=PATIENCE_SECONDS) as journal:
        (position,) = journal.append([Record(topic="t", state=b"parent")])
        reader.opening_seconds.append(time.monotonic() - begin)
        assert time.monotonic() - begin < BLOCKED_SECONDS_MAX
        assert position > known
        reader.check(journal, acknowledgements)


def kill_writers(  # noqa: PLR0913 - one run
    path: Path, directory: Path, kills: int, *, seed: int, sync: Sync, count: int = WRITERS
) -> Reader:
    """Kill one or all of ``count`` writers, again and again; returns who has checked all."""
    rng = random.Random(seed)
    reader = Reader()
    with Journal.open(path, sync=sync, roll_cycle=RollCycle.events(60)) as journal:
        journal.append([Record(topic="t", state=b"parent")])
    with (
        acknowledgements_in(directory) as acknowledgements,
        Worker("nursery", path, acknowledgements.path) as nursery,
    ):
        writers: list[int] = []
        killed = started = 0
        try:
            while killed < kills:
                while len(writers) < count:
                    writers.append(int(nursery.ask(f"start {seed}.{started}")))
                    started += 1
                acknowledgements.wait_for(rng.randint(1, 12))
                # Not to wait for anything: the moment itself is what is drawn.
                threading.Event().wait(rng.uniform(0, 0.003))
                victims = writers[:] if rng.random() < 0.3 else [rng.choice(writers)]
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                for pid in victims:
                    assert int(nursery.ask(f"reap {pid}")) == signal.SIGKILL
                    writers.remove(pid)
                killed += len(victims)
                open_and_append(path, reader, acknowledgements)
        finally:
            for pid in writers:
                os.kill(pid, signal.SIGKILL)
                nursery.ask(f"reap {pid}")
        open_and_append(path, reader, acknowledgements)
        assert not acknowledgements.commits
    check_from_the_start(path, reader.checked)
    return reader


def check_from_the_start(path: Path, count: int) -> None:
    """Read all with a new handle that only reads."""
    with Journal.open(path, read_only=True) as journal:
        assert [stored.position for stored in journal.read()] == list(range(1, count + 1))


def test_killed_writers_lose_nothing_and_block_nobody(tmp_path: Path) -> None:
    """After each kill: all that was acknowledged, no part of a commit, and the next append works."""
    reader = kill_writers(tmp_path / "journal", tmp_path, KILLS, seed=1, sync=Sync.ALWAYS)
    assert reader.acknowledged > KILLS


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("sync", [Sync.ALWAYS, Sync.NEVER, Sync.interval(5)], ids=str)
def test_killed_writers_in_every_sync_mode(
    tmp_path: Path, sync: Sync, count: int, reliability_factor: int
) -> None:
    """No mode loses anything when only processes die, however often."""
    openings: list[float] = []
    with Figures("E1", f"{count} writers, {sync}", "kill") as figures:
        for seed in range(3 * reliability_factor // 5 or 1):
            # A journal of its own each time: a weak mode writes much.
            directory = tmp_path / str(seed)
            directory.mkdir()
            kills = KILLS // 5
            path = directory / "journal"
            reader = kill_writers(path, directory, kills, seed=seed, sync=sync, count=count)
            openings += reader.opening_seconds
            figures.trials += kills
            figures.add(acknowledged=reader.acknowledged, records=reader.checked)
            shutil.rmtree(directory)
        openings.sort()
        figures.counts["lost"] = figures.counts["partial"] = figures.counts["gaps"] = 0
        for name, part in (("p50", 50), ("p99", 99)):
            at = openings[len(openings) * part // 100]
            figures.counts[f"open and append, {name} ms"] = round(1000 * at, 1)

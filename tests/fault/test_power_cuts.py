"""Power cuts by the shutdown ioctl of ext4 and XFS, under processes that append, follow and tend."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_es import Journal
from tests.fault.figures import Figures
from tests.fault.herd import APPENDERS
from tests.fault.mounts import make_image, mounted
from tests.fault.told import Told, ViolationError, records_of
from tests.fault.trace import ROOT

# _IOR('X', 125, __u32), the same for both; the argument says that not even the log is written.
_SHUTDOWN = 0x8004587D
_WITHOUT_LOG = struct.pack("I", 2)
_CUTS_OF_ONE_JOURNAL = 10


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Machine:
    """A journal on a file system whose power is cut again and again."""

    def __init__(self, image: Path, point: Path, seed: int, figures: Figures) -> None:
        """Begin with an empty file system."""
        self.image = image
        self.point = point
        self.path = point / "journal"
        self.told = Told()
        self.figures = figures
        self._seen: dict[int, str] = {}  # by position: what a follower told of the record
        self._followed: dict[str, int] = {}  # last position, by follower
        self._rng = random.Random(seed)
        self._seed = seed
        self._cuts = 0

    def live_and_die(self) -> None:
        """Mount, let the herd work for a while, cut the power, mount again and compare."""
        self._cuts += 1
        with mounted(self.image, self.point), self._herd() as herd:
            assert herd.stdin is not None
            assert herd.stdout is not None
            herd.stdin.write(f"start {self._seed}.{self._cuts}\n")
            herd.stdin.flush()
            patience = self._rng.randint(1, 60)
            while patience:
                patience -= self._take(herd.stdout.readline())
            self._cut_power()
            # A power cut ends the processes, too; what they told by then is true.
            herd.stdin.write("reap\n")
            herd.stdin.flush()
            while (line := herd.stdout.readline()) != "reaped\n":
                self._take(line)
            herd.stdin.close()
        with mounted(self.image, self.point):
            self._compare()
        self.figures.trials += 1

    def _herd(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fault.herd", str(self.path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _cut_power(self) -> None:
        fd = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _WITHOUT_LOG)
        finally:
            os.close(fd)

    def _take(self, line: str) -> bool:
        """Take in a line; returns whether it acknowledges something."""
        if not line or line.startswith("corrupt"):
            raise ViolationError(f"a process of the herd ended: {line}")
        if line.startswith("saw"):
            _, follower, position, head = line.rstrip().split(" ", 3)
            self._followed[follower] = self._followed.get(follower, 0) + 1
            if self._followed[follower] != int(position):
                raise ViolationError(f"a follower skipped or repeated something: {line}")
            if self._seen.setdefault(int(position), head) != head:
                raise ViolationError(f"followers saw {self._seen[int(position)]} and {line}")
            return False
        self.told.take(line)
        return line.startswith("ok")

    def _compare(self) -> None:
        with Journal.open(self.path) as journal:
            self.told.check(journal)
            for stored in journal.read():
                head = self._seen.pop(stored.position, None)
                if head is not None and not stored.record.state.startswith(head.encode()):
                    raise ViolationError(f"{head} was seen, {stored.position} is another one")
            if self._seen:
                raise ViolationError(f"a follower saw what is not there any more: {self._seen}")
            serial = self._cuts
            self.told.take(f"try judge {serial} 1")
            (position,) = journal.append(records_of("judge", serial, 1))
            self.told.take(f"ok judge {serial} {position}")
            statistics = journal.statistics()
        self.figures.add(cut_bytes=statistics.cut_bytes, adopted=statistics.adopted_commits)


def cut_many_times(kind: str, scratch: Path, cuts: int, figures: Figures) -> None:
    """Cut the power, each journal some times."""
    for number in range(-(-cuts // _CUTS_OF_ONE_JOURNAL)):
        directory = scratch / str(number)
        point = directory / "point"
        point.mkdir(parents=True)
        image = directory / "image"
        make_image(image, kind)
        machine = Machine(image, point, number, figures)
        for _ in range(min(cuts - number * _CUTS_OF_ONE_JOURNAL, _CUTS_OF_ONE_JOURNAL)):
            machine.live_and_die()
        figures.add(acknowledged=len(machine.told.acknowledged))
        shutil.rmtree(directory)


def test_some_power_cuts(file_system: str, scratch: Path) -> None:
    """All that was acknowledged or seen before is there, in its place, and nothing in part."""
    with Figures("E4", file_system, "power cut") as figures:
        cut_many_times(file_system, scratch, 2, figures)
    assert int(figures.counts["acknowledged"]) > APPENDERS


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_many_power_cuts(file_system: str, scratch: Path, reliability_factor: int) -> None:
    """The same for five times the reliability factor."""
    with Figures("E4", file_system, "power cut") as figures:
        cut_many_times(file_system, scratch, 5 * reliability_factor, figures)

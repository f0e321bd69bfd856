"""Followers of a journal that rolls, is sealed, cooled and cleared, while writers die."""

import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aurora_es import Journal, RollCycle
from tests.fault.figures import Figures
from tests.fault.herd import CYCLE, FOLLOWERS
from tests.fault.told import Told, ViolationError, records_of
from tests.fault.trace import ROOT
from tests.journal.support import effects_with, message, open_with
from tests.patience import PATIENCE_SECONDS


class Herd:
    """The processes, and what they have told."""

    def __init__(self, path: Path) -> None:
        """Start the process that forks them."""
        self.told = Told()
        self.seen: dict[str, int] = {}  # last position, by follower
        self.delays: list[float] = []  # from an acknowledgement to a follower's line, seconds
        self._at: dict[str, float] = {}  # when a commit was told to be tried
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.herd", str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._rest = b""

    def send(self, line: str) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def listen(self, seconds: float) -> bool:
        """Take in lines for a while; True once all have been reaped."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([fd], [], [], left)[0]:
                continue
            *lines, self._rest = (self._rest + os.read(fd, 1 << 16)).split(b"\n")
            if b"reaped" in lines:
                return True
            for line in lines:
                self._take(line.decode())
        return False

    def _take(self, line: str) -> None:
        word, *rest = line.split(" ")
        if word in {"corrupt", "ended"}:
            raise ViolationError(line)
        if word != "saw":
            self.told.take(line)
            if word == "ok":
                self._at[f"{rest[0]} {rest[1]}"] = time.monotonic()
            return
        follower, position, appender, serial, part = rest
        if int(position) != self.seen.get(follower, 0) + 1:
            raise ViolationError(f"skipped or repeated: {line} after {self.seen.get(follower)}")
        self.seen[follower] = int(position)
        told_at = self._at.get(f"{appender} {serial}")
        if told_at is not None and part.startswith("0/"):
            self.delays.append(time.monotonic() - told_at)

    def followed(self, number: int) -> list[int]:
        """How many records each follower of a round has seen."""
        return [count for name, count in self.seen.items() if name.startswith(f"{number}.")]

    def close(self) -> None:
        """End all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def follow(directory: Path, rounds: int, figures: Figures) -> None:
    """Let the herd live several times; followers begin anew each time, at the first record."""
    directory.mkdir()
    path = directory / "journal"
    rng = random.Random(rounds)
    with Journal.open(path, roll_cycle=CYCLE) as journal:
        journal.append(records_of("zero", 1, 1))
    herd = Herd(path)
    herd.told.take("try zero 1 1")
    for number in range(rounds):
        herd.send(f"start {number}")
        herd.listen(rng.uniform(0.5, 1.5))
        until = time.monotonic() + PATIENCE_SECONDS
        while len(followed := herd.followed(number)) < FOLLOWERS:  # a busy machine starts them late
            assert time.monotonic() < until
            herd.listen(0.1)
        herd.send("reap")
        assert herd.listen(PATIENCE_SECONDS)
        followed = herd.followed(number)
        figures.trials += sum(followed)
    herd.close()
    with Journal.open(path) as journal:
        herd.told.check(journal)
        assert max(herd.seen.values()) <= journal.last_position
        segments = sum(name.endswith(".segment") for name in os.listdir(path))
    delays = sorted(herd.delays)
    figures.add(killed=rounds * 7, segments=segments, acknowledged=len(herd.told.acknowledged))
    figures.counts["skipped"] = figures.counts["repeated"] = 0
    p99 = round(1000 * delays[len(delays) * 99 // 100], 1)
    figures.counts["p99 ms until seen, catching up of new followers included"] = p99


def test_followers_for_a_while(tmp_path: Path) -> None:
    """Every follower sees every record, once, in order, over rolls, cooling and kills."""
    with Figures("E9", "rolls, cooling, kills", "followed record") as figures:
        follow(tmp_path / "herd", 2, figures)


def test_clocks_that_jump(tmp_path: Path) -> None:
    """A clock that goes back or far ahead changes no order, and followers miss nothing."""
    jump_clocks(tmp_path / "journal", 40)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_followers_for_longer(tmp_path: Path, reliability_factor: int) -> None:
    """The same, as often as the reliability factor says."""
    with Figures("E9", "rolls, cooling, kills", "followed record") as figures:
        for number in range(-(-reliability_factor // 10)):
            follow(tmp_path / str(number), 10, figures)


@pytest.mark.reliability
@pytest.mark.timeout(14_400)
def test_clocks_that_jump_often(tmp_path: Path, reliability_factor: int) -> None:
    """The same with more jumps."""
    with Figures("E9", "clock jumps", "jump") as figures:
        for number in range(reliability_factor):
            jump_clocks(tmp_path / str(number), 40)
            figures.trials += 40
        figures.counts["skipped"] = figures.counts["repeated"] = 0


def jump_clocks(path: Path, count: int) -> None:
    """Append under clocks of several handles that jump to and fro, and follow."""
    rng = random.Random(count)
    now = [1_700_000_000_000_000, 1_700_000_000_000_000]
    handles = [
        open_with(path, effects_with(clock=lambda at=at: now[at]), roll_cycle=RollCycle.HOUR)  # type: ignore[misc]
        for at in range(2)
    ]
    handles[0].append([message(b"0")])
    with handles[1].tail() as tailer:
        seen = [next(tailer)]
        for number in range(1, count):
            at = rng.randrange(2)
            now[at] += rng.choice((-1, 1)) * rng.choice((1, 10**6, 3_600 * 10**6, 86_400 * 10**6))
            handles[at].append([message(b"%d" % number)])
            seen.append(next(tailer))
    assert [int(one.record.state) for one in seen] == list(range(count))
    assert [one.position for one in seen] == list(range(1, count + 1))
    times = [one.timestamp for one in seen]
    assert times == sorted(times)
    for handle in handles:
        handle.close()

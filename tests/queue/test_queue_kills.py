"""Senders and workers that are killed at random: acknowledged is there, and done at least once."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Self

import pytest

from aurora_es import Sync
from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.queue import ReceiveTimeoutError
from tests.processes.queue_worker import VISIBILITY_SECONDS
from tests.queue.support import builder, run

ROOT = Path(__file__).parent.parent.parent
KILLS = 8
CLAIMS_MAX = 2 * 2  # two workers, two each
FAR_FUTURE_US = 4_000_000_000_000_000


class Nursery:
    """Keeps two senders and two workers running, and ends them all with the context."""

    def __init__(self, directory: Path) -> None:
        """Work on a queue in ``directory``."""
        self.directory = directory
        self.count = self.delays = 0
        self._now_us = 1_700_000_000_000_000
        self._tell_time()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str) -> None:
        """Start a process in place of another one of the same role."""
        self.count += 1
        module, told = role.rstrip("12"), self.directory / f"{role}.txt"
        name = f"sender{self.count}" if module == "queue_sender" else "group"
        command = [sys.executable, "-m", f"tests.processes.{module}"]
        self.running[role] = subprocess.Popen(
            [*command, str(self.directory / "q"), name, str(told)], cwd=ROOT
        )

    def kill(self, role: str) -> None:
        """Kill a process."""
        process = self.running.pop(role)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        if role.startswith("queue_worker"):
            # What it had claimed is due now, and what the other one has, too.
            self.delays += 1
            self._now_us += int(2e6 * VISIBILITY_SECONDS)
            self._tell_time()

    def _tell_time(self) -> None:
        new = self.directory / "clock.new"
        new.write_text(str(self._now_us), "ascii")
        new.rename(self.directory / "clock")

    def __enter__(self) -> Self:
        """Start them."""
        for role in ("queue_sender1", "queue_sender2", "queue_worker1", "queue_worker2"):
            self.start(role)
        return self

    def __exit__(self, *_: object) -> None:
        """Kill those that are left."""
        for role in list(self.running):
            self.kill(role)

    def lines(self, module: str) -> list[list[str]]:
        """What the processes of a kind have told, without a line that a kill has cut."""
        found = []
        for path in sorted(self.directory.glob(f"{module}*.txt")):
            text = path.read_text("utf-8")
            found += [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
        return found


def wait_for_lines(nursery: Nursery, role: str, count: int) -> None:
    """Wait until a process has told ``count`` lines more; it tells many in a second."""
    path = nursery.directory / f"{role}.txt"

    async def told() -> None:
        before = path.stat().st_size if path.exists() else 0
        while not path.exists() or path.stat().st_size < before + 12 * count:
            assert nursery.running[role].poll() is None
            await asyncio.sleep(0.005)

    run(told)


async def rest_of(directory: Path) -> tuple[list[str], list[str]]:
    """All messages; and those that the group is not done with, whose time is long over."""
    effects = Effects(SystemFiles(), clock=lambda: FAR_FUTURE_US)
    async with await builder(directory / "q", effects).build() as queue:
        receiver = await queue.subscribe()
        there = [await receiver.next(str) for _ in range(queue.last_position)]
        member = await queue.join("group", attempts_max=None, prefetch=100)
        left = []
        try:
            while True:
                async with member.take(timeout=0) as message:
                    left.append(message.decode(str))
        except ReceiveTimeoutError:
            return there, left


@pytest.mark.parametrize("sync", [Sync.ALWAYS, Sync.NEVER], ids=str)
def test_kills(tmp_path: Path, sync: Sync, reliability_factor: int) -> None:
    """Every acknowledged send is there once, and every message is done, twice only if unconfirmed."""
    rng = random.Random(str(sync))
    run(lambda: prepare(tmp_path, sync))
    with Nursery(tmp_path) as nursery:
        for _ in range(KILLS * reliability_factor // 5 or KILLS):
            role = rng.choice(sorted(nursery.running))
            wait_for_lines(nursery, role, rng.randint(1, 40))
            nursery.kill(role)
            nursery.start(role)
        for role in ("queue_worker1", "queue_worker2"):
            wait_for_lines(nursery, role, 5)
    there, left = run(lambda: rest_of(tmp_path))
    assert len(there) == len(set(there))
    for value, position in nursery.lines("queue_sender"):
        assert there[int(position) - 1] == value
    did: Counter[str] = Counter()
    acknowledged: set[str] = set()
    for what, position, value in nursery.lines("queue_worker"):
        assert there[int(position) - 1] == value
        if what == "did":
            did[value] += 1
        else:
            acknowledged.add(value)
    assert acknowledged.isdisjoint(left)
    assert {*did, *left} == {*there}
    # At most one delivery more for each message that a worker had claimed when another was killed.
    assert sum(did.values()) + len(left) - len(there) <= CLAIMS_MAX * nursery.delays
    check_order(there)


def check_order(there: list[str]) -> None:
    """What one task sent stands in its order."""
    last: dict[str, int] = {}
    for value in there:
        task, _, number = value.partition("-")
        assert int(number) == last.get(task, 0) + 1
        last[task] = int(number)


async def prepare(directory: Path, sync: Sync) -> None:
    """Make the queue, with its group."""
    async with await builder(directory / "q", sync=sync).build() as queue:
        await queue.join("group")

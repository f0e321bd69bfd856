"""Backups in a loop while four processes write, roll, seal and cool two journals."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_es import Journal, RollCycle, Sync
from aurora_es.care import backup, restore, verify
from aurora_es.journal import background
from tests.care.entangled import EVENTS_OF_A_LINE, SEGMENT_EVENTS
from tests.journal.support import message

ROOT = Path(__file__).parent.parent.parent


class Writers:
    """Two processes for each of two journals."""

    def __init__(self, paths: list[Path]) -> None:
        """Make the journals and start the processes, which wait."""
        self.lines = 0
        for path in paths:
            path.parent.mkdir(parents=True)
            cycle = RollCycle.events(SEGMENT_EVENTS)
            with Journal.open(path, roll_cycle=cycle, sync=Sync.NEVER) as journal:
                journal.append([message()])
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.care.entangled", str(own), str(other)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                encoding="utf-8",
            )
            for own, other in (paths, paths[::-1]) * 2
        ]

    def go_on(self) -> None:
        """Let each append some more, so that a slow machine has no more of them than a fast one."""
        self.lines += 1
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    def end(self) -> None:
        """Wait until all has been appended."""
        for process in self.processes:
            process.communicate()
            assert process.returncode == 0


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Say where the journals are."""
    return [tmp_path / "store" / name / "events" for name in ("A", "B")]


@pytest.fixture
def writers(paths: list[Path]) -> Iterator[Writers]:
    """Start them, and leave none behind."""
    writers = Writers(paths)
    yield writers
    writers.end()


def test_each_backup_is_a_consistent_cut(
    tmp_path: Path, paths: list[Path], writers: Writers, reliability_factor: int
) -> None:
    """Each restores, verifies, equals the live journals up to its marks, and tracks no future."""
    store, target, restored = tmp_path / "store", tmp_path / "backup", tmp_path / "restored"
    for count in range(max(3, reliability_factor // 2)):
        writers.go_on()
        report = backup(store, target, verify=True, copy=count % 2 == 1, lock_timeout=60)
        restore(target, restored)
        tails = {}
        for part in report.journals:
            for root in (restored, store):
                found = verify(root / part.path, until_commit=part.commit)
                assert found.is_whole, found.findings
                assert found.digest == part.digest
            with Journal.open(restored / part.path) as opened:
                tails[part.path[0]] = opened.last_position, opened.tracking()
                opened.append([message()])
        for name, other in ("AB", "BA"):
            assert tails[name][1].get(other, 0) <= tails[other][0]
        shutil.rmtree(restored)
        writers.go_on()
        background.seal(str(paths[count % 2]))
        if count % 2:
            background.cool(str(paths[0]))
            background.work(str(paths[0]))
    writers.end()
    for path in paths:
        with Journal.open(path, read_only=True) as journal:
            assert journal.last_position == 1 + 2 * writers.lines * EVENTS_OF_A_LINE

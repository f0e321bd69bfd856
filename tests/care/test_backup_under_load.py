"""Backups in a loop while four processes write, roll, seal and cool two journals."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from aurora_es import Journal, RollCycle, Sync
from aurora_es.care import backup, restore, verify
from aurora_es.journal import background
from tests.journal.support import message

ROOT = Path(__file__).parent.parent.parent


def test_each_backup_is_a_consistent_cut(tmp_path: Path, reliability_factor: int) -> None:
    """Each restores, verifies, equals the live journals up to its marks, and tracks no future."""
    store, target, restored = tmp_path / "store", tmp_path / "backup", tmp_path / "restored"
    paths = [store / name / "events" for name in ("A", "B")]
    for path in paths:
        path.parent.mkdir(parents=True)
        with Journal.open(path, roll_cycle=RollCycle.events(4_000), sync=Sync.NEVER) as journal:
            journal.append([message()])
    stop = tmp_path / "stop"
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.care.entangled", str(own), str(other), str(stop)],
            cwd=ROOT,
        )
        for own, other in (paths, paths[::-1]) * 2
    ]
    try:
        for count in range(max(3, reliability_factor // 2)):
            assert all(writer.poll() is None for writer in writers)
            report = backup(store, target, verify=True, copy=count % 2 == 1, lock_timeout=30)
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
            background.seal(str(paths[count % 2]))
            if count % 2:
                background.cool(str(paths[0]))
                background.work(str(paths[0]))
    finally:
        stop.touch()
        for writer in writers:
            assert writer.wait(30) == 0

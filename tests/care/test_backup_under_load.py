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
        with Journal.open(path, roll_cycle=RollCycle.events(200), sync=Sync.NEVER) as journal:
            journal.append([message()])
    seconds = 4 + 2 * reliability_factor
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.care.entangled", str(own), str(other), str(seconds)],
            cwd=ROOT,
        )
        for own, other in (paths, paths[::-1]) * 2
    ]
    count = 0
    try:
        while any(writer.poll() is None for writer in writers):
            report = backup(store, target, verify=True, copy=count % 2 == 1, lock_timeout=30)
            restore(target, restored)
            tails = {}
            for done in report.journals:
                for root in (restored, store):
                    found = verify(root / done.path, until_commit=done.commit)
                    assert found.is_whole, found.findings
                    assert found.digest == done.digest
                with Journal.open(restored / done.path) as opened:
                    tails[done.path[0]] = opened.last_position, opened.tracking()
                    opened.append([message()])
            for name, other in ("AB", "BA"):
                assert tails[name][1].get(other, 0) <= tails[other][0]
            shutil.rmtree(restored)
            background.seal(str(paths[count % 2]))
            if count % 2:
                background.cool(str(paths[0]))
                background.work(str(paths[0]))
            count += 1
    finally:
        for writer in writers:
            writer.kill() if writer.poll() is None else None
            assert writer.wait() == 0
    assert count >= 3

"""``aurora-es backup`` and ``restore``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.support import make_journal, refused, run


def test_a_backup_is_restored(tmp_path: Path) -> None:
    """Both commands tell what they did, and a full target is refused."""
    source, target = make_journal(tmp_path / "store" / "Bank" / "events"), tmp_path / "backup"
    done = run("backup", tmp_path / "store", target, "--verify")
    assert done.returncode == 0, done.stderr
    assert "up to position 7, commit 4" in done.stdout
    assert "digest " in done.stdout
    told = json.loads(run("backup", tmp_path / "store", target, "--json").stdout)
    assert told["journals"][0]["copied_files"] == 0
    done = run("restore", target, tmp_path / "new", "--position", 5)
    assert done.returncode == 0, done.stderr
    assert "up to position 3, commit 2" in done.stdout
    assert "expected an absent or empty directory" in refused(1, "restore", target, source)
    assert run("verify", tmp_path / "new").returncode == 0

"""The example three processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.three_processes.__main__ import main

ROOT = Path(__file__).parents[2]


def run(path: Path) -> str:
    """Run it in a store; what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.three_processes"],
        cwd=ROOT,
        env=os.environ | {"AURORA_PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The kill may come in the middle of a commit: then whoever takes over says that it recovered.
    assert "Traceback" not in done.stderr
    return done.stdout


def test_the_example_runs_twice_on_one_store(tmp_path: Path) -> None:
    """Every paid order is shipped and billed once, though a process is killed each time."""
    for total in (40, 80):
        said = run(tmp_path)
        assert f"{total} shipments, {total} bills" in said
        assert "Of the 40 orders of this run 0 are not billed." in said
    assert {path.name for path in tmp_path.iterdir()} == {"Orders", "Shipping", "Billing"}


def test_without_a_path_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The temporary store is removed at the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main() == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []

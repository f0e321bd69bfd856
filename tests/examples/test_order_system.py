"""The order-system example."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.order_system.__main__ import main

ROOT = Path(__file__).parents[2]


def test_the_example_runs_twice_on_one_store(tmp_path: Path) -> None:
    """It ships every paid order, also with those of an earlier run in the store."""
    for resumed_after, last_id in ((3, 7), (10, 14)):
        done = subprocess.run(
            [sys.executable, "-m", "examples.order_system"],
            cwd=ROOT,
            env=os.environ | {"AURORA_PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, "")
        assert f"it went on after event {resumed_after}, up to {last_id}." in done.stdout
        assert "3 orders were paid, 3 shipments of theirs are planned." in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"Orders", "Shipping"}


def test_without_a_path_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The temporary store is removed at the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert main() == 0

    assert str(tmp_path) in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []

"""The example searchable content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.searchable_content.__main__ import main

ROOT = Path(__file__).parents[2]


def run(path: Path) -> str:
    """Run it in a store; what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.searchable_content"],
        cwd=ROOT,
        env=os.environ | {"AURORA_PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_example(tmp_path: Path) -> None:
    """What was changed while nobody indexed is found, and what it was before is not."""
    store = tmp_path / "store"  # as AURORA_PATH=store, which nobody has made before
    said = run(store)
    assert "Pages about water: Bread, Soup." in said
    assert "Pages about water: Soup; about milk and salt: Bread." in said
    assert {path.name for path in store.iterdir()} >= {"Pages", "searching.sqlite"}


def test_the_index_is_built_again(tmp_path: Path) -> None:
    """As the tutorial says: delete the database, start again, and all pages are in it."""
    run(tmp_path)
    (tmp_path / "searching.sqlite").unlink()
    said = run(tmp_path)
    assert "Pages about water: Bread, Soup, Soup." in said
    assert "Pages about water: Soup, Soup; about milk and salt: Bread, Bread." in said


def test_without_a_path_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The temporary store is removed at the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main() == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []

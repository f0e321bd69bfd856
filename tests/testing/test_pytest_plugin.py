"""The plugin is found by pytest, and gives each test a store of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_TESTS = """
import os
import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate

@pytest.mark.parametrize("number", [1, 2])
def test_a_private_store(aurora_store, number):
    assert "APPLICATION_AURORA_PATH" not in os.environ
    with Application() as application:
        assert type(application.factory).__module__ == "aurora_es.factory"
        assert application.recorder.max_notification_id() is None
        application.save(Aggregate())
    assert os.listdir(aurora_store["AURORA_PATH"]) == ["Application"]
    with Application(aurora_store) as application:
        assert application.recorder.max_notification_id() == 1

def test_without_one():
    assert os.environ["APPLICATION_AURORA_PATH"] == "elsewhere"
"""


def test_the_fixture_in_a_project_of_its_own(tmp_path: Path) -> None:
    """Stores are private, and the settings of the shell come back."""
    (tmp_path / "test_it.py").write_text(_TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "APPLICATION_AURORA_PATH": "elsewhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert not (tmp_path / "elsewhere").exists()

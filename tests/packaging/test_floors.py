"""The floors of the dependencies are written where ``make test-floor`` finds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.packaging.floors import EXTRAS, floors

ROOT = Path(__file__).parent.parent.parent


def test_each_dependency_has_a_floor() -> None:
    """One line for each, as pip reads them, by plain Python."""
    command = [sys.executable, "-I", str(ROOT / "tests" / "packaging" / "floors.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [f"{name}=={floor}" for name, floor in floors().items()]
    assert {"numpy", "msgspec", "lz4", "eventsourcing"} <= floors().keys()


def test_the_page_names_each_extra() -> None:
    """docs/how-to/install.md says what each extra brings."""
    page = (ROOT / "docs" / "how-to" / "install.md").read_text("utf-8")
    for extra in EXTRAS:
        assert f"| `{extra}` |" in page
    for name, floor in floors().items():
        assert f"`{name}` {floor}" in page

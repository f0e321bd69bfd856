"""Fixtures of the tests of wake-ups."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_es.files.wakeups import Wakeups
from tests.files.marks import Mark, kernel_wakeups, polled_wakeups


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Mark]:
    """Return a mark."""
    mark = Mark(tmp_path / "mark")
    yield mark
    mark.close()


@pytest.fixture
def other_mark(tmp_path: Path) -> Iterator[Mark]:
    """Return the mark of another journal."""
    mark = Mark(tmp_path / "other")
    yield mark
    mark.close()


@pytest.fixture(params=[kernel_wakeups, polled_wakeups], ids=["kernel", "polled"])
def wakeups(request: pytest.FixtureRequest) -> Wakeups:
    """Return wake-ups of each kind."""
    made = request.param()
    assert isinstance(made, Wakeups)
    return made

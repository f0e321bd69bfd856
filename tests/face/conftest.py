"""Fixtures of the tests of the eventsourcing face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_es import AuroraFactory
from tests.face.support import OpenFactory, factory_on
from tests.face.watching import SleepWatcher


@pytest.fixture
def open_factory(tmp_path: Path) -> Iterator[OpenFactory]:
    """Construct factories on one store, and close them all at the end."""
    factories: list[AuroraFactory] = []

    def open_one(name: str = "App", **settings: str) -> AuroraFactory:
        factories.append(factory_on(tmp_path, name, **settings))
        return factories[-1]

    yield open_one
    for factory in factories:
        factory.close()


@pytest.fixture
def sleepers(monkeypatch: pytest.MonkeyPatch) -> SleepWatcher:
    """Tell when a subscription has nothing more to yield and goes to sleep."""
    return SleepWatcher(monkeypatch)

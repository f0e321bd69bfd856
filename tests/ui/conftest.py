"""Stores that are made once for all tests of a file, and the page served by the real command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from aurora_es.decoding import load_decoder
from aurora_es.ui.app import create_app
from tests.cli.support import opened, started
from tests.ui.stores import APP, make_hostile_store, make_store

EVENTS = 3_000
BASE = "http://127.0.0.1"


@contextmanager
def served(*arguments: object, **environment: str) -> Iterator[tuple[str, int]]:
    """Run ``aurora-es ui`` on a free port; yields its address and process id."""
    with started("ui", *arguments, "--port", 0, "--json", **environment) as process:
        line = opened(process.stdout).readline()
        assert line, opened(process.stderr).read()
        yield json.loads(line)["address"], process.pid


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all kinds of journals."""
    return make_store(tmp_path_factory.mktemp("ui") / "store", events=EVENTS)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose content is an attack."""
    return make_hostile_store(tmp_path_factory.mktemp("ui"))


@pytest.fixture(scope="module")
def client(store: Path) -> Iterator[TestClient]:
    """A client of the page, with the application's decoder."""
    page = create_app(str(store), decoder=load_decoder(APP, str(store)))
    with TestClient(page, base_url=BASE, raise_server_exceptions=True) as made:
        yield made

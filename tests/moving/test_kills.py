"""Moves by the command, killed for real at random moments, in all directions.

Run again, each ends with what the source has: by its own count and digest, and as the library's
recorders read it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from tests.cli.support import COMMAND, environment, run
from tests.moving.sides import (
    ORDER,
    OTHER,
    Contents,
    events,
    make_sqlite,
    read_sqlite,
    read_store,
)
from tests.patience import PATIENCE_SECONDS
from tests.postgres import Server, open_server

SNAPSHOTS = [StoredEvent(ORDER, 7, "s", b"7"), StoredEvent(OTHER, 3, "s", b"\xff")]
EVENTS_COUNT = 6_000  # so many that moving them takes as long as starting the command
KILLS = 100 if os.environ.get("AURORA_RELIABILITY") else 4
TOPIC = "eventsourcing.sqlite"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a database, a store, and a file of JSON lines of the same events."""
    directory = tmp_path_factory.mktemp("origin")
    path = make_sqlite(
        directory / "shop.db", events(EVENTS_COUNT), snapshots=SNAPSHOTS, tracking=[("Up", 42)]
    )
    for arguments in (
        ("import", "sqlite", path, directory / "store" / "Shop"),
        ("export", "jsonl", directory / "lines", directory / "store" / "Shop"),
    ):
        assert run(*arguments).returncode == 0
    return directory


@pytest.fixture(scope="module")
def expected(origin: Path) -> Contents:
    """What the library's recorders say of the database."""
    return read_sqlite(origin / "shop.db")


def _kill_at_random(seed: int, arguments: list[object], **env: str) -> dict[str, Any]:
    """Kill the command ``KILLS`` times, then let it end; returns its report."""
    rng = random.Random(seed)
    command = [*COMMAND, *map(str, arguments), "--json"]
    longest = 0.7
    for _ in range(KILLS):
        begin = time.monotonic()
        with subprocess.Popen(
            command, env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                process.communicate(timeout=rng.uniform(0.1, longest))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
            else:
                # Whole already; what follows are moves of nothing, which are killed as well.
                assert process.returncode == 0
                longest = time.monotonic() - begin
    done = subprocess.run(
        command, env=environment(**env), capture_output=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["verified"]
    assert [(part["part"], part["count"]) for part in report["parts"]] == [
        ("events", EVENTS_COUNT),
        ("snapshots", len(SNAPSHOTS)),
    ]
    assert report["tracking"] == {"Up": 42}
    return report


def _import_sqlite(origin: Path, tmp_path: Path) -> Contents:
    _kill_at_random(1, ["import", "sqlite", origin / "shop.db", tmp_path / "s" / "Shop"])
    return read_store(tmp_path / "s")


def _import_lines(origin: Path, tmp_path: Path) -> Contents:
    _kill_at_random(2, ["import", "jsonl", origin / "lines", tmp_path / "s" / "Shop"])
    return read_store(tmp_path / "s")


def _import_recorder(origin: Path, tmp_path: Path) -> Contents:
    arguments = ["import", "recorder", TOPIC, tmp_path / "s" / "Shop", "--upstream", "Up"]
    _kill_at_random(3, arguments, SQLITE_DBNAME=str(origin / "shop.db"))
    return read_store(tmp_path / "s")


def _export_sqlite(origin: Path, tmp_path: Path) -> Contents:
    _kill_at_random(4, ["export", "sqlite", tmp_path / "back.db", origin / "store" / "Shop"])
    return read_sqlite(tmp_path / "back.db")


def _export_lines(origin: Path, tmp_path: Path) -> Contents:
    _kill_at_random(5, ["export", "jsonl", tmp_path / "lines", origin / "store" / "Shop"])
    assert (tmp_path / "lines").read_bytes() == (origin / "lines").read_bytes()
    return read_sqlite(origin / "shop.db")


def _export_recorder(origin: Path, tmp_path: Path) -> Contents:
    arguments = ["export", "recorder", TOPIC, origin / "store" / "Shop"]
    _kill_at_random(6, arguments, SQLITE_DBNAME=str(tmp_path / "back.db"))
    return read_sqlite(tmp_path / "back.db")


@pytest.mark.parametrize(
    "move",
    [
        _import_sqlite,
        _import_lines,
        _import_recorder,
        _export_sqlite,
        _export_lines,
        _export_recorder,
    ],
)
def test_kills_at_random_moments(
    origin: Path, expected: Contents, tmp_path: Path, move: Callable[[Path, Path], Contents]
) -> None:
    """From and to files: nothing is lost, nothing doubled, whenever the command was killed."""
    assert move(origin, tmp_path) == expected


@pytest.fixture
def server() -> Iterator[Server]:
    """A schema of its own."""
    made = open_server()
    yield made
    made.close()


def test_kills_at_random_moments_beside_postgres(
    origin: Path, expected: Contents, tmp_path: Path, server: Server
) -> None:
    """The server goes on with what a killed client has sent; the next one finds it there."""
    schema = ("--schema", server.schema)
    _kill_at_random(7, ["export", "postgres", server.dsn, origin / "store" / "Shop", *schema])
    with server.factory() as factory:
        recorder = factory.process_recorder()
        found = recorder.select_notifications(start=1, limit=EVENTS_COUNT + 1)
        assert [
            (one.id, one.originator_id, one.originator_version, one.topic, bytes(one.state))
            for one in found
        ] == expected.notifications
        assert recorder.insert_events([StoredEvent(ORDER, -1, "t", b"")]) == [EVENTS_COUNT + 1]
    server.execute("DELETE FROM shop_events WHERE originator_version = -1")
    _kill_at_random(8, ["import", "postgres", server.dsn, tmp_path / "s" / "Shop", *schema])
    assert read_store(tmp_path / "s") == expected

"""``aurora-es bench``: figures, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from aurora_es import ArgumentError, StorageFullError
from aurora_es.care import bench
from aurora_es.files import surroundings
from aurora_es.journal.discovery import journals_below
from tests.cli.support import make_journal, refused, run, started
from tests.patience import PATIENCE_SECONDS

ROWS = [
    "floor",
    "floor, growing file",
    "append, sync always",
    "append, sync 20ms",
    "append, sync never",
    "append of 100, sync always",
    "page of 1,000",
    "last event",
]


def test_a_table_is_printed_and_nothing_is_left(tmp_path: Path) -> None:
    """A line for each kind of call; those that sync are compared with the floor."""
    done = run("bench", tmp_path, "--seconds", 0.1)
    assert (done.returncode, done.stderr) == (0, "")
    first, header, *rows = done.stdout.splitlines()
    assert first.startswith(f"{tmp_path}: ")
    assert header.split("  ")[-1].strip() == "x floor"
    assert [re.split(r"\s{2,}", row)[0] for row in rows] == ROWS
    assert [len(re.split(r"\s{2,}", row)) for row in rows] == [4, 5, 5, 4, 4, 5, 4, 4]
    assert os.listdir(tmp_path) == []


def test_figures_as_json(tmp_path: Path) -> None:
    """Of the directory that the environment names, if none is given."""
    done = run("bench", "--seconds", 0.1, "--json", AURORA_PATH=str(tmp_path))
    report = json.loads(done.stdout)
    assert report["path"] == str(tmp_path)
    assert [row["name"] for row in report["rows"]] == ROWS
    for row in report["rows"]:
        assert row["calls"] > 0
        assert 0 < row["p50_us"] <= row["p99_us"]
        assert row["per_second"] > 0
    assert [row["times_floor"] is not None for row in report["rows"]] == [
        name in ROWS[1:3] or name == ROWS[5] for name in ROWS
    ]


def test_nobody_finds_its_journals(tmp_path: Path) -> None:
    """A backup or a look at the store meanwhile sees only what is its own; progress rises to the end."""
    make_journal(tmp_path / "Bank" / "events")
    seen = []
    steps = []

    def look(done: int, total: int) -> None:
        seen.extend(journals_below(str(tmp_path)).journals)
        steps.append((done, total))

    bench(tmp_path, seconds=0.1, progress=look)
    assert {*seen} == {str(tmp_path / "Bank" / "events")}
    assert steps == [(number, len(ROWS)) for number in range(1, len(ROWS) + 1)]


def test_it_is_removed_when_it_is_stopped(tmp_path: Path) -> None:
    """By an exception, as Ctrl-C is one, and by a signal that asks to end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(tmp_path, seconds=0.1, progress=interrupt)
    assert os.listdir(tmp_path) == []
    with started("bench", tmp_path, "--seconds", 120) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list(tmp_path.glob(".aurora-es-bench-*/journals/read/*.segment")):
            assert time.monotonic() < deadline
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 143
    assert os.listdir(tmp_path) == []


def test_what_killed_runs_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """But nothing that a living one has locked, and nothing that only has such a name."""
    foreign = tmp_path / ".aurora-es-bench-mine"
    foreign.mkdir()
    (foreign / "letter").write_text("dear")
    with (
        started("bench", tmp_path, "--seconds", 120) as killed,
        started("bench", tmp_path, "--seconds", 120) as alive,
    ):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(list(tmp_path.glob(".aurora-es-bench-*/journals/read/*.segment"))) < 2:
            assert time.monotonic() < deadline
        killed.kill()
        killed.wait(PATIENCE_SECONDS)
        assert len(os.listdir(tmp_path)) == 3
        bench(tmp_path, seconds=0.1)
        left = set(tmp_path.iterdir()) - {foreign}
        assert len(left) == 1
        alive.terminate()
        assert alive.wait(PATIENCE_SECONDS) == 143
    assert os.listdir(tmp_path) == [foreign.name]
    assert (foreign / "letter").read_text() == "dear"


def test_what_cannot_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No directory, a journal, a full disk; wrong numbers are wrong arguments."""
    journal = make_journal(tmp_path / "events")
    assert "no such directory" in refused(1, "bench", tmp_path / "missing")
    assert "found a journal; name the one above" in refused(1, "bench", journal)
    for seconds in ("0", "121", "x"):
        assert run("bench", tmp_path, "--seconds", seconds).returncode == 2
    with pytest.raises(ArgumentError, match="expected more than 0"):
        bench(tmp_path, seconds=0)
    full = surroundings.Space(free_bytes=1 << 20, free_inodes=None, is_read_only=False)
    monkeypatch.setattr(sys.modules[bench.__module__], "space_of", lambda *_: full)
    with pytest.raises(StorageFullError, match="expected 1,073,741,824 bytes free"):
        bench(tmp_path)
    assert os.listdir(tmp_path) == ["events"]

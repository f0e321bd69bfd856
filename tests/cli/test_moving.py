"""``aurora-es import`` and ``export``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.cli.support import COMMAND, environment, refused, run
from tests.cli.terminal import run_at_terminal
from tests.moving.sides import delete_events, events, make_sqlite, read_sqlite, read_store
from tests.patience import PATIENCE_SECONDS


def _database(tmp_path: Path) -> Path:
    return make_sqlite(tmp_path / "shop.db", events(30), tracking=[("Up", 1042)])


def test_a_database_is_moved_in_and_out_again(tmp_path: Path) -> None:
    """All four commands tell what they did, with counts and digests that agree."""
    path, store = _database(tmp_path), tmp_path / "store" / "Shop"
    done = run("import", "sqlite", path, store)
    assert done.returncode == 0, done.stderr
    assert "30 events, 30 of them moved now\ndigest " in done.stdout
    assert f"tracked Up up to 1,042\n{store}: read back and the same, on disk" in done.stdout
    told = json.loads(run("export", "jsonl", tmp_path / "lines", store, "--json").stdout)
    assert (told["verified"], told["durable"], told["tracking"]) == (True, True, {"Up": 1042})
    done = run("import", "jsonl", tmp_path / "lines", tmp_path / "again" / "Shop")
    assert told["parts"][0]["digest"] in done.stdout
    done = run("export", "sqlite", tmp_path / "back.db", tmp_path / "again" / "Shop")
    assert told["parts"][0]["digest"] in done.stdout
    assert read_sqlite(tmp_path / "back.db") == read_sqlite(path)
    assert run("verify", tmp_path / "store").returncode == 0


def test_a_dry_run_says_what_there_is(tmp_path: Path) -> None:
    """Nothing is made; gaps and what to do about them are told."""
    path, store = _database(tmp_path), tmp_path / "store" / "Shop"
    done = run("import", "sqlite", path, store, "--dry-run")
    assert "30 events, 30 of them to move" in done.stdout
    assert "nothing was changed" in done.stdout
    delete_events(path, [5])
    assert "--gaps renumber" in refused(1, "import", "sqlite", path, store, "--dry-run")
    assert not store.parent.exists()
    done = run("import", "sqlite", path, store, "--gaps", "renumber")
    assert "numbered anew, as 1 ids are missing in the source" in done.stdout


def test_pipes_carry_a_store(tmp_path: Path) -> None:
    """What one command writes to its output, another reads; what it reports goes to stderr."""
    path, store = _database(tmp_path), tmp_path / "store" / "Shop"
    run("import", "sqlite", path, store)
    exported = run("export", "jsonl", "-", store, "--json")
    assert json.loads(exported.stderr)["parts"][0]["count"] == 30
    imported = subprocess.run(
        [*COMMAND, "import", "jsonl", "-", str(tmp_path / "again" / "Shop"), "--json"],
        input=exported.stdout.encode(),
        env=environment(),
        capture_output=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert json.loads(imported.stdout)["verified"]
    assert read_store(tmp_path / "again") == read_sqlite(path)


def test_a_pipe_that_breaks_is_no_whole_import(tmp_path: Path) -> None:
    """An exporter that dies leaves an importer that says so, and no application."""
    path, store = _database(tmp_path), tmp_path / "store" / "Shop"
    run("import", "sqlite", path, store)
    exported = run("export", "jsonl", "-", store).stdout.encode()
    imported = subprocess.run(
        [*COMMAND, "import", "jsonl", "-", str(tmp_path / "again" / "Shop")],
        input=exported[: len(exported) // 2],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert imported.returncode == 1
    assert b"expected a line of the format" in imported.stderr
    assert not (tmp_path / "again" / "Shop").exists()


def test_a_terminal_sees_progress_and_a_pipe_does_not(tmp_path: Path) -> None:
    """The bar counts rows, and is on stderr only."""
    path = _database(tmp_path)
    shown = run_at_terminal("import", "sqlite", path, tmp_path / "a" / "Shop")
    assert "importing" in shown
    assert run("import", "sqlite", path, tmp_path / "b" / "Shop").stderr == ""


def test_refusals_of_moves(tmp_path: Path) -> None:
    """What is no source, no application or no choice is told in one line."""
    assert "no such file" in refused(1, "import", "sqlite", tmp_path / "none", tmp_path / "Shop")
    assert "found none" in refused(1, "export", "jsonl", tmp_path / "lines", tmp_path / "Shop")
    done = run("import", "sqlite", "a", "b", "--gaps", "fill")
    assert done.returncode == 2
    assert not (tmp_path / "lines").exists()

"""``aurora-es init``: a new store, what to set, and places where none may be."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from aurora_es import Journal, Sync
from aurora_es.care import backup
from tests.cli.support import COMMAND, environment, make_journal, refused, run, run_anew
from tests.cli.test_endings import snapshot

APPLICATION = """
import os
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
class Bank(Application):
    pass
Bank().save(Aggregate())
print(os.environ["AURORA_PATH"])
"""


def test_what_is_printed_can_be_evaluated(tmp_path: Path) -> None:
    """A shell that evaluates it runs applications on the store, with the settings that were given."""
    store = tmp_path / "my store"
    made = shlex.join([*COMMAND, "init", str(store), "--sync", "50ms", "--roll-cycle", "64MiB"])
    script = f'set -eu; eval "$({made})"; {shlex.quote(sys.executable)} -c "$1"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", APPLICATION],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stderr, done.stdout) == ("", f"{store}\n")
    found = Journal.open(store / "Bank" / "events", read_only=True)
    with found:
        statistics = found.statistics()
        assert (statistics.sync, statistics.last_position) == ("50ms", 1)


def test_a_directory_is_made_and_nothing_else(tmp_path: Path) -> None:
    """Without applications it is empty; the defaults are not put into the environment."""
    done = run_anew("init", tmp_path / "store")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"# {tmp_path}/store: made",
        "export PERSISTENCE_MODULE=aurora_es",
        f"export AURORA_PATH={tmp_path}/store",
    ]
    assert list((tmp_path / "store").iterdir()) == []
    again = run("init", tmp_path / "store")
    assert again.stdout.splitlines()[0] == f"# {tmp_path}/store: was there"


def test_journals_record_the_settings(tmp_path: Path) -> None:
    """Of the applications that are named; the same call again changes nothing."""
    arguments = ("init", tmp_path / "store", "--app", "Bank", "--app", "a/b", "--json")
    settings = ("--sync", "never", "--compression", "lz4", "--cool-after", "2d")
    report = json.loads(run(*arguments, *settings).stdout)
    assert report["environment"] == {
        "PERSISTENCE_MODULE": "aurora_es",
        "AURORA_PATH": str(tmp_path / "store"),
        "AURORA_SYNC": "never",
        "AURORA_COMPRESSION": "lz4",
        "AURORA_COOL_AFTER": "48h",
    }
    assert [(one["path"], one["name"], one["sync"]) for one in report["journals"]] == [
        (f"{tmp_path}/store/Bank/events", "Bank", "never"),
        (f"{tmp_path}/store/a%2Fb/events", "a/b", "never"),
    ]
    assert (report["made"], report["journals"][0]["cool_after_hours"]) == (True, 48)
    before = sorted(snapshot(tmp_path))
    assert json.loads(run(*arguments).stdout)["journals"] == report["journals"]
    assert sorted(snapshot(tmp_path)) == before
    message = refused(1, *arguments[:-1], "--sync", "always")
    assert "sync mode always was asked for" in message
    with Journal.open(tmp_path / "store" / "Bank" / "events") as journal:
        assert journal.handle.sync_mode == Sync.NEVER


def test_other_forms(tmp_path: Path) -> None:
    """Lines for an env file, and Python that runs."""
    done = run("init", tmp_path / "store", "--form", "env", "--sync", "always")
    assert done.stdout.splitlines()[1:] == [
        "PERSISTENCE_MODULE=aurora_es",
        f"AURORA_PATH={tmp_path}/store",
        "AURORA_SYNC=always",
    ]
    program = run("init", tmp_path / "store", "--form", "python").stdout
    shown = subprocess.run(
        [sys.executable, "-c", program + 'print(os.environ["AURORA_PATH"])'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{tmp_path}/store\n"


def make_foreign(tmp_path: Path) -> dict[Path, str]:
    """Places where no store may be, and what is said of each."""
    journal = make_journal(tmp_path / "store" / "Bank" / "events")
    backup(tmp_path / "store" / "Bank", tmp_path / "backup")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("Dear")
    (tmp_path / "file").write_text("text")
    return {
        journal: "found a journal",
        journal.parent: "found the directory of an application",
        tmp_path / "backup": "found a target of backups",
        tmp_path / "home": "found 'letter.txt', and no journal",
        tmp_path / "file": "expected a directory, or nothing, found another kind of file",
        tmp_path / "missing" / "store": "expected a directory to make 'store' in, found nothing",
    }


def test_foreign_directories_are_refused(tmp_path: Path) -> None:
    """Each with what was found, and nothing is changed, not even by an application's name."""
    places = make_foreign(tmp_path)
    before = snapshot(tmp_path)
    for place, expected in places.items():
        assert expected in refused(1, "init", place, "--app", "Bank")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("names", [["lost+found"], ["Bank"], ["Bank", "notes.txt"]])
def test_stores_and_fresh_file_systems_are_accepted(tmp_path: Path, names: list[str]) -> None:
    """The directory of a mounted disk, and a store, whatever else a user keeps in it."""
    for name in names:
        if name == "Bank":
            make_journal(tmp_path / name / "events")
        else:
            (tmp_path / name).mkdir()
    assert run("init", tmp_path, "--app", "Ship").returncode == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([*names, "Ship"])


def test_wrong_settings_are_wrong_arguments(tmp_path: Path) -> None:
    """Nothing is made for them."""
    for option in ("--sync", "--roll-cycle", "--compression", "--cool-after", "--form"):
        assert run("init", tmp_path / "store", option, "?").returncode == 2
    refused(1, "init", tmp_path / "store", "--app", "x" * 300)
    assert not (tmp_path / "store").exists()

"""``aurora-es doctor``: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

from aurora_es import Journal, Record
from aurora_es.care.machine import advise_on_machine, look_at_machine
from tests.cli.support import refused, run

OURS = {"PERSISTENCE_MODULE": "aurora_es"}
# Where nothing is wrong but, perhaps, with this very machine: no inotify left, an old package.
EXIT_HERE = 5 if any(one.severity != "note" for one in advise_on_machine(look_at_machine())) else 0


def make(path: Path) -> Path:
    """Make a journal of one record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(path) as journal:
        journal.append([Record(topic="t", state=b"")])
    return path


def test_a_healthy_journal(tmp_path: Path) -> None:
    """Machine, directory and journal are shown; notes alone are a success."""
    path = make(tmp_path / "j")
    done = run("doctor", path)
    assert (done.returncode, done.stderr) == (EXIT_HERE, "")
    for shown in (
        "machine\n",
        f"directory {path}\n",
        f"journal {path}\n",
        "flock",
        "eventsourcing",
    ):
        assert shown in done.stdout


def test_advice_has_a_severity_a_place_and_something_to_do(tmp_path: Path) -> None:
    """A warning or an error ends with an exit code of its own."""
    make(tmp_path / "j")
    done = run("doctor", tmp_path / "j", "--app", "Totals", AURORA_SYNCS="never")
    assert (done.returncode, done.stderr) == (5, "")
    assert "warning: AURORA_SYNCS: no setting of aurora_es" in done.stdout
    assert "  to do: did you mean AURORA_SYNC?" in done.stdout
    assert "a projection's view" in done.stdout
    assert "class-level env" in done.stdout


def test_the_environment_names_the_store(tmp_path: Path) -> None:
    """Without PATH the AURORA_PATHs of the environment are looked at."""
    store = tmp_path / "store"
    done = run("doctor", "--app", "Bank", "--json", BANK_AURORA_PATH=str(store), **OURS)
    report = json.loads(done.stdout)
    assert done.returncode == EXIT_HERE
    assert [place["path"] for place in report["places"]] == [str(store)]
    (application,) = report["applications"]
    assert application["view"] == str(store / "Bank" / "tracking")
    assert not store.exists()


def test_a_probe_is_asked_for(tmp_path: Path) -> None:
    """It tells what a sync costs, and leaves the directory as it was."""
    done = run("doctor", tmp_path, "--probe", "--json")
    (place,) = json.loads(done.stdout)["places"]
    assert place["probed"]["sync_p50_us"] > 0
    assert place["hard_links"] is True
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    """A file is a mistake; what is not there yet is none."""
    (tmp_path / "file").write_text("text")
    assert "is not a directory" in refused(1, "doctor", tmp_path / "file")
    assert "the first append makes it" in run("doctor", tmp_path / "new").stdout

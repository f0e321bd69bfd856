"""``aurora-es retain`` and ``compact``, and reading commands where segments were dropped."""

from __future__ import annotations

import json
from pathlib import Path

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.journal.background import seal
from tests.cli.support import refused, run
from tests.journal.support import snapshot


def make(path: Path) -> Path:
    """Make a journal of six records, each in a segment of its own, five of them sealed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal.open(path, roll_cycle=RollCycle.events(1), sync=Sync.NEVER) as journal:
        for version in range(1, 7):
            record = Record(
                topic="t", state=b"", originator_id=f"id-{version % 2}", originator_version=version
            )
            journal.append([record])
    seal(str(path))
    return path


def test_a_dry_run_says_what_and_of_whom(tmp_path: Path) -> None:
    """The dry run changes nothing; the same command without it drops what was told."""
    path = make(tmp_path / "Bank" / "events")
    before = snapshot(path)
    done = run("retain", tmp_path / "Bank", "--before-position", 3, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith(f"{path}: would drop 2 segments, 2 positions, ")
    assert first.endswith("; retained from position 3")
    assert rest[0] == "2 originators would lose their first events:"
    assert sorted(rest[1:]) == ["id-0", "id-1"]
    assert snapshot(path) == before
    done = run("retain", tmp_path / "Bank", "--before-position", 3, "--json")
    found = json.loads(done.stdout)
    assert (found["dropped_segments"], found["retained_from"]) == (2, 3)


def test_reading_commands_begin_with_what_is_left(tmp_path: Path) -> None:
    """``cat`` and ``tail`` show all that is left; an earlier start is refused, and told why."""
    path = make(tmp_path / "j")
    assert run("retain", path, "--bytes-max", "0").returncode == 0
    lines = run("cat", path).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["5", "6"]
    assert run("tail", path).stdout.splitlines() == lines
    assert run("tail", path, "--originator", "id-1").stdout.splitlines() == lines[:1]
    assert "retained from position 5" in refused(1, "cat", path, "--start", 1)
    assert "retained from" in run("info", path).stdout
    assert json.loads(run("info", path, "--json").stdout)["segments_by_state"] == {
        "obsolete": 4,
        "sealed": 1,
        "tail": 1,
    }


def test_arguments_are_checked(tmp_path: Path) -> None:
    """No bound, and a size or an age that is none, are wrong arguments."""
    path = make(tmp_path / "j")
    assert run("retain", path).returncode == 2
    assert run("retain", path, "--bytes-max", "much").returncode == 2
    assert run("retain", path, "--older-than", "long").returncode == 2
    assert run("retain", path, "--older-than", "1h").stdout.count("dropped 0 segments") == 1


def test_compact_chooses_snapshots_and_tracking(tmp_path: Path) -> None:
    """Of an application its snapshots; named by its path, the history of events is refused."""
    events = make(tmp_path / "Bank" / "events")
    snapshots = make(tmp_path / "Bank" / "snapshots")
    assert run("compact", tmp_path, "--dry-run").stdout.startswith(f"{snapshots}: would drop 3 ")
    done = run("compact", tmp_path / "Bank", "--json")
    assert json.loads(done.stdout)["journals"][0]["retained_from"] == 4
    assert "never compacted" in refused(1, "compact", events)


def test_compact_says_that_there_is_nothing(tmp_path: Path) -> None:
    """A store with events alone, to which nothing is done."""
    make(tmp_path / "Bank" / "events")
    expected = f"{tmp_path}: no snapshots and no tracking, so nothing to compact\n"
    assert run("compact", tmp_path).stdout == expected
    assert json.loads(run("compact", tmp_path, "--json").stdout)["journals"] == []

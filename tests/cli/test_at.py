"""``aurora-es at``: the last position at a time."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from aurora_es import Journal
from aurora_es.inspection.selection import parse_time
from tests.cli.support import make_journal, run


def test_the_position_at_a_time(tmp_path: Path) -> None:
    """Any zone will do; what is printed can be given to cat."""
    path = make_journal(tmp_path / "Bank" / "events")
    with Journal.open(path, read_only=True) as journal:
        times = {stored.position: stored.timestamp for stored in journal.read()}
    for position in (2, 3, 6, 7):
        time = times[position]
        until = max(at for at, other in times.items() if other <= time)
        for zone in (None, timezone(timedelta(hours=-5))):
            text = time.astimezone(zone or time.tzinfo).isoformat()
            done = run("at", tmp_path / "Bank", text)
            assert (done.returncode, done.stdout, done.stderr) == (0, f"{until}\n", "")
    before = times[1] - timedelta(microseconds=1)
    assert run("at", path, before.isoformat()).stdout == "0\n"


def test_json_names_the_commit(tmp_path: Path) -> None:
    """With the time of the commit that was found, null if there is none."""
    path = make_journal(tmp_path / "j")
    with Journal.open(path, read_only=True) as journal:
        last = [*journal.read()][-1]
    found = json.loads(run("at", path, "2999-01-01T00:00:00+00:00", "--json").stdout)
    assert found == {
        "path": str(path),
        "time": "2999-01-01T00:00:00Z",
        "position": 7,
        "timestamp": last.timestamp.isoformat().replace("+00:00", "Z"),
    }
    found = json.loads(run("at", path, "1999-01-01T00:00:00Z", "--json").stdout)
    assert (found["position"], found["timestamp"]) == (0, None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("yesterday", "found 'yesterday'"),
        ("2026-01-01T00:00:00", "found no zone"),
        ("", "found ''"),
    ],
)
def test_other_times_are_wrong_arguments(tmp_path: Path, text: str, found: str) -> None:
    """A time without a zone, and what is no time, say what was expected and exit with 2."""
    path = make_journal(tmp_path / "j")
    done = run("at", path, text)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ISO 8601" in done.stderr
    with pytest.raises(ValueError, match=found):
        parse_time(text)

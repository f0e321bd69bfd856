"""``aurora-es streams`` and ``topics``."""

from __future__ import annotations

import json
from pathlib import Path

from aurora_es import Journal, Record
from aurora_es.journal.background import seal
from tests.cli.support import OWNER, make_journal, run


def test_streams_are_lines_with_tabs(tmp_path: Path) -> None:
    """Id, records, last version, first position and first topic of every originator."""
    path = make_journal(tmp_path / "Bank" / "events")
    seal(str(path))

    done = run("streams", tmp_path / "Bank")

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        f"{OWNER}\t2\t2\t1\tbank:Account.Opened",
        "cargo-7\t4\t4\t3\tship:Cargo.Booked",
    ]


def test_streams_are_chosen(tmp_path: Path) -> None:
    """Prefix, first topic and limit narrow the list; --json gives one object per line."""
    path = make_journal(tmp_path / "j")
    found = json.loads(run("streams", path, "--prefix", "cargo", "--json").stdout)
    assert found == {
        "originator_id": "cargo-7",
        "record_count": 4,
        "last_version": 4,
        "first_topic": "ship:Cargo.Booked",
        "first_position": 3,
    }
    assert run("streams", path, "--first-topic", "bank:Account.Opened").stdout.count("\n") == 1
    assert run("streams", path, "--limit", "1").stdout.count("\n") == 1
    assert run("streams", path, "--limit", "0").stdout == ""


def test_streams_go_on_behind_one_of_them(tmp_path: Path) -> None:
    """Page by page each is there once; a whole id is looked up, however it is written."""
    path = make_journal(tmp_path / "j")
    (first, second) = [line.split("\t")[0] for line in run("streams", path).stdout.splitlines()]
    assert run("streams", path, "--limit", "1").stdout.startswith(first)
    assert run("streams", path, "--after", first).stdout.startswith(second)
    assert run("streams", path, "--after", second).stdout == ""
    assert run("streams", path, "--prefix", OWNER.hex).stdout.startswith(str(OWNER))
    assert run("streams", path, "--after", "nobody").returncode == 1


def test_what_would_steer_a_terminal_is_escaped(tmp_path: Path) -> None:
    """Ids and topics are bytes of strangers."""
    path = tmp_path / "j"
    with Journal.open(path) as journal:
        record = Record(topic="a\x1b[2J", state=b"", originator_id="\x07", originator_version=1)
        journal.append([record])
    assert run("streams", path).stdout == "\\x07\t1\t1\t1\ta\\x1b[2J\n"
    assert run("topics", path).stdout == "1\ta\\x1b[2J\n"


def test_topics_are_counted(tmp_path: Path) -> None:
    """Most frequent first; the same as one JSON object."""
    path = make_journal(tmp_path / "j")
    seal(str(path))
    done = run("topics", path)
    assert done.stdout.splitlines() == [
        "3\tship:Cargo.Loaded",
        "1\tbank:Account.Deposited",
        "1\tbank:Account.Opened",
        "1\tnote",
        "1\tship:Cargo.Booked",
    ]
    assert json.loads(run("topics", path, "--json").stdout)["topics"]["ship:Cargo.Loaded"] == 3

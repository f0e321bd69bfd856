"""``aurora-es info``: one journal, a whole store, and what it still says of a damaged one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.journal.background import cool, seal
from tests.cli.support import damage, environment, make_journal, refused, run, writer
from tests.cli.terminal import run_at_terminal


class Ledger(Application[UUID]):
    """An application with a name that no directory can have."""

    name = "General/Ledger"
    env = {"PERSISTENCE_MODULE": "aurora_es", "IS_SNAPSHOTTING_ENABLED": "y"}  # noqa: RUF012


def described(path: Path) -> dict[str, Any]:
    """What ``info --json`` says of a sound journal or store."""
    done = run("info", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def disk_usage(path: Path) -> int:
    """Bytes that all files in a directory take."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def test_every_fact_of_a_journal_is_told(tmp_path: Path) -> None:
    """Settings, identity, counts, segments and sizes are those of the journal."""
    path = make_journal(tmp_path / "mine.journal")
    with Journal.open(path, read_only=True) as journal:
        wanted = journal.statistics()
        newest = next(journal.read(start=7)).timestamp.isoformat()

    found = described(path)

    segments = found.pop("segments")
    assert [
        (s["segment_number"], s["base_position"], s["last_position"], s["state"]) for s in segments
    ] == [(1, 1, 3, "rolled"), (2, 4, 6, "rolled"), (3, 7, 7, "tail")]
    for segment in segments:
        assert (path / segment["file_name"]).stat().st_size == segment["size_bytes"]
    assert found.pop("created_at") <= newest.replace("+00:00", "Z")
    assert found.pop("last_timestamp") == newest.replace("+00:00", "Z")
    sizes = found.pop("size_by_kind_bytes")
    assert set(sizes) == {"segments", "other"}
    assert sum(sizes.values()) == found["size_on_disk_bytes"]
    assert found == {
        "path": str(path),
        "name": None,
        "retained_from": 1,
        "segments_by_state": {"rolled": 2, "tail": 1},
        "run_count": 0,
        "genesis_id": wanted.genesis_id,
        "sync": "never",
        "roll_cycle": "3events",
        "compression": "none",
        "epoch": 0,
        "last_position": 7,
        "last_commit": 4,
        "durable": True,
        "tail_bytes": wanted.tail_bytes,
        "segment_count": 3,
        "size_on_disk_bytes": disk_usage(path),
        "error": None,
        "originators": None,
        "tracking": {"Bank": 42},
        "recovered_files": 0,
        "recovered_bytes": 0,
    }


def test_a_table_for_people_holds_the_same_facts(tmp_path: Path) -> None:
    """Without --json the facts come as aligned lines, behind a pipe without colours or padding."""
    path = make_journal(tmp_path / "mine.journal")

    done = run("info", path, FORCE_COLOR="1")

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert all(line == line.rstrip() for line in lines)
    facts = {line[:14].rstrip(): line[14:] for line in lines[: lines.index("")]}
    assert facts["path"] == str(path)
    assert facts["sync"] == "never"
    assert facts["positions"] == "7"
    assert facts["durable"] == "yes"
    assert facts["tracking"] == "Bank at 42"
    assert [line.split()[:3] for line in lines[-3:]] == [
        ["1", "1", "3"],
        ["2", "4", "6"],
        ["3", "7", "7"],
    ]


def test_what_a_live_writer_has_not_synced_is_not_called_durable(tmp_path: Path) -> None:
    """While a writer holds the journal open, its unsynced commits count and are not durable."""
    path = tmp_path / "live.journal"
    with Journal.open(path, sync=Sync.NEVER) as journal:
        journal.append([Record(topic="t", state=b"1")])

        found = described(path)

        assert (found["last_position"], found["durable"]) == (1, False)
        assert "durable       not yet\n" in run("info", path).stdout
    assert described(path)["durable"] is True


def test_counts_follow_a_writer_in_another_process(tmp_path: Path) -> None:
    """Two looks at a journal in use differ by what was committed between them."""
    path = make_journal(tmp_path / "live.journal")
    with writer(path) as other:
        other.append("t", "1")
        assert described(path)["last_position"] == 8
        other.append("t", "2")
        assert described(path)["last_position"] == 9


@pytest.mark.parametrize("level", ["root", "application"])
def test_all_journals_of_a_store_are_listed(tmp_path: Path, level: str) -> None:
    """An AURORA_PATH and an application's directory list their journals, two levels down at most."""
    root = tmp_path / "store"
    application = Ledger(env={"AURORA_PATH": str(root)})
    aggregate = Aggregate()
    application.save(aggregate)
    application.take_snapshot(aggregate.id)
    application.close()
    make_journal(root / "General%2FLedger" / "deeper" / "down")
    (root / "notes").mkdir()
    (root / "notes" / "manifest").write_text("not one of ours")
    path = root if level == "root" else root / "General%2FLedger"
    journals = [str(root / "General%2FLedger" / name) for name in ("events", "snapshots")]
    if level == "application":
        journals.insert(0, str(path / "deeper" / "down"))

    found = described(path)
    table = run("info", path).stdout.splitlines()

    assert found["path"] == str(path)
    assert [journal["path"] for journal in found["journals"]] == journals
    assert [journal["name"] for journal in found["journals"]][-2:] == ["General/Ledger"] * 2
    assert [journal["last_position"] for journal in found["journals"]][-2:] == [1, 1]
    assert [line.split()[0] for line in table] == ["journal", *journals]


def test_a_narrow_terminal_gets_a_list(tmp_path: Path) -> None:
    """Columns of three letters cannot be read; in eighty columns it stays a table."""
    make_journal(tmp_path / "Bank" / "events")

    def shown(columns: int) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", run_at_terminal("info", tmp_path, columns=columns))

    lines = [line.rstrip() for line in shown(40).splitlines()]
    assert {"positions  7", "durable    yes"} <= {*lines}
    assert "positions  commits" in shown(80)


def test_a_damaged_journal_is_described_as_far_as_possible(tmp_path: Path) -> None:
    """Rot in a segment is told on stderr and in the JSON, beside settings and segments."""
    path = make_journal(tmp_path / "rotten.journal")
    segment = damage(path, b"Zo\xc3\xab")

    done = run("info", path, "--json")

    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert (found["sync"], found["last_position"], found["originators"]) == ("never", 7, None)
    assert len(found["segments"]) == 3
    assert found["error"]["kind"] == "CorruptionError"
    assert done.stderr == f"aurora-es: {found['error']['message']}\n"
    assert f"corruption in {segment} at offset" in done.stderr
    assert "originators   unknown" in run("info", path).stdout


@pytest.mark.parametrize("lost", ["mark", "manifest"])
def test_a_journal_without_a_file_is_damaged_and_not_absent(tmp_path: Path, lost: str) -> None:
    """Segments alone tell that a journal was here; what is left is described, in a list too."""
    path = make_journal(tmp_path / "store" / "Bank" / "events")
    other = make_journal(tmp_path / "store" / "Shipping" / "events")
    (path / lost).unlink()

    assert str(path / lost) in refused(3, "info", path)
    done = run("info", tmp_path / "store", "--json")

    assert done.returncode == 3
    damaged, sound = json.loads(done.stdout)["journals"]
    assert (damaged["segment_count"], damaged["error"]["kind"]) == (3, "CorruptionError")
    assert (sound["path"], sound["error"], sound["last_position"]) == (str(other), None, 7)
    assert done.stderr == f"aurora-es: {damaged['error']['message']}\n"


def test_lost_commits_that_were_never_synced_ask_for_recovery(tmp_path: Path) -> None:
    """After a power cut under a weak sync mode the message says who recovers, and nothing does."""
    path = tmp_path / "weak.journal"
    program = (
        "import os, sys; from aurora_es import *;"
        "journal = Journal.open(sys.argv[1], sync=Sync.NEVER);"
        "journal.append([Record(topic='t', state=bytes(1000))]); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], env=environment(), check=True)
    (segment,) = path.glob("*.segment")
    os.truncate(segment, segment.stat().st_size - 512)

    assert "Open the journal for appending (Journal.open): that recovers it" in refused(
        3, "info", path
    )
    with Journal.open(path) as journal:
        assert journal.last_position == 0
    found = described(path)

    assert (found["recovered_files"], found["epoch"]) == (1, 1)
    assert found["recovered_bytes"] == sum(f.stat().st_size for f in path.glob("recovered/*"))
    assert "recovered     1 file, " in run("info", path).stdout


def test_an_unfinished_creation_is_no_journal_yet(tmp_path: Path) -> None:
    """What a creator left that died before the manifest is told as such, and left out of lists."""
    path = tmp_path / "store" / "Bank" / "events"
    with Journal.open(make_journal(tmp_path / "other")):
        pass
    path.mkdir(parents=True)
    (first,) = (tmp_path / "other").glob("0000000001-*")
    (path / first.name).write_bytes(first.read_bytes()[:300])

    assert "creation was not finished" in refused(1, "info", path)
    assert described(tmp_path / "store")["journals"] == []


def test_segments_are_told_by_state(tmp_path: Path) -> None:
    """Cooled, sealed, rolled and tail segments, runs, and what waits to be removed."""
    path = tmp_path / "j"
    with Journal.open(path, roll_cycle=RollCycle.events(1), sync=Sync.NEVER) as journal:
        for number in range(7):
            journal.append([Record(topic="t", state=b"%d" % number)])
            if number == 3:
                seal(str(path))
                cool(str(path))
            if number == 5:
                seal(str(path))

    found = described(path)

    assert found["segments_by_state"] == {
        "cooled": 3,
        "obsolete": 3,
        "sealed": 2,
        "rolled": 1,
        "tail": 1,
    }
    assert found["segment_count"] == 7
    assert found["run_count"] == 2
    assert set(found["size_by_kind_bytes"]) == {
        "segments",
        "index runs",
        "tables of frames",
        "other",
    }
    assert [s["last_position"] for s in found["segments"] if s["state"] != "obsolete"] == [
        *range(1, 8)
    ]
    shown = run("info", path).stdout
    assert "7: 3 obsolete, 3 cooled" in " ".join(shown.split())
    assert "cooled" in shown.splitlines()[-7]

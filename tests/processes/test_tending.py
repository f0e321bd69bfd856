"""Processes that seal, merge and cool, at once, beside writers, and killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.names import parse_cooled_name, parse_frames_name, parse_run_name
from aurora_es.index.keys import text_key
from aurora_es.journal import background, spawn
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.mark_file import read_mark
from tests.journal.support import states
from tests.patience import PATIENCE_SECONDS
from tests.processes.workers import Worker

FILES = SYSTEM_EFFECTS.files
KILLS = 30


def closed_unsealed(path: str) -> int:
    """Number of closed segments that no run covers."""
    manifest = read_manifest(FILES, path)
    assert manifest is not None
    return read_mark(FILES, path).segment_number - 1 - len(manifest.segments)


def record(number: int) -> Record:
    """One of many records of a few originators."""
    return Record(
        topic="t",
        state=b"%d" % number,
        originator_id=f"{number % 5}",
        originator_version=number // 5,
    )


def test_two_processes_seal_at_once(tmp_path: Path) -> None:
    """Each segment is sealed once, by one of them, and nobody fails."""
    path = str(tmp_path / "journal")
    with Journal.open(path, roll_cycle=RollCycle.events(2), sync=Sync.NEVER) as journal:
        for number in range(41):
            journal.append([record(number)])
    with Worker("tender", path) as first, Worker("tender", path) as second:
        first.send("seal")
        second.send("seal")
        assert int(first.receive()) + int(second.receive()) == 20
    assert closed_unsealed(path) == 0
    with Journal.open(path, read_only=True) as journal:
        assert states(journal) == [b"%d" % number for number in range(41)]


def kill_tenders(path: str, kills: int) -> None:
    """Let tenders be killed at random moments, while records are appended and read."""
    rng = random.Random(7)
    expected = [b"0"]
    reader = Journal.open(path, read_only=True)
    with (
        Journal.open(path, roll_cycle=RollCycle.events(200), sync=Sync.NEVER) as journal,
        Worker("tender", path) as tender,
        reader,
    ):
        journal.append([record(0)])
        for _ in range(kills):
            pid = int(tender.ask("start"))
            moment = time.monotonic() + rng.random() * 0.1
            while time.monotonic() < moment:
                journal.append([record(len(expected))])
                expected.append(b"%d" % len(expected))
            os.kill(pid, signal.SIGKILL)
            assert int(tender.ask(f"reap {pid}")) == signal.SIGKILL
            start = rng.randrange(1, len(expected) + 1)
            found = [one.record.state for one in reader.read(start=start, limit=30)]
            assert found == expected[start - 1 : start + 29]
            reader.handle.manifest_looked_at = float("-inf")
        assert states(journal) == states(reader) == expected
    check_tended(path, expected)


def check_tended(path: str, expected: list[bytes]) -> None:
    """Let the work be finished, and look for anything that is lost, or left over."""
    background.seal(path)
    background.merge(path, everything=True)
    background.cool(path, older_than_hours=-1)
    with BackgroundLock(SYSTEM_EFFECTS, path, timeout=0):
        clear_away(SYSTEM_EFFECTS, path, at_once=True)
    assert closed_unsealed(path) == 0
    manifest = read_manifest(FILES, path)
    assert manifest is not None
    assert len(manifest.runs) == 1
    names = os.listdir(path)
    assert sum(parse_cooled_name(name) is not None for name in names) == len(manifest.segments)
    assert sum(parse_run_name(name) is not None for name in names) == 1
    assert not [name for name in names if name.endswith(".new") and parse_frames_name(name[:-4])]
    with Journal.open(path) as journal:
        assert journal.statistics().recoveries == 0
        assert states(journal) == expected
        index = journal.handle.state.index
        for number in range(0, len(expected), 17):
            assert index.find(text_key(f"{number % 5}"), number // 5) == number + 1


def test_killed_while_a_writer_goes_on(tmp_path: Path) -> None:
    """Whenever a tender is killed: nothing is lost, nobody fails, and the next one finishes."""
    kill_tenders(str(tmp_path / "journal"), KILLS)


@pytest.mark.reliability
@pytest.mark.timeout(7_200)
def test_killed_many_times(tmp_path: Path, reliability_factor: int) -> None:
    """The same for a long time."""
    kill_tenders(str(tmp_path / "journal"), 100 * reliability_factor)


def test_short_lives_leave_few_segments_unsealed(tmp_path: Path) -> None:
    """Processes that end before a background run could begin seal by themselves."""
    path = str(tmp_path / "journal")
    for _ in range(4):
        with Worker("short_lived", path, 3):
            pass
        assert closed_unsealed(path) <= 2
    with Journal.open(path, read_only=True) as journal:
        assert len(states(journal)) == 12


def test_closing_does_not_wait_for_a_background_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal is closed while the run that it has started is still at work."""
    path = str(tmp_path / "journal")
    os.mkfifo(tmp_path / "gate")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nread line < {tmp_path / 'gate'}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with Journal.open(path, roll_cycle=RollCycle.events(1), background=True) as journal:
        journal.append([record(0)])
        journal.append([record(1)])
    pid = spawn._running.pop(path)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    (tmp_path / "gate").write_text("go on\n")
    assert os.waitpid(pid, 0) == (pid, 0)


def test_a_roll_starts_a_run_that_seals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was rolled is sealed soon, though nobody asks for it."""
    monkeypatch.setenv("AURORA_BACKGROUND", "y")
    path = str(tmp_path / "journal")
    with Journal.open(path, roll_cycle=RollCycle.events(1)) as journal:
        journal.append([record(0)])
        journal.append([record(1)])
        assert os.waitpid(spawn._running.pop(path), 0)[1] == 0
    assert closed_unsealed(path) == 0


def test_a_run_of_one_journal_reaps_those_of_others(tmp_path: Path) -> None:
    """A process that opens one journal after the other does not keep a dead child for each."""
    paths = [str(tmp_path / f"journal-{number}") for number in range(3)]
    for path in paths:
        with Journal.open(path, roll_cycle=RollCycle.events(1), background=False) as journal:
            journal.append([record(0)])
        assert spawn.start_background_run(path)
        os.waitid(os.P_PID, spawn._running[path], os.WEXITED | os.WNOWAIT)
    assert [path for path in paths if path in spawn._running] == paths[-1:]


def test_a_run_on_a_journal_at_which_another_works_ends_at_once(tmp_path: Path) -> None:
    """One of them is enough."""
    path = str(tmp_path / "journal")
    with Journal.open(path, roll_cycle=RollCycle.events(1)) as journal:
        journal.append([record(0)])
        journal.append([record(1)])
    command = [sys.executable, "-W", "error", "-m", "aurora_es.journal.background", path]
    with BackgroundLock(SYSTEM_EFFECTS, path, timeout=0):
        subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
        assert closed_unsealed(path) == 1
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    assert closed_unsealed(path) == 0

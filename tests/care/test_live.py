"""A journal in use: while others write, roll, seal, merge, cool and drop, nothing is found wrong."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from aurora_es import Journal, Record, RollCycle, Sync
from aurora_es.care import examining, verify
from aurora_es.care.findings import UNREADABLE
from aurora_es.errors import ArgumentError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal import background
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.clearing import clear_away
from aurora_es.journal.retention import retain
from tests.care.test_examining import Examiners
from tests.journal.support import open_with
from tests.processes.workers import Worker

CHECKS = 10  # of a journal that goes on meanwhile
OVERTAKEN = "that `retain` drops all of them before that"
KEPT = 20_000  # records, so that few checks are overtaken by retention


def record(number: int) -> Record:
    """One of many records of a few originators."""
    return Record(
        topic=f"topic {number % 7}",
        state=b"%d" % number * 20,
        originator_id=f"{number % 5}",
        originator_version=number // 5 + 1,
    )


def write_for_ever(path: str) -> None:
    """Append commits of all sizes until killed; now and then drop the oldest segments."""
    number = 0
    with Journal.open(path, roll_cycle=RollCycle.events(50), sync=Sync.NEVER) as journal:
        while True:
            count = number % 4
            journal.append(
                [record(number + at) for at in range(count)], tracking=("upstream", number + 1)
            )
            number += count or 1
            if number % 4000 < 4:
                retain(path, before_position=max(1, number - KEPT))


@pytest.mark.parametrize(("kill", "processes"), [(False, 1), (True, 1), (False, 2)])
def test_no_false_alarm(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill: bool,  # noqa: FBT001 - a parameter
    processes: int,
) -> None:
    """Every check of a journal in use finds it whole, and its digest never goes back."""
    examiners = Examiners(monkeypatch) if processes > 1 else None
    path = str(tmp_path / "journal")
    with open_with(path, sync=Sync.NEVER, roll_cycle=RollCycle.events(50)) as journal:
        journal.append([record(0)])
    writer = os.fork()
    if writer == 0:
        try:
            write_for_ever(path)
        finally:
            os._exit(1)
    try:
        with Worker("tender", path) as tender:
            pid = int(tender.ask("start"))
            checks, position = 0, 0
            while checks < CHECKS or position <= 50 or (examiners and examiners.answers < 2):
                assert os.waitpid(writer, os.WNOHANG) == (0, 0)
                report = verify(path, digest=True, processes=processes)
                if [one.found for one in report.findings] == [OVERTAKEN]:
                    continue
                assert report.findings == (), report.findings
                assert report.digest is not None
                assert report.digest_position is not None
                assert report.digest_position >= position
                position = report.digest_position
                checks += 1
                if kill and checks % 5 == 0:
                    os.kill(pid, signal.SIGKILL)
                    tender.ask(f"reap {pid}")
                    pid = int(tender.ask("start"))
            os.kill(pid, signal.SIGKILL)
            tender.ask(f"reap {pid}")
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)


@pytest.mark.parametrize("times", [1, 4, 5])
def test_all_that_is_checked_is_dropped_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The check begins again; after five times it says that nothing could be checked."""
    path = str(tmp_path / "journal")
    left = times
    real = examining.examine_all

    def dropping(*arguments: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            with open_with(path, roll_cycle=RollCycle.events(1)) as journal:
                last = journal.append([record(journal.last_position)])[-1]
                journal.append([record(last)])
            background.seal(path)
            retain(path, before_position=last + 1)
            with BackgroundLock(SYSTEM_EFFECTS, path, timeout=5):
                clear_away(SYSTEM_EFFECTS, path, at_once=True)
        yield from real(*arguments)

    monkeypatch.setattr(sys.modules[verify.__module__], "examine_all", dropping)
    with open_with(path, roll_cycle=RollCycle.events(1)) as journal:
        journal.append([record(0)])
    report = verify(path, digest=True)
    assert not left, report
    assert not report.is_damaged
    if times < 5:
        assert report.is_whole
        assert report.last_position == report.digest_position == 1 + 2 * times
    else:
        (finding,) = report.findings
        assert finding.kind == UNREADABLE
        assert finding.cure == f"aurora-es verify {path}"


def test_the_digest_of_a_position_stays(tmp_path: Path) -> None:
    """Appending, rolling, sealing, merging and cooling change no digest up to a position."""
    path = str(tmp_path / "journal")
    digests: dict[int, str | None] = {}
    with open_with(path, roll_cycle=RollCycle.events(5)) as journal:
        for number in range(0, 40, 2):
            journal.append([record(number), record(number + 1)], tracking=("upstream", number + 1))
            report = verify(path, digest=True)
            assert report.digest_position == number + 2
            digests[number + 2] = report.digest
            if number == 20:
                background.seal(path)
    background.seal(path)
    background.cool(path, older_than_hours=-1)
    assert len(set(digests.values())) == len(digests)
    for position, digest in digests.items():
        report = verify(path, until=position)
        assert (report.digest, report.digest_position) == (digest, position)
        # Inside of a commit: that is left out.
        report = verify(path, until=position + 1)
        assert (report.digest, report.digest_position) == (digest, position)
        assert report.digest_commit == position // 2
        assert verify(path, until_commit=position // 2).digest == digest


def test_an_empty_journal_and_one_not_finished(tmp_path: Path) -> None:
    """A journal without a commit is whole, and so is one whose creation was not finished."""
    path = tmp_path / "journal"
    with open_with(path) as journal:
        journal._create()
    report = verify(path, digest=True)
    assert (report.is_whole, report.last_position, report.digest) == (True, 0, "0" * 64)
    (path / "manifest").unlink()
    report = verify(path)
    assert (report.is_whole, report.segments) == (True, ())


def test_a_directory_that_is_no_journal(tmp_path: Path) -> None:
    """It is refused: whole is only what was checked."""
    for path in (tmp_path / "store", tmp_path / "store" / "Bank"):
        path.mkdir()
        with pytest.raises(ArgumentError, match=f"`aurora-es verify {path}` checks all journals"):
            verify(path)
    with open_with(str(tmp_path / "store" / "Bank" / "events")) as journal:
        journal.append([record(0)])
    for path in (tmp_path / "store", tmp_path / "store" / "Bank"):
        with pytest.raises(ArgumentError, match="nothing was checked"):
            verify(path)


def test_progress_ends_with_everything(tmp_path: Path) -> None:
    """Bytes read rise, and at the end are all there were to be read."""
    path = str(tmp_path / "journal")
    with open_with(path, roll_cycle=RollCycle.events(5)) as journal:
        for number in range(40):
            journal.append([record(number)])
    background.seal(path)
    told: list[tuple[int, int]] = []
    verify(path, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 0

"""What is logged: exact records of the main events, with paths and positions, and nothing else."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aurora_es import Journal, PoisonedHandleError, RollCycle, Sync
from aurora_es.format.names import LOCK
from aurora_es.journal import spawn
from aurora_es.journal.background import work
from aurora_es.journal.spawn import start_background_run
from tests.face.support import Script, factory_on
from tests.journal.support import (
    ScriptedFiles,
    effects_with,
    error_of,
    mark_bytes,
    message,
    open_with,
    patch,
    segment_paths,
)

ROOT = Path(__file__).parent.parent


class Records(logging.Handler):
    """Keeps what is logged below ``aurora_es``, as logger, level, and text with its values."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        super().__init__()
        self.kept: list[tuple[str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        assert isinstance(record.args, tuple)
        self.kept.append((record.name, record.levelname, record.getMessage()))

    def take(self) -> list[tuple[str, str]]:
        """Level and text of what the journal has logged since the last time, without debug."""
        kept, self.kept = self.kept, []
        assert all(name == "aurora_es.journal" for name, _, _ in kept)
        return [(level, text) for _, level, text in kept if level != "DEBUG"]


@pytest.fixture
def records() -> Iterator[Records]:
    """A handler that sees everything."""
    logger = logging.getLogger("aurora_es")
    handler = Records()
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


def test_ordinary_work_says_nothing(tmp_path: Path, records: Records) -> None:
    """Opening, appending, reading, closing: only at the level of debugging."""
    path = tmp_path / "j"
    with open_with(path) as journal:
        journal.append([message()])
    with open_with(path, read_only=True) as journal:
        assert len(list(journal.read())) == 1
    logged = "aurora_es.journal", "DEBUG"
    assert records.kept == [
        (*logged, f"{path}: opened for appending, sync mode always"),
        (*logged, f"{path}: opened for reading, sync mode always"),
    ]


def test_a_cut_tail(tmp_path: Path, records: Records) -> None:
    """Recovery says which bytes were cut where, and where they are kept."""
    with open_with(tmp_path / "j", sync=Sync.NEVER) as journal:
        journal.append([message()])
        end = journal.statistics().tail_bytes
    (segment,) = segment_paths(tmp_path / "j")
    patch(segment, end, b"half a frame")
    open_with(tmp_path / "j").close()
    (kept,) = (tmp_path / "j" / "recovered").iterdir()
    ((level, text),) = records.take()
    assert level == "WARNING"
    assert text.startswith(
        f"{segment}: 12 bytes of an unfinished write cut at offset {end}, kept in {kept} ("
    )


def test_adopted_commits(tmp_path: Path, records: Records) -> None:
    """Recovery says how many commits it kept that nobody had published."""
    with open_with(tmp_path / "j", sync=Sync.NEVER) as journal:
        journal.append([message()])
        journal.sync()
        before = mark_bytes(tmp_path / "j")
        journal.append([message(), message()])
        journal.append([message()])
    patch(tmp_path / "j" / "mark", 0, before)
    open_with(tmp_path / "j").close()
    expected = (
        f"{tmp_path}/j: 2 complete commits of an interrupted writer adopted, up to position 4"
    )
    assert records.take() == [("WARNING", expected)]


def test_a_roll_and_what_becomes_of_the_segment(tmp_path: Path, records: Records) -> None:
    """Roll, seal and merge name the segments and their positions."""
    path = str(tmp_path / "j")
    with open_with(path, roll_cycle=RollCycle.events(2)) as journal:
        for _ in range(5):
            journal.append([message()])
        assert records.take() == [
            ("INFO", f"{path}: rolled to segment 2, which begins at position 3"),
            ("INFO", f"{path}: rolled to segment 3, which begins at position 5"),
        ]
        work(path)
    sealed, other, *merged = records.take()
    assert sealed == ("INFO", f"{path}: sealed segment 1, positions 1 to 2")
    assert other == ("INFO", f"{path}: sealed segment 2, positions 3 to 4")
    ((level, text),) = merged
    assert (level, text.startswith(f"{path}: merged 2 runs to ")) == ("INFO", True)


def test_a_roll_that_another_has_begun(tmp_path: Path, records: Records) -> None:
    """Who finishes the roll of a dead writer says so."""
    files = ScriptedFiles()
    path = str(tmp_path / "j")
    journal = open_with(path, effects_with(files), roll_cycle=RollCycle.events(1))
    journal.append([message()])
    files.fail("link", error_of(errno.EIO))
    with pytest.raises(PoisonedHandleError):
        journal.append([message()])
    journal.close()
    records.take()
    open_with(path).close()
    expected = f"{path}: the roll of an interrupted writer finished: segment 2 begins at position 2"
    assert records.take() == [("WARNING", expected)]


def test_a_background_run_that_fails(tmp_path: Path, records: Records) -> None:
    """It has nobody to tell, so whoever started it logs how it ended, with the next one."""
    path = str(tmp_path / "j")
    with open_with(path, roll_cycle=RollCycle.events(1)) as journal:
        for _ in range(2):
            journal.append([message()])
    patch(segment_paths(tmp_path / "j")[0], 100, b"rot")
    records.take()

    def run() -> None:
        assert start_background_run(path)
        os.waitid(os.P_PID, spawn._running[path], os.WEXITED | os.WNOWAIT)

    run()
    assert records.take() == []
    run()
    failed = f"{path}: a background run ended with exit code 1; run aurora-es verify"
    assert records.take() == [("WARNING", failed)]


def test_a_failed_sync(tmp_path: Path, records: Records) -> None:
    """It is an error, since the handle is final."""
    files = ScriptedFiles()
    journal = open_with(tmp_path / "j", effects_with(files), sync=Sync.NEVER)
    journal.append([message()])
    files.fail("fdatasync", error_of(errno.EIO))
    with pytest.raises(Exception, match="sync failed"):
        journal.sync()
    assert records.take() == [
        (
            "ERROR",
            f"{tmp_path}/j: a sync failed, the handle is final: [Errno 5] Input/output error",
        )
    ]


@pytest.mark.parametrize(("seconds", "said"), [(0.9, 0), (1.5, 1)])
def test_a_long_wait_for_the_lock(
    tmp_path: Path, records: Records, seconds: float, said: int
) -> None:
    """More than a second is said, when it is over; less is not."""
    now = [1000.0]
    path = tmp_path / "j"
    holder = -1

    def sleep(_: float) -> None:
        now[0] += seconds
        fcntl.flock(holder, fcntl.LOCK_UN)

    effects = replace(effects_with(), monotonic=lambda: now[0], sleep=sleep)
    with open_with(path, effects) as journal:
        journal.append([message()])
        holder = os.open(path / LOCK, os.O_RDWR)
        fcntl.flock(holder, fcntl.LOCK_EX)
        journal.append([message()])
        os.close(holder)
    expected = f"{path}: waited 1.5 s for the append lock, which others held"
    assert records.take() == [("WARNING", expected)] * said


def test_another_epoch(tmp_path: Path, records: Records) -> None:
    """A reader whose journal lost its end says so, beside who recovers it."""
    path = str(tmp_path / "j")
    writer = open_with(path, sync=Sync.NEVER)
    writer.append([message()])
    writer.sync()
    reader = open_with(path, read_only=True)
    assert reader.last_position == 1
    end = writer.statistics().tail_bytes
    writer.append([message()])
    assert reader.last_position == 2
    writer.handle.drop()  # killed
    os.truncate(segment_paths(path)[0], end)  # and the power cut took what was not synced
    records.take()
    open_with(path).close()
    said = [text for _, text in records.take()]
    assert said[0] == (
        f"{path}: commits that were visible but not synced are gone, from position 2 on (sync mode"
        " never); epoch 1"
    )
    assert reader.last_position == 1
    expected = (
        f"{path}: epoch 1 has followed epoch 0: visible commits were taken back; the newest"
        " position is 1"
    )
    assert records.take() == [("WARNING", expected)]


def test_settings_that_are_recorded(tmp_path: Path, records: Records) -> None:
    """A new roll cycle is told, for it holds for all processes."""
    path = str(tmp_path / "j")
    open_with(path).append([message()])
    open_with(path, roll_cycle=RollCycle.HOUR)
    text = f"{path}: recorded {{'roll_cycle': 'HOUR'}}; a new roll cycle holds from the next roll"
    assert [(level, said.lower()) for level, said in records.take()] == [("INFO", text.lower())]


_FORKED = """
import logging, os, sys
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory

factory = AuroraFactory(Environment("App", {"AURORA_PATH": sys.argv[1]}))
recorder = factory.application_recorder()
recorder.insert_events([StoredEvent("a", 1, "t", b"")])
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
else:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s", stream=sys.stdout)
    recorder.insert_events([StoredEvent("a", 2, "t", b"")])
    logging.shutdown()
    os._exit(0)
"""


def test_a_recorder_that_is_used_in_a_child(tmp_path: Path) -> None:
    """It opens its journal again, and says so."""
    said = Script(_FORKED, str(tmp_path)).end()
    assert said == f"aurora_es.journal {tmp_path}/App/events: opened again in the child of a fork\n"


_QUIET = """
import sys
from aurora_es import Journal
with open(sys.argv[2], "r+b") as segment:
    segment.seek(0, 2)
    segment.write(b"half a frame")
with Journal.open(sys.argv[1]) as journal:
    assert journal.statistics().recoveries == 1
"""


def test_quiet_by_default(tmp_path: Path) -> None:
    """Without a handler of the application even a warning prints nothing."""
    with Journal.open(tmp_path / "j", sync=Sync.NEVER) as journal:
        journal.append([message()])
    (segment,) = segment_paths(tmp_path / "j")
    command = [sys.executable, "-c", _QUIET, str(tmp_path / "j"), segment]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (finished.stdout, finished.stderr) == ("", "")


def test_runners_and_views_have_loggers_of_their_own(tmp_path: Path, records: Records) -> None:
    """A process that stands by, and takes over when the other has gone."""
    from aurora_es.runner import RunnerLock, SystemProcess

    path = factory_on(tmp_path, "Totals").store.path
    first, second = RunnerLock(path), RunnerLock(path)
    assert first.acquire()
    process: Any = SystemProcess.__new__(SystemProcess)
    process._stopping = _Closing(first)
    assert process._stand_by(second)
    second.close()
    assert records.kept == [
        ("aurora_es.runner", "INFO", f"{path}: another process works; this one stands by"),
        ("aurora_es.runner", "INFO", f"{path}: the other process has gone; this one takes over"),
    ]


class _Closing:
    """Instead of an event that is waited for: the other process ends in the meantime."""

    def __init__(self, lock: Any) -> None:
        """Close ``lock`` when somebody waits."""
        self._lock = lock

    def wait(self, _: float) -> bool:
        """Say that nobody stops."""
        self._lock.close()
        return False

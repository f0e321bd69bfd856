"""Sync modes: what is synced when, and what a reader may see of it."""

import fcntl
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aurora_es import Journal, PoisonedHandleError, RollCycle, Sync
from aurora_es.format.names import LOCK, TURN
from aurora_es.journal.logs import logger
from tests.journal.support import (
    Call,
    ScriptedFiles,
    effects_with,
    error_of,
    message,
    open_with,
    run_threads,
    states,
)
from tests.patience import PATIENCE_SECONDS

SYNCS = {"fsync", "fdatasync"}


def syncs(files: ScriptedFiles) -> int:
    """Count the syncs of files so far."""
    return len([name for name, _ in files.calls if name in SYNCS])


def durable_and_visible(journal: Journal) -> tuple[int, int]:
    """Offsets in the mark."""
    descriptors = journal.handle.usable()
    assert descriptors is not None
    mark = descriptors.mark.read()
    return mark.durable_offset, mark.visible_offset


def test_always_syncs_before_it_publishes(tmp_path: Path) -> None:
    """Each commit is written, synced and then published, in this order and once."""
    files = ScriptedFiles()
    with open_with(tmp_path / "journal", effects_with(files)) as journal:
        journal.append([message()])
        for _ in range(3):
            files.calls.clear()
            journal.append([message()])
            effects = [
                name for name, arguments in files.calls if name in {"pwrite", "fsync", "fdatasync"}
            ]
            assert effects == ["pwrite", "fdatasync", "pwrite"]
            durable, visible = durable_and_visible(journal)
            assert durable == visible


def test_always_never_shows_what_is_not_synced(tmp_path: Path) -> None:
    """While a commit is being synced, no reader sees it."""
    files = ScriptedFiles()
    path = tmp_path / "journal"
    seen = []
    with open_with(path, effects_with(files)) as journal:
        journal.append([message(b"a")])
        with open_with(path, read_only=True) as reader:

            def look(call: Call, fd: int) -> Any:
                seen.append((states(reader), states(journal)))
                result = call()
                seen.append((states(reader), states(journal)))
                return result

            files.reactions["fdatasync"] = look
            journal.append([message(b"b")])
            files.obey()
            assert seen == [([b"a"], [b"a"])] * 2
            assert states(reader) == [b"a", b"b"]


def test_never_syncs_nothing_until_close(tmp_path: Path) -> None:
    """Appends sync nothing and reserve nothing; a clean close makes everything durable."""
    files = ScriptedFiles()
    path = tmp_path / "journal"
    with open_with(path, effects_with(files), sync=Sync.NEVER) as journal:
        journal.append([message()])
        before = syncs(files)
        size = journal.statistics().tail_bytes
        for _ in range(10):
            journal.append([message()])
        assert syncs(files) == before
        durable, visible = durable_and_visible(journal)
        assert durable < size < visible
        assert not journal.statistics().durable
    assert syncs(files) > before
    with open_with(path, read_only=True) as reader:
        assert reader.statistics().durable


@pytest.mark.parametrize("sync", [Sync.NEVER, Sync.interval(60_000), Sync.ALWAYS], ids=str)
def test_sync_makes_everything_durable(tmp_path: Path, sync: Sync) -> None:
    """After the call everything visible is durable, whoever wrote it; a second one costs nothing."""
    files = ScriptedFiles()
    path = tmp_path / "journal"
    with open_with(path, effects_with(files), sync=sync) as journal, open_with(path) as other:
        journal.append([message()])
        other.append([message()])
        journal.sync()
        durable, visible = durable_and_visible(journal)
        assert durable == visible
        assert other.statistics().durable
        before = syncs(files)
        journal.sync()
        assert syncs(files) == before


def test_sync_of_an_absent_journal_makes_nothing(tmp_path: Path) -> None:
    """There is nothing to sync."""
    with open_with(tmp_path / "journal") as journal:
        journal.sync()
    assert list(tmp_path.iterdir()) == []


class DurableWatch:
    """Lets a test wait until a mark says that everything visible is durable."""

    def __init__(self, journal: Callable[[], Journal]) -> None:
        """Watch the journal that ``journal`` gives, once files are made."""
        self.files = ScriptedFiles()
        self._journal = journal
        self._published = threading.Semaphore(0)
        self.files.reactions["pwrite"] = self._write

    def _write(self, call: Call, fd: int, data: bytes, offset: int) -> Any:
        result = call()
        self._published.release()
        return result

    def wait(self) -> None:
        """Block until it is so."""
        while not self._journal().statistics().durable:
            assert self._published.acquire(timeout=PATIENCE_SECONDS), "nothing is synced"


def test_an_interval_makes_commits_durable_by_itself(tmp_path: Path) -> None:
    """A commit is visible at once and durable soon, without any further call."""
    watch = DurableWatch(lambda: journal)
    path = tmp_path / "journal"
    effects = effects_with(watch.files)
    with open_with(path, effects, sync=Sync.interval(1)) as journal:
        for number in range(5):
            journal.append([message(b"%d" % number)])
            assert journal.last_position == number + 1
            watch.wait()


def test_an_interval_syncs_over_a_roll(tmp_path: Path) -> None:
    """Commits behind a roll become durable in the new segment."""
    watch = DurableWatch(lambda: journal)
    path = tmp_path / "journal"
    effects = effects_with(watch.files)
    options: dict[str, Any] = {"sync": Sync.interval(1), "roll_cycle": RollCycle.events(2)}
    with open_with(path, effects, **options) as journal:
        for _ in range(7):
            journal.append([message()])
        watch.wait()
        assert journal.statistics().segments == 4


def test_a_failed_interval_sync_makes_the_handle_final(tmp_path: Path) -> None:
    """What the thread met is told by the next call."""
    watch = DurableWatch(lambda: journal)
    failed = threading.Event()

    def fail(call: Call, fd: int) -> None:
        failed.set()
        raise error_of(5)

    effects = effects_with(watch.files)
    with open_with(tmp_path / "journal", effects, sync=Sync.interval(1)) as journal:
        journal.append([message()])
        watch.wait()
        watch.files.reactions["fdatasync"] = fail
        journal.append([message()])
        assert failed.wait(PATIENCE_SECONDS)
        syncer = journal._syncer
        assert syncer is not None
        syncer._thread.join(PATIENCE_SECONDS)
        with pytest.raises(PoisonedHandleError):
            journal.append([message()])
    with open_with(tmp_path / "journal") as second:
        assert second.last_position == 2


def test_a_lock_that_is_held_puts_a_sync_off(tmp_path: Path) -> None:
    """A sync that cannot be published in time is logged and tried again; the handle goes on."""
    watch = DurableWatch(lambda: journal)
    path = tmp_path / "journal"
    put_off = threading.Event()
    told: list[str] = []
    held: list[int] = []

    def hold_locks(call: Call, fd: int) -> Any:
        # Between the sync, which happens outside all locks, and its publication.
        for name in (LOCK, TURN):
            held.append(os.open(path / name, os.O_RDWR))
            fcntl.flock(held[-1], fcntl.LOCK_EX)
        del watch.files.reactions["fdatasync"]
        return call()

    class Notice(logging.Handler):
        """Tells of the first warning."""

        def emit(self, record: logging.LogRecord) -> None:
            """Tell."""
            told.append(record.getMessage())
            put_off.set()

    effects = effects_with(watch.files)
    notice = Notice()
    logger.addHandler(notice)
    try:
        with open_with(path, effects, sync=Sync.interval(1), lock_timeout=0.01) as journal:
            journal.append([message()])
            watch.wait()
            watch.files.reactions["fdatasync"] = hold_locks
            journal.append([message()])
            assert put_off.wait(PATIENCE_SECONDS)
            assert "a sync was put off" in told[0]
            assert not journal.statistics().durable
            for fd in held:
                os.close(fd)
            watch.wait()
            assert journal.append([message()]) == range(3, 4)
    finally:
        logger.removeHandler(notice)


def test_many_first_appends_start_one_syncing_thread(tmp_path: Path) -> None:
    """However many threads append first, one thread syncs, and it ends with the journal."""
    path = tmp_path / "journal"
    with open_with(path, sync=Sync.interval(60_000)) as journal:
        before = {thread.ident for thread in threading.enumerate()}
        run_threads([lambda: journal.append([message()])] * 8)
        syncing = [
            thread
            for thread in threading.enumerate()
            if thread.name == "aurora-sync" and thread.ident not in before
        ]
        assert len(syncing) == 1
    assert not syncing[0].is_alive()


def test_the_mark_is_synced_once_a_second(tmp_path: Path) -> None:
    """Commits do not wait for it; the first one after a second does it, behind its answer."""
    files = ScriptedFiles()
    now = 0.0
    effects = effects_with(files)
    with open_with(tmp_path / "journal", replace(effects, monotonic=lambda: now)) as journal:
        journal.append([message()])
        descriptors = journal.handle.usable()
        assert descriptors is not None
        counts = []
        for step in (0.1, 0.5, 0.3, 0.5, 0.5, 1.5):
            now += step
            files.calls.clear()
            journal.append([message()])
            counts.append(files.calls.count(("fdatasync", (descriptors.mark.fd,))))
        assert counts == [0, 0, 0, 1, 0, 1]

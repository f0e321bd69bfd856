"""Handles that are closed, forked, shared between threads, or older than their journal."""

import gc
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aurora_es import (
    ArgumentError,
    ClosedError,
    CorruptionError,
    ForeignDirectoryError,
    Journal,
    Sync,
)
from aurora_es.format.names import LOCK
from tests.journal.support import (
    event,
    message,
    open_with,
    run_threads,
    states,
)
from tests.patience import PATIENCE_SECONDS

CALLS: list[Callable[[Journal], Any]] = [
    lambda journal: journal.append([message()]),
    lambda journal: journal.append([]),
    lambda journal: journal.last_position,
    lambda journal: journal.read(),
    lambda journal: journal.statistics(),
    lambda journal: journal.sync(),
    lambda journal: journal.tail(),
]


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("call", CALLS)
def test_a_closed_handle_refuses_every_call(
    tmp_path: Path, call: Callable[[Journal], Any], *, exists: bool
) -> None:
    """After close, every call raises ClosedError and makes nothing; closing again is allowed."""
    path = tmp_path / "journal"
    with open_with(path) as journal:
        if exists:
            journal.append([message()])
    with pytest.raises(ClosedError, match=f"{path} was closed; open it again"):
        call(journal)
    journal.close()
    assert path.exists() == exists
    assert repr(journal) == f"<Journal '{path}' closed>"


def test_closing_frees_the_descriptors(tmp_path: Path) -> None:
    """A closed journal holds no descriptor, whatever was done with it."""
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        with open_with(tmp_path / "journal") as journal:
            journal.append([message()])
            list(journal.read())
            with journal.tail() as tailer:
                next(tailer)
        del tailer
        gc.collect()
    # The process's one kernel watcher stays.
    assert len(os.listdir("/dev/fd")) <= before + 1


def test_a_dropped_handle_frees_its_descriptors(tmp_path: Path) -> None:
    """A journal that nobody closes is collected, and its locks with it."""
    journal = open_with(tmp_path / "journal")
    journal.append([message()])
    reference = weakref.ref(journal)
    del journal
    gc.collect()
    assert reference() is None
    with open_with(tmp_path / "journal", lock_timeout=0.1) as second:
        assert second.append([message()]) == range(2, 3)


def test_reading_goes_on_after_close(tmp_path: Path) -> None:
    """An iterator taken before the journal was closed gives what was visible then."""
    with open_with(tmp_path / "journal") as journal:
        journal.append([message(b"a"), message(b"b")])
        iterator = journal.read()
        assert next(iterator).record.state == b"a"
    assert next(iterator).record.state == b"b"


def test_set_sync_changes_the_mode_of_a_closed_journal(tmp_path: Path) -> None:
    """The recorded mode is another one from then on, and the generation of the manifest rises."""
    path = tmp_path / "journal"
    with Journal.open(path, sync=Sync.NEVER) as journal:
        journal.append([message()])
    Journal.set_sync(path, Sync.interval(50))
    with Journal.open(path) as journal:
        assert journal.statistics().sync == "50ms"
        assert journal.statistics().durable
        assert journal.handle.manifest is not None
        assert journal.handle.manifest.generation == 2


def test_set_sync_wants_a_journal(tmp_path: Path) -> None:
    """There is nothing to change where there is no journal; nothing is made."""
    with pytest.raises(ArgumentError, match="expected a journal, found none"):
        Journal.set_sync(tmp_path / "journal", Sync.ALWAYS)
    assert list(tmp_path.iterdir()) == []


def test_a_handle_notices_that_its_journal_appears(tmp_path: Path) -> None:
    """Opened before the journal exists, every kind of handle sees it once it does."""
    path = tmp_path / "journal"
    with (
        open_with(path) as appender,
        open_with(path, read_only=True) as reader,
        open_with(path) as creator,
    ):
        assert appender.last_position == reader.last_position == 0
        assert not reader.statistics().exists
        creator.append([event("a", 1)])
        assert appender.last_position == reader.last_position == 1
        assert appender.append([event("a", 2)]) == range(2, 3)


def test_threads_that_create_together_make_one_journal(tmp_path: Path) -> None:
    """Of many creators in many handles one makes the journal, and all append to it."""
    handles = [open_with(tmp_path / "journal") for _ in range(8)]
    given = run_threads(partial(handle.append, [message()]) for handle in handles)
    assert sorted(positions[0] for positions in given) == list(range(1, 9))
    assert len({handle.statistics().genesis_id for handle in handles}) == 1
    for handle in handles:
        handle.close()


def test_threads_share_a_handle_for_reading(tmp_path: Path) -> None:
    """Threads that read while others append see a growing beginning of one and the same list."""
    with open_with(tmp_path / "journal") as journal:

        def write(name: bytes) -> None:
            for number in range(40):
                journal.append([message(b"%s.%d" % (name, number))] * 3)

        def look() -> list[list[bytes]]:
            return [states(journal) for _ in range(40)]

        *_, first, second = run_threads([partial(write, b"a"), partial(write, b"b"), look, look])
        final = states(journal)
        assert len(final) == 240
        for seen in [*first, *second]:
            assert seen == final[: len(seen)]
            assert len(seen) % 3 == 0


def test_a_lock_file_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Without its name a lock file does not exclude anybody, so it is opened anew."""
    path = tmp_path / "journal"
    with open_with(path) as first, open_with(path) as second:
        first.append([message(b"a")])
        second.append([message(b"b")])
        os.unlink(path / LOCK)
        second.append([message(b"c")])
        assert (path / LOCK).exists()
        first.append([message(b"d")])
        assert states(second) == [b"a", b"b", b"c", b"d"]
        assert first.handle.descriptors is not None
        assert second.handle.descriptors is not None
        inodes = {
            os.fstat(handle.descriptors.lock_fd).st_ino
            for handle in (first.handle, second.handle)
            if handle.descriptors is not None
        }
        assert inodes == {os.stat(path / LOCK).st_ino}


def test_a_directory_that_was_removed_is_an_error(tmp_path: Path) -> None:
    """An append into a directory that is gone is refused; it does not vanish unseen."""
    path = tmp_path / "journal"
    with open_with(path) as journal:
        journal.append([message()])
        shutil.rmtree(path)
        with pytest.raises(CorruptionError, match="found no file"):
            journal.append([message()])
        assert not path.exists()


@pytest.mark.parametrize(("count", "other_count"), [(1, 1), (3, 1), (1, 3)])
def test_another_journal_in_the_place_of_ours_is_left_alone(
    tmp_path: Path, count: int, other_count: int
) -> None:
    """A handle whose directory was removed and made anew never writes into the new journal."""
    path = tmp_path / "journal"
    with open_with(path) as journal:
        for _ in range(count):
            journal.append([message(b"old")])
        shutil.rmtree(path)
        with open_with(path) as other:
            for _ in range(other_count):
                other.append([message(b"new")])
            with pytest.raises((CorruptionError, ForeignDirectoryError)):
                journal.append([message(b"old")])
            with pytest.raises((CorruptionError, ForeignDirectoryError)):
                journal.append([message(b"old")])
            assert states(other) == [b"new"] * other_count
            assert other.append([message(b"new")])[0] == other_count + 1


FORKING = """
import fcntl, os, sys
from aurora_es import ForkedHandle, Journal, Record
from aurora_es.journal.append_lock import AppendLock

path = sys.argv[1]
record = Record(topic="t", state=b"parent")
journal = Journal.open(path)
journal.append([record])
tailer = journal.tail()
next(tailer)

def is_locked():
    fd = os.open(os.path.join(path, "lock"), os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)

def in_child(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0

def use_and_close():
    calls = [
        lambda: journal.append([record]),
        lambda: journal.last_position,
        lambda: journal.read(),
        lambda: journal.sync(),
        lambda: journal.statistics(),
        lambda: journal.tail(),
        lambda: next(tailer),
    ]
    for call in calls:
        try:
            call()
        except ForkedHandle as error:
            assert "opened before a fork; open it again" in str(error)
        else:
            raise AssertionError(call)
    journal.close()
    assert is_locked()

with AppendLock(journal.handle, journal.handle.effects.monotonic() + 5):
    in_child(use_and_close)
    assert is_locked()
assert not is_locked()

def append_anew():
    with Journal.open(path) as own:
        own.append([Record(topic="t", state=b"child")])
        in_child(lambda: None)
        own.append([Record(topic="t", state=b"child")])

in_child(append_anew)
journal.append([record])
print([next(tailer).record.state.decode() for _ in range(3)])
journal.close()
"""


def test_a_fork_leaves_locks_and_handles_to_the_parent(tmp_path: Path) -> None:
    """The child's copy raises ForkedHandle; closing it unlocks nothing; a new handle works."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKING, str(tmp_path / "journal")],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "['child', 'child', 'parent']"


FORKING_WITH_A_SYNCER = """
import os, sys
from aurora_es import Journal, Record, Sync

journal = Journal.open(sys.argv[1], sync=Sync.interval(1))
journal.append([Record(topic="t", state=b"a")])
pid = os.fork()
if pid == 0:
    journal.close()
    with Journal.open(sys.argv[1]) as own:
        own.append([Record(topic="t", state=b"b")])
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
journal.append([Record(topic="t", state=b"c")])
journal.close()
"""


def test_a_fork_beside_the_syncing_thread(tmp_path: Path) -> None:
    """Parent and child go on, each with a syncing thread of its own."""
    done = subprocess.run(
        # Python 3.12 warns of any fork beside a thread; this one is what the test is about.
        [sys.executable, "-c", FORKING_WITH_A_SYNCER, str(tmp_path / "journal")],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode, done.stdout) == (0, "")
    with open_with(tmp_path / "journal") as journal:
        assert states(journal) == [b"a", b"b", b"c"]

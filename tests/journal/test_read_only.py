"""Readers: they never write, never lock, and never look above the mark."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from aurora_es import Journal, NeedsRecoveryError, ReadOnlyError, RollCycle, Sync
from aurora_es.format.names import LOCK, MARK, TURN
from tests.journal.support import (
    ScriptedFiles,
    effects_with,
    event,
    mark_bytes,
    message,
    open_with,
    patch,
    segment_paths,
    snapshot,
    states,
)

WRITING = {
    "pwrite",
    "ftruncate",
    "fsync",
    "fdatasync",
    "link",
    "rename",
    "unlink",
    "mkdir",
    "flock",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a journal of two segments."""
    with open_with(tmp_path / "journal", roll_cycle=RollCycle.events(2)) as journal:
        for number in range(3):
            journal.append([event("a", number, b"%d" % number)], tracking=("up", number))
    return tmp_path / "journal"


def use_everything(journal: Journal) -> None:
    """Call all that a reader may call."""
    assert states(journal) == [b"0", b"1", b"2"]
    assert journal.last_position == journal.statistics().last_position == 3
    with journal.tail() as tailer:
        assert next(tailer).record.state == b"0"


def test_a_reader_changes_nothing_and_locks_nothing(path: Path) -> None:
    """No call of a reader writes, syncs, locks or makes a file, not even closing."""
    files = ScriptedFiles()
    before = snapshot(path)
    with open_with(path, effects_with(files), read_only=True) as journal:
        use_everything(journal)
    assert snapshot(path) == before
    assert not {name for name, _ in files.calls} & WRITING
    opened = [arguments for name, arguments in files.calls if name == "open"]
    assert opened
    for _, flags, *_ in opened:
        assert flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) == 0
    assert not {os.path.basename(arguments[0]) for arguments in opened} & {LOCK, TURN}


def test_a_read_only_directory_serves_every_read(path: Path) -> None:
    """Files and directory without any write permission are enough."""
    for name in os.listdir(path):
        os.chmod(path / name, stat.S_IRUSR)
    os.chmod(path, stat.S_IRUSR | stat.S_IXUSR)
    try:
        with Journal.open(path, read_only=True) as journal:
            use_everything(journal)
    finally:
        os.chmod(path, stat.S_IRWXU)


def test_a_directory_of_data_files_alone_serves_every_read(path: Path) -> None:
    """A copy without the lock files can be read; the reader does not make them."""
    for name in ("lock", "turn", "background.lock", "manifest.lock"):
        (path / name).unlink()
    before = snapshot(path)
    with open_with(path, read_only=True) as journal:
        use_everything(journal)
    assert snapshot(path) == before


@pytest.mark.parametrize("exists", [True, False])
def test_a_reader_may_not_write(path: Path, *, exists: bool) -> None:
    """Appending and syncing raise ReadOnlyError, whether the journal exists or not."""
    where = path if exists else path.parent / "absent"
    with open_with(where, read_only=True) as journal:
        for records in ([], [message()]):
            with pytest.raises(ReadOnlyError, match="opened read-only; open it for appending"):
                journal.append(records)
        with pytest.raises(ReadOnlyError):
            journal.sync()
    assert where.exists() == exists


def test_an_absent_journal_reads_as_empty(tmp_path: Path) -> None:
    """Nothing is made, and the journal is noticed when it appears."""
    path = tmp_path / "journal"
    with open_with(path, read_only=True) as journal:
        assert (states(journal), journal.last_position) == ([], 0)
        assert not journal.statistics().exists
        assert list(tmp_path.iterdir()) == []
        with open_with(path) as writer:
            writer.append([message(b"a")])
        assert states(journal) == [b"a"]
        assert journal.statistics().exists


def test_a_reader_follows_over_rolls(tmp_path: Path) -> None:
    """A reader that was opened first sees each commit at once, over any number of rolls."""
    path = tmp_path / "journal"
    with (
        open_with(path, roll_cycle=RollCycle.events(1)) as writer,
        open_with(path, read_only=True) as reader,
        open_with(path, read_only=True) as late_reader,
    ):
        for number in range(6):
            writer.append([message(b"%d" % number)])
            if number % 2:
                writer.append([], tracking=("up", number))
            assert reader.last_position == number + 1
        assert states(reader) == states(late_reader) == [b"%d" % number for number in range(6)]
        assert late_reader.statistics().segments == len(segment_paths(path)) > 5


def test_a_reader_does_not_look_above_the_mark(path: Path) -> None:
    """A complete commit that was not published is not seen, until an appender adopts it."""
    with open_with(path) as writer:
        old = mark_bytes(path)
        writer.append([message(b"unpublished")])
        new = mark_bytes(path)
    patch(path / MARK, 0, old)
    with open_with(path, read_only=True) as reader:
        assert states(reader) == [b"0", b"1", b"2"]
        # Published after all: now it is there.
        patch(path / MARK, 0, new)
        assert states(reader)[3:] == [b"unpublished"]


def test_a_reader_never_goes_back(path: Path) -> None:
    """If an older mark turns up in the file, what was seen stays visible."""
    old = mark_bytes(path)
    with open_with(path) as writer:
        writer.append([message(b"new")])
    with open_with(path, read_only=True) as reader:
        assert reader.last_position == 4
        patch(path / MARK, 0, old)
        assert reader.last_position == 4


def test_what_a_power_cut_took_back_is_for_an_appender_to_decide(tmp_path: Path) -> None:
    """Under a weak mode visible bytes may be gone: a reader says so, an appender recovers."""
    path = tmp_path / "journal"
    with open_with(path, sync=Sync.NEVER) as writer:
        writer.append([message(b"synced")])
        writer.sync()
        offset = writer.statistics().tail_bytes
        writer.append([message(b"lost")])
        writer.handle.drop()  # no clean close: that would sync
    os.truncate(segment_paths(path)[0], offset)
    before = snapshot(path)
    with (
        open_with(path, read_only=True) as reader,
        pytest.raises(NeedsRecoveryError, match="Open the journal for appending"),
    ):
        reader.read()
    assert snapshot(path) == before
    with open_with(path) as appender:
        assert states(appender) == [b"synced"]
        assert appender.statistics().epoch == 1
        assert appender.append([message(b"next")]) == range(2, 3)


def test_a_reader_does_not_compare_settings(path: Path) -> None:
    """A reader reads whatever mode was recorded, and records nothing."""
    before = snapshot(path)
    options: dict[str, Any] = {"sync": Sync.NEVER, "roll_cycle": RollCycle.WEEK}
    with open_with(path, read_only=True, **options) as journal:
        assert journal.statistics().sync == "always"
    assert snapshot(path) == before

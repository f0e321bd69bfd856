"""Disks that are full or fail: what the caller is told, and what is there afterwards."""

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aurora_es import (
    AuroraError,
    CommitOutcomeUnknownError,
    CorruptionError,
    Journal,
    PoisonedHandleError,
    RollCycle,
    StorageError,
    StorageFullError,
    Sync,
)
from aurora_es.format.names import MARK
from tests.journal.support import (
    Call,
    ScriptedFiles,
    effects_with,
    error_of,
    event,
    mark_bytes,
    message,
    open_with,
    patch,
    segment_paths,
    states,
)

FULL = [errno.ENOSPC, errno.EDQUOT, errno.EFBIG]
COMMIT = [event("a", 1, b"one"), event("a", 2, b"two"), event("a", 3, b"three")]


@pytest.fixture
def files() -> ScriptedFiles:
    """Give files that can be made to fail."""
    return ScriptedFiles()


@pytest.fixture
def journal(tmp_path: Path, files: ScriptedFiles) -> Any:
    """Open a journal with one record, on files that can be made to fail."""
    with open_with(tmp_path / "journal", effects_with(files)) as opened:
        opened.append([message(b"first")])
        yield opened


def written(journal: Journal) -> dict[str, bytes]:
    """All files of a journal, without the zeros that are filled in ahead."""
    return {
        path.name: path.read_bytes().rstrip(b"\0")
        for path in Path(journal.handle.path).iterdir()
        if path.is_file()
    }


def is_zeros(fd: int, data: bytes, offset: int) -> bool:
    """Recognize the write of a reservation."""
    return not any(data)


def is_frame(fd: int, data: bytes, offset: int) -> bool:
    """Recognize the write of frames: longer than a slot of the mark, and no zeros."""
    return len(data) > 64 and any(data)


def tear(files: ScriptedFiles, length: int, number: int) -> None:
    """Let each write of frames write ``length`` bytes and then find no way to go on."""
    is_torn = False

    def write(call: Call, fd: int, data: bytes, offset: int) -> int:
        nonlocal is_torn
        if not is_torn and not is_frame(fd, data, offset):
            return int(call())
        is_torn = bool(length) and not is_torn
        if is_torn:
            return files.inner.pwrite(fd, data[:length], offset)
        raise error_of(number)

    files.reactions["pwrite"] = write


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_closing_behind_a_failed_append_closes_every_descriptor(
    tmp_path: Path, files: ScriptedFiles, call: str
) -> None:
    """At once: who unmounts the disk next does not wait for the garbage collector."""

    def fail(*_: object) -> None:
        raise error_of(errno.EIO)  # a new one: an error that is kept keeps what it knows

    gc.collect()
    gc.disable()
    try:
        before = os.listdir("/dev/fd")
        journal = open_with(tmp_path / "journal", effects_with(files))
        journal.append([message(b"first")])
        files.reactions[call] = fail
        with pytest.raises(AuroraError):
            journal.append(COMMIT)
        files.obey()
        journal.close()
        del journal
        assert os.listdir("/dev/fd") == before
    finally:
        gc.enable()


# A failed sync


EVERY_CALL: list[Callable[[Journal], Any]] = [
    lambda journal: journal.append([message()]),
    lambda journal: journal.append([]),
    lambda journal: journal.last_position,
    lambda journal: journal.read(),
    lambda journal: journal.statistics(),
    lambda journal: journal.sync(),
    lambda journal: journal.tail(),
]


def test_a_failed_sync_makes_the_outcome_unknown_and_the_handle_final(
    journal: Journal, files: ScriptedFiles
) -> None:
    """The sync is not tried again: every later call on the handle raises, naming the cure."""
    files.fail("fdatasync", error_of(errno.EIO))
    with pytest.raises(CommitOutcomeUnknownError, match=r"may or may not be on disk.*Open the"):
        journal.append(COMMIT)
    files.obey()
    syncs = len([name for name, _ in files.calls if name in {"fsync", "fdatasync"}])
    for call in EVERY_CALL:
        with pytest.raises(PoisonedHandleError, match="Open the journal again"):
            call(journal)
    journal.close()
    journal.close()
    assert len([name for name, _ in files.calls if name in {"fsync", "fdatasync"}]) == syncs


def test_readers_do_not_see_a_commit_whose_sync_failed(
    journal: Journal, files: ScriptedFiles
) -> None:
    """Other handles read what was acknowledged; a new appender recovers, and then it is there."""
    path = journal.handle.path
    with open_with(path, read_only=True) as reader:
        files.fail("fdatasync", error_of(errno.EIO))
        with pytest.raises(CommitOutcomeUnknownError):
            journal.append(COMMIT)
        assert states(reader) == [b"first"]
        with open_with(path) as second:
            assert states(second) == states(reader) == [b"first", b"one", b"two", b"three"]
            assert second.statistics().adopted_commits == 1
            assert second.append([message(b"last")]) == range(5, 6)


def test_recovery_writes_again_what_it_adopts(journal: Journal, files: ScriptedFiles) -> None:
    """After a failed sync pages look clean and are not on disk: the same bytes are written anew."""
    path = journal.handle.path
    begin = journal.statistics().tail_bytes
    files.fail("fdatasync", error_of(errno.EIO))
    with pytest.raises(CommitOutcomeUnknownError):
        journal.append(COMMIT)
    second_files = ScriptedFiles()
    with open_with(path, effects_with(second_files)) as second:
        end = second.statistics().tail_bytes
        content = Path(segment_paths(path)[0]).read_bytes()[begin:end]
        writes = [
            number
            for number, (name, arguments) in enumerate(second_files.calls)
            if name == "pwrite" and arguments[1:] == (content, begin)
        ]
        assert len(writes) == 1
        following = [name for name, _ in second_files.calls[writes[0] :]]
        assert "pwrite" not in following[1 : following.index("fsync")]


def test_a_medium_that_reads_differently_each_time_ends_recovery(
    journal: Journal, files: ScriptedFiles
) -> None:
    """What the walk saw is other bytes when it is written again, and so on: refused, not tried for ever."""
    path = journal.handle.path
    begin = journal.statistics().tail_bytes
    files.fail("fdatasync", error_of(errno.EIO))
    with pytest.raises(CommitOutcomeUnknownError):
        journal.append(COMMIT)
    content = Path(segment_paths(path)[0]).read_bytes()
    length = len(content[begin:].rstrip(b"\0") + bytes(7)) & ~7
    second_files = ScriptedFiles()

    def flicker(call: Call, fd: int, count: int, offset: int) -> Any:
        data = call()
        return data[:-9] + b"?" + data[-8:] if (count, offset) == (length, begin) else data

    second_files.reactions["pread"] = flicker
    with (
        pytest.raises(CorruptionError, match=f"offset {begin}: expected the same valid frames"),
        open_with(path, effects_with(second_files)) as second,
    ):
        second.append(COMMIT)
    with open_with(path) as third:
        assert third.last_position == 4


@pytest.mark.parametrize("lost_from", [0, 8, 72, 80, 100])
def test_a_commit_whose_pages_were_lost_is_gone_as_a_whole(
    journal: Journal, files: ScriptedFiles, lost_from: int
) -> None:
    """If the failed sync lost pages, all of the commit is cut, however much of it is left."""
    path = journal.handle.path
    offset = journal.statistics().tail_bytes
    files.fail("fdatasync", error_of(errno.EIO))
    with pytest.raises(CommitOutcomeUnknownError):
        journal.append(COMMIT)
    patch(segment_paths(path)[0], offset + lost_from, bytes(1000))
    with open_with(path) as second:
        assert states(second) == [b"first"]
        assert second.append(COMMIT) == range(2, 5)


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_a_failed_sync_during_a_roll_writes_nothing_of_the_commit(
    tmp_path: Path, files: ScriptedFiles, call: str
) -> None:
    """The commit that came before the roll's sync failed is refused; the next handle rolls."""
    path = tmp_path / "journal"
    effects = effects_with(files)
    with open_with(path, effects, roll_cycle=RollCycle.events(1)) as journal:
        journal.append([message(b"first")])
        files.fail(call, error_of(errno.EIO))
        with pytest.raises(PoisonedHandleError, match="nothing of this call was written"):
            journal.append(COMMIT)
    with open_with(path) as second:
        assert states(second) == [b"first"]
        assert second.append(COMMIT) == range(2, 5)


def test_recovery_that_cannot_sync_refuses(journal: Journal, files: ScriptedFiles) -> None:
    """What recovery could not make durable is not served: opening fails until the disk does it."""
    path = journal.handle.path
    files.fail("fdatasync", error_of(errno.EIO))
    with pytest.raises(CommitOutcomeUnknownError):
        journal.append(COMMIT)
    second = ScriptedFiles()
    second.fail("fsync", error_of(errno.EIO))
    with pytest.raises(PoisonedHandleError):
        open_with(path, effects_with(second))
    with open_with(path) as third:
        assert third.last_position == 4


def test_a_failing_sync_of_the_mark_at_close_is_not_raised(
    journal: Journal, files: ScriptedFiles
) -> None:
    """Commits are on disk by then, and recovery walks forward from a stale mark."""
    journal.append(COMMIT)
    files.fail("fdatasync", error_of(errno.EIO))
    journal.close()
    assert journal.handle.poison is not None
    with open_with(journal.handle.path) as second:
        assert second.last_position == 4


@pytest.mark.parametrize("sync", [Sync.NEVER, Sync.interval(60_000)], ids=str)
def test_a_failed_explicit_sync_is_unknown_too(
    tmp_path: Path, files: ScriptedFiles, sync: Sync
) -> None:
    """Under weak modes it is the call of ``sync`` that tells, and makes the handle final."""
    with open_with(tmp_path / "journal", effects_with(files), sync=sync) as journal:
        journal.append([message()])
        files.fail("fdatasync", error_of(errno.EIO))
        with pytest.raises(CommitOutcomeUnknownError):
            journal.sync()
        with pytest.raises(PoisonedHandleError):
            journal.append([message()])


# A full disk


@pytest.mark.parametrize("number", FULL, ids=errno.errorcode.get)
@pytest.mark.parametrize("written_before", [0, 1, 72, 120])
def test_a_full_disk_at_the_write(
    journal: Journal, files: ScriptedFiles, number: int, written_before: int
) -> None:
    """Nothing of the commit stays, not even what fitted, and the handle goes on."""
    before = written(journal)
    tear(files, written_before, number)
    for _ in range(2):
        with pytest.raises(StorageFullError, match=r"nothing was written\. Free some space"):
            journal.append(COMMIT)
        assert written(journal) == before
        assert states(journal) == [b"first"]
    files.obey()
    assert journal.append(COMMIT) == range(2, 5)
    journal.close()
    with open_with(journal.handle.path) as second:
        assert second.statistics().recoveries == 0
        assert states(second) == [b"first", b"one", b"two", b"three"]


@pytest.mark.parametrize("number", FULL, ids=errno.errorcode.get)
def test_a_full_disk_at_the_reservation(tmp_path: Path, files: ScriptedFiles, number: int) -> None:
    """A full disk shows where zeros are filled in ahead, before anything is written."""
    path = tmp_path / "journal"
    with open_with(path, effects_with(files, reserve_bytes=512)) as journal:
        journal.append([message(bytes(range(1, 200)))])
        before = written(journal)
        files.fail("pwrite", error_of(number), when=is_zeros, times=2)
        for _ in range(2):
            with pytest.raises(StorageFullError):
                journal.append([message(bytes(range(1, 250)))])
            assert written(journal) == before
        journal.append([message(b"small")])
        journal.append([message(bytes(range(1, 250)))])
        assert journal.last_position == 3


def test_a_write_that_can_not_be_undone(journal: Journal, files: ScriptedFiles) -> None:
    """If cutting back fails as well, the outcome is unknown; the next append recovers."""
    tear(files, 91, errno.ENOSPC)
    files.fail("ftruncate", error_of(errno.EIO))
    with pytest.raises(CommitOutcomeUnknownError, match="could not be undone"):
        journal.append(COMMIT)
    assert states(journal) == [b"first"]
    files.obey()
    assert journal.append([message(b"second")]) == range(2, 3)
    assert states(journal) == [b"first", b"second"]
    assert journal.statistics().cut_bytes > 0


def test_an_error_that_is_no_full_disk(journal: Journal, files: ScriptedFiles) -> None:
    """Another error of a write is told in the system's words; nothing was written."""
    before = written(journal)
    files.fail("pwrite", error_of(errno.EIO), when=is_frame)
    with pytest.raises(StorageError, match=r"Input/output error.*nothing was written"):
        journal.append(COMMIT)
    assert written(journal) == before
    journal.append(COMMIT)


def test_an_error_of_a_read(journal: Journal, files: ScriptedFiles) -> None:
    """A disk that cannot be read raises StorageError from every call that reads, and passes."""
    calls: list[Callable[[], Any]] = [
        lambda: journal.last_position,
        lambda: list(journal.read()),
        journal.statistics,
        lambda: journal.append([message()]),
    ]
    for call in calls:
        files.fail("pread", error_of(errno.EIO))
        with pytest.raises(StorageError, match="Input/output error"):
            call()
    reading = journal.read()
    files.fail("pread", error_of(errno.EIO))
    with pytest.raises(StorageError, match="Input/output error"):
        next(reading)
    assert states(journal) == [b"first"]


def test_a_full_disk_at_a_roll(tmp_path: Path, files: ScriptedFiles) -> None:
    """A roll that finds no space is begun again by the next append, which may be another's."""
    path = tmp_path / "journal"
    effects = effects_with(files)
    with open_with(path, effects, roll_cycle=RollCycle.events(1)) as journal:
        journal.append([message(b"first")])
        for after in range(2):  # the end frame, the next segment
            files.fail("pwrite", error_of(errno.ENOSPC), after=after)
            with pytest.raises(StorageFullError):
                journal.append(COMMIT)
            assert states(journal) == [b"first"]
        with open_with(path) as second:
            assert second.append(COMMIT) == range(2, 5)
        files.obey()
        assert journal.append([message(b"last")]) == range(5, 6)
        assert len(segment_paths(path)) == 3


@pytest.mark.parametrize("after", range(5))
def test_a_full_disk_at_creation(tmp_path: Path, files: ScriptedFiles, after: int) -> None:
    """A journal that could not be made is absent, and is made when there is space again."""
    path = tmp_path / "journal"
    with open_with(path, effects_with(files)) as journal:
        files.fail("pwrite", error_of(errno.ENOSPC), after=after)
        if after < 3:
            with pytest.raises(StorageFullError):
                journal.append(COMMIT)
            with open_with(path, read_only=True) as reader:
                assert reader.last_position == 0
        files.obey()
        assert journal.append(COMMIT) == range(1, 4) or after >= 3


@pytest.mark.parametrize("length", [1, 7, 63, 100])
def test_short_writes_are_continued(tmp_path: Path, files: ScriptedFiles, length: int) -> None:
    """A system that writes only some bytes at a time gets all of them in the end."""
    files.reactions["pwrite"] = lambda call, fd, data, offset: files.inner.pwrite(
        fd, data[:length], offset
    )
    path = tmp_path / "journal"
    effects = effects_with(files, reserve_bytes=64)
    with open_with(path, effects, roll_cycle=RollCycle.events(2)) as journal:
        for number in range(6):
            journal.append([message(b"%d" % number)])
    with open_with(path) as second:
        assert states(second) == [b"%d" % number for number in range(6)]


def test_short_reads_are_continued(journal: Journal, files: ScriptedFiles) -> None:
    """A system that reads only some bytes at a time is asked again."""
    journal.append([message(bytes(range(256)) * 40)])

    def read_less(call: Call, fd: int, length: int, offset: int) -> bytes:
        return files.inner.pread(fd, length if length <= 4160 else 1000, offset)

    files.reactions["pread"] = read_less
    journal.handle.forget_state()
    assert states(journal) == [b"first", bytes(range(256)) * 40]


def test_a_mark_that_cannot_be_written_is_unknown(journal: Journal, files: ScriptedFiles) -> None:
    """A commit that is on disk but not published is found by the next handle."""
    files.fail("pwrite", error_of(errno.EIO), when=lambda fd, data, offset: len(data) == 64)
    with pytest.raises(CommitOutcomeUnknownError):
        journal.append(COMMIT)
    with pytest.raises(PoisonedHandleError):
        journal.append(COMMIT)
    with open_with(journal.handle.path) as second:
        assert second.last_position == 4


def test_an_older_mark_is_walked_forward_from(journal: Journal) -> None:
    """After a power cut the mark may be old: nothing that was acknowledged is lost."""
    old = mark_bytes(journal.handle.path)
    journal.append(COMMIT)
    journal.append([], tracking=("up", 3))
    journal.close()
    patch(os.path.join(journal.handle.path, MARK), 0, old)
    with open_with(journal.handle.path) as second:
        statistics = second.statistics()
        assert (statistics.last_position, statistics.last_commit) == (4, 3)
        assert (statistics.recoveries, statistics.adopted_commits) == (1, 2)
        assert second.handle.state.index.tracking["up"].notification_id == 3


LIMITED = """
import resource, sys
from aurora_es import Journal, Record, StorageFullError

def limit(count):
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, resource.RLIM_INFINITY))

journal = Journal.open(sys.argv[1])
limit(100_000)
try:
    journal.append([Record(topic="t", state=b"early")])
except StorageFullError:
    pass
limit(1_500_000)
count = 0
try:
    while True:
        journal.append([Record(topic="t", state=bytes(100_000))])
        count += 1
except StorageFullError as error:
    assert "nothing was written" in str(error)
assert 5 < count < 15, count
assert len(list(journal.read())) == count
limit(4_000_000)
journal.append([Record(topic="t", state=b"last")])
print(count)
"""


def test_a_real_file_size_limit(tmp_path: Path) -> None:
    """The system's own limit stops creation and appends with a typed error, and is survived."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "journal")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    with open_with(tmp_path / "journal") as journal:
        assert journal.last_position == int(done.stdout) + 1
        assert states(journal)[-1] == b"last"


def test_all_errors_here_are_ours() -> None:
    """Whoever catches AuroraError catches what storage does to a journal."""
    for error in (CommitOutcomeUnknownError, PoisonedHandleError, StorageError, StorageFullError):
        assert issubclass(error, AuroraError)


def test_a_mark_that_cannot_be_read_at_close_is_not_raised(tmp_path: Path) -> None:
    """All commits are on disk by then; an error of the system alone would say the opposite."""
    files = ScriptedFiles()
    journal = open_with(tmp_path / "journal", effects_with(files))
    journal.append([message(b"a")])
    journal.handle.descriptors.mark._seen = None  # type: ignore[union-attr]
    files.fail("pread", error_of(errno.EIO))
    journal.close()
    with open_with(tmp_path / "journal") as again:
        assert states(again) == [b"a"]

"""Every error of the face is both ours and the library's, and says what can be done."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eventsourcing import persistence as library
from eventsourcing.persistence import Tracking

from aurora_es import errors, recorder_errors
from aurora_es.files.layer import Effects, SystemFiles
from aurora_es.format.checksum import crc32c
from aurora_es.format.manifest import CHECKSUM, MANIFEST_HEADER, MANIFEST_MAGIC
from aurora_es.journal import sharing
from aurora_es.journal.append_lock import AppendLock
from aurora_es.journal.handle import MissingSegmentError
from aurora_es.journal.journal import Journal
from aurora_es.recorder_errors import recorder_error
from aurora_es.testing.faulty import Fault, FaultyFiles
from tests.face.support import (
    UUID_1,
    UUID_2,
    OpenFactory,
    Script,
    descriptors_open,
    event,
    events,
    factory_on,
)

CLASSES: dict[type[errors.AuroraError], type[library.PersistenceError]] = {
    errors.ConflictError: library.IntegrityError,
    errors.CommitOutcomeUnknownError: library.OperationalError,
    errors.PoisonedHandleError: library.OperationalError,
    errors.LockTimeoutError: library.OperationalError,
    errors.StorageFullError: library.OperationalError,
    errors.StorageError: library.OperationalError,
    errors.NeedsRecoveryError: library.OperationalError,
    errors.HistoryChangedError: library.OperationalError,
    errors.TruncatedError: library.OperationalError,
    errors.StillNeededError: library.OperationalError,
    errors.InUseError: library.OperationalError,
    errors.ForeignDirectoryError: library.OperationalError,
    errors.CorruptionError: library.InternalError,
    errors.ClosedError: library.InterfaceError,
    errors.ForkedHandle: library.InterfaceError,
    errors.ArgumentError: library.ProgrammingError,
    errors.TooLargeError: library.DataError,
    errors.ReadOnlyError: library.NotSupportedError,
    errors.UnsupportedFormatError: library.NotSupportedError,
}

# Fills a file until the process may write no more, as a quota or a full disk would have it.
_LIMITED = """
import resource, sys
from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.utils import Environment
from aurora_es import AuroraFactory, StorageFullError
factory = AuroraFactory(Environment("App", {"AURORA_PATH": sys.argv[1], "AURORA_SYNC": sys.argv[2]}))
recorder = factory.application_recorder()
recorder.insert_events([StoredEvent("a", 0, "t", bytes(100))])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, hard))
count = 1
try:
    while True:
        recorder.insert_events([StoredEvent("a", count, "t", bytes(100_000))])
        count += 1
except StorageFullError as error:
    assert isinstance(error, OperationalError), type(error)
assert recorder.max_notification_id() == count
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert recorder.insert_events([StoredEvent("a", count, "t", b"")]) == [count + 1]
factory.close()
print(count)
"""


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> FaultyFiles:
    """The file layer of all journals of the test, which can be told to fail."""
    faulty = FaultyFiles(SystemFiles(), random.Random(0))
    monkeypatch.setattr(sharing, "SYSTEM_EFFECTS", Effects(faulty))
    return faulty


@contextmanager
def raises_both(
    ours: type[errors.AuroraError], theirs: type[Exception], match: str = "."
) -> Iterator[None]:
    """Expect an error that is both."""
    with pytest.raises(ours, match=match) as caught:
        yield
    assert isinstance(caught.value, theirs)


def test_every_error_of_the_journal_has_a_twin() -> None:
    """Each is ours and the library's; wrong settings are OSErrors and keep their own class."""
    table = recorder_errors._FACE_CLASSES
    ours = {
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, errors.AuroraError)
    }
    assert (
        ours - {errors.AuroraError, errors.AuroraConfigurationError} == set(table) == set(CLASSES)
    )
    for origin, twin in table.items():
        assert issubclass(twin, origin)
        assert issubclass(twin, CLASSES[origin])
        assert issubclass(twin, library.IntegrityError) == (origin is errors.ConflictError)


def test_a_twin_says_the_same() -> None:
    """Text, attributes, arguments and traceback are those of the original."""
    original = errors.CorruptionError("segment", 7, expected="this", found="that")
    twin = recorder_error(original)
    assert isinstance(twin, errors.CorruptionError)
    assert str(twin) == str(original)
    assert (twin.path, twin.offset, twin.expected, twin.found) == ("segment", 7, "this", "that")
    late = errors.LockTimeoutError("timed out")
    assert str(recorder_error(late)) == "timed out"
    conflict = errors.Conflict(UUID_1, 1, 3)
    refused = recorder_error(errors.ConflictError("taken", [conflict]))
    assert isinstance(refused, errors.ConflictError)
    assert refused.conflicts == (conflict,)
    setting = errors.AuroraConfigurationError("wrong")
    assert recorder_error(setting) is setting
    assert recorder_error(twin) is twin
    missing = MissingSegmentError("segment", 7, expected="a file")
    assert isinstance(recorder_error(missing), library.InternalError)


def test_a_conflict_names_what_is_taken(open_factory: OpenFactory) -> None:
    """Id, version and position of each event in the way; for tracking the name and its id."""
    recorder = open_factory().process_recorder()
    recorder.insert_events(events(3), tracking=Tracking("up", 5))
    with pytest.raises(library.IntegrityError) as caught:
        recorder.insert_events([event(9), event(2), event(1, UUID_2), event(3, str(UUID_1))])
    error = caught.value
    assert isinstance(error, errors.ConflictError)
    assert error.conflicts == ((UUID_1, 2, 2, None), (UUID_1, 3, 3, None))
    assert f"originator {UUID_1} has version 2 already, recorded at position 2" in str(error)
    with pytest.raises(errors.ConflictError) as caught_twice:
        recorder.insert_events([event(4), event(4)])
    assert caught_twice.value.conflicts == ((UUID_1, 4, 0, None),)
    with pytest.raises(errors.ConflictError) as caught_late:
        recorder.insert_events([event(4)], tracking=Tracking("up", 5))
    assert caught_late.value.conflicts == ((None, None, 5, "up"),)
    with pytest.raises(library.IntegrityError):
        recorder.insert_tracking(Tracking("up", 4))
    assert recorder.max_notification_id() == 3


def test_a_failed_sync_leaves_the_outcome_unknown(
    open_factory: OpenFactory, files: FaultyFiles
) -> None:
    """The error is no IntegrityError, the recorder is final, and another factory recovers."""
    factory = open_factory()
    recorder = factory.application_recorder()
    subscription = recorder.subscribe()
    recorder.insert_events([event(1)])
    files.arm(Fault("error"), only=frozenset({"fdatasync"}))
    with raises_both(errors.CommitOutcomeUnknownError, library.OperationalError, "sync failed"):
        recorder.insert_events([event(2)])
    assert not issubclass(recorder_errors.RecorderOutcomeUnknownError, library.IntegrityError)
    for call in (
        lambda: recorder.insert_events([event(3)]),
        lambda: recorder.select_events(UUID_1),
        recorder.max_notification_id,
        recorder.subscribe,
        lambda: next(subscription),
    ):
        with raises_both(errors.PoisonedHandleError, library.OperationalError):
            call()
    again = open_factory().application_recorder()
    assert [one.id for one in again.select_notifications(1, 9)] == [1, 2]
    assert again.insert_events([event(3)]) == [3]
    factory.close()


def test_the_append_lock_has_a_time_out(tmp_path: Path, open_factory: OpenFactory) -> None:
    """Who cannot have it in time gets a TimeoutError that is OperationalError; then it works."""
    recorder = open_factory(AURORA_LOCK_TIMEOUT="0.02").process_recorder()
    recorder.insert_events([event(1)])
    with open(tmp_path / "App" / "events" / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with raises_both(errors.LockTimeoutError, library.OperationalError, "LOCK_TIMEOUT"):
            recorder.insert_events([event(2)])
        with raises_both(errors.LockTimeoutError, library.OperationalError, "LOCK_TIMEOUT"):
            recorder.insert_tracking(Tracking("up", 1))
        assert recorder.max_notification_id() == 1
    assert recorder.insert_events([event(2)]) == [2]


def test_opening_has_a_time_out(tmp_path: Path, open_factory: OpenFactory) -> None:
    """Constructing a recorder takes the lock once, to recover; the error is the same."""
    factory = open_factory()
    factory.application_recorder().insert_events([event(1)])
    factory.close()
    with open(tmp_path / "App" / "events" / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with raises_both(errors.LockTimeoutError, library.OperationalError):
            open_factory(AURORA_LOCK_TIMEOUT="0").application_recorder()
    assert open_factory().application_recorder().max_notification_id() == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk(open_factory: OpenFactory, files: FaultyFiles, number: int) -> None:
    """Nothing is written, and everything works again when there is space."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(1)])
    files.arm(Fault("error", "middle", error_number=number), only=frozenset({"pwrite"}))
    with raises_both(errors.StorageFullError, library.OperationalError, "nothing was written"):
        recorder.insert_events([event(2)])
    assert files.struck == "pwrite"
    assert recorder.max_notification_id() == 1
    assert recorder.insert_events([event(2)]) == [2]


@pytest.mark.parametrize("sync", ["always", "never"])
def test_a_limit_of_the_operating_system(tmp_path: Path, sync: str) -> None:
    """A real refusal in the middle of a file: the same error, and nothing lost."""
    with Script(_LIMITED, str(tmp_path), sync) as script:
        count = int(script.end())
    assert count > 5
    recorder = factory_on(tmp_path).application_recorder()
    assert [one.originator_version for one in recorder.select_events("a")] == [*range(count + 1)]
    recorder.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_full_file_system(tmp_path: Path) -> None:
    """A small tmpfs fills up: the same error, reading goes on, and nothing is lost."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "aurora-es-test", tmp_path],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        recorder = factory_on(tmp_path, AURORA_SYNC="never").application_recorder()
        count = 0
        with raises_both(errors.StorageFullError, library.OperationalError):
            while count < 100:
                recorder.insert_events([event(count, state=bytes(100_000))])
                count += 1
        assert 0 < recorder.max_notification_id() == count  # type: ignore[operator]
        recorder.close()
        again = factory_on(tmp_path).application_recorder()
        assert len(again.select_events(UUID_1)) == count
        again.close()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_what_else_the_operating_system_refuses(
    open_factory: OpenFactory, files: FaultyFiles
) -> None:
    """A write error that could be undone is OperationalError, and the recorder stays usable."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(1)])
    files.arm(Fault("error", error_number=errno.EIO), only=frozenset({"pwrite"}))
    with raises_both(errors.StorageError, library.OperationalError, "nothing was written"):
        recorder.insert_events([event(2)])
    assert recorder.insert_events([event(2)]) == [2]


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_a_failing_read(open_factory: OpenFactory, files: FaultyFiles, number: int) -> None:
    """An error of the disk while reading is OperationalError, and the next read works."""
    factory = open_factory(AURORA_ROLL_CYCLE="1events")
    recorder = factory.process_recorder()
    recorder.insert_events([event(1)])
    recorder.insert_events([event(2)])
    calls: list[Callable[[], object]] = [
        lambda: recorder.select_events(UUID_1),
        lambda: recorder.select_notifications(1, 9),
        lambda: recorder.select_notifications(1, 9, topics=["topic"]),
        recorder.max_notification_id,
        lambda: recorder.max_tracking_id("up"),
        lambda: next(recorder.subscribe()),
    ]
    for call in calls:
        files.arm(Fault("error", error_number=number), only=frozenset({"pread", "open"}))
        with raises_both(errors.StorageError, library.OperationalError, os.strerror(number)):
            call()
        call()


def test_corruption(tmp_path: Path, open_factory: OpenFactory) -> None:
    """A changed byte is InternalError, which names file and offset, and nothing is skipped."""
    factory = open_factory()
    factory.application_recorder().insert_events(events(3))
    factory.close()
    (path,) = (tmp_path / "App" / "events").glob("*.segment")
    data = bytearray(path.read_bytes())
    place = data.index(b"state")
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(library.InternalError) as caught:
        open_factory().application_recorder().select_events(UUID_1)
    assert isinstance(caught.value, errors.CorruptionError)
    assert caught.value.path == str(path)
    assert 0 < caught.value.offset <= place


def test_a_newer_format_is_not_touched(tmp_path: Path, open_factory: OpenFactory) -> None:
    """A manifest of a later version is NotSupportedError."""
    factory = open_factory()
    factory.application_recorder().insert_events([event()])
    factory.close()
    path = tmp_path / "App" / "events" / "manifest"
    head = MANIFEST_HEADER.pack(MANIFEST_MAGIC, 99, 0, 0, 0, 0)
    path.write_bytes(head + CHECKSUM.pack(crc32c(head)))
    with raises_both(errors.UnsupportedFormatError, library.NotSupportedError, "version 99"):
        open_factory().application_recorder()


def test_a_subscription_to_a_changed_history_ends_with_an_error(
    tmp_path: Path, open_factory: OpenFactory
) -> None:
    """Events that were taken back by a recovery are not passed over in silence."""
    recorder = open_factory().application_recorder()
    recorder.insert_events([event(1)])
    subscription = recorder.subscribe()
    assert next(subscription).id == 1
    with Journal.open(tmp_path / "App" / "events") as journal:
        handle = journal.handle
        with AppendLock(handle, handle.effects.monotonic() + 5) as descriptors:
            mark = descriptors.mark.read()
            descriptors.mark.publish(
                mark._replace(sequence=mark.sequence + 1, epoch=mark.epoch + 1)
            )
    with raises_both(errors.HistoryChangedError, library.OperationalError, "epoch"):
        next(subscription)
    assert recorder.max_notification_id() == 1


def test_a_failing_constructor_leaves_nothing_open(
    tmp_path: Path, open_factory: OpenFactory
) -> None:
    """Constructing a recorder of a foreign directory raises the face's error, again and again."""
    factory = open_factory()
    factory.application_recorder().insert_events([event()])
    factory.close()
    (tmp_path / "App").rename(tmp_path / "Other")
    before = descriptors_open()
    for _ in range(3):
        with raises_both(errors.ForeignDirectoryError, library.OperationalError):
            open_factory("Other").application_recorder()
    assert descriptors_open() == before

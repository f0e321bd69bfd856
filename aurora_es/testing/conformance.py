"""What a file layer or a recorder has to do: test classes to run on one's own.

Subclass one, say how to make what is tested, and let pytest or unittest collect it::

    class TestMyFiles(FilesConformance):
        def make_files(self) -> Files:
            return MyFiles()

        def make_directory(self) -> str:
            return tempfile.mkdtemp()

Theory of operation: plain assertions, no plugin, and no access to anything but the interface. What
only a power cut can show is not here: for that, run the journal's histories on ``CrashableDisk``.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from aurora_es.files.layer import DIRECTORY_MODE, FILE_MODE

if TYPE_CHECKING:
    from collections.abc import Callable

    from aurora_es.files.layer import Files

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL
_THREADS = 4
_COMMITS = 12


def raises(error: type[BaseException], call: Callable[[], object]) -> None:
    """Assert that ``call`` raises ``error``."""
    try:
        call()
    except error:
        return
    message = f"expected {error.__name__}, and nothing was raised"
    raise AssertionError(message)


class FilesConformance:
    """What ``aurora_es.files.layer.Files`` promises to a journal."""

    def make_files(self) -> Files:
        """Make the layer; called once for each process that a test imagines."""
        raise NotImplementedError

    def make_directory(self) -> str:
        """Make an empty directory that ``make_files`` reaches; returns its path."""
        raise NotImplementedError

    def _made(self, content: bytes = b"") -> tuple[Files, str, int]:
        files, path = self.make_files(), os.path.join(self.make_directory(), "file")
        fd = files.open(path, _CREATE, FILE_MODE)
        if content:
            assert files.pwrite(fd, content, 0) == len(content)
        return files, path, fd

    def test_bytes_are_read_where_they_were_written(self) -> None:
        """Writes at an offset, over the end, and in a hole; a read ends with the file."""
        files, _, fd = self._made(b"abcdef")
        files.pwrite(fd, b"XY", 2)
        files.pwrite(fd, b"z", 8)
        assert files.pread(fd, 100, 0) == b"abXYef\0\0z"
        assert files.pread(fd, 3, 1) == b"bXY"
        assert files.pread(fd, 3, 9) == b""
        assert files.fstat(fd).st_size == 9
        files.close(fd)

    def test_what_was_written_is_seen_by_every_descriptor(self) -> None:
        """Without any sync."""
        files, path, fd = self._made(b"a")
        other = files.open(path, os.O_RDONLY, FILE_MODE)
        files.pwrite(fd, b"b", 1)
        assert files.pread(other, 10, 0) == b"ab"
        raises(OSError, lambda: files.pwrite(other, b"c", 0))
        files.close(other)
        files.close(fd)

    def test_a_file_is_cut_and_extended(self) -> None:
        """What was cut off does not come back when the file grows again."""
        files, _, fd = self._made(b"abcdef")
        files.ftruncate(fd, 2)
        files.ftruncate(fd, 5)
        assert files.pread(fd, 100, 0) == b"ab\0\0\0"
        files.close(fd)

    def test_syncs_take_files_and_directories(self) -> None:
        """All kinds of syncs return, and change nothing that can be read."""
        files, path, fd = self._made(b"abc")
        files.fsync(fd)
        files.fdatasync(fd)
        files.drop_cached(fd)
        files.sync_directory(os.path.dirname(path))
        assert files.pread(fd, 100, 0) == b"abc"
        files.close(fd)

    def test_exclusive_creation_finds_what_is_there(self) -> None:
        """So that of two creators one is second."""
        files, path, fd = self._made()
        raises(FileExistsError, lambda: files.open(path, _CREATE, FILE_MODE))
        raises(FileNotFoundError, lambda: files.open(path + "x", os.O_RDWR, FILE_MODE))
        assert stat.S_ISREG(files.fstat(fd).st_mode)
        assert files.fstat(fd).st_uid == os.geteuid()
        files.close(fd)

    def test_a_link_never_replaces(self) -> None:
        """A second name leads to the same file; a name that is taken is an error."""
        files, path, fd = self._made(b"abc")
        files.link(path, path + ".second")
        assert files.stat(path + ".second").st_ino == files.fstat(fd).st_ino
        assert files.fstat(fd).st_nlink == 2
        raises(FileExistsError, lambda: files.link(path, path + ".second"))
        files.unlink(path)
        assert files.pread(fd, 10, 0) == b"abc"
        assert files.listdir(os.path.dirname(path)) == ["file.second"]
        files.close(fd)

    def test_a_rename_replaces(self) -> None:
        """The name leads to the new file at once; who has the old one open reads on."""
        files, path, fd = self._made(b"old")
        new = files.open(path + ".new", _CREATE, FILE_MODE)
        files.pwrite(new, b"new", 0)
        files.rename(path + ".new", path)
        assert files.stat(path).st_ino == files.fstat(new).st_ino
        assert files.pread(fd, 10, 0) == b"old"
        assert files.listdir(os.path.dirname(path)) == ["file"]
        files.close(new)
        files.close(fd)

    def test_directories(self) -> None:
        """They are made once, and listed."""
        files, parent = self.make_files(), self.make_directory()
        path = os.path.join(parent, "below")
        files.mkdir(path, DIRECTORY_MODE)
        raises(FileExistsError, lambda: files.mkdir(path, DIRECTORY_MODE))
        assert stat.S_ISDIR(files.stat(path).st_mode)
        assert files.listdir(parent) == ["below"]
        assert files.listdir(path) == []

    def test_a_lock_excludes_other_open_files(self) -> None:
        """Of the same process, too; unlocking and closing release it, and sharing is allowed."""
        files, path, first = self._made()
        second = files.open(path, os.O_RDWR, FILE_MODE)
        exclusive, shared = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB
        files.flock(first, exclusive)
        raises(BlockingIOError, lambda: files.flock(second, exclusive))
        raises(BlockingIOError, lambda: files.flock(second, shared))
        files.flock(first, fcntl.LOCK_UN)
        files.flock(second, exclusive)
        files.close(second)
        files.flock(first, exclusive)
        files.close(first)


class RecorderConformance:
    """What an application recorder of the library has to do, beyond the library's own cases.

    ``event_class`` and ``conflict_error`` are the library's ``StoredEvent`` and ``IntegrityError``,
    which this package imports nowhere but in its recorders.
    """

    event_class: Callable[..., Any]
    conflict_error: type[Exception]

    def make_recorder(self) -> Any:
        """Make a recorder of an empty store."""
        raise NotImplementedError

    def reopened(self, recorder: Any) -> Any:
        """Open the same store anew, as another process would; leave this out if it cannot be."""
        return recorder

    def _event(self, originator: UUID, version: int, state: bytes = b"state") -> Any:
        return self.event_class(
            originator_id=originator, originator_version=version, topic="topic", state=state
        )

    def _read(self, recorder: Any, start: int = 1) -> list[tuple[int, Any, int]]:
        found = recorder.select_notifications(start=start, limit=10_000)
        return [(one.id, one.originator_id, one.originator_version) for one in found]

    def test_a_refused_batch_leaves_nothing(self) -> None:
        """Not even a notification id: the next one follows without a gap."""
        recorder, first, second = self.make_recorder(), uuid4(), uuid4()
        recorder.insert_events([self._event(first, 1)])
        batch = [self._event(second, 1), self._event(first, 1), self._event(second, 2)]
        raises(self.conflict_error, lambda: recorder.insert_events(batch))
        recorder.insert_events([self._event(first, 2)])
        assert self._read(recorder) == [(1, first, 1), (2, first, 2)]
        assert list(recorder.select_events(second)) == []

    def test_ids_are_told_in_order(self) -> None:
        """An insert returns the ids of its own events, one behind the other."""
        recorder, originator = self.make_recorder(), uuid4()
        told = []
        for number in range(3):
            batch = [self._event(originator, 2 * number + part) for part in (1, 2)]
            told += list(recorder.insert_events(batch) or ())
        assert told == [1, 2, 3, 4, 5, 6]
        assert recorder.max_notification_id() == 6

    def test_what_was_recorded_is_there_after_opening_anew(self) -> None:
        """States, versions and ids, and conflicts with them."""
        recorder, originator = self.make_recorder(), uuid4()
        states = [os.urandom(size) for size in (0, 1, 100, 70_000)]
        for version, state in enumerate(states, 1):
            recorder.insert_events([self._event(originator, version, state)])
        again = self.reopened(recorder)
        assert [bytes(one.state) for one in again.select_events(originator)] == states
        raises(self.conflict_error, lambda: again.insert_events([self._event(originator, 4)]))
        again.insert_events([self._event(originator, 5)])
        assert [one[0] for one in self._read(again)] == [1, 2, 3, 4, 5]

    def test_of_many_threads_one_wins_each_version(self) -> None:
        """Every version is won once, and no id is left out."""
        recorder, originator = self.make_recorder(), uuid4()

        def contend() -> None:
            for version in range(1, _COMMITS + 1):
                with suppress(self.conflict_error):
                    recorder.insert_events([self._event(originator, version)])

        threads = [threading.Thread(target=contend) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = [(version, originator, version) for version in range(1, _COMMITS + 1)]
        assert self._read(recorder) == expected

    def test_a_reader_sees_no_gap_and_no_part_of_a_batch(self) -> None:
        """While others insert: what is seen is always a beginning of what will be there."""
        recorder = self.make_recorder()
        is_over = threading.Event()
        faults: list[str] = []

        def insert() -> None:
            originator = uuid4()
            for number in range(_COMMITS):
                batch = [self._event(originator, 3 * number + part) for part in (1, 2, 3)]
                recorder.insert_events(batch)

        def read() -> None:
            seen: list[tuple[int, Any, int]] = []
            while True:
                was_over = is_over.is_set()
                found = self._read(recorder)
                if found[: len(seen)] != seen:
                    faults.append(f"{found} after {seen}")
                if [one[0] for one in found] != list(range(1, len(found) + 1)):
                    faults.append(f"a gap: {found}")
                if len(found) % 3:
                    faults.append(f"a part of a batch: {found[-3:]}")
                seen = found
                if was_over:
                    return

        readers = [threading.Thread(target=read) for _ in range(2)]
        writers = [threading.Thread(target=insert) for _ in range(_THREADS)]
        for thread in (*readers, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        is_over.set()
        for thread in readers:
            thread.join()
        assert not faults, faults[0]
        assert len(self._read(recorder)) == 3 * _COMMITS * _THREADS

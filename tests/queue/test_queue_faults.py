"""What a disk that fails, a fork and a wrong directory mean to who uses a queue."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sys
from pathlib import Path

import pytest

from aurora_es import (
    AuroraConfigurationError,
    CommitOutcomeUnknownError,
    CorruptionError,
    ForeignDirectoryError,
    ForkedHandle,
    PoisonedHandleError,
    StorageFullError,
)
from aurora_es.queue import Sync, blocking, open_queue
from tests.journal.support import ScriptedFiles, effects_with, error_of
from tests.queue.support import opened, run


def test_a_full_disk_sends_nothing_and_the_queue_goes_on(tmp_path: Path) -> None:
    """The sender is told, and sends again when there is room."""

    async def main() -> None:
        files = ScriptedFiles()
        async with await opened(tmp_path / "q", effects_with(files), sync=Sync.NEVER) as queue:
            sender = await queue.acquire_sender()
            await sender.send("one")
            files.fail("pwrite", error_of(errno.ENOSPC))
            with pytest.raises(StorageFullError):
                await sender.send("two")
            files.obey()
            assert await sender.send("two") == 2

    run(main)


def open_paths() -> list[str]:
    """Paths of the files that this process has open."""
    paths = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            paths.append(os.readlink(f"/proc/self/fd/{fd}"))
    return paths


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are looked up in /proc")
def test_closing_behind_a_refused_send_closes_every_descriptor(tmp_path: Path) -> None:
    """At once, without the garbage collector: the disk that was full can be unmounted."""

    def fill_disk(*_: object) -> None:
        raise error_of(errno.ENOSPC)  # a new one: an error that is kept keeps what it knows

    async def main() -> None:
        files = ScriptedFiles()
        queue = await opened(tmp_path / "q", effects_with(files), sync=Sync.ALWAYS)
        sender = await queue.acquire_sender()
        await sender.send("one")
        files.reactions["pwrite"] = fill_disk
        with pytest.raises(StorageFullError):
            await sender.send("two")
        files.obey()
        await queue.close()

    gc.collect()
    gc.disable()
    try:
        run(main)
        assert not [path for path in open_paths() if path.startswith(str(tmp_path))]
    finally:
        gc.enable()


def test_a_commit_whose_sync_fails_is_not_taken_for_done(tmp_path: Path) -> None:
    """The block raises, the cursors are final, and after opening again the state is one of two."""

    async def main() -> None:
        files = ScriptedFiles()
        queue = await opened(tmp_path / "q", effects_with(files))
        await (await queue.acquire_sender()).send_many(range(3))
        named, member = await queue.subscribe("n"), await queue.join("g")
        message = await member.receive()
        files.fail("fdatasync", error_of(errno.EIO))
        with pytest.raises(CommitOutcomeUnknownError):
            async with named.take():
                pass
        assert (named.committed, named.position) == (0, 0)
        with pytest.raises(PoisonedHandleError):
            await member.acknowledge(message)
        files.obey()
        await queue.close()
        async with await opened(tmp_path / "q") as again:
            assert again.names()["n"].frontier in {0, 1}
            assert list(again.names()["g"].held) == [1]

    run(main)


def test_damaged_cursors_are_told(tmp_path: Path) -> None:
    """A record of cursors that cannot be read stops names, and not the messages."""
    with blocking.open_queue(tmp_path / "q") as queue:
        queue.acquire_sender().send("one")
        queue.subscribe("n")
        queue._log.journal.append_rows([(None, None, "commit", b"\xc1")], [(None, None)], None)
        with pytest.raises(CorruptionError, match="'commit'"):
            queue.subscribe("n")
        assert queue.subscribe().next(str) == "one"


def test_directories_and_settings_that_do_not_fit(tmp_path: Path) -> None:
    """A directory of somebody else, and another sync mode than the recorded one, are refused."""
    (tmp_path / "foreign" / "messages").mkdir(parents=True)
    (tmp_path / "foreign" / "messages" / "photo.jpg").write_bytes(b"x")
    with pytest.raises(ForeignDirectoryError):
        blocking.open_queue(tmp_path / "foreign")
    blocking.open_queue(tmp_path / "q", sync=Sync.NEVER).close()
    with pytest.raises(AuroraConfigurationError, match="sync mode always"):
        blocking.open_queue(tmp_path / "q", sync=Sync.ALWAYS)
    with pytest.raises(AuroraConfigurationError):
        blocking.open_queue(tmp_path / "q", sync="never")  # type: ignore[arg-type]


def in_child(call: object) -> int:
    """Call in the child of a fork; 7 if that raises ForkedHandle."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert callable(call)
            call()
        except ForkedHandle:
            code = 7
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside the appender's thread
def test_the_child_of_a_fork_opens_again(tmp_path: Path) -> None:
    """What the parent had open raises in the child, and never hangs."""
    with blocking.open_queue(tmp_path / "b") as queue:
        sender, receiver = queue.acquire_sender(), queue.subscribe()
        sender.send("one")
        assert in_child(lambda: sender.send("two")) == 7
        assert in_child(lambda: receiver.next()) == 7  # noqa: PLW0108 - overloads
        assert receiver.next(str) == "one"

    async def main() -> None:
        async with open_queue(tmp_path / "a") as queue:
            sender = await queue.acquire_sender()
            await sender.send("one")
            assert in_child(lambda: sender.send_nowait("two")) == 7
            assert await sender.send("two") == 2

    run(main)

"""What a disk that fails, a fork and a wrong directory mean to who uses a queue."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import sys
import traceback
from pathlib import Path

import pytest

from aurora_es import (
    AuroraConfigurationError,
    CommitOutcomeUnknownError,
    CorruptionError,
    ForeignDirectoryError,
    ForkedHandle,
    Journal,
    PoisonedHandleError,
    StorageFullError,
)
from aurora_es.queue import Queue, QueueError, Sender, Sync, blocking, open_queue
from tests.journal.support import ScriptedFiles, effects_with, error_of
from tests.queue.support import every_sync, opened, run


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


def test_names_promise_what_sends_do(tmp_path: Path) -> None:
    """A sync mode that was changed for the messages alone is refused, until it holds for both."""
    path = tmp_path / "the queue"
    with blocking.open_queue(path, sync=Sync.NEVER) as queue:
        queue.acquire_sender().send("one")
        queue.subscribe("n")
    Journal.set_sync(path / "messages", Sync.ALWAYS)
    for sync in (None, Sync.ALWAYS):
        with pytest.raises(AuroraConfigurationError, match=f"aurora-es set '{path}' --sync always"):
            blocking.open_queue(path, sync=sync)
    with blocking.open_queue(path, read_only=True) as queue:
        assert queue.subscribe().next(str) == "one"
    Journal.set_sync(path / "cursors", Sync.ALWAYS)
    with blocking.open_queue(path, sync=Sync.ALWAYS) as queue:
        assert queue.subscribe("n").next(str) == "one"


def in_child(call: object) -> int:
    """Call in the child of a fork; 0 if that ends well, 7 if it raises ForkedHandle."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert callable(call)
            call()
            code = 0
        except ForkedHandle:
            code = 7
        except BaseException:  # noqa: BLE001 - the child ends here, whatever it is
            traceback.print_exc()  # pytest of the parent shows it
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside the appender's thread
def test_the_child_of_a_fork_opens_again(tmp_path: Path) -> None:
    """A queue for threads, and its senders, open again; all else raises, and never hangs."""
    with blocking.open_queue(tmp_path / "b") as queue:
        sender, receiver, member = queue.acquire_sender(), queue.subscribe(), queue.join("g")
        sender.send("one")

        def work() -> None:
            assert queue.last_position == 1
            assert sender.send("two") == 2
            assert sender.send_many(["three", "four"]) == range(3, 5)
            assert queue.subscribe(start=3).next(str) == "three"
            with queue.join("g").take(timeout=0) as message:
                assert message.position == 1
            assert sorted(queue.names()) == ["g"]
            queue.close()

        assert in_child(work) == 0
        assert in_child(lambda: receiver.next()) == 7  # noqa: PLW0108 - overloads
        assert in_child(lambda: member.receive(timeout=0)) == 7
        assert receiver.next(str) == "one"
        assert sender.send("five") == 5
        assert member.receive(timeout=0).position == 2

    async def main() -> None:
        async with open_queue(tmp_path / "a") as queue:
            sender = await queue.acquire_sender()
            await sender.send("one")
            assert in_child(lambda: sender.send_nowait("two")) == 7
            assert await sender.send("two") == 2

    run(main)


@every_sync
def test_a_queue_is_for_the_loop_that_opened_it(tmp_path: Path, sync: Sync) -> None:
    """In another loop every call is refused before anything is sent; closing works when the first is gone."""

    async def begin() -> tuple[Queue, Sender, asyncio.Future[int]]:
        queue = await opened(tmp_path / "q", sync=sync)
        sender = await queue.acquire_sender()
        await sender.send("one")
        return queue, sender, sender.send_nowait("two")

    queue, sender, _ = run(begin)

    async def go_on() -> None:
        for refused in (queue.acquire_sender, queue.subscribe, lambda: queue.join("g")):
            with pytest.raises(QueueError, match="event loop"):
                await refused()
        with pytest.raises(QueueError, match="event loop"):
            sender.send_nowait("three")
        await queue.close()
        async with await opened(tmp_path / "q") as again:
            assert again.last_position == 2

    run(go_on)

"""Senders: positions, order, durability, cancellation, back pressure, closing."""

from __future__ import annotations

import asyncio
import errno
import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from aurora_es import (
    ArgumentError,
    ClosedError,
    CommitOutcomeUnknownError,
    ReadOnlyError,
    RollCycle,
    Sync,
)
from aurora_es.queue import (
    MessageEncodingError,
    MessageTooLargeError,
    Outgoing,
    Queue,
    SenderClosedError,
    SenderFullError,
)
from aurora_es.queue.appender import Entry, _append_or_refuse
from tests.journal.support import (
    Call,
    ScriptedFiles,
    effects_with,
    error_of,
)
from tests.patience import PATIENCE_SECONDS
from tests.queue.support import every_loop, every_sync, opened, run


class Gate:
    """Lets a system call of the appender's thread wait until it is opened."""

    def __init__(self) -> None:
        """Be shut."""
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, call: Call, *_: Any) -> Any:
        """Wait, then call."""
        self.reached.set()
        assert self.opened.wait(PATIENCE_SECONDS)
        return call()


async def held_queue(path: Path, **choices: Any) -> tuple[Queue, ScriptedFiles, Gate]:
    """Open a queue whose next sync waits at a gate; its journal exists already."""
    files = ScriptedFiles()
    queue = await opened(path, effects_with(files), **choices)
    async with await queue.acquire_sender() as sender:
        await sender.send("first")
    gate = Gate()
    files.reactions["fdatasync"] = gate
    return queue, files, gate


async def values_of(queue: Queue) -> list[Any]:
    """All messages that are there."""
    receiver = await queue.subscribe()
    found = await receiver.next_batch(10_000, timeout=0) if queue.last_position else []
    assert [message.position for message in found] == list(range(1, len(found) + 1))
    return [message.decode() for message in found]


@every_loop
@every_sync
def test_sends_give_positions_in_order(tmp_path: Path, sync: Sync, loop: str) -> None:
    """However messages are sent, positions have no gap and follow the order of the calls."""

    async def main() -> None:
        async with await opened(tmp_path / "q", sync=sync) as queue:
            sender = await queue.acquire_sender()
            positions = [await sender.send(number) for number in range(100)]
            futures = [sender.send_nowait(number) for number in range(100, 200)]
            positions += await sender.send_many(range(200, 300))
            positions[100:100] = await asyncio.gather(*futures)
            assert positions == list(range(1, 301))
            assert await sender.send_many([]) == range(0)
            assert await values_of(queue) == list(range(300))

    run(main, loop)


def test_many_senders_share_syncs(tmp_path: Path) -> None:
    """Tasks that send at once are answered by a few syncs, each by a position of its own."""

    async def main() -> None:
        queue, files, gate = await held_queue(tmp_path / "q")
        senders = [await queue.acquire_sender() for _ in range(20)]
        tasks = [asyncio.create_task(sender.send("x")) for sender in senders]
        await asyncio.to_thread(gate.reached.wait)
        files.calls.clear()
        gate.opened.set()
        assert sorted(await asyncio.gather(*tasks)) == list(range(2, 22))
        assert len([name for name, _ in files.calls if name == "fdatasync"]) <= 2
        await queue.close()

    run(main)


def test_a_loop_does_not_wait_for_a_sync(tmp_path: Path) -> None:
    """While the disk is busy, other tasks go on."""

    async def main() -> None:
        queue, _, gate = await held_queue(tmp_path / "q")
        sender = await queue.acquire_sender()
        task = asyncio.create_task(sender.send("x"))
        await asyncio.to_thread(gate.reached.wait)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        assert queue.last_position == 1  # not visible before it is on disk
        gate.opened.set()
        assert await task == 2
        await queue.close()

    run(main)


def test_a_roll_happens_in_the_thread(tmp_path: Path) -> None:
    """Without syncs a send is appended at once, unless a roll is due: that waits for the disk."""
    callers: list[str] = []

    async def main() -> None:
        files = ScriptedFiles()
        queue = await opened(
            tmp_path / "q",
            effects_with(files),
            sync=Sync.NEVER,
            roll_cycle=RollCycle.events(3),
        )

        def note(call: Call, *_: Any) -> Any:
            callers.append(threading.current_thread().name)
            return call()

        files.reactions["fsync"] = files.reactions["fdatasync"] = note
        sender = await queue.acquire_sender()
        assert [await sender.send(number) for number in range(10)] == list(range(1, 11))
        await queue.close()

    run(main)
    assert callers
    assert threading.current_thread().name not in callers


def test_a_cancelled_send_is_taken_back_or_sent_whole(tmp_path: Path) -> None:
    """What the appender has not taken yet never happens; what it has is there once."""

    async def main() -> None:
        queue, _, gate = await held_queue(tmp_path / "q")
        sender = await queue.acquire_sender()
        taken = asyncio.create_task(sender.send("taken"))
        await asyncio.to_thread(gate.reached.wait)
        waiting = asyncio.create_task(sender.send("waiting"))
        kept = sender.send_nowait("kept")
        withdrawn = sender.send_nowait("withdrawn")
        await asyncio.sleep(0)
        for it in (taken, waiting, withdrawn):
            it.cancel()
        gate.opened.set()
        assert await kept == 3
        for it in (taken, waiting):
            with pytest.raises(asyncio.CancelledError):
                await it
        assert await values_of(queue) == ["first", "taken", "kept"]
        await queue.close()

    run(main)


def test_back_pressure(tmp_path: Path) -> None:
    """At the bound ``send_nowait`` refuses and ``send`` waits its turn; a cancelled one gives it on."""

    async def main() -> None:
        queue, _, gate = await held_queue(tmp_path / "q", unsynced_bytes_max=100)
        sender = await queue.acquire_sender()
        first = sender.send_nowait(b"x" * 100)
        with pytest.raises(SenderFullError):
            sender.send_nowait("refused")
        tasks = [asyncio.create_task(sender.send(f"{number}" * 50)) for number in range(4)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(SenderFullError):
            sender.send_nowait("refused")
        gate.opened.set()
        await first
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await values_of(queue) == ["first", b"x" * 100, "1" * 50, "2" * 50, "3" * 50]
        assert await sender.send_nowait("accepted again") == 6
        await queue.close()

    run(main)


def test_a_cancelled_waiter_passes_its_room_on(tmp_path: Path) -> None:
    """Who is given room and cancelled in the same moment does not leave the others waiting."""

    async def main() -> None:
        queue, _, gate = await held_queue(tmp_path / "q", unsynced_bytes_max=1)
        sender = await queue.acquire_sender()
        first = sender.send_nowait("x")
        tasks = [asyncio.create_task(sender.send("y")) for _ in range(3)]
        await asyncio.sleep(0)
        # Behind the answer to the first send, and before the task that it gives room to goes on.
        first.add_done_callback(lambda _: tasks[0].cancel())
        gate.opened.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [asyncio.CancelledError, int, int]
        assert queue.last_position == 4
        await queue.close()

    run(main)


def test_all_for_whom_there_is_room_go_on_at_once(tmp_path: Path) -> None:
    """When one sync makes room for many, they share the next one."""

    async def main() -> None:
        queue, files, gate = await held_queue(tmp_path / "q", unsynced_bytes_max=2000)
        sender = await queue.acquire_sender()
        first = sender.send_nowait(b"x" * 2000)
        tasks = [asyncio.create_task(sender.send(number)) for number in range(20)]
        await asyncio.to_thread(gate.reached.wait)
        files.calls.clear()
        gate.opened.set()
        await asyncio.gather(first, *tasks)
        # How many share one is for the scheduler to say; one for each would be 20, and the first's.
        assert len([name for name, _ in files.calls if name == "fdatasync"]) < 20
        await queue.close()

    run(main)


@every_sync
def test_closing_sends_what_was_accepted(tmp_path: Path, sync: Sync) -> None:
    """A sender and a queue that are closed have sent everything, and take no more."""

    async def main() -> None:
        async with await opened(tmp_path / "q", sync=sync) as queue:
            async with await queue.acquire_sender() as sender:
                futures = [sender.send_nowait(number) for number in range(50)]
            assert all(future.done() for future in futures)
            other = await queue.acquire_sender()
            futures = [other.send_nowait(number) for number in range(50, 100)]
        assert all(future.done() for future in futures)
        for closed in (sender, other):
            with pytest.raises(SenderClosedError):
                await closed.send("x")
            with pytest.raises(ClosedError):
                closed.send_nowait("x")
        with pytest.raises(ClosedError):
            await queue.acquire_sender()
        await queue.close()
        async with await opened(tmp_path / "q") as again:
            assert await values_of(again) == list(range(100))

    run(main)


def test_a_queue_that_is_dropped_ends_its_thread(tmp_path: Path) -> None:
    """Nobody has to close: the thread ends when the queue is collected."""

    async def main() -> None:
        queue = await opened(tmp_path / "q")
        sender = await queue.acquire_sender()
        await sender.send("x")
        thread = sender._appender._thread
        assert thread is not None
        del queue, sender
        gc.collect()
        await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
        assert not thread.is_alive()

    run(main)


def test_a_failed_sync_is_told_to_each_sender(tmp_path: Path) -> None:
    """A failed sync leaves the outcome of the whole group unknown, and the queue final."""

    async def main() -> None:
        files = ScriptedFiles()
        queue = await opened(tmp_path / "q", effects_with(files))
        sender = await queue.acquire_sender()
        await sender.send("first")
        files.fail("fdatasync", error_of(5))
        answers = await asyncio.gather(
            *(sender.send("x") for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(answer, CommitOutcomeUnknownError) for answer in answers)
        with pytest.raises(Exception, match="an earlier sync failed"):
            await sender.send("y")
        await queue.close()
        async with await opened(tmp_path / "q") as again:
            assert (await values_of(again))[0] == "first"

    run(main)


def test_closing_is_not_disturbed_by_a_send_that_fails(tmp_path: Path) -> None:
    """Each send gets its own error; closing only waits for them."""

    async def main() -> None:
        queue, files, gate = await held_queue(tmp_path / "q")
        sender = await queue.acquire_sender()
        first = sender.send_nowait("x")
        await asyncio.to_thread(gate.reached.wait)
        failing = sender.send_nowait("y")
        closing = asyncio.create_task(sender.close())
        await asyncio.sleep(0)
        files.fail("pwrite", error_of(errno.ENOSPC))
        gate.opened.set()
        await closing
        outcomes = await asyncio.gather(first, failing, return_exceptions=True)
        assert any(isinstance(outcome, Exception) for outcome in outcomes)
        files.obey()
        await queue.close()

    run(main)


def test_what_cannot_be_sent(tmp_path: Path) -> None:
    """A message that cannot be encoded or is too large is refused, and nothing else with it."""

    async def main() -> None:
        async with await opened(tmp_path / "q") as queue:
            sender = await queue.acquire_sender()
            with pytest.raises(MessageEncodingError, match="type object"):
                await sender.send(object())
            with pytest.raises(MessageTooLargeError):
                sender.send_nowait(bytes(16 << 20))
            with pytest.raises(ValueError, match="key"):
                await sender.send("x", key=3)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="headers"):
                await sender.send("x", headers={"a": object()})
            with pytest.raises(MessageEncodingError, match="headers"):
                await sender.send("x", headers={"a": 2**64})
            with pytest.raises(MessageEncodingError, match="key"):
                await sender.send("x", key="\ud800")
            with pytest.raises(MessageTooLargeError):
                await sender.send("x", headers={"a": bytes(16 << 20)})
            with pytest.raises(MessageEncodingError):
                await sender.send_many(["x", object()])
            assert await values_of(queue) == []

    run(main)


def test_keys_and_headers(tmp_path: Path) -> None:
    """Keys and headers come back; each message of many may have its own."""

    async def main() -> None:
        async with await opened(tmp_path / "q") as queue:
            sender = await queue.acquire_sender()
            await sender.send(1, key="k", headers={"h": [1, None]})
            await sender.send_many([2, Outgoing(3, "own", {"o": 1})], key="all")
            receiver = await queue.subscribe()
            found = await receiver.next_batch()
            assert [(m.decode(int), m.key, m.headers) for m in found] == [
                (1, "k", {"h": [1, None]}),
                (2, "all", None),
                (3, "own", {"o": 1}),
            ]

    run(main)


def test_a_read_only_queue_has_no_senders(tmp_path: Path) -> None:
    """A queue that is opened to be read does not send, and makes no directory."""

    async def main() -> None:
        from tests.queue.support import builder

        async with await builder(tmp_path / "q").read_only().build() as queue:
            with pytest.raises(ReadOnlyError):
                await queue.acquire_sender()
            assert queue.last_position == 0
        assert not (tmp_path / "q").exists()

    run(main)


@pytest.mark.parametrize("closes", ["sender", "queue"])
def test_closing_ends_those_who_wait_for_room(tmp_path: Path, closes: str) -> None:
    """However many sends wait for the bound of bytes, none waits for ever; nothing of them is sent."""

    async def main() -> None:
        queue, _, gate = await held_queue(tmp_path / "q", unsynced_bytes_max=1)
        sender = await queue.acquire_sender()
        sends = [asyncio.create_task(sender.send(number)) for number in range(10)]
        await asyncio.to_thread(gate.reached.wait)
        closing = asyncio.create_task(sender.close() if closes == "sender" else queue.close())
        await asyncio.sleep(0)
        gate.opened.set()
        await closing
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        assert outcomes[0] == 2
        assert [type(outcome) for outcome in outcomes[1:]] == [SenderClosedError] * 9
        await queue.close()

    run(main)


def test_headers_are_those_of_the_moment_of_sending(tmp_path: Path) -> None:
    """What becomes of the dictionary before the bytes are written does not matter."""

    async def main() -> None:
        queue, _, gate = await held_queue(tmp_path / "q")
        sender = await queue.acquire_sender()
        headers: dict[str, Any] = {"number": 1}
        first = sender.send_nowait("x", headers=headers)
        await asyncio.to_thread(gate.reached.wait)
        second = sender.send_nowait("y", headers=headers)
        headers["number"] = object()
        gate.opened.set()
        assert [await first, await second] == [2, 3]
        receiver = await queue.subscribe(start=2)
        assert [(await receiver.next()).headers for _ in range(2)] == [{"number": 1}] * 2
        await queue.close()

    run(main)


class PickyJournal:
    """A journal that refuses a commit with a certain record."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.topics: list[str] = []

    def append_rows(self, rows: Any, *_: object) -> int:
        """Append all, or refuse all."""
        topics = [row[2] for row in rows]
        if "refused" in topics:
            reason = "not this one"
            raise ArgumentError(reason)
        self.topics += topics
        return len(self.topics) - len(topics) + 1


def test_what_cannot_be_written_refuses_nothing_that_was_joined_with_it() -> None:
    """Of the sends that were joined to one commit, only those that are at fault fail."""

    async def main() -> None:
        journal: Any = PickyJournal()
        names = ["a", "refused", "b", "c", "refused"]
        futures = [asyncio.get_running_loop().create_future() for _ in names]
        entries = [
            Entry(((None, None, name, b""),), None, 0, future)
            for name, future in zip(names, futures, strict=True)
        ]
        _append_or_refuse(journal, entries)
        assert journal.topics == ["a", "b", "c"]
        refused = [isinstance(entry.error, ArgumentError) for entry in entries]
        assert refused == [False, True, False, False, True]
        assert [entry.first_position for entry in entries] == [1, 0, 2, 3, 0]

    run(main)


def test_a_close_that_is_cancelled_sends_what_was_accepted(tmp_path: Path) -> None:
    """Whoever gives up waiting for it, the journal is closed behind the last accepted message."""

    async def main() -> None:
        queue, _, gate = await held_queue(tmp_path / "q")
        sender = await queue.acquire_sender()
        futures = [sender.send_nowait("x")]
        await asyncio.to_thread(gate.reached.wait)
        futures += [sender.send_nowait("y") for _ in range(3)]
        closing = asyncio.create_task(queue.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert await asyncio.gather(*futures) == [2, 3, 4, 5]

    run(main)

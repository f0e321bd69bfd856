"""Groups: members divide the messages; leases, redelivery, parking, order per key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aurora_es import ClosedError
from aurora_es.queue import (
    END,
    START,
    GroupReceiver,
    LeaseLostError,
    Message,
    Outgoing,
    Queue,
    ReceiverClosedError,
    ReceiveTimeoutError,
    Sync,
    cursor_state,
    cursors,
)
from tests.journal.support import SECOND, ManualClock, effects_with
from tests.queue.support import every_loop, every_sync, opened, run


class Refused(Exception):  # noqa: N818 - raised by tests only
    """Raised in a block."""


class Scene:
    """Queues on one directory with one clock."""

    def __init__(self, path: Path) -> None:
        """Begin with an empty directory."""
        self.path = path / "q"
        self.clock = ManualClock()
        self.queues: list[Queue] = []

    async def queue(self, **choices: Any) -> Queue:
        """Open the queue once more."""
        queue = await opened(self.path, effects_with(clock=self.clock), **choices)
        self.queues.append(queue)
        return queue

    async def member(self, **options: Any) -> GroupReceiver:
        """Join the group, through a handle of its own."""
        return await (await self.queue()).join("g", **options)

    async def send(self, *values: Any) -> None:
        """Send values."""
        queue = self.queues[0] if self.queues else await self.queue()
        await (await queue.acquire_sender()).send_many(values)

    async def close(self) -> None:
        """Close everything."""
        for queue in self.queues:
            await queue.close()


async def all_of(receiver: GroupReceiver) -> list[int]:
    """Positions of all that a member is given now."""
    found: list[int] = []
    while True:
        try:
            found.append((await receiver.receive(timeout=0)).position)
        except ReceiveTimeoutError:
            return found


async def refuse(receiver: GroupReceiver) -> Message:
    """Take a message in a block that raises."""
    try:
        async with receiver.take() as message:
            raise Refused("cannot be done")
    except Refused:
        return message


@every_loop
@every_sync
def test_members_divide_the_messages(tmp_path: Path, sync: Sync, loop: str) -> None:
    """Each message is taken once, whoever is faster, and none is left."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.queue(sync=sync)
        await scene.send(*range(60))
        members = [await scene.member(prefetch=prefetch) for prefetch in (1, 3, 7)]
        seen: list[int] = []

        async def work(member: GroupReceiver) -> None:
            while len(seen) < 60:
                try:
                    async with member.take(timeout=0) as message:
                        seen.append(message.decode(int))
                except ReceiveTimeoutError:
                    await asyncio.sleep(0)

        await asyncio.gather(*(work(member) for member in (*members, members[1])))
        assert sorted(seen) == list(range(60))
        assert [member.lag() for member in members] == [0, 0, 0]
        await scene.close()

    run(main, loop)


def test_a_message_that_is_not_acknowledged_comes_again(tmp_path: Path) -> None:
    """After the visibility time-out another member gets it, counted; extending puts that off."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send(1, 2)
        first, second = await scene.member(), await scene.member(visibility_timeout=5)
        mine, extended = [await first.receive() for _ in range(2)]
        await first.extend(extended, 100)
        assert await all_of(second) == []
        scene.clock.now += 30 * SECOND
        again = await second.receive(timeout=0)
        assert (again.position, again.attempts, mine.attempts) == (1, 2, 1)
        assert await all_of(second) == []
        await first.release(mine)  # not his any more: changes nothing
        assert await all_of(first) == []
        await first.acknowledge(mine)  # done is done
        scene.clock.now += 200 * SECOND
        assert await all_of(second) == [2]
        assert second.lag() == 1
        await scene.close()

    run(main)


def test_what_was_claimed_too_long_ago_is_not_handed_out(tmp_path: Path) -> None:
    """Neither a message that waited with its member, nor a claim that was slow to reach the disk."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send(1, 2)
        first, second = await scene.member(prefetch=2), await scene.member()
        mine = await first.receive()
        scene.clock.now += 31 * SECOND
        assert await all_of(second) == [1, 2]
        assert await all_of(first) == []
        assert mine.position == 1
        scene.clock.now += 31 * SECOND
        claimed = first._member.claim()
        assert claimed is not None
        await first._writer.write(claimed[0])
        scene.clock.now += 31 * SECOND
        assert await all_of(second) == [1, 2]
        scene.clock.now -= 31 * SECOND  # the time alone would forbid it, too
        first._adopt(claimed[1])
        assert await all_of(first) == []
        await scene.close()

    run(main)


def test_a_block_that_raises_gives_back(tmp_path: Path) -> None:
    """After an error the message comes again, behind the delay; at the last attempt it is parked."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send("poison", "good")
        member = await scene.member(attempts_max=3, retry_delay=2.0)
        for attempt in (1, 2, 3):
            taken = await refuse(member)
            assert (taken.decode(str), taken.attempts) == ("poison", attempt)
            if attempt == 1:
                async with member.take(timeout=0) as message:
                    assert message.decode(str) == "good"
            assert await all_of(member) == []
            scene.clock.now += 2 * SECOND
        assert member.lag() == 0
        ((parked, reason),) = member.parked()
        assert (parked.decode(str), parked.attempts) == ("poison", 3)
        assert reason == "Refused: cannot be done"
        await member.redeliver([parked])
        async with member.take(timeout=0) as message:
            assert (message.position, message.attempts) == (1, 1)
        assert member.parked() == []
        await scene.close()

    run(main)


def test_a_message_that_kills_its_members_is_parked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Members that neither acknowledge nor give back use up the attempts, too."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send("poison", "good")
        member = await scene.member(attempts_max=2, visibility_timeout=1)
        for _ in range(2):
            assert (await member.receive(timeout=0)).position == 1
            scene.clock.now += SECOND
        assert await all_of(member) == [2]
        ((parked, reason),) = member.parked()
        assert parked.position == 1
        assert "handed out too often" in reason
        assert "group 'g': positions [1] are parked" in caplog.text
        await member.discard([parked])
        assert member.parked() == []
        await scene.close()

    run(main)


def test_order_per_key(tmp_path: Path) -> None:
    """Of one key only one message is out at a time; others are passed over for other keys."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send(*(Outgoing(n, key) for n, key in enumerate("aababcc", 1)), 8, 9)
        first = await scene.member(prefetch=3)
        second = await scene.member(prefetch=10, visibility_timeout=60)
        taken = [await first.receive() for _ in range(3)]
        assert [message.key for message in taken] == ["a", "b", "c"]
        assert await all_of(second) == [8, 9]
        await first.release(taken[1])
        assert await all_of(second) == [3]  # b again, before the later b
        await first.acknowledge(taken[0])
        (message,) = [await second.receive(timeout=0)]
        assert (message.position, message.key) == (2, "a")
        assert await all_of(second) == []
        await second.park(message, "looked wrong")
        assert await all_of(second) == [4]  # parked: the key goes on
        await scene.close()

    run(main)


def test_closing_gives_back_what_was_not_handed_out(tmp_path: Path) -> None:
    """Claimed messages of a member that leaves are handed out at once, uncounted."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send(*range(5))
        first, second = await scene.member(prefetch=5), await scene.member()
        assert (await first.receive()).position == 1
        assert await all_of(second) == []
        await first.close()
        await first.close()
        with pytest.raises(ReceiverClosedError):
            await first.receive()
        message = await second.receive(timeout=0)
        assert (message.position, message.attempts) == (2, 1)
        assert await all_of(second) == [3, 4, 5]
        await scene.close()

    run(main)


@every_sync
def test_words_after_the_queue_was_closed(tmp_path: Path, sync: Sync) -> None:
    """An acknowledgement that comes after the queue was closed is an error, and never hangs."""

    async def main() -> None:
        scene = Scene(tmp_path)
        queue = await scene.queue(sync=sync)
        await scene.send(1, 2)
        member = await queue.join("g")
        message = await member.receive()
        await queue.close()
        with pytest.raises(ClosedError):
            await member.acknowledge(message)

    run(main)


def test_where_a_group_begins_and_begins_anew(tmp_path: Path) -> None:
    """The first member says where; ``seek`` lets the whole group start anew."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send(1, 2, 3)
        first = await scene.member(start=END)
        assert await all_of(first) == []
        await first.seek(2)
        second = await scene.member(start=START)
        assert await all_of(second) == [2, 3]
        await first.seek(START)
        assert await all_of(first) == [1, 2, 3]
        await scene.close()

    run(main)


@every_loop
def test_a_waiting_member_is_woken(tmp_path: Path, loop: str) -> None:
    """By a new message, and by one that another member gives back."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.queue(poll_interval=1000)
        first = await scene.member(visibility_timeout=1000)
        second = await (await scene.queue(poll_interval=1000)).join("g")
        waiting = asyncio.create_task(second.receive())
        await asyncio.sleep(0)
        await scene.send(1)
        message = await waiting
        waiting = asyncio.create_task(first.receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await second.release(message)
        assert (await waiting).attempts == 2
        await scene.close()

    run(main, loop)


def test_a_cancelled_receive_leaves_the_message(tmp_path: Path) -> None:
    """Whenever a task is cancelled, what it had claimed is for the next one."""

    async def main() -> None:
        scene = Scene(tmp_path)
        member = await scene.member(visibility_timeout=1e6)
        for turns in range(40):
            await scene.send(turns)
            task = asyncio.create_task(member.receive())
            for _ in range(turns % 8):
                await asyncio.sleep(0)
            if not task.done():
                task.cancel()
            try:
                message: Message = await task
            except asyncio.CancelledError:
                message = await member.receive(timeout=10)
            assert message.decode(int) == turns
            await member.acknowledge(message)
        assert member.lag() == 0
        await scene.close()

    run(main)


def test_the_folded_state_stands_for_what_was_before(tmp_path: Path) -> None:
    """A handle that opens later begins to fold at the newest folded state."""

    async def main() -> None:
        scene = Scene(tmp_path)
        queue = await scene.queue(sync=Sync.NEVER)
        await scene.send(*range(1200))
        member = await scene.member()
        for _ in range(1100):
            async with member.take():
                pass
        held = await member.receive()
        position = member._member.log.state_position()
        assert position > 1000
        other = await scene.queue()
        assert other.names() == queue.names()
        assert other._log.state_position() == position
        newer = await other.join("g")
        assert (newer.lag(), held.position) == (100, 1101)
        await scene.close()

    run(main)


@pytest.mark.parametrize(
    "options",
    [{"visibility_timeout": 0}, {"attempts_max": 0}, {"retry_delay": -1}, {"prefetch": 0}],
    ids=str,
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any]) -> None:
    """Options outside their range are refused."""

    async def main() -> None:
        scene = Scene(tmp_path)
        with pytest.raises(ValueError, match="expected"):
            await scene.member(**options)
        await scene.close()

    run(main)


def test_a_message_is_never_parked_before_its_last_attempt_was_handed_out(tmp_path: Path) -> None:
    """A member that claims more than it can do in time does not use up the attempts of the rest."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.queue(sync=Sync.NEVER)
        await scene.send(*range(30))
        member = await scene.member(prefetch=30, visibility_timeout=1.0, attempts_max=3)
        seen: set[int] = set()
        for _ in range(30):
            message = await member.receive(timeout=0)
            assert message.position not in seen
            seen.add(message.position)
            scene.clock.now += SECOND  # its work takes as long as everybody's time
            await member.acknowledge(message)
        assert len(seen) == 30
        assert member.parked() == []
        await scene.close()

    run(main)


def test_only_attempts_that_were_handed_out_are_the_last(tmp_path: Path) -> None:
    """With one attempt each, a member that dies loses the message that it had, and no other."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send(*range(5))
        dying = await scene.member(prefetch=5, attempts_max=1, visibility_timeout=1.0)
        assert (await dying.receive()).position == 1
        scene.clock.now += SECOND
        other = await scene.member(prefetch=5, attempts_max=1)
        assert await all_of(other) == [2, 3, 4, 5]
        assert [message.position for message, _ in other.parked()] == [1]
        await scene.close()

    run(main)


def test_a_slow_key_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """Thousands of messages that wait for one of their key are passed over."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.queue(sync=Sync.NEVER)
        await scene.send(*(Outgoing(number, key="slow") for number in range(3500)), "quick")
        first, second = await scene.member(), await scene.member()
        message = await first.receive()
        assert await all_of(second) == [3501]
        await first.acknowledge(message)
        assert (await second.receive(timeout=0)).position == 2
        await scene.close()

    run(main)


def test_a_group_that_looks_at_no_more_messages_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where too many are unfinished, the log and the time-out tell why nothing comes."""
    monkeypatch.setattr(cursor_state, "HELD_MAX", 10)

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send(*(Outgoing(number, key="slow") for number in range(12)), "quick")
        first, second = await scene.member(), await scene.member()
        await first.receive()
        for _ in range(2):
            with pytest.raises(ReceiveTimeoutError, match="no new ones are looked at"):
                await second.receive(timeout=0)
        assert caplog.text.count("no new ones are looked at") == 1
        await scene.close()

    run(main)


def test_a_member_is_told_that_its_time_was_over(tmp_path: Path) -> None:
    """Extending and parking what others have, or what is done, is an error and changes nothing."""

    async def main() -> None:
        scene = Scene(tmp_path)
        await scene.send(1)
        first, second = await scene.member(visibility_timeout=1.0), await scene.member()
        late = await first.receive()
        scene.clock.now += SECOND
        await first.extend(late, 1.0)  # nobody else has it yet
        scene.clock.now += SECOND
        message = await second.receive(timeout=0)
        for refused in (first.extend(late, 60), first.park(late, "?")):
            with pytest.raises(LeaseLostError, match="position 1") as caught:
                await refused
            assert caught.value.position == 1
        await second.acknowledge(message)
        with pytest.raises(LeaseLostError):
            await second.extend(message, 1)
        assert (second.parked(), second.lag()) == ([], 0)
        await scene.close()

    run(main)


def test_a_folded_state_that_is_too_large_is_not_tried_at_each_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out, told once in a while, and appended when there is less to tell."""
    monkeypatch.setattr(cursors, "STATE_EVERY_RECORDS", 20)
    monkeypatch.setattr(cursors, "STATE_BYTES_MAX", 200)

    async def main() -> None:
        scene = Scene(tmp_path)
        queue = await scene.queue(sync=Sync.NEVER)
        await scene.send(*range(60))
        member = await scene.member()
        for _ in range(30):
            await member.park(await member.receive(), "x" * 100)
        assert 1 <= caplog.text.count("old cursors stay") <= 4
        names = queue.names()
        assert member._member.log.state_position() == 0
        assert (await scene.queue()).names() == names
        await member.discard([message for message, _ in member.parked()])
        for _ in range(30):
            async with member.take():
                pass
        assert member._member.log.state_position() > 0
        await scene.close()

    run(main)

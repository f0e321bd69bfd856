"""State machine: senders, names and groups on a disk that crashes, against a plain model.

Two processes have the queue open. What they did is remembered; whatever happens to them, nothing
that was acknowledged is lost, nothing is there twice, and nothing is done that nobody is done with.

Which sends are joined to one commit, and whether a cancelled one comes too late, is up to threads:
so the rules draw nothing that depends on it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aurora_es import RollCycle, Sync
from aurora_es.files.layer import Effects
from aurora_es.journal import background
from aurora_es.journal.logs import logger
from aurora_es.queue import (
    CursorMovedError,
    GroupReceiver,
    LeaseLostError,
    Message,
    NamedReceiver,
    Outgoing,
    Queue,
    QueueBuilder,
    Receiver,
    ReceiveTimeoutError,
    Sender,
)
from aurora_es.queue.queue_logs import logger as queue_logger
from aurora_es.testing.crashable import CrashableFiles
from aurora_es.testing.disk import CrashableDisk
from tests.journal.support import SECOND, ManualClock

PATH = "/data/q"
VISIBILITY_SECONDS = 10
sides = st.sampled_from(["a", "b"])
GIVE_BACK = ["acknowledge", "release", "fail", "extend", "park"]
keys = st.sampled_from([None, None, "x", "y"])


@dataclass
class Side:
    """One process with everything that it has open."""

    files: CrashableFiles
    queue: Queue
    sender: Sender
    receiver: Receiver
    named: NamedReceiver
    member: GroupReceiver


@dataclass
class Out:
    """A message that a member has."""

    side: str
    message: Message
    until: int


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.disk = CrashableDisk()
        self.disk.make_directories("/data")
        self.clock = ManualClock()
        self.rng = random.Random(0)
        self.values = itertools.count(1)
        self.sides: dict[str, Side] = {}
        self.sync = Sync.ALWAYS
        self.cycle = RollCycle.DAY
        # The model: values by position, keys, and what was done with them.
        self.sent: list[int] = []
        self.keys: dict[int, str | None] = {}
        self.committed = 0
        self.done: set[int] = set()
        self.parked: set[int] = set()
        self.ever_parked: set[int] = set()
        self.out: dict[int, Out] = {}
        self.late: list[Out] = []  # of members whose time was over when another one got it
        self.attempts: dict[int, int] = {}

    @initialize(
        sync=st.sampled_from([Sync.ALWAYS, Sync.NEVER]),
        cycle=st.sampled_from([RollCycle.events(3), RollCycle.DAY]),
    )
    def begin(self, sync: Sync, cycle: RollCycle) -> None:
        """Two processes open the queue."""
        self.sync, self.cycle = sync, cycle
        for name in ("a", "b"):
            self.open(name)

    def run(self, awaited: Any) -> Any:
        """Run to the end."""
        return self.loop.run_until_complete(awaited)

    def open(self, name: str) -> None:
        """Start a process, which goes on where its names are."""

        async def opened() -> Side:
            files = CrashableFiles(self.disk)
            queue = await (
                QueueBuilder(PATH)
                .allow_network_file_system()
                .with_effects(
                    Effects(
                        files,
                        clock=self.clock,
                        monotonic=lambda: self.clock.now / SECOND,
                        random_bytes=self.rng.randbytes,
                        reserve_bytes=4096,
                    )
                )
                .with_sync(self.sync)
                .with_roll_cycle(self.cycle)
                .with_background(enabled=False)
                .build()
            )
            return Side(
                files,
                queue,
                await queue.acquire_sender(),
                await queue.subscribe(),
                await queue.subscribe("n"),
                await queue.join(
                    "g", visibility_timeout=VISIBILITY_SECONDS, attempts_max=3, prefetch=1
                ),
            )

        self.sides[name] = self.run(opened())

    def teardown(self) -> None:
        """Close everything."""
        for side in self.sides.values():
            self.run(side.queue.close())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()

    # Sending

    @rule(side=sides, drawn=st.lists(keys, min_size=1, max_size=4), many=st.booleans())
    def send(self, side: str, drawn: list[str | None], *, many: bool) -> None:
        """Send together, or at once and each by itself."""
        sender = self.sides[side].sender
        values = [(next(self.values), key) for key in drawn]
        first = len(self.sent) + 1
        if many:
            found = list(self.run(sender.send_many([Outgoing(*value) for value in values])))
        else:

            async def separately() -> list[int]:
                sends = (sender.send(value, key=key) for value, key in values)
                return list(await asyncio.gather(*sends))

            found = self.run(separately())
        assert sorted(found) == list(range(first, first + len(values)))
        # Tasks that send at once may overtake each other.
        self.remember([value for _, value in sorted(zip(found, values, strict=True))])

    def remember(self, values: list[tuple[int, str | None]]) -> None:
        """Add to the model."""
        for value, key in values:
            self.sent.append(value)
            self.keys[len(self.sent)] = key

    @rule(side=sides, turns=st.integers(0, 4), nowait=st.booleans())
    def cancel_send(self, side: str, turns: int, *, nowait: bool) -> None:
        """A send that is cancelled never happens, or happens whole."""
        sender = self.sides[side].sender
        value = next(self.values)

        async def cancelled() -> bool:
            task: asyncio.Future[int] = (
                sender.send_nowait(value)
                if nowait
                else asyncio.ensure_future(sender.send(value, key="x"))
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await sender._appender.drain()
            return task.cancelled()

        was_cancelled = self.run(cancelled())
        reader = self.sides[side].receiver
        reader.seek(len(self.sent) + 1)
        if reader.lag():
            assert self.run(reader.next(int)) == value
            self.remember([(value, None if nowait else "x")])
        else:
            assert was_cancelled

    # Receiving

    @rule(side=sides, start=st.integers(1, 40), count=st.integers(1, 10))
    def read(self, side: str, start: int, count: int) -> None:
        """Read from anywhere, forwards and back."""
        receiver = self.sides[side].receiver
        receiver.seek(start)
        expected = self.sent[start - 1 : start - 1 + count]
        if not expected:
            return
        found = self.run(receiver.next_batch(count, timeout=0))
        assert [message.decode(int) for message in found] == expected[: len(found)]
        assert self.run(receiver.previous(int)) == expected[len(found) - 1]

    @rule(side=sides, count=st.integers(1, 4), succeeds=st.booleans())
    def take_named(self, side: str, count: int, *, succeeds: bool) -> None:
        """Take a batch by name, and commit it or not; only one of two receivers may."""
        known = self.sides[side]

        async def taken() -> list[int]:
            try:
                async with known.named.take_batch(count, timeout=0) as messages:
                    if not succeeds:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                return []
            return [message.decode(int) for message in messages]

        before = known.named.committed
        try:
            found = self.run(taken())
        except ReceiveTimeoutError:
            assert before == len(self.sent)
            return
        except CursorMovedError:
            assert before != self.committed or self.moved_back
            known.named = self.run(known.queue.subscribe("n"))
            assert known.named.committed == self.committed
            return
        assert found == self.sent[before : before + len(found)]
        if found:
            assert before == self.committed
            self.committed += len(found)

    moved_back = False  # a commit of the same position as before has another version

    def may_be_taken(self, position: int) -> bool:
        """Whether the model lets a member have it now."""
        if position in self.done | self.parked or self.is_out(position):
            return False
        key = self.keys[position]
        return key is None or not any(
            self.keys[other] == key and other not in self.done | self.parked
            for other in range(1, position)
        )

    def is_out(self, position: int) -> bool:
        """Whether some member has it."""
        out = self.out.get(position)
        return out is not None and out.until > self.clock.now

    def receive(self, side: str) -> int:
        """Take the first message that may be taken; returns its position, 0 if there is none."""
        member = self.sides[side].member
        self.park_the_worn_out()
        expected = [p for p in range(1, len(self.sent) + 1) if self.may_be_taken(p)]
        try:
            message: Message = self.run(member.receive(timeout=0))
        except ReceiveTimeoutError:
            assert expected == []
            return 0
        position = message.position
        # Those that were handed out before come first; new ones in order.
        assert position in expected
        assert position == min(
            p for p in expected if (p in self.attempts) == (position in self.attempts)
        )
        assert message.decode(int) == self.sent[position - 1]
        self.attempts[position] = self.attempts.get(position, 0) + 1
        assert message.attempts == self.attempts[position]
        if position in self.out:
            self.late.append(self.out[position])
        self.out[position] = Out(side, message, self.clock.now + VISIBILITY_SECONDS * SECOND)
        return position

    def park_the_worn_out(self) -> None:
        """What was handed out three times is parked by whoever claims next."""
        while True:
            worn = [
                position
                for position, count in self.attempts.items()
                if count >= 3 and self.may_be_taken(position)
            ]
            if not worn:
                return
            self.parked |= set(worn)

    @rule(side=sides, hows=st.lists(st.sampled_from(["keep", *GIVE_BACK]), max_size=6))
    def work(self, side: str, hows: list[str]) -> None:
        """Take messages one after the other, and be done with each in some way."""
        for how in hows:
            position = self.receive(side)
            if position and how != "keep":
                self.give_back(self.out[position], how)

    @rule(which=st.integers(0, 9), how=st.sampled_from(GIVE_BACK))
    def give_back_later(self, which: int, how: str) -> None:
        """Be done with a message that was kept."""
        if self.out:
            self.give_back(self.out[sorted(self.out)[which % len(self.out)]], how)

    def give_back(self, out: Out, how: str) -> None:
        """Acknowledge a message or give it back, when its time may be over already."""
        position = out.message.position
        if position in self.parked:  # worn out, and parked by whoever has claimed since
            self.say_in_vain(out, how)
        else:
            self.say(out, how)
        if how == "extend":
            if position not in self.parked:
                out.until = self.clock.now + 100 * SECOND
            return
        del self.out[position]
        if how == "acknowledge":
            self.done.add(position)
            self.parked.discard(position)
        elif how == "park" or (how == "fail" and out.message.attempts >= 3):
            self.parked.add(position)

    def say_in_vain(self, out: Out, how: str) -> None:
        """Say something about a message that is not with its member any more, who is told."""
        if how in {"extend", "park"}:
            with pytest.raises(LeaseLostError):
                self.say(out, how)
        else:
            self.say(out, how)

    def say(self, out: Out, how: str) -> None:
        """Say something about a message."""
        member, message = self.sides[out.side].member, out.message
        spoken: dict[str, Any] = {
            "acknowledge": lambda: member.acknowledge(message),
            "release": lambda: member.release(message),
            "fail": lambda: member.fail(message, ValueError("for a test")),
            "extend": lambda: member.extend(message, 100),
            "park": lambda: member.park(message, "for a test"),
        }
        self.run(spoken[how]())

    @rule(how=st.sampled_from(GIVE_BACK))
    def speak_too_late(self, how: str) -> None:
        """What a member says of a message that another one has had since changes nothing, or all."""
        if not self.late:
            return
        out = self.late.pop()
        self.say_in_vain(out, how)
        if how == "acknowledge":
            position = out.message.position
            self.out.pop(position, None)
            self.done.add(position)
            self.parked.discard(position)

    @rule(side=sides, redeliver=st.booleans())
    def look_after_parked(self, side: str, *, redeliver: bool) -> None:
        """Let the first parked message be delivered anew, or discard it."""
        member = self.sides[side].member
        found = [message for message, _ in member.parked()]
        if not found:
            return  # worn out, and nobody has claimed anything since
        message = found[0]
        assert message.position in self.parked
        self.parked.remove(message.position)
        self.out.pop(message.position, None)
        if redeliver:
            self.run(member.redeliver([message]))
            self.attempts[message.position] = 0
        else:
            self.run(member.discard([message]))
            self.done.add(message.position)

    @rule(seconds=st.sampled_from([1, VISIBILITY_SECONDS, 200]))
    def let_time_pass(self, seconds: int) -> None:
        """Some leases end."""
        self.clock.now += seconds * SECOND

    # Looking after it, and accidents

    @rule(side=sides)
    def reopen(self, side: str) -> None:
        """Close and open again."""
        self.run(self.sides[side].queue.close())
        self.forget_out(side)
        self.open(side)

    @rule(side=sides)
    def kill(self, side: str) -> None:
        """A process dies and starts again: its leases stay until their time is over."""
        self.abandon(side)
        self.open(side)

    def abandon(self, side: str) -> None:
        """Let a process go without a word."""
        known = self.sides.pop(side)
        known.files.kill()
        for appender in (known.queue._appender, known.queue._cursor_appender):
            appender.stop()
        self.forget_out(side)

    def forget_out(self, side: str) -> None:
        """What a process had taken nobody acknowledges; it stays out until its time is over."""
        for out in (*self.out.values(), *self.late):
            if out.side == side:
                out.side = "b" if side == "a" else "a"  # whose late words count as well

    @rule(seed=st.integers(0, 1 << 32))
    def cut_power(self, seed: int) -> None:
        """Lose what was not synced; everything goes on with what is left."""
        for name in ("a", "b"):
            self.abandon(name)
        self.disk.crash(random.Random(seed))
        for name in ("a", "b"):
            self.open(name)
        self.compare_after_power_cut()

    def compare_after_power_cut(self) -> None:
        """Nothing synced is lost, and nothing is done that nobody was done with."""
        side = self.sides["a"]
        side.receiver.seek(1)
        left = side.receiver.lag()
        if self.sync is Sync.ALWAYS:
            assert left == len(self.sent)
        self.sent = self.sent[:left]
        self.late.clear()  # nobody has lived to speak
        self.ever_parked &= {*range(1, left + 1)}  # positions behind are for other messages now
        state = side.queue.names()["g"]
        parked = set(state.parked)
        found = self.done_on_disk() - parked
        assert found <= self.done & {*range(1, left + 1)}
        assert parked <= self.ever_parked  # again, if what was done about them is lost
        assert side.queue.names()["n"].frontier <= self.committed
        if self.sync is Sync.ALWAYS:
            assert self.done <= found
            assert side.queue.names()["n"].frontier == self.committed
            return
        self.committed = side.queue.names()["n"].frontier
        self.keys = {position: self.keys[position] for position in range(1, left + 1)}
        self.parked, self.done = parked, found
        self.attempts = {position: held.attempts for position, held in state.held.items()}
        self.attempts |= {position: parked.attempts for position, parked in state.parked.items()}
        self.attempts = {position: count for position, count in self.attempts.items() if count}
        # Also those whose giving back was lost: they are out until their time is over.
        self.out = {
            position: Out(
                "a",
                Message(position, 0, "int", b"", attempts=held.attempts, lease=held.holder),
                held.until,
            )
            for position, held in state.held.items()
            if held.holder
        }

    def done_on_disk(self) -> set[int]:
        """What the group is done with or has parked, by the state that everybody sees."""
        state = self.sides["a"].queue.names()["g"]
        return {position for position in range(1, state.frontier + 1) if position not in state.held}

    @rule()
    def seal(self) -> None:
        """Seal closed segments of both journals."""
        files = CrashableFiles(self.disk)
        effects = Effects(files, clock=self.clock)
        for journal in ("messages", "cursors"):
            background.seal(f"{PATH}/{journal}", effects=effects)
        files.kill()

    @invariant()
    def everybody_sees_the_same(self) -> None:
        """Both processes know the same messages, and what is done."""
        self.ever_parked |= self.parked
        for side in self.sides.values():
            assert side.queue.last_position == len(self.sent)
        if self.sides:
            parked = set(self.sides["b"].queue.names()["g"].parked)
            assert self.done_on_disk() - parked == self.done
            assert parked <= self.parked


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accidents are logged, thousands of times here."""
    monkeypatch.setattr(queue_logger, "disabled", True)
    monkeypatch.setattr(logger, "disabled", True)


TestQueueModel = QueueMachine.TestCase
TestQueueModel.settings = settings(max_examples=4 * settings().max_examples)
TestQueueModel.__doc__ = "Whatever happens, the queue is what the model says."

"""Interleaves actors at every file operation, as a plan says: races that are forced, not hoped for.

Theory of operation: each actor is a thread that runs only while it has the *baton*; at every file
operation, and where it would sleep, it asks the plan whether to pass the baton on. So a plan gives the
same run each time. Without a plan an actor runs until it ends or sleeps. A plan is a list of
*switches*: at step number ``step`` (of all actors together) the baton goes to actor ``to``, or the
running actor dies where it is (``to`` is KILL). That is the form in which races are bounded: most are
found with one or two switches.

Actors must not wait for each other but through file locks with ``LOCK_NB`` and ``Effects.sleep``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aurora_es.files.layer import Effects
from aurora_es.testing.crashable import CrashableFiles, SimulatedKill
from aurora_es.testing.disk import CrashableDisk
from tests.patience import PATIENCE_SECONDS

KILL = -1
_STEPS_MAX = 20_000  # of one run: more means that actors wait for each other for ever
_SECONDS_PER_STEP = 1e-5


class Switch(NamedTuple):
    """The baton goes to actor ``to`` at step ``step``; KILL lets the running actor die."""

    step: int
    to: int


class StuckError(AssertionError):
    """The actors wait for each other."""


class Actor:
    """A thread with files of its own."""

    def __init__(self, scheduler: Scheduler, number: int, files: CrashableFiles) -> None:
        """Prepare; ``act`` is called with the actor's effects."""
        self.number = number
        self.files = files
        self.baton = threading.Semaphore(0)
        self.has_ended = False
        self.error: BaseException | None = None
        self._scheduler = scheduler

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Give the file operation ``name``, which may pass the baton on before it happens."""
        operation = getattr(self.files, name)

        def call(*arguments: Any) -> Any:
            if name != "close" and not self.files.dead:
                self._scheduler.step(self, name)
            return operation(*arguments)

        return call

    def sleep(self, seconds: float) -> None:
        """Let somebody else run."""
        self._scheduler.step(self, "sleep")

    def run(self, act: Callable[[], None]) -> None:
        """Wait for the baton, act, pass the baton on for good."""
        self.baton.acquire()
        try:
            act()
        except SimulatedKill:
            pass
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits for all
            self.error = error
        finally:
            self._scheduler.end(self)


class Scheduler:
    """Runs actors by a plan."""

    def __init__(self, disk: CrashableDisk, plan: Sequence[Switch]) -> None:
        """Prepare; actors are added next."""
        self.steps = 0
        self.switches = 0
        self.trace: list[tuple[int, str]] = []  # actor and operation of each step
        self.actors: list[Actor] = []
        self._acts: list[Callable[[], None]] = []
        self._disk = disk
        self._plan = {switch.step: switch.to for switch in plan}
        self._is_over = threading.Event()

    def add(self, act: Callable[[Effects], None], random_bytes: Callable[[int], bytes]) -> None:
        """Add an actor that calls ``act`` with its effects."""
        actor = Actor(self, len(self.actors), CrashableFiles(self._disk))
        effects = Effects(
            actor,
            clock=lambda: 1_700_000_000_000_000,
            monotonic=lambda: self.steps * _SECONDS_PER_STEP,
            random_bytes=random_bytes,
            sleep=actor.sleep,
            reserve_bytes=512,
        )
        self.actors.append(actor)
        self._acts.append(lambda: act(effects))

    def run(self) -> None:
        """Run all to their ends; raises the first error of an actor."""
        threads = [
            threading.Thread(target=actor.run, args=(act,), daemon=True)
            for actor, act in zip(self.actors, self._acts, strict=True)
        ]
        for thread in threads:
            thread.start()
        self.actors[0].baton.release()
        if not self._is_over.wait(PATIENCE_SECONDS):
            raise StuckError(f"nobody has moved since step {self.steps}: {self.trace[-20:]}")
        for thread in threads:
            thread.join()
        for actor in self.actors:
            if actor.error is not None:
                raise actor.error

    def step(self, actor: Actor, name: str) -> None:
        """Count a step of ``actor``, and pass the baton on if the plan says so."""
        self.steps += 1
        self.trace.append((actor.number, name))
        if self.steps > _STEPS_MAX:
            raise StuckError(f"{_STEPS_MAX} steps are not enough: {self.trace[-20:]}")
        to = self._plan.get(self.steps)
        if to == KILL:
            actor.files.kill()
            message = f"killed at step {self.steps}"
            raise SimulatedKill(message)
        if to is None and name == "sleep":
            to = self._next(actor)
        if to is not None and to != actor.number and not self.actors[to].has_ended:
            self.switches += 1
            self.actors[to].baton.release()
            actor.baton.acquire()

    def end(self, actor: Actor) -> None:
        """Let the next one run, or end the run."""
        actor.has_ended = True
        following = self._next(actor)
        if following == actor.number:
            self._is_over.set()
        else:
            self.actors[following].baton.release()

    def _next(self, actor: Actor) -> int:
        count = len(self.actors)
        for distance in range(1, count):
            number = (actor.number + distance) % count
            if not self.actors[number].has_ended:
                return number
        return actor.number

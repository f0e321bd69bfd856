"""Helpers for tests of the queue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest
import uvloop

from aurora_es.files.layer import Effects
from aurora_es.queue import Queue, QueueBuilder, Sync
from tests.journal.support import effects_with
from tests.patience import PATIENCE_SECONDS

_T = TypeVar("_T")

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
every_loop = pytest.mark.parametrize("loop", sorted(LOOPS))
every_sync = pytest.mark.parametrize(
    "sync", [Sync.ALWAYS, Sync.NEVER, Sync.interval(60_000)], ids=str
)


class Order(msgspec.Struct):
    """A message as users define them."""

    number: int
    amount: float = 0.0


def run(main: Callable[[], Awaitable[_T]], loop: str = "asyncio") -> _T:
    """Run a coroutine function to its end; a test that hangs fails."""

    async def bounded() -> _T:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await main()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(bounded())


def builder(
    path: str | os.PathLike[str], effects: Effects | None = None, **choices: Any
) -> QueueBuilder:
    """Make a builder with quick files, unless ``effects`` are given."""
    made = QueueBuilder(path).with_effects(effects_with() if effects is None else effects)
    made.with_lock_timeout(PATIENCE_SECONDS)
    for name, value in choices.items():
        getattr(made, f"with_{name}")(value)
    return made


async def opened(
    path: str | os.PathLike[str], effects: Effects | None = None, **choices: Any
) -> Queue:
    """Open a queue with quick files, unless ``effects`` are given."""
    return await builder(path, effects, **choices).build()

"""``QueueBuilder`` and ``open_queue``: how a queue is opened."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from aurora_es.errors import ArgumentError
from aurora_es.journal.creation import whole_hours
from aurora_es.queue.queue import Queue
from aurora_es.queue.settings import QueueSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from aurora_es.files.layer import Effects
    from aurora_es.options import CompressionFormat, RollCycle, Sync


class QueueBuilder:
    """Says how a queue is opened, and opens it; each ``with_`` returns the builder itself.

    What is not said is as recorded in the queue, or, when the queue is made: every send is synced,
    a segment a day, no compression, nothing is dropped.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the queue in the directory ``path``, which is made if it does not exist."""
        self._settings = QueueSettings(os.path.abspath(os.fspath(path)))

    def with_sync(self, sync: Sync) -> Self:
        """Say when messages are forced to disk: ``Sync.ALWAYS``, ``NEVER`` or ``interval(ms)``.

        The mode is recorded in the queue; another one than the recorded is refused at ``build``.
        """
        return self._with(sync=sync)

    def with_roll_cycle(self, roll_cycle: RollCycle) -> Self:
        """Say when a new segment begins; retention drops whole segments."""
        return self._with(roll_cycle=roll_cycle)

    def with_compression(self, compression: CompressionFormat) -> Self:
        """Compress what is sent from now on."""
        return self._with(compression=compression)

    def with_cool_after(self, cool_after: timedelta) -> Self:
        """Store closed segments of that age again, in larger frames and compressed."""
        return self._with(cool_after_hours=whole_hours(cool_after))

    def with_unsynced_bytes_max(self, count: int) -> Self:
        """Let ``send`` wait, and ``send_nowait`` refuse, from so many bytes on their way to disk."""
        if count < 1:
            message = f"unsynced_bytes_max: expected 1 or more, found {count}"
            raise ArgumentError(message)
        return self._with(unsynced_bytes_max=count)

    def with_lock_timeout(self, seconds: float) -> Self:
        """Bound how long an append waits for other processes."""
        return self._with(lock_timeout=seconds)

    def with_poll_interval(self, seconds: float) -> Self:
        """Bound how long a lost wake-up can delay a receiver."""
        return self._with(poll_interval=seconds)

    def with_background(self, *, enabled: bool) -> Self:
        """Say whether a roll starts a process that seals, merges and cools."""
        return self._with(background=enabled)

    def read_only(self) -> Self:
        """Only receive, without names; nothing is written, and the directory may be read-only."""
        return self._with(read_only=True)

    def allow_network_file_system(self) -> Self:
        """Open a queue on NFS or SMB, at your own risk: locks and wake-ups are not to be trusted."""
        return self._with(allow_network_file_system=True)

    def with_effects(self, effects: Effects) -> Self:
        """Use another clock and other files, in tests."""
        return self._with(effects=effects)

    def _with(self, **changes: Any) -> Self:
        self._settings = replace(self._settings, **changes)
        return self

    @property
    def settings(self) -> QueueSettings:
        """What was said so far."""
        return self._settings

    async def build(self) -> Queue:
        """Open the queue in the running event loop, and recover it if need be.

        Raises AuroraConfigurationError, ForeignDirectoryError, CorruptionError, StorageError.
        """
        settings = self._settings
        loop = asyncio.get_running_loop()
        # In a thread: it may have to read much, and to sync.
        log = await asyncio.to_thread(settings.open)
        return Queue(settings, log, loop)


def builder_of(path: str | os.PathLike[str], choices: dict[str, Any]) -> QueueBuilder:
    """A builder with the choices that are not None; their names are those of its methods."""
    builder = QueueBuilder(path)
    for name, value in choices.items():
        if value is not None:
            getattr(builder, f"with_{name}")(value)
    return builder


@asynccontextmanager
async def open_queue(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    *,
    sync: Sync | None = None,
    roll_cycle: RollCycle | None = None,
    compression: CompressionFormat | None = None,
    cool_after: timedelta | None = None,
    unsynced_bytes_max: int | None = None,
    lock_timeout: float | None = None,
    poll_interval: float | None = None,
    read_only: bool = False,
) -> AsyncIterator[Queue]:
    """Open the queue at ``path`` for an ``async with`` block, and recover it if need be.

    What is None is as ``QueueBuilder`` has it. ``unsynced_bytes_max`` is in bytes, ``lock_timeout`` and
    ``poll_interval`` in seconds. Any number of processes may open one queue.

    Raises AuroraConfigurationError, ForeignDirectoryError, CorruptionError, StorageError.
    """
    builder = builder_of(
        path,
        {
            "sync": sync,
            "roll_cycle": roll_cycle,
            "compression": compression,
            "cool_after": cool_after,
            "unsynced_bytes_max": unsynced_bytes_max,
            "lock_timeout": lock_timeout,
            "poll_interval": poll_interval,
        },
    )
    if read_only:
        builder.read_only()
    async with await builder.build() as queue:
        yield queue

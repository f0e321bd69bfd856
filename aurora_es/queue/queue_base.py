"""What an open queue is for tasks and for threads alike: its place, its extent, its names."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from aurora_es.errors import ReadOnlyError
from aurora_es.queue.queue_errors import QueueClosedError
from aurora_es.weak_sets import members_of

if TYPE_CHECKING:
    from aurora_es.queue.cursor_state import NameState
    from aurora_es.queue.cursors import CursorLog
    from aurora_es.queue.settings import QueueSettings


class QueueBase:
    """An open queue; ``Queue`` and its twin for threads send and receive."""

    def __init__(self, settings: QueueSettings, log: CursorLog) -> None:
        """Use the open journals of ``log``."""
        self.settings = settings
        self.messages = log.messages
        self.closed = False
        self._log = log
        _queues.add(self)

    @property
    def path(self) -> str:
        """Directory of the queue."""
        return self.settings.path

    @property
    def last_position(self) -> int:
        """Position of the newest message; 0 when there is none."""
        self._check_open()
        return self.messages.last_position

    @property
    def first_position(self) -> int:
        """Position of the first message that retention has left."""
        self._check_open()
        return self.messages.first_position

    def names(self) -> dict[str, NameState]:
        """The names of receivers and groups, with what is known of each."""
        self._check_open()
        return self._log.names()

    def _check_open(self) -> None:
        if self.closed:
            message = f"the queue {self.path} was closed; open it again"
            raise QueueClosedError(message)

    def _check_writable(self) -> None:
        """Raise QueueClosedError or ReadOnlyError."""
        self._check_open()
        if self.settings.read_only:
            message = (
                f"{self.path} was opened read-only; open it for sending, which names need, too:"
                " without read_only=True (AURORA_READ_ONLY is for applications)"
            )
            raise ReadOnlyError(message)

    def __repr__(self) -> str:
        """Name the path and the state."""
        return f"<{type(self).__name__} {self.path!r} {'closed' if self.closed else 'open'}>"


_queues: weakref.WeakSet[QueueBase] = weakref.WeakSet()


def open_queues() -> list[QueueBase]:
    """Every queue that this process has open; those of a parent are closed to its child."""
    return [
        queue for queue in members_of(_queues) if not (queue.closed or queue.messages.handle.forked)
    ]

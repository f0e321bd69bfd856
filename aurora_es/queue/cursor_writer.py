"""Appends to the journal of cursors for an event loop.

Theory of operation: as messages, by an ``Appender``. What has to be written is written even if the
task that wants it is cancelled meanwhile: a claim that nobody knew of would keep its messages from
everybody until its time is over. The folded state is appended when it is due, and nobody waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError, ConflictError
from aurora_es.queue.queue_logs import logger

if TYPE_CHECKING:
    from aurora_es.queue.appender import Appender
    from aurora_es.queue.cursor_records import Draft
    from aurora_es.queue.cursors import CursorLog


class CursorWriter:
    """Writes cursors for the tasks of one loop."""

    def __init__(self, log: CursorLog, appender: Appender) -> None:
        """Append what ``log`` folds through ``appender``."""
        self.log = log
        self._appender = appender

    def write_at_once(self, draft: Draft) -> bool:
        """Append if that waits for nobody; returns whether it did. Raises ConflictError."""
        if not self._appender.append_at_once(draft.rows, draft.identities):
            return False
        self._append_state()
        return True

    async def write(self, draft: Draft) -> None:
        """Append, and return when it is durable; raises ConflictError."""
        if not self.write_at_once(draft):
            future = self._appender.submit(draft.rows, draft.size_bytes, draft.identities)
            await asyncio.shield(future)
            self._append_state()

    def _append_state(self) -> None:
        draft = self.log.due_state()
        if draft is not None:
            future = self._appender.submit(draft.rows, draft.size_bytes, draft.identities)
            future.add_done_callback(self._look_at_state)

    def _look_at_state(self, future: asyncio.Future[int]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is None:
            # It writes and syncs the manifest, so not in the loop; nobody waits for it.
            future.get_loop().run_in_executor(None, self.log.trim)
        # A conflict says that another process was faster. Anything else concerns nobody now: the
        # next record will meet with it, too.
        elif isinstance(error, AuroraError) and not isinstance(error, ConflictError):
            logger.warning("the folded state of cursors could not be appended: %s", error)

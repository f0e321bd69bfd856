"""How a queue is opened, and the two journals that it consists of.

``messages/`` holds the messages; ``cursors/`` what receivers with a name have done with them, and is
made with the first name.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from aurora_es.errors import AuroraConfigurationError
from aurora_es.files.layer import SYSTEM_EFFECTS, Effects
from aurora_es.format.names import CURSORS, MESSAGES
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import LOCK_TIMEOUT_SECONDS_DEFAULT, Journal
from aurora_es.journal.opening import refuse_network
from aurora_es.journal.spawn import background_default
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.queue.appender import UNSYNCED_BYTES_MAX_DEFAULT
from aurora_es.queue.cursors import CursorLog

# Cursors are many and small, and none but the newest matter: short segments soon go.
_CURSORS_ROLL_CYCLE = RollCycle.DAY | RollCycle.bytes(4 << 20)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A user's choices; see ``QueueBuilder`` for the meaning of each."""

    path: str
    sync: Sync | None = None
    roll_cycle: RollCycle | None = None
    compression: CompressionFormat | None = None
    cool_after_hours: int | None = None
    read_only: bool = False
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT
    poll_interval: float | None = None
    unsynced_bytes_max: int = UNSYNCED_BYTES_MAX_DEFAULT
    allow_network_file_system: bool = False
    background: bool | None = None
    effects: Effects = SYSTEM_EFFECTS

    @property
    def messages_path(self) -> str:
        """Directory of the journal of messages."""
        return os.path.join(self.path, MESSAGES)

    @property
    def cursors_path(self) -> str:
        """Directory of the journal of cursors."""
        return os.path.join(self.path, CURSORS)

    def open(self) -> CursorLog:
        """Open both journals, and make that of messages unless read only; raises AuroraError.

        That of cursors is made by its first record.
        """
        messages = self._open_messages()
        try:
            cursors = self._open(self.cursors_path, Settings(None, _CURSORS_ROLL_CYCLE))
            if not cursors.attach():  # made with the same sync mode as the messages
                cursors.settings = Settings(messages.handle.sync_mode, _CURSORS_ROLL_CYCLE)
            elif not self.read_only:
                self._check_same_sync(messages, cursors)
            log = CursorLog(cursors, messages, poll_interval=self.poll_interval)
            if not self.read_only:
                log.reconcile()
        except BaseException:
            messages.close()
            raise
        return log

    def _check_same_sync(self, messages: Journal, cursors: Journal) -> None:
        """Raise AuroraConfigurationError if commits of names do not promise what sends do."""
        expected, found = messages.handle.sync_mode, cursors.handle.sync_mode
        if found != expected:
            message = (
                f"{cursors.handle.path}: expected sync mode {expected}, which the journal of messages"
                f" records, found {found}; change both while nobody has the queue open: `aurora-es set"
                f" {shlex.quote(self.path)} --sync {expected}`"
            )
            raise AuroraConfigurationError(message)

    def _open_messages(self) -> Journal:
        journal = self._open(
            self.messages_path,
            Settings(self.sync, self.roll_cycle, self.compression, None, self.cool_after_hours),
        )
        if not self.read_only:
            journal.create()
        return journal

    def _open(self, path: str, settings: Settings) -> Journal:
        if not self.allow_network_file_system:
            refuse_network(path)
        return Journal(
            self.effects,
            path,
            settings,
            read_only=self.read_only,
            lock_timeout=self.lock_timeout,
            poll_interval=self.poll_interval,
            new_parents_max=1,
            background=background_default() if self.background is None else self.background,
        )

"""The error tree of the package.

Every error says what happened, where, what was expected, what was found and what to do next.
Journal and queue raise these classes; the eventsourcing face raises classes that inherit both
from one of these and from the library's own error (see ``recorder_errors.py``), since this module
may not import the library.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Sequence


class AuroraError(Exception):
    """Base of all errors that this package raises on its own account."""


class AuroraConfigurationError(AuroraError, OSError):
    """A setting is missing or wrong; the message names the keys tried and the values allowed."""


class ArgumentError(AuroraError, ValueError):
    """A caller passed an argument of the wrong type or outside its range; nothing was written."""


class TooLargeError(AuroraError, ValueError):
    """A record, a commit or a number exceeds a limit of the format; nothing was written."""


class ReadOnlyError(AuroraError):
    """An append was asked of a journal that was opened read-only."""


class ClosedError(AuroraError):
    """The handle was closed before this call."""


class ForkedHandle(AuroraError):  # noqa: N818 - the name is fixed by the published contract
    """The handle was opened before a fork and is used in the child; open the journal again."""


class LockTimeoutError(AuroraError, TimeoutError):
    """The append lock could not be had in time; nothing was written."""


class StorageFullError(AuroraError):
    """The disk, a quota or a file size limit is exhausted; nothing was written."""


class StorageError(AuroraError):
    """The operating system refused a file operation; the message carries its own words."""


class CommitOutcomeUnknownError(AuroraError):
    """The commit may or may not become durable; the handle is final.

    Open the journal again and read: recovery decides, and never drops a complete commit.
    """


class PoisonedHandleError(AuroraError):
    """An earlier sync failed on this handle; open the journal again, which recovers first."""


class NeedsRecoveryError(AuroraError):
    """A reader met bytes that only an appender may recover; open the journal for appending."""


class HistoryChangedError(AuroraError):
    """The journal's epoch changed under a reader: positions seen before may be gone.

    Raised by tailers and subscriptions after a recovery that cut visible records (possible under
    weak sync modes only), a repair or a restore. Start again from a position you trust.
    """


class TruncatedError(AuroraError):
    """What was asked for is older than what the journal retains: it was dropped on purpose."""

    def __init__(self, message: str, retained_from: int) -> None:
        """Keep the message and ``retained_from``, the first position that is left."""
        super().__init__(message)
        self.retained_from = retained_from


class StillNeededError(AuroraError):
    """Segments may not be dropped: another application has not read them yet; nothing was changed."""


class InUseError(AuroraError):
    """A journal that has to be closed is open for appending; nothing was changed."""


class UnsupportedFormatError(AuroraError):
    """The files were written by a newer version of this package; nothing was touched."""


class ForeignDirectoryError(AuroraError):
    """The directory holds files that are not ours, or another journal; nothing was written."""


class Conflict(NamedTuple):
    """One reason why a commit was refused.

    ``originator_id`` and ``originator_version`` name the record that exists already, at
    ``position`` (0 while its own commit was still on its way to disk). For a tracking conflict
    ``tracking_name`` is set, ``originator_id`` is None and ``position`` is the notification id
    recorded before. For a broken DCB condition only ``position`` is set: that of an event which
    matches its query.
    """

    originator_id: UUID | str | None
    originator_version: int | None
    position: int
    tracking_name: str | None = None


class ConflictError(AuroraError):
    """The commit was refused, and nothing of it written: what it claims is taken already."""

    def __init__(self, message: str, conflicts: Sequence[Conflict] = ()) -> None:
        """Keep the message and ``conflicts``, the records that stand in the way."""
        super().__init__(message)
        self.conflicts = tuple(conflicts)


class CorruptionError(AuroraError):
    """Bytes that were acknowledged are not what was written; nothing was skipped or cut."""

    def __init__(self, path: str, offset: int, *, expected: str, found: str) -> None:
        """Name the file, the byte ``offset`` in it, what belongs there and what is there."""
        super().__init__(
            f"corruption in {path} at offset {offset}: expected {expected}, found {found}; nothing"
            f" was changed. Next, `aurora-es verify {shlex.quote(os.path.dirname(path))}` says what"
            " else is damaged, which positions are lost, and how to go on"
        )
        self.path = path
        self.offset = offset
        self.expected = expected
        self.found = found

"""Errors of the eventsourcing face: each is both one of ours and one of the library's.

So ``except IntegrityError`` of the library and ``except ConflictError`` of this package catch the
same conflict. ``recorder_error`` maps at one boundary: the public methods of the recorders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es import errors
from aurora_es.compat import library_errors as library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.errors import AuroraError, Conflict


class RecorderConflictError(errors.ConflictError, library.IntegrityError):
    """The events or the tracking record are taken already; ``conflicts`` says by what."""


class RecorderConditionError(RecorderConflictError):
    """An append condition is broken: ``args`` is ``(condition,)``, as in the library's recorders.

    ``conflicts`` name the positions of events that break it, the first hundred.
    """

    def __init__(
        self, condition: object, message: str = "", conflicts: Sequence[Conflict] = ()
    ) -> None:
        """Keep the condition, the text for ``str`` and the conflicts."""
        super().__init__(message, conflicts)
        self.message = message
        self.args = (condition,)

    def __str__(self) -> str:
        """Say where the condition is broken."""
        return self.message


class RecorderOutcomeUnknownError(errors.CommitOutcomeUnknownError, library.OperationalError):
    """A sync failed; never an IntegrityError, since applications retry on that."""


class RecorderPoisonedError(errors.PoisonedHandleError, library.OperationalError):
    """An earlier sync failed; construct the factory or application again."""


class RecorderLockTimeoutError(errors.LockTimeoutError, library.OperationalError):
    """The append lock could not be had in time."""


class RecorderStorageFullError(errors.StorageFullError, library.OperationalError):
    """The disk is full."""


class RecorderStorageError(errors.StorageError, library.OperationalError):
    """The operating system refused a file operation."""


class RecorderNeedsRecoveryError(errors.NeedsRecoveryError, library.OperationalError):
    """A read-only recorder met bytes that an appender has to recover."""


class RecorderHistoryChangedError(errors.HistoryChangedError, library.OperationalError):
    """Visible events were taken back under a subscription."""


class RecorderTruncatedError(errors.TruncatedError, library.OperationalError):
    """What was asked for has been dropped from the journal by ``retain``."""


class RecorderStillNeededError(errors.StillNeededError, library.OperationalError):
    """Events may not be dropped yet."""


class RecorderInUseError(errors.InUseError, library.OperationalError):
    """The store has to be closed for this."""


class RecorderForeignDirectoryError(errors.ForeignDirectoryError, library.OperationalError):
    """The directory is not a journal of this application."""


class RecorderCorruptionError(errors.CorruptionError, library.InternalError):
    """Acknowledged bytes are not what was written."""


class RecorderClosedError(errors.ClosedError, library.InterfaceError):
    """The recorder or its factory was closed."""


class RecorderForkedError(errors.ForkedHandle, library.InterfaceError):
    """The subscription was made before a fork."""


class RecorderArgumentError(errors.ArgumentError, library.ProgrammingError):
    """An argument has the wrong type or is out of range."""


class RecorderRowTypeError(RecorderArgumentError):
    """A row of a view was written with another type than its table is declared with."""


class RecorderDataError(errors.TooLargeError, library.DataError):
    """A value exceeds a limit of the format."""


class RecorderReadOnlyError(errors.ReadOnlyError, library.NotSupportedError):
    """The store was opened read-only."""


class RecorderUnsupportedFormatError(errors.UnsupportedFormatError, library.NotSupportedError):
    """The files were written by a newer version."""


_FACE_CLASSES: dict[type[AuroraError], type[AuroraError]] = {
    errors.ConflictError: RecorderConflictError,
    errors.CommitOutcomeUnknownError: RecorderOutcomeUnknownError,
    errors.PoisonedHandleError: RecorderPoisonedError,
    errors.LockTimeoutError: RecorderLockTimeoutError,
    errors.StorageFullError: RecorderStorageFullError,
    errors.StorageError: RecorderStorageError,
    errors.NeedsRecoveryError: RecorderNeedsRecoveryError,
    errors.HistoryChangedError: RecorderHistoryChangedError,
    errors.TruncatedError: RecorderTruncatedError,
    errors.StillNeededError: RecorderStillNeededError,
    errors.InUseError: RecorderInUseError,
    errors.ForeignDirectoryError: RecorderForeignDirectoryError,
    errors.CorruptionError: RecorderCorruptionError,
    errors.ClosedError: RecorderClosedError,
    errors.ForkedHandle: RecorderForkedError,
    errors.ArgumentError: RecorderArgumentError,
    errors.TooLargeError: RecorderDataError,
    errors.ReadOnlyError: RecorderReadOnlyError,
    errors.UnsupportedFormatError: RecorderUnsupportedFormatError,
}


# What a journal raises: its own errors, and those of the operating system while it reads.
FAULTS = (errors.AuroraError, OSError)


def recorder_error(error: AuroraError | OSError) -> AuroraError:
    """The face's twin of ``error``, with its text and attributes; others come back as they are."""
    if not isinstance(error, errors.AuroraError):
        message = f"{error}; `aurora-es doctor` looks at rights, limits and space"
        return RecorderStorageError(message).with_traceback(error.__traceback__)
    if isinstance(error, library.PersistenceError):
        return error
    # An error that only we tell apart has the twin of its base.
    bases = type(error).__mro__
    face_class = next((_FACE_CLASSES[cls] for cls in bases if cls in _FACE_CLASSES), None)
    if face_class is None:
        return error
    twin = face_class.__new__(face_class)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin.with_traceback(error.__traceback__)

"""aurora_es: a durable event store in plain files, for the ``eventsourcing`` library.

``PERSISTENCE_MODULE=aurora_es`` makes it the persistence backend of an application; ``Journal`` is
the append-only journal beneath, to be used on its own.
"""

from aurora_es.errors import (
    ArgumentError,
    AuroraConfigurationError,
    AuroraError,
    ClosedError,
    CommitOutcomeUnknownError,
    Conflict,
    ConflictError,
    CorruptionError,
    ForeignDirectoryError,
    ForkedHandle,
    HistoryChangedError,
    InUseError,
    LockTimeoutError,
    NeedsRecoveryError,
    PoisonedHandleError,
    ReadOnlyError,
    StillNeededError,
    StorageError,
    StorageFullError,
    TooLargeError,
    TruncatedError,
    UnsupportedFormatError,
)
from aurora_es.factory import AuroraFactory
from aurora_es.journal import Journal, Originator, Record, Statistics, StoredRecord, Tailer
from aurora_es.notification_log import AuroraNotificationLog, AuroraSection
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.recorders import (
    AuroraAggregateRecorder,
    AuroraApplicationRecorder,
    AuroraProcessRecorder,
    AuroraTrackingRecorder,
)
from aurora_es.store import AuroraStore

Factory = AuroraFactory

__all__ = [
    "ArgumentError",
    "AuroraAggregateRecorder",
    "AuroraApplicationRecorder",
    "AuroraConfigurationError",
    "AuroraError",
    "AuroraFactory",
    "AuroraNotificationLog",
    "AuroraProcessRecorder",
    "AuroraSection",
    "AuroraStore",
    "AuroraTrackingRecorder",
    "ClosedError",
    "CommitOutcomeUnknownError",
    "CompressionFormat",
    "Conflict",
    "ConflictError",
    "CorruptionError",
    "Factory",
    "ForeignDirectoryError",
    "ForkedHandle",
    "HistoryChangedError",
    "InUseError",
    "Journal",
    "LockTimeoutError",
    "NeedsRecoveryError",
    "Originator",
    "PoisonedHandleError",
    "ReadOnlyError",
    "Record",
    "RollCycle",
    "Statistics",
    "StillNeededError",
    "StorageError",
    "StorageFullError",
    "StoredRecord",
    "Sync",
    "Tailer",
    "TooLargeError",
    "TruncatedError",
    "UnsupportedFormatError",
]

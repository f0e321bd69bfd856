"""aurora_es: a durable event store in plain files, for the ``eventsourcing`` library.

``PERSISTENCE_MODULE=aurora_es`` makes it the persistence backend of an application; ``Journal`` is
the append-only journal beneath, to be used on its own.
"""

from aurora_es.async_subscription import AsyncApplicationSubscription
from aurora_es.compat import IS_10 as _IS_10
from aurora_es.dcb import AuroraDCBRecorder, AuroraDcbRecorder
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
from aurora_es.rebuilding import rebuild_projection
from aurora_es.recorders import (
    AuroraAggregateRecorder,
    AuroraApplicationRecorder,
)
from aurora_es.store import AuroraStore
from aurora_es.tracking_recorders import AuroraProcessRecorder, AuroraTrackingRecorder
from aurora_es.views import JournaledView, ViewTable

if not _IS_10:
    # They stand on the library's repository and its runner's loop, which version 10 has taken apart.
    from aurora_es.application import AuroraApplication
    from aurora_es.projecting import AuroraProjectionRunner

Factory = AuroraFactory

__all__ = [
    "ArgumentError",
    "AsyncApplicationSubscription",
    "AuroraAggregateRecorder",
    "AuroraApplication",
    "AuroraApplicationRecorder",
    "AuroraConfigurationError",
    "AuroraDCBRecorder",
    "AuroraDcbRecorder",
    "AuroraError",
    "AuroraFactory",
    "AuroraNotificationLog",
    "AuroraProcessRecorder",
    "AuroraProjectionRunner",
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
    "JournaledView",
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
    "ViewTable",
    "rebuild_projection",
]

if _IS_10:
    _INSTEAD = {
        "AuroraApplication": "`eventsourcing.msgspec:AggregatesApplication` is fast",
        "AuroraProjectionRunner": "`eventsourcing.projection:ProjectionRunner` works",
    }
    __all__[:] = [_name for _name in __all__ if _name not in _INSTEAD]

    def __getattr__(name: str) -> object:
        """Say why a class is not there; the factory is an attribute as all others."""
        if name in _INSTEAD:
            message = (
                f"{name}: expected version 9.5 of eventsourcing, found 10; its own {_INSTEAD[name]}"
            )
            raise ImportError(message)
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)

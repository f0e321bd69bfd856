"""The names of the library that differ between its versions; the only module that looks at that.

The library's 9.5 says ``DCB`` where its 10.0 says ``Dcb``. The rest of the face imports the older
names from here.
"""

from __future__ import annotations

from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBReadResponse,
    DCBRecorder,
    DCBSequencedEvent,
    DCBSubscription,
)
from eventsourcing.dcb.persistence import DCBInfrastructureFactory

__all__ = [
    "DCBAppendCondition",
    "DCBEvent",
    "DCBInfrastructureFactory",
    "DCBQuery",
    "DCBReadResponse",
    "DCBRecorder",
    "DCBSequencedEvent",
    "DCBSubscription",
]

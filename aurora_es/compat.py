"""What differs between versions of the library; the only module that looks at that.

The library's 9.5 says ``DCB`` where its 10.0 says ``Dcb``, ``application_name`` where that says
``context_name``, ``Application`` where that says ``AggregatesApplication``, and its events have
neither an id nor metadata. The rest of the face imports the
older names from here, and is checked against the types of the older version.
"""

from __future__ import annotations

from functools import wraps
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from eventsourcing import application, domain, persistence
from eventsourcing.dcb import api
from eventsourcing.dcb import application as dcb_application
from eventsourcing.dcb import persistence as dcb_persistence

from aurora_es.errors import ArgumentError
from aurora_es.journal.records import check_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventsourcing import persistence as library_errors
    from eventsourcing.application import Application
    from eventsourcing.dcb.api import (
        DCBAppendCondition,
        DCBEvent,
        DCBQuery,
        DCBQueryItem,
        DCBReadResponse,
        DCBRecorder,
        DCBSequencedEvent,
        DCBSubscription,
    )
    from eventsourcing.dcb.application import DCBApplication
    from eventsourcing.dcb.persistence import DCBInfrastructureFactory
    from eventsourcing.domain import TAggregateID

    from aurora_es.format.payload import RecordData

IS_10 = hasattr(api, "DcbRecorder")
NIL_UUID = UUID(int=0)  # means that an event has no id
ORIGINATOR_ID_TYPE_DEFAULT = "text" if IS_10 else "as written"

if not TYPE_CHECKING:
    Application = getattr(application, "AggregatesApplication" if IS_10 else "Application")
    # Types of applications are generic in their ids; those of 10.0 in their decisions.
    TAggregateID = getattr(domain, "TDecision" if IS_10 else "TAggregateID")
    _prefix = "Dcb" if IS_10 else "DCB"
    DCBApplication = getattr(dcb_application, _prefix + "Application")
    DCBAppendCondition = getattr(api, _prefix + "AppendCondition")
    DCBEvent = getattr(api, _prefix + "Event")
    DCBQuery = getattr(api, _prefix + "Query")
    DCBQueryItem = getattr(api, _prefix + "QueryItem")
    DCBReadResponse = getattr(api, _prefix + "ReadResponse")
    DCBRecorder = getattr(api, _prefix + "Recorder")
    DCBSequencedEvent = getattr(api, _prefix + "SequencedEvent")
    DCBSubscription = getattr(api, _prefix + "Subscription")
    DCBInfrastructureFactory = getattr(dcb_persistence, _prefix + "InfrastructureFactory")
    if IS_10:
        from eventsourcing import errors

        # 10.0 is about to move them from one module to the other.
        library_errors = SimpleNamespace(**{**vars(persistence), **vars(errors)})
    else:
        library_errors = persistence

_Method = TypeVar("_Method", bound="Callable[..., Any]")

# Whose notifications a tracking record counts.
tracked_name: Callable[[persistence.Tracking], str] = attrgetter(
    "context_name" if IS_10 else "application_name"
)

# What an application's events are tracked by.
application_name: Callable[[Any], str] = attrgetter("context_name" if IS_10 else "name")


def takes_context_name(method: _Method) -> _Method:
    """``method``, whose ``application_name`` may be given as ``context_name`` where 10.0 says that."""
    if not IS_10:
        return method

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "context_name" in kwargs:
            kwargs["application_name"] = kwargs.pop("context_name")
        return method(*args, **kwargs)

    return cast("_Method", call)


def extras_of(event: Any, metadata: dict[str, Any] | None) -> tuple[bytes | None, Any]:
    """Id and metadata of an event of 10.0 as they are written; ``metadata`` is that of the call."""
    event_id, own = event.uuid, event.metadata
    if not isinstance(event_id, UUID):
        message = f"uuid of an event: expected a UUID, found {event_id!r}; nothing was written"
        raise ArgumentError(message)
    if own:
        check_metadata(own)
        metadata = own
    return None if event_id == NIL_UUID else event_id.bytes, metadata


def add_extras(events: Iterable[object], records: Iterable[RecordData]) -> None:
    """Give events of 10.0 the id and metadata of their records."""
    for event, record in zip(events, records, strict=True):
        event_id = record.event_uuid
        event.__dict__["uuid"] = NIL_UUID if event_id is None else UUID(bytes=event_id)
        event.__dict__["metadata"] = record.metadata or {}


__all__ = [
    "IS_10",
    "NIL_UUID",
    "ORIGINATOR_ID_TYPE_DEFAULT",
    "Application",
    "DCBAppendCondition",
    "DCBApplication",
    "DCBEvent",
    "DCBInfrastructureFactory",
    "DCBQuery",
    "DCBQueryItem",
    "DCBReadResponse",
    "DCBRecorder",
    "DCBSequencedEvent",
    "DCBSubscription",
    "TAggregateID",
    "add_extras",
    "application_name",
    "extras_of",
    "library_errors",
    "takes_context_name",
    "tracked_name",
]

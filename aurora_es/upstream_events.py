"""Events of the application that a view is made of, of either kind, page by page.

Theory of operation: the positions of an ``Application`` are notification ids, those of a
``DCBApplication`` count its decisions. To a projection both come as a domain event and a position,
as from the subscriptions that the library's runner makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_origin

from aurora_es.compat import (
    Application,
    DCBApplication,
    DCBQuery,
    DCBQueryItem,
    application_name,
)
from aurora_es.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Page(NamedTuple):
    """Events with their positions, and the position up to which everything was looked at."""

    events: list[tuple[Any, int]]
    position: int


class UpstreamEvents(Protocol):
    """What a view is rebuilt from."""

    def last_position(self) -> int:
        """Position of the newest event, 0 if there is none."""

    def page(self, after: int, last: int, size: int, topics: Sequence[str]) -> Page:
        """At most ``size`` events above ``after`` and up to ``last``; ``topics`` leaves out others."""


class AggregateEvents:
    """Those of an ``Application``."""

    def __init__(self, application: Application[Any]) -> None:
        """Read from ``application``."""
        self._recorder = application.recorder
        self._mapper = application.mapper

    def last_position(self) -> int:
        """The last notification id."""
        return self._recorder.max_notification_id() or 0

    def page(self, after: int, last: int, size: int, topics: Sequence[str]) -> Page:
        """Select notifications."""
        found = self._recorder.select_notifications(
            after, size, stop=last, topics=topics, inclusive_of_start=False
        )
        events = [(self._mapper.to_domain_event(one), one.id) for one in found]
        # A short page has looked at all there was.
        return Page(events, found[-1].id if len(found) == size else last)


class Decisions:
    """Those of a ``DCBApplication``."""

    def __init__(self, application: DCBApplication) -> None:
        """Read from ``application``; raises ArgumentError if it has no mapper."""
        if not hasattr(application, "mapper"):
            message = (
                f"{application_name(application)}: expected MAPPER_TOPIC, by which a DCBApplication"
                " has a mapper; found none"
            )
            raise ArgumentError(message)
        self._recorder = application.recorder
        self._mapper = application.mapper

    def last_position(self) -> int:
        """The head."""
        return self._recorder.read().head or 0

    def page(self, after: int, last: int, size: int, topics: Sequence[str]) -> Page:
        """Read by type."""
        query = DCBQuery([DCBQueryItem(types=list(topics))])
        found = [
            one
            for one in self._recorder.read(query, after=after, limit=size)
            if one.position <= last
        ]
        events = [(self._mapper.to_domain_event(one.event), one.position) for one in found]
        return Page(events, found[-1].position if len(found) == size else last)


def is_upstream(thing: object) -> bool:
    """Whether ``thing`` is a class of applications, with or without its type of ids."""
    cls = get_origin(thing) or thing
    return isinstance(cls, type) and issubclass(cls, (Application, DCBApplication))


def events_of(application: Application[Any] | DCBApplication) -> UpstreamEvents:
    """The events of ``application``; raises ArgumentError if it cannot decode them."""
    if isinstance(application, DCBApplication):
        return Decisions(application)
    return AggregateEvents(application)


__all__ = ["Page", "UpstreamEvents", "events_of", "is_upstream"]

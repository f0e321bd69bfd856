"""``AuroraApplication``: the library's application with faster ways through it, and our log.

Theory of operation: half to two thirds of the library's ``repository.get`` is one line, a check of
a protocol for every event. Its outcome depends on the event's class alone, so the loop here checks
it where the class changes (row "replay of 1,000 dataclass events"). ``save`` checks two protocols
for every object; what inherits from the library's aggregates needs neither (row "create + save").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventsourcing.application import (
    Application,
    LocalNotificationLog,
    ProcessingEvent,
    ProjectorFunction,
    Repository,
    project_aggregate,
)
from eventsourcing.domain import BaseAggregate, CanMutateProtocol, TAggregateID
from eventsourcing.persistence import EventStore, Notification, Recording

from aurora_es.notification_log import AuroraNotificationLog
from aurora_es.recorders import AuroraApplicationRecorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventsourcing.domain import DomainEventProtocol, MutableOrImmutableAggregate

_new = object.__new__
_set = object.__setattr__


def replay(aggregate: Any, domain_events: Iterable[Any]) -> Any:
    """The library's ``project_aggregate``, which checks events of one class only once."""
    checked: type | None = None
    for domain_event in domain_events:
        if type(domain_event) is not checked:
            assert isinstance(domain_event, CanMutateProtocol)
            checked = type(domain_event)
        aggregate = domain_event.mutate(aggregate)
    return aggregate


class AuroraRepository(Repository[TAggregateID]):
    """The library's repository, which replays faster; everything else is the library's."""

    def get(
        self,
        aggregate_id: TAggregateID,
        *,
        version: int | None = None,
        projector_func: ProjectorFunction[Any, Any] = project_aggregate,
        fastforward_skipping: bool = False,
        deepcopy_from_cache: bool = True,
    ) -> Any:
        """Return an aggregate, at ``version`` if one is given; raises AggregateNotFoundError.

        A ``projector_func`` of your own is called as by the library.
        """
        return super().get(
            aggregate_id,
            version=version,
            projector_func=replay if projector_func is project_aggregate else projector_func,
            fastforward_skipping=fastforward_skipping,
            deepcopy_from_cache=deepcopy_from_cache,
        )


class _AuroraEventStore(EventStore[TAggregateID]):
    """The library's event store; its results are made without ``__init__`` of frozen dataclasses."""

    def put(
        self, domain_events: Sequence[DomainEventProtocol[TAggregateID]], **kwargs: Any
    ) -> list[Recording[TAggregateID]]:
        """Record events; returns them with their notifications."""
        stored_events = list(map(self.mapper.to_stored_event, domain_events))
        notification_ids = self.recorder.insert_events(stored_events, **kwargs)
        if not notification_ids:
            return []
        recordings = []
        for domain_event, stored, number in zip(
            domain_events, stored_events, notification_ids, strict=True
        ):
            notification, recording = _new(Notification), _new(Recording)
            _set(notification, "__dict__", {**vars(stored), "id": number})
            _set(
                recording, "__dict__", {"domain_event": domain_event, "notification": notification}
            )
            recordings.append(recording)
        return recordings


class _AuroraProcessingEvent(ProcessingEvent[TAggregateID]):
    """The library's; aggregates that inherit from the library's are known without a protocol."""

    def collect_events(self, *objs: Any, **kwargs: Any) -> None:
        """Collect the events of aggregates, and events."""
        for obj in objs:
            # ``isinstance`` would ask an abstract class, which is slow; others it knows go the slow way.
            if BaseAggregate in type(obj).__mro__:
                self.events += obj.collect_events()
                self.aggregates[obj.id] = obj
            else:
                super().collect_events(obj)
        self.saved_kwargs.update(kwargs)


class AuroraApplication(Application[TAggregateID]):
    """An application that replays and saves faster, and whose log is an AuroraNotificationLog.

    ``class App(AuroraApplication[UUID])`` in place of ``Application[UUID]``. Works with every
    persistence module; the log is ours where the recorder is.
    """

    _saves_as_library = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """See which ``save`` follows ours in the order of the bases."""
        super().__init_subclass__(**kwargs)
        cls._saves_as_library = super().save is Application.save

    def save(
        self,
        *objs: MutableOrImmutableAggregate[TAggregateID] | DomainEventProtocol[TAggregateID] | None,
        **kwargs: Any,
    ) -> list[Recording[TAggregateID]]:
        """Record the new events of aggregates, and events, as one commit; returns what was recorded.

        When it returns, all of them are visible to every process and, under ``AURORA_SYNC=always``,
        on disk. Each recording has the domain event and its notification, whose ``id`` a projection
        can be waited for. ``metadata=`` is stored beside each event, for ``Journal.read``.

        Raises the library's IntegrityError if another process was first, with nothing recorded, and
        OperationalError where the lock or the disk cannot be had.
        """
        if not self._saves_as_library:
            # Another base, as the library's Leader, has a ``save`` of its own.
            return super().save(*objs, **kwargs)
        processing_event: ProcessingEvent[TAggregateID] = _AuroraProcessingEvent()
        processing_event.collect_events(*objs, **kwargs)
        recordings = self._record(processing_event)
        self._take_snapshots(processing_event)
        self._notify(recordings)
        self.notify(processing_event.events)
        return recordings

    def construct_event_store(self) -> EventStore[TAggregateID]:
        """Construct the event store."""
        made = super().construct_event_store()
        if type(made) is EventStore:
            made.__class__ = _AuroraEventStore  # a subclass without state
        return made

    def construct_repository(self) -> Repository[TAggregateID]:
        """Construct the repository, with the library's settings of its cache."""
        made = super().construct_repository()
        made.__class__ = AuroraRepository  # a subclass without state: the library read the settings
        return made

    def construct_notification_log(self) -> LocalNotificationLog:
        """Construct the notification log."""
        if isinstance(self.recorder, AuroraApplicationRecorder):
            return AuroraNotificationLog(self.recorder, section_size=self.log_section_size)
        return super().construct_notification_log()

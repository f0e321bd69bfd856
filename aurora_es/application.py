"""``AuroraApplication``: the library's application with a fast replay and our notification log.

Theory of operation: half to two thirds of the library's ``repository.get`` is one line, a check of
a protocol for every event. Its outcome depends on the event's class alone, so the loop here checks
it where the class changes (row "replay of 1,000 events").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventsourcing.application import (
    Application,
    LocalNotificationLog,
    ProjectorFunction,
    Repository,
    project_aggregate,
)
from eventsourcing.domain import CanMutateProtocol, TAggregateID

from aurora_es.notification_log import AuroraNotificationLog
from aurora_es.recorders import AuroraApplicationRecorder

if TYPE_CHECKING:
    from collections.abc import Iterable


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


class AuroraApplication(Application[TAggregateID]):
    """An application whose repository replays faster and whose log is an AuroraNotificationLog.

    ``class App(AuroraApplication[UUID])`` in place of ``Application[UUID]``. Works with every
    persistence module; the log is ours where the recorder is.
    """

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

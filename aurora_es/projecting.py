"""``AuroraProjectionRunner``: the library's runner, which makes one commit of many events.

Theory of operation: the library's runner projects event by event, and each transaction of a view is
a commit, with its locks and system calls. What costs most is the same for one event and for many.
So the events that the subscription has read already, and it reads by pages, become one commit of a
``JournaledView``, with the tracking of the last of them: a page holds what was there to be read, so
that an event that comes alone is committed alone, and at once. A page ends early when it has taken
some milliseconds, as others may wait for the view, or for one of its events; and when the runner is
stopped. Of a page whose process is killed nothing is there, and it is projected again: changes and
tracking go together, as ever.

An event that fails ends its page before it: what came before is committed, as without pages.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from eventsourcing.persistence import TrackingRecorder
from eventsourcing.projection import ProjectionRunner

from aurora_es.subscription import Paged
from aurora_es.view_transaction import ViewPage
from aurora_es.views import JournaledView, core_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

_PAGE_EVENTS_MAX = 500
_PAGE_SECONDS = 5e-3

_TApplication = TypeVar("_TApplication")
_TView = TypeVar("_TView", bound=TrackingRecorder)
_Page = list[tuple[Any, Any]]  # domain events, each with its tracking


class AuroraProjectionRunner(ProjectionRunner[_TApplication, _TView]):
    """Projects an application's events into a view, many at a time where many wait.

    Takes the place of the library's ``ProjectionRunner``, with its arguments and methods. Into a
    ``JournaledView`` a backlog is projected several times as fast; into any other view it is the
    library's runner. Changes and tracking are recorded together, and an event is visible in the view
    as soon as from the library's runner, or some milliseconds later while there is a backlog.

    While ``process_event`` runs, the view's lock may be held: the projection writes to the view in
    the thread that calls it, and to no view of another projection.
    """

    @staticmethod
    def _process_events_loop(
        subscription: Any, projection: Any, is_stopping: Event, runner: Any
    ) -> None:
        """The library's loop, over pages instead of events where that is of use."""
        if isinstance(projection.view, JournaledView):
            projection = _PageProjection(projection, is_stopping)
            subscription = _pages_of(subscription)
        ProjectionRunner._process_events_loop(  # noqa: SLF001 - of the base class
            subscription, projection, is_stopping, runner
        )


class _PageProjection:
    """Projects pages as the library's loop would have it project events."""

    def __init__(self, projection: Any, is_stopping: Event) -> None:
        self._project = projection.process_event
        self._core = core_of(projection.view)
        self._is_stopping = is_stopping

    def process_event(self, page: _Page, _: object) -> None:
        """Project all events of ``page``, unless the runner is stopped meanwhile."""
        while page and not self._is_stopping.is_set():
            page = page[self._project_some(page) :]

    def _project_some(self, page: _Page) -> int:
        """Project events for some milliseconds, as one commit; returns how many."""
        project, is_over = self._project, self._is_stopping.is_set
        failure: BaseException | None = None
        count = 0
        with ViewPage(self._core):
            ends = monotonic() + _PAGE_SECONDS
            for domain_event, tracking in page:
                try:
                    project(domain_event, tracking)
                except BaseException as error:  # noqa: BLE001 - raised behind the commit
                    failure = error
                    break
                count += 1
                if is_over() or monotonic() > ends:
                    break
        if failure is not None:
            raise failure
        return count


def _pages_of(subscription: Any) -> Iterator[tuple[_Page, None]]:
    """Events of a subscription, as many at a time as there are without waiting."""
    source = subscription.subscription
    for first in subscription:
        page = [first]
        failure: Exception | None = None
        try:
            while len(page) < _PAGE_EVENTS_MAX and isinstance(source, Paged) and source.is_ready:
                page.append(next(subscription))
        except StopIteration:
            pass  # stopped between the two
        except Exception as error:  # noqa: BLE001 - an event that cannot be decoded: raised in its turn
            failure = error
        yield page, None
        if failure is not None:
            raise failure

"""``AsyncApplicationSubscription``: domain events of an application, for the tasks of an event loop.

Theory of operation: no thread. The loop listens to the kernel's watcher of the process as it
listens to sockets; the task that waits is woken when the mark of the application's journal has
changed, by whichever process. Reading is done in the loop, in pages small enough not to hold up
other tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self

from eventsourcing.persistence import Tracking

from aurora_es.compat import TAggregateID, application_name
from aurora_es.errors import ArgumentError, ClosedError
from aurora_es.journal.readers import note_reader
from aurora_es.late_imports import fork_waits
from aurora_es.recorder_errors import FAULTS, recorder_error
from aurora_es.recorders import AuroraApplicationRecorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventsourcing.application import Application
    from eventsourcing.domain import DomainEventProtocol
    from eventsourcing.persistence import Notification

_PAGE_NOTIFICATIONS = 100  # read in less than a millisecond


class AsyncApplicationSubscription(Generic[TAggregateID]):
    """Asynchronous iterator over the events of ``app`` above ``gt``, each with its tracking.

    As in::

        async with AsyncApplicationSubscription(app, gt=view.max_tracking_id(app.name)) as events:
            async for event, tracking in events:
                ...

    It waits at the end for more, of this or any other process; ``topics`` leaves out all others.
    For one task at a time. Ends after ``stop`` and when the application is closed. Raises the face's
    HistoryChangedError after a recovery that took back events, and MapperDeserialisationError.
    """

    def __init__(
        self,
        app: Application[TAggregateID],
        gt: int | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        """Follow ``app``; nothing is waited for before the first event is asked for."""
        recorder, name = app.recorder, application_name(app)
        if not isinstance(recorder, AuroraApplicationRecorder):
            message = f"{name}: expected PERSISTENCE_MODULE=aurora_es, found {type(recorder)}"
            raise recorder_error(ArgumentError(message))
        self._name = name
        self._recorder = recorder
        self._mapper = app.mapper
        self._topics = topics
        self._position = max(gt or 0, 0)
        self._page: Sequence[Notification] = ()
        self._page_index = 0
        self._follower = recorder.follower()
        note_reader(self, "async subscription", self._follower)

    def reached(self) -> int:
        """Position up to which everything was returned, or left out; from any thread."""
        page, index = self._page, self._page_index
        return page[index].id - 1 if index < len(page) else self._position

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> tuple[DomainEventProtocol[TAggregateID], Tracking]:
        """Return the next event, waiting for it if need be."""
        follower = self._follower
        while not follower.stopped:
            page, index = self._page, self._page_index
            if index < len(page):
                self._page_index = index + 1
                notification = page[index]
                event: Any = self._mapper.to_domain_event(notification)
                return event, Tracking(self._name, notification.id)
            try:
                await self._read_page()
            except ClosedError:
                break  # closed while this task was looking, and not waiting
            except FAULTS as error:
                raise recorder_error(error) from error.__cause__
        follower.close()
        raise StopAsyncIteration

    async def _read_page(self) -> None:
        with fork_waits:
            import asyncio

        follower = self._follower
        visible = await follower.wait_beyond_in(asyncio.get_running_loop(), self._position)
        if not visible:
            return
        page = self._recorder.select_notifications(
            start=self._position,
            limit=_PAGE_NOTIFICATIONS,
            stop=visible,
            topics=self._topics,
            inclusive_of_start=False,
        )
        follower.look()  # the page is of the same history: else this raises
        # A short page has looked at everything that was visible, whatever the topics left out.
        self._position = page[-1].id if len(page) == _PAGE_NOTIFICATIONS else visible
        self._page, self._page_index = page, 0
        if self._topics:
            await asyncio.sleep(0)  # rare topics: other tasks have their turn between two looks

    def stop(self) -> None:
        """End the iteration at once, from any thread; idempotent."""
        self._page = ()
        self._follower.stop()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, and free what the loop listens to."""
        self.stop()
        self._follower.close()

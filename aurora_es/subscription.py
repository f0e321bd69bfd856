"""Iterators that follow a journal page by page, across threads and processes.

Theory of operation: no thread, no queue. ``__next__`` serves a page, reads the next one, or waits
on the mark. ``stop`` wakes it from any thread and drops what was read ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from eventsourcing.persistence import Notification, Subscription

from aurora_es.errors import ClosedError
from aurora_es.journal.readers import note_reader
from aurora_es.recorder_errors import FAULTS, recorder_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventsourcing.persistence import ApplicationRecorder

    from aurora_es.journal.following import Follower

PAGE_EVENTS = 500
_T = TypeVar("_T")


class Paged(Generic[_T]):
    """What the subscriptions of all recorders have in common; for one thread at a time."""

    def __init__(self, follower: Follower, after: int) -> None:
        """Follow from the position behind ``after`` on."""
        self._follower = follower
        self._position = after
        self._page: Sequence[_T] = ()
        self._page_index = 0
        note_reader(self, "subscription", follower)

    def reached(self) -> int:
        """Position up to which everything was returned, or left out; from any thread."""
        page, index = self._page, self._page_index
        if index >= len(page):
            return self._position
        return self._position_of(page[index]) - 1

    @property
    def is_ready(self) -> bool:
        """Whether the next one has been read already; for the thread that iterates."""
        return self._page_index < len(self._page)

    def __next__(self) -> _T:
        """Return the next one, waiting for it if need be."""
        follower = self._follower
        while not follower.stopped:
            page, index = self._page, self._page_index
            if index < len(page):
                self._page_index = index + 1
                return page[index]
            try:
                self._read_page(follower)
            except ClosedError:
                break  # closed while this thread was looking, and not waiting
            except FAULTS as error:
                raise recorder_error(error) from error.__cause__
        follower.close()
        raise StopIteration

    def _read_page(self, follower: Follower) -> None:
        visible = follower.wait_beyond(self._position)
        if not visible:
            return
        page, last = self._page_between(self._position, visible)
        follower.look()  # the page is of the same history: else this raises
        # A short page has looked at everything that was visible, whatever it leaves out.
        self._position = last if len(page) == PAGE_EVENTS else visible
        self._page, self._page_index = page, 0

    def _page_between(self, after: int, until: int) -> tuple[Sequence[_T], int]:
        """A page of what is wanted above ``after`` up to ``until``, and its last position."""
        raise NotImplementedError

    def _position_of(self, item: _T) -> int:
        raise NotImplementedError

    def stop(self) -> None:
        """End the iteration at once, from any thread, and free the descriptors; idempotent."""
        self._page = ()
        self._follower.close()


class AuroraSubscription(Paged[Notification], Subscription["ApplicationRecorder"]):
    """Iterator over notifications above ``gt``; waits at the end. For one thread at a time.

    ``gt`` beyond the head waits until the head is beyond it. Closing the recorder ends the
    iteration. Raises the face's HistoryChangedError after a recovery that took back events.
    """

    def __init__(
        self,
        recorder: ApplicationRecorder,
        follower: Follower,
        gt: int | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        """Follow ``recorder`` by ``follower``."""
        Subscription.__init__(self, recorder=recorder, gt=gt, topics=topics)
        Paged.__init__(self, follower, max(gt or 0, 0))

    def _page_between(self, after: int, until: int) -> tuple[Sequence[Notification], int]:
        page = self._recorder.select_notifications(
            start=after,
            limit=PAGE_EVENTS,
            stop=until,
            topics=self._topics,
            inclusive_of_start=False,
        )
        return page, page[-1].id if page else until

    def _position_of(self, item: Notification) -> int:
        return item.id

    def stop(self) -> None:
        """End the iteration at once, from any thread, and free the descriptors; idempotent."""
        Subscription.stop(self)
        Paged.stop(self)

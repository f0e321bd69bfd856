"""``AuroraSubscription``: follows an application sequence across threads and processes.

Theory of operation: no thread, no queue. ``__next__`` serves a page, reads the next one, or waits
on the mark. ``stop`` wakes it from any thread and drops what was read ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsourcing.persistence import Subscription

from aurora_es.errors import ClosedError
from aurora_es.recorder_errors import FAULTS, recorder_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventsourcing.persistence import ApplicationRecorder, Notification

    from aurora_es.journal.following import Follower

_PAGE_NOTIFICATIONS = 500


class AuroraSubscription(Subscription["ApplicationRecorder"]):
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
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._follower = follower
        self._position = max(gt or 0, 0)
        self._page: Sequence[Notification] = ()
        self._page_index = 0

    def __next__(self) -> Notification:
        """Return the next notification, waiting for it if need be."""
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

    def stop(self) -> None:
        """End the iteration at once, from any thread, and free the descriptors; idempotent."""
        super().stop()
        self._page = ()
        self._follower.close()

"""Recorders that keep how far the notifications of other applications were processed."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import (
    ProcessRecorder,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)

from aurora_es.compat import library_errors, takes_context_name
from aurora_es.recorder_errors import FAULTS, recorder_error
from aurora_es.recorders import AuroraApplicationRecorder, AuroraRecorder
from aurora_es.store import EVENTS, TRACKING, AuroraStore
from aurora_es.upstream import UpstreamHistories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from aurora_es.journal.following import Follower

_INTERRUPT_SLICE_SECONDS = 0.01
_NEAR_NOTIFICATIONS = 100  # nobody projects so many in less than a millisecond


class AuroraTrackingRecorder(AuroraRecorder, TrackingRecorder):
    """Records how far an application has processed the notifications of others.

    Source: the interface ``TrackingRecorder`` of the library.
    """

    def __init__(self, store: AuroraStore, *, purpose: str = TRACKING, **kwargs: Any) -> None:
        """Open the tracking journal of ``store``."""
        super().__init__(store, purpose=purpose, **kwargs)
        self._upstreams = UpstreamHistories(store.root)

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record ``tracking``; raises IntegrityError unless its notification id rises.

        Raises the face's HistoryChangedError if that application was restored or repaired to a point
        before it since this recorder was first asked about it: the event may be one that is gone.
        """
        try:
            self._lease.journal.append_rows((), (), self._upstreams.data_of(tracking))
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    @takes_context_name
    def max_tracking_id(self, application_name: str) -> int | None:
        """Return the last notification id recorded for ``application_name``, or None.

        Raises the face's HistoryChangedError if that application, in the same AURORA_PATH, has been
        restored or repaired to a point before it: what it has there now is another history.
        """
        try:
            handle, _ = self._handle()
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        recorded = handle.state.index.tracking.get(application_name)
        if recorded is None:
            self._upstreams.look(application_name)
            return None
        try:
            self._upstreams.check(handle.path, recorded)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return recorded.notification_id

    @takes_context_name
    def wait(
        self,
        application_name: str,
        notification_id: int | None,
        timeout: float = 1.0,
        interrupt: Event | None = None,
    ) -> None:
        """Block until ``notification_id`` of ``application_name`` has been tracked.

        Returns within about two milliseconds of the commit, in this or another process. Raises
        TimeoutError after ``timeout`` seconds, WaitInterruptedError once ``interrupt`` is set.
        """
        if self.has_tracking_id(application_name, notification_id):
            return
        deadline = monotonic() + timeout
        follower: Follower | None = None
        try:
            follower = self._lease.follower()
            while not follower.stopped:
                follower.look()
                if self.has_tracking_id(application_name, notification_id):
                    return
                if interrupt is not None and interrupt.is_set():
                    raise library_errors.WaitInterruptedError
                remaining = deadline - monotonic()
                if remaining <= 0:
                    break
                pause = min(self._pause(application_name, notification_id), remaining)
                if pause:
                    self._lease.journal.handle.effects.sleep(pause)
                    continue
                follower.sleep(
                    remaining if interrupt is None else min(remaining, _INTERRUPT_SLICE_SECONDS)
                )
            else:
                # Closed under the wait: the same error as any call after it.
                self.has_tracking_id(application_name, notification_id)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        finally:
            if follower is not None:
                follower.close()
        message = (
            f"Timed out waiting for notification {notification_id} from application"
            f" '{application_name}' to be processed"
        )
        raise TimeoutError(message)

    def _pause(self, application_name: str, notification_id: int | None) -> float:
        """How long not to look: to be woken by every commit of a thread takes its time (row
        "live runner": a third of the rate).
        """
        behind = (notification_id or 0) - (self.max_tracking_id(application_name) or 0)
        return 0.0 if behind < _NEAR_NOTIFICATIONS else min(behind * 1e-5, _INTERRUPT_SLICE_SECONDS)


class AuroraProcessRecorder(AuroraTrackingRecorder, AuroraApplicationRecorder, ProcessRecorder):
    """Records events and, in the same commit, how far others' notifications were processed.

    So whatever a process application makes of a notification is recorded once, wherever it is killed.
    Source: the interface ``ProcessRecorder`` of the library.
    """

    def __init__(self, store: AuroraStore, *, purpose: str = EVENTS, **kwargs: Any) -> None:
        """Open the events of ``store``."""
        super().__init__(store, purpose=purpose, **kwargs)

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Record events and ``tracking=`` as one commit; returns the notification ids.

        Raises the library's IntegrityError, with nothing recorded, if an event exists already or the
        tracked notification id does not rise; otherwise as ``AuroraAggregateRecorder.insert_events``,
        and for the tracking as ``insert_tracking``.
        """
        tracking = kwargs.get("tracking")
        try:
            data = None if tracking is None else self._upstreams.data_of(tracking)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return self._insert(stored_events, data, kwargs)

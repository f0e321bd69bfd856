"""Rebuilds a journaled view from nothing, beside the live one, and swaps it in with one commit.

Theory of operation: the projection runs over the application's events once more, page by page, into
a scratch view that nobody else sees, up to where the live view is. Then the live view's journal is
locked. What it has tracked meanwhile is projected, too, so that the new view is where the live one
is: not behind, and not ahead, as the runner's next event would be a conflict then. One commit,
a checkpoint that takes the place of all that was before, makes it the view of every process, of
those that read it and of the runner that goes on projecting. Killed before that, a rebuild leaves
nothing behind but a temporary directory, which the next one removes; there is nothing behind it to be
killed in.

What the live view has tracked may be of another history, if the application was restored to a point
before it. Then no runner goes on with the live view, and where it is means nothing: the new view is
built up to the newest event, and the same commit tracks that, though it may be less than before.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Self, get_args, get_origin

from eventsourcing.persistence import InfrastructureFactory, Tracking
from eventsourcing.projection import Projection
from eventsourcing.utils import Environment

from aurora_es.compat import application_name
from aurora_es.errors import ArgumentError, HistoryChangedError, TooLargeError
from aurora_es.face_logs import views_logger
from aurora_es.factory import AuroraFactory
from aurora_es.files.memory import MemoryDirectory
from aurora_es.journal.creation import Settings
from aurora_es.journal.sharing import LeaseOptions
from aurora_es.options import Sync
from aurora_es.recorder_errors import FAULTS, recorder_error
from aurora_es.store import AuroraStore
from aurora_es.upstream_events import events_of, is_upstream
from aurora_es.view_state import CHECKPOINT_BYTES_MAX
from aurora_es.view_transaction import ViewPage, checkpoint_rows
from aurora_es.views import JournaledView, core_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventsourcing.utils import EnvType

    from aurora_es.compat import Application, DCBApplication
    from aurora_es.format.payload import TrackingData

_PAGE_EVENTS = 1000
_NOT_OF_USERS = ("aurora_es.", "eventsourcing.")


def rebuild_projection(  # noqa: PLR0913 - the arguments of the library's ProjectionRunner, and two
    *,
    application_class: type[Application[Any] | DCBApplication],
    projection_class: type[Projection[Any]],
    view_class: type[JournaledView],
    env: EnvType | None = None,
    page_size: int = _PAGE_EVENTS,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Build a projection's view anew and swap it in; returns the position up to which.

    That is where the live view is; if it has tracked nothing, or a history that the application has
    lost by a restore, the newest event. The live view is read, and projected into, all the while; it
    is locked only to project what it has tracked since the last page, and for the swap.
    ``page_size`` events become one commit of the view that is built. ``progress`` is called with
    the position reached and the last one.

    Raises the library's ProgrammingError for a view that is not a JournaledView, or that tracks
    other applications too; HistoryChangedError for one that has tracked more than the application has, whose
    directory was removed then; DataError for one that is too large; OperationalError.
    """
    if not issubclass(view_class, JournaledView):
        message = (
            f"{view_class.__qualname__}: expected a subclass of JournaledView; project into a view"
            " with a new name instead, and let readers use that when it has caught up"
        )
        raise recorder_error(ArgumentError(message))
    if not is_upstream(application_class):
        message = f"{application_class!r}: expected a subclass of Application or DCBApplication"
        raise recorder_error(ArgumentError(message))
    if not issubclass(projection_class, Projection):
        message = f"{projection_class!r}: expected a subclass of Projection"
        raise recorder_error(ArgumentError(message))
    if page_size < 1:
        message = f"page_size: expected 1 or more, found {page_size}"
        raise recorder_error(ArgumentError(message))
    live_factory = _factory_of(projection_class.name, env)
    application = application_class(env=env)
    try:
        live = live_factory.tracking_recorder(view_class)
        assert isinstance(live, JournaledView)
        with _Scratch(projection_class, view_class) as scratch:
            rebuilding = _Rebuilding(application, scratch, live, page_size, progress)
            return rebuilding.run()
    except ArgumentError as error:
        raise recorder_error(error) from None
    finally:
        application.close()
        live_factory.close()


def application_beside(projection_class: type[Any]) -> type[Any] | None:
    """The one application that the projection's module defines or imports; None if not just one."""
    found = {
        thing
        for thing in vars(sys.modules[projection_class.__module__]).values()
        if isinstance(thing, type)
        and is_upstream(thing)
        and not thing.__module__.startswith(_NOT_OF_USERS)
    }
    return found.pop() if len(found) == 1 else None


def view_of(projection_class: type[Any]) -> type[Any] | None:
    """The view of a projection that derives from ``Projection[View]``; None for another class."""
    for ancestor in projection_class.__mro__:
        for base in vars(ancestor).get("__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Projection):
                (argument, *_) = get_args(base)
                return argument if isinstance(argument, type) else None
    return None


class _Scratch:
    """A view in a temporary directory, and the projection into it."""

    def __init__(
        self, projection_class: type[Projection[Any]], view_class: type[JournaledView]
    ) -> None:
        directory = MemoryDirectory()
        options = LeaseOptions(Settings(sync=Sync.NEVER))
        store = AuroraStore(directory.path, projection_class.name, options, memory=directory)
        self.view = view_class(store)
        self.projection = projection_class(view=self.view)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.view.close()


class _Rebuilding:
    """One run: from the first event to the swap."""

    def __init__(
        self,
        application: Application[Any] | DCBApplication,
        scratch: _Scratch,
        live: JournaledView,
        page_size: int,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self._name = application_name(application)
        self._events = events_of(application)
        self._scratch = scratch
        self._live = live
        self._page_size = page_size
        self._progress = progress
        self._position = 0  # everything up to here was looked at
        self._is_of_another_history = False  # what the live view has tracked

    def run(self) -> int:
        self._refuse_other_leaders()
        self._refuse_another_journal()
        self._project_until_live()
        core = core_of(self._live)
        try:
            journal = core.lease.journal
            with journal.exclusive() as exclusive:
                core.committed()
                self._project_until_live()
                rows, identities = checkpoint_rows(journal, self._checkpoint())
                exclusive.append(
                    rows,
                    identities,
                    self._tracking(),
                    tracking_may_fall=self._is_of_another_history,
                )
            journal.tend()
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        views_logger.info(
            "%s: a view that was built anew up to position %d of %s has taken over",
            self._live.store.path,
            self._position,
            self._name,
        )
        return self._position

    def _project_until_live(self) -> None:
        """Project pages until the new view is where the live one is."""
        while self._position < (last := self._last_position()):
            self._project_page(last)
            if self._progress is not None:
                self._progress(self._position, last)

    def _last_position(self) -> int:
        return self._tracked() or self._events.last_position()

    def _tracked(self) -> int | None:
        """What the live view has tracked of the history that the application has now."""
        try:
            tracked = self._live.max_tracking_id(self._name)
        except HistoryChangedError:
            tracked, self._is_of_another_history = None, True
        else:
            self._is_of_another_history = False  # if it was, somebody else has just rebuilt it
        return tracked

    def _project_page(self, last: int) -> None:
        topics = self._scratch.projection.topics
        events, position = self._events.page(self._position, last, self._page_size, topics)
        if events:
            self._project(events)
        self._position = position

    def _project(self, events: list[tuple[Any, int]]) -> None:
        projection, core = self._scratch.projection, core_of(self._scratch.view)
        with ViewPage(core):
            for event, position in events:
                projection.process_event(event, Tracking(self._name, position))

    def _refuse_other_leaders(self) -> None:
        others = self._live.journal.tracking().keys() - {self._name}
        if others:
            message = (
                f"{self._live.store.path}: expected a view of {self._name} alone, to be"
                f" rebuilt from it; found that it tracks {', '.join(sorted(others))}, too"
            )
            raise recorder_error(ArgumentError(message))

    def _refuse_another_journal(self) -> None:
        """Raise if what was tracked is of a journal that was there before: no epoch tells it apart."""
        tracked = self._tracked() or 0
        # The application is open, so nothing of it has to be recovered any more.
        last = self._events.last_position()
        if tracked > last:
            path = self._live.store.path
            message = (
                f"{path}: has tracked {self._name!r} up to position {tracked}, but that has"
                f" {last} now: its directory was removed, or another one took its place. Nothing was"
                f" changed. Move it away, so that the view is built anew by its"
                " runner, or put the directory back: `aurora-es restore BACKUP TARGET`"
            )
            raise recorder_error(HistoryChangedError(message))

    def _checkpoint(self) -> list[bytes]:
        states = core_of(self._scratch.view).committed().checkpoint(0)
        if states is None:
            message = (
                f"{self._live.store.path}: a view of at most {CHECKPOINT_BYTES_MAX} bytes can be"
                " swapped in, found a larger one; keep it in SQLite or PostgreSQL"
            )
            raise TooLargeError(message)
        return states

    def _tracking(self) -> TrackingData | None:
        """What the live view has to track from now on; None if that is what it has tracked."""
        name, position = self._name, self._position
        tracked: int | None = self._tracked()
        if tracked == position:
            return None
        if tracked is None and not self._is_of_another_history:
            tracked = self._scratch.view.max_tracking_id(name)
            if tracked is None:
                return None
            position = tracked
        # Else a runner began after we had looked, and is behind: its next event is a conflict.
        return core_of(self._live).upstreams.data_of(
            Tracking(name, position), may_fall=self._is_of_another_history
        )


def _factory_of(name: str, env: EnvType | None) -> AuroraFactory:
    """The factory that the library's ProjectionRunner would use."""
    factory = InfrastructureFactory.construct(Environment(name, {**os.environ, **(env or {})}))
    if not isinstance(factory, AuroraFactory):
        message = f"{name}: expected PERSISTENCE_MODULE=aurora_es, found {type(factory).__module__}"
        raise recorder_error(ArgumentError(message))
    return factory

"""``AuroraDCBRecorder``: dynamic consistency boundaries over a journal of their own, ``dcb/``.

Theory of operation: an event is a record without an originator; its type is the topic, its tags are
postings of the index. A read fixes at its call up to which position it goes, and then streams: it
holds a batch of some thousand events at most, however many it returns. An append with a condition
is one commit, whose condition is checked under the append lock (see ``journal.conditions``).

The loops that build the library's dataclasses set ``__dict__``, as those of the other recorders do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aurora_es.compat import (
    IS_10,
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBReadResponse,
    DCBRecorder,
    DCBSequencedEvent,
    DCBSubscription,
    add_extras,
    extras_of,
)
from aurora_es.errors import ArgumentError, ConflictError
from aurora_es.index.query import Condition, Query, QueryItem
from aurora_es.journal.records import checked_state, octets
from aurora_es.journal.truncation import check_position
from aurora_es.recorder_errors import (
    FAULTS,
    RecorderArgumentError,
    RecorderConditionError,
    recorder_error,
)
from aurora_es.recorders import AuroraRecorder
from aurora_es.store import DCB, AuroraStore
from aurora_es.subscription import PAGE_EVENTS, Paged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.journal.commit import Row
    from aurora_es.journal.filtering import Match
    from aurora_es.journal.following import Follower

_new = object.__new__
_NO_ORIGINATOR = (None, None)


class AuroraDCBRecorder(AuroraRecorder, DCBRecorder):
    """Records events in one sequence, on condition that nothing relevant was recorded meanwhile.

    ``PERSISTENCE_MODULE=aurora_es`` gives one to a ``DCBApplication``. It may be shared by threads,
    and any number of processes may use one store. After a fork it opens its journal again by itself.
    Source: the interface ``DCBRecorder`` of the library, and https://dcb.events for what it is for.
    """

    def __init__(self, store: AuroraStore, *, purpose: str = DCB, **kwargs: Any) -> None:
        """Open the journal ``dcb`` of ``store``, if it exists already."""
        super().__init__(store, purpose=purpose, **kwargs)

    def read(
        self,
        query: DCBQuery | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> DCBReadResponse:
        """Read the events above position ``after`` that match ``query``, ``limit`` at most.

        Streams what was recorded at the call; events that others append meanwhile are not among it.
        The response's ``head`` is the last position recorded at the call, or, with a limit, that
        of the last event returned; None if there is none.
        """
        if limit is not None and limit < 0:
            message = f"limit: expected 0 or more, found {limit}"
            raise RecorderArgumentError(message)
        try:
            asked = _query_of(query)
            position = _position_of(after)
            handle, until = self._handle()
            if position < until and limit != 0:
                check_position(handle, position + 1)
            return AuroraDCBReadResponse(self, asked, position, until, limit, handle.epoch)
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def head(self) -> int | None:
        """Last position recorded, None if there is none."""
        try:
            return self._handle()[1] or None
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__

    def append(
        self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None
    ) -> int:
        """Record ``events`` as one commit, unless ``condition`` fails; returns the last position.

        When it returns, the events are visible to every process and, with sync ``always``, on disk.
        If an event above ``condition.after`` matches its query, raises the library's IntegrityError
        with ``args == (condition,)``, whose ``conflicts`` name the positions of such events, the
        first hundred of them; nothing is written. Other errors as for the other recorders.
        """
        if len(events) == 0:
            message = "append: expected one event at least, found none; nothing was written"
            raise RecorderArgumentError(message)
        try:
            demanded = None
            if condition is not None:
                query = _query_of(condition.fail_if_events_match)
                demanded = Condition(query, _position_of(condition.after))
            rows = [_row_of(event) for event in events]
            identities = [_NO_ORIGINATOR] * len(rows)
            first = self._lease.journal.append_rows(rows, identities, None, condition=demanded)
        except ConflictError as error:
            raise RecorderConditionError(condition, str(error), error.conflicts) from None
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return first + len(rows) - 1

    def subscribe(
        self, query: DCBQuery | None = None, *, after: int | None = None
    ) -> DCBSubscription[AuroraDCBRecorder]:
        """Follow the events above position ``after`` that match ``query``.

        It waits at the end for what any process records. For one thread; ``stop`` may be called from
        any other. Its iteration raises the face's HistoryChangedError once visible events were taken
        back.
        """
        try:
            asked, position = _query_of(query), _position_of(after)
            follower = self._lease.follower()
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__
        return AuroraDCBSubscription(self, follower, query, asked, position)

    def _batches(
        self, query: Query, after: int, until: int, limit: int | None, epoch: int | None
    ) -> Iterator[list[Match]]:
        """Batches of matches above ``after``; each is read only if this is still open."""
        if after >= until or limit == 0:
            return
        try:
            batches = self._lease.journal.read_matches(query, after + 1, until, limit, epoch)
            for batch in batches:
                yield batch
                self._lease.journal  # noqa: B018 - raises once it is closed
        except FAULTS as error:
            raise recorder_error(error) from error.__cause__


AuroraDcbRecorder = AuroraDCBRecorder


class AuroraDCBReadResponse(DCBReadResponse):
    """Events that are read as they are asked for. For one thread at a time."""

    def __init__(  # noqa: PLR0913, PLR0917 - made by ``read`` alone
        self,
        recorder: AuroraDCBRecorder,
        query: Query,
        after: int,
        until: int,
        limit: int | None,
        epoch: int | None,
    ) -> None:
        """Read nothing yet; the arguments are checked."""
        self._recorder = recorder
        self._asked = (query, after, until, limit, epoch)
        self._batches = recorder._batches(*self._asked)  # noqa: SLF001 - made by it
        self._events: Iterator[DCBSequencedEvent] = iter(())
        self._head = (until or None) if limit is None else None
        self._knows_head = limit is None or limit == 0

    @property
    def head(self) -> int | None:
        """Last position seen by this read; with a limit, the last one returned.

        With a limit, and before the last event was taken, this reads ahead, and keeps nothing.
        """
        if not self._knows_head:
            last = None
            for batch in self._recorder._batches(*self._asked):  # noqa: SLF001 - made by it
                if batch:
                    last = batch[-1][0]
            self._head, self._knows_head = last, True
        return self._head

    def __next__(self) -> DCBSequencedEvent:
        """Return the next event."""
        while True:
            event = next(self._events, None)
            if event is not None:
                return event
            batch = next(self._batches, None)
            if batch is None:
                self._knows_head = True
                raise StopIteration
            if batch:
                self._events = iter(_sequenced_events(batch))
                if not self._knows_head:
                    self._head = batch[-1][0]


class AuroraDCBSubscription(Paged[DCBSequencedEvent], DCBSubscription[AuroraDCBRecorder]):
    """Iterator over events above a position; waits at the end. For one thread at a time.

    A position beyond the head waits until the head is beyond it. Closing the recorder ends the
    iteration. Raises the face's HistoryChangedError after a recovery that took back events.
    """

    def __init__(
        self,
        recorder: AuroraDCBRecorder,
        follower: Follower,
        query: DCBQuery | None,
        asked: Query,
        after: int,
    ) -> None:
        """Follow ``recorder`` by ``follower``; ``asked`` is ``query`` as the index knows it."""
        DCBSubscription.__init__(self, recorder=recorder, query=query, after=after)
        Paged.__init__(self, follower, after)
        self._asked = asked

    def _page_between(self, after: int, until: int) -> tuple[list[DCBSequencedEvent], int]:
        recorder = self._recorder
        epoch = recorder.journal.handle.epoch
        batches = recorder._batches(self._asked, after, until, PAGE_EVENTS, epoch)  # noqa: SLF001 - a part of it
        page = [event for batch in batches for event in _sequenced_events(batch)]
        return page, page[-1].position if page else until

    def _position_of(self, item: DCBSequencedEvent) -> int:
        return item.position

    def stop(self) -> None:
        """End the iteration at once, from any thread, and free the descriptors; idempotent."""
        DCBSubscription.stop(self)
        Paged.stop(self)


def _query_of(query: DCBQuery | None) -> Query:
    """The library's query as the index knows it; raises ArgumentError."""
    if query is None:
        return Query()
    return Query(
        [
            QueryItem(_strings("types", item.types), _strings("tags", item.tags))
            for item in query.items
        ]
    )


def _strings(what: str, values: object) -> frozenset[str]:
    if isinstance(values, list | tuple | set | frozenset) and all(
        isinstance(value, str) for value in values
    ):
        return frozenset(values)
    message = f"{what} of a query item: expected a list of str, found {values!r}"
    raise ArgumentError(message)


def _position_of(after: object) -> int:
    if after is None:
        return 0
    if isinstance(after, int):
        return max(after, 0)
    message = f"after: expected a position (int) or None, found {after!r}"
    raise ArgumentError(message)


def _row_of(event: DCBEvent) -> Row:
    """Check an event; returns it as it is written. Raises ArgumentError."""
    topic, state, tags = event.type, event.data, event.tags
    if type(state) is not bytes or type(topic) is not str:
        state = checked_state(topic, octets(state))
    if not tags and isinstance(tags, list | tuple) and not IS_10:
        return (None, None, topic, state)
    if not isinstance(tags, list | tuple) or not all(type(tag) is str for tag in tags):
        message = (
            f"tags of an event of type {topic!r}: expected a list of str, found {tags!r}; nothing"
            " was written"
        )
        raise ArgumentError(message)
    if IS_10:
        return (None, None, topic, state, tuple(tags), *extras_of(event, None))
    return (None, None, topic, state, tuple(tags))


def _sequenced_events(batch: list[Match]) -> list[DCBSequencedEvent]:
    new, events = _new, []
    for position, _, record in batch:
        event = new(DCBEvent)
        event.__dict__ = {"type": record.topic, "data": record.state, "tags": [*record.tags]}
        sequenced = new(DCBSequencedEvent)
        sequenced.__dict__ = {"event": event, "position": position}
        events.append(sequenced)
    if IS_10:
        add_extras([sequenced.event for sequenced in events], [record for _, _, record in batch])
    return events

"""Answers how far those who follow journals are behind: projections, and receivers of queues.

Theory of operation: a projection records, in its own journal, the notification id that it reached of
each application that it follows. The application's journal of events is looked for among the
journals that are looked at. The names of a queue are folded from its journal of cursors, as their
receivers fold them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import AuroraError
from aurora_es.format.names import CURSORS, MESSAGES
from aurora_es.inspection.overview import survey
from aurora_es.inspection.plain import encodable
from aurora_es.queue.cursors import CursorLog
from aurora_es.queue.looking import look as look_at_queue
from aurora_es.store import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.ui.look import Look
    from aurora_es.ui.parameters import Parameters

_JOURNALS_MAX = 200
_NAMES_MAX = 500


class ProjectionLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a journal has followed an application; None for what is not known here."""

    follower: str  # the journal that records it
    upstream: str
    reached: int
    last: int | None
    lag: int | None


class ReceiverLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a named receiver or group of a queue has come."""

    queue: str
    name: str
    kind: str
    reached: int
    last: int
    lag: int
    held: int
    parked: int


class Lags(msgspec.Struct, frozen=True, kw_only=True):
    """All of them; ``problems`` says of journals that could not be asked why."""

    projections: list[ProjectionLag]
    receivers: list[ReceiverLag]
    problems: list[str]
    left_out: int


def lags(look: Look, _: Parameters) -> Lags:
    """Look at the first 200 journals."""
    paths = look.journals.find()
    names = list(paths)[:_JOURNALS_MAX]
    problems: list[str] = []
    ends = _ends_of_events(paths)
    found = Lags(
        projections=[],
        receivers=[],
        problems=problems,
        left_out=max(len(paths) - _JOURNALS_MAX, 0),
    )
    for name in names:
        try:
            found.projections.extend(_projections(look, name, ends))
            if os.path.basename(name) == CURSORS:
                messages = os.path.join(os.path.dirname(name), MESSAGES)
                if messages in paths:
                    found.receivers.extend(_receivers(look, name, messages))
        except (AuroraError, OSError) as error:
            problems.append(encodable(f"{name}: {type(error).__name__}: {error}"))
    return found


def _ends_of_events(paths: dict[str, str]) -> dict[str, int]:
    """Last positions of the journals of events, by the names of their applications."""
    ends = {}
    for path in paths.values():
        surveyed = survey(path) if os.path.basename(path) == EVENTS else None
        if surveyed is not None and surveyed[0].name is not None:
            ends[surveyed[0].name] = surveyed[0].last_position or 0
    return ends


def _projections(look: Look, name: str, ends: dict[str, int]) -> Iterator[ProjectionLag]:
    with look.journals.use(name) as journal:
        _ = journal.last_position  # the index has the newest commits
        tracking = sorted(journal.handle.state.index.tracking.items())
    for upstream, reached in tracking:
        last = ends.get(upstream)
        yield ProjectionLag(
            follower=name,
            upstream=upstream,
            reached=reached.notification_id,
            last=last,
            lag=None if last is None else max(last - reached.notification_id, 0),
        )


def _receivers(look: Look, cursors: str, messages: str) -> Iterator[ReceiverLag]:
    queue = os.path.dirname(cursors) or "."
    with look.journals.use(cursors) as journal, look.journals.use(messages) as sent:
        report = look_at_queue(CursorLog(journal, sent), queue)
    for found in report.names[:_NAMES_MAX]:
        yield ReceiverLag(
            queue=queue,
            name=found.name,
            kind=found.kind,
            reached=found.position,
            last=report.last_position,
            lag=found.lag,
            held=found.held,
            parked=found.parked,
        )

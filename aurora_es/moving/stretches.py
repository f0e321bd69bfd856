"""Where ids of a source with gaps became positions without: the record of it, and its use.

Theory of operation: as long as no id is missing, ids and positions keep their distance; only where
it changes, a *stretch* begins. The stretches of an application are records of a journal of their
own, ``source_ids``, beside its events: backed up, verified and restored with them. They are a pure
function of the source's ids, whatever the pages, so that an interrupted import compares and goes on
with them as with events.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.errors import ArgumentError, CorruptionError
from aurora_es.files.layer import SYSTEM_EFFECTS, exists
from aurora_es.format.names import MANIFEST
from aurora_es.format.payload import UNDECODABLE
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from aurora_es.moving.pages import EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aurora_es.files.layer import Effects
    from aurora_es.moving.pages import Row

SOURCE_IDS = "source_ids"
_TOPIC = "aurora_es.moving:Stretch"


class Stretch(msgspec.Struct, frozen=True):
    """From ``position`` on, the source's ids are ``source_id`` and what follows without a gap."""

    position: int
    source_id: int


_decode = msgspec.json.Decoder(Stretch).decode


class Stretches:
    """Finds where stretches begin, from one page of ids to the next."""

    def __init__(self) -> None:
        """Before the first id."""
        self._distance = 0  # of the last id from its position
        self.count = 0
        self.missing_ids = 0

    def rows_of(self, position: int, ids: Sequence[int]) -> list[Row]:
        """Records of the stretches that begin in ``ids``, of which the first is at ``position``."""
        if ids[0] - position == ids[-1] - position - len(ids) + 1 == self._distance:
            return []
        rows: list[Row] = []
        for at, source_id in enumerate(ids, position):
            if source_id - at != self._distance:
                self.missing_ids += source_id - at - self._distance
                self._distance = source_id - at
                stretch = Stretch(at, source_id)
                rows.append((None, None, _TOPIC, msgspec.json.encode(stretch)))
        self.count += len(rows)
        return rows


def position_of_source_id(path: str | os.PathLike[str], source_id: int) -> int:
    """Position, in an application that was imported, of the last event up to ``source_id``.

    ``path`` is the application's directory, ``source_id`` a notification id of the source: where a
    follower had tracked the source up to it, it goes on behind this position. 0 if no event is that
    old. Equal to ``source_id`` where no ids were missing. Raises ArgumentError if nothing is there.
    """
    return position_in(SYSTEM_EFFECTS, os.path.abspath(os.fspath(path)), source_id)


def position_in(effects: Effects, directory: str, source_id: int) -> int:
    """See ``position_of_source_id``."""
    if not exists(effects.files, os.path.join(directory, EVENTS, MANIFEST)):
        message = f"{directory}: expected an application that was imported, found no events there"
        raise ArgumentError(message)
    with _open(effects, os.path.join(directory, EVENTS)) as events:
        last = events.last_position
    if not exists(effects.files, os.path.join(directory, SOURCE_IDS, MANIFEST)):
        return max(min(source_id, last), 0)
    with _open(effects, os.path.join(directory, SOURCE_IDS)) as journal:
        return max(min(_look_up(journal, source_id, last), last), 0)


def _open(effects: Effects, path: str) -> Journal:
    return Journal(effects, path, Settings(), read_only=True)


def _look_up(journal: Journal, source_id: int, last: int) -> int:
    low, high = (
        0,
        journal.last_position,
    )  # stretch ``low`` begins at or before the id, high + 1 behind
    found = Stretch(1, 1)
    end = last
    while low < high:
        middle = (low + high + 1) // 2
        (stored,) = journal.read(middle, middle)
        try:
            stretch = _decode(stored.record.state)
        except UNDECODABLE as error:
            raise CorruptionError(
                journal.handle.path,
                0,
                expected=f"a stretch at position {middle}",
                found=f"{stored.record.state!r:.60}",
            ) from error
        if stretch.source_id <= source_id:
            low, found = middle, stretch
        else:
            high, end = middle - 1, stretch.position - 1
    return min(found.position + source_id - found.source_id, end)

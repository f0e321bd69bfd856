"""Histories of the applications that are followed: which one a tracking record is of.

Theory of operation: a journal counts epochs, and its manifest says from which position on each
counts. A tracking record names the epoch in which it was made; if a later epoch begins at or before
the position that it names, that position was cut away, and what stands there now, or will, is
another event. Positions beyond the head alone prove nothing: the upstream may have to be recovered
first. An upstream is known by its directory in the same AURORA_PATH: by the journal of its events,
or of its DCB events if it has no others. Its manifest is replaced and
never changed, so one ``stat`` tells whether what was read still holds.

An event may have been read long before its position is tracked: subscriptions read by pages. If the
upstream is restored between the two, the epoch of now is not the one that the event is of. So a
recorder goes with the epoch that it found when it was first asked about an application, which those
who follow it do before they read; and refuses positions that a later epoch has given anew. Whoever
goes on with that opens it anew.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.compat import tracked_name
from aurora_es.errors import AuroraError, HistoryChangedError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.format.limits import NOTIFICATION_ID_MAX
from aurora_es.format.names import MANIFEST, directory_name
from aurora_es.format.payload import TrackingData
from aurora_es.journal.commit import tracking_data
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.store import DCB, EVENTS

if TYPE_CHECKING:
    from eventsourcing.persistence import Tracking

    _Epochs = tuple[int, tuple[tuple[int, int], ...]]  # the present one; later ones, their starts

_UNKNOWN: _Epochs = (0, ())


def _epoch_at(epochs: _Epochs, number: int) -> int:
    """The epoch that a position is of; the present one where nothing is known of others."""
    present, begun = epochs
    if not begun:
        return present
    return next((epoch for epoch, first in reversed(begun) if first <= number), 0)


def _parting(epochs: _Epochs, recorded: TrackingData) -> str | None:
    """Where a history with these ``epochs`` and that of ``recorded`` part; None if they don't."""
    present, begun = epochs
    name, number = recorded.application_name, recorded.notification_id
    known = recorded.upstream_epoch
    for epoch, first in begun:
        if epoch > known and first <= number:
            return f"in epoch {epoch} the history of {name!r} goes on differently from position {first} on:"
    if known and begun and known != present and all(epoch != known for epoch, _ in begun):
        # A restore to a point behind that of the one before: of a backup that has never seen it.
        return f"epoch {known} is none of those that {name!r} has had:"
    return None


class UpstreamHistories:
    """What is known of the applications in one AURORA_PATH; for any number of threads."""

    def __init__(self, root: str) -> None:
        """Look in ``root``."""
        self._root = root
        # Paths of manifests, and what the one that is there was when it was read, by application.
        self._paths: dict[str, list[str]] = {}
        self._known: dict[str, tuple[tuple[int, int, int], _Epochs]] = {}
        self._first: dict[str, _Epochs] = {}  # as they were found at first

    def look(self, name: str) -> None:
        """See which epoch application ``name`` is in, before anything is read of it."""
        self._epochs(name)

    def data_of(self, tracking: Tracking, *, may_fall: bool = False) -> TrackingData:
        """A tracking record as it is stored, with the epoch of its position, 0 if not known.

        With that of now where a lower id than before ``may_fall`` to be recorded. Raises
        HistoryChangedError if the event may be of a history that is gone.
        """
        name, number = tracked_name(tracking), tracking.notification_id
        if (
            type(number) is not int
            or not 0 <= number <= NOTIFICATION_ID_MAX
            or type(name) is not str
            or name not in self._paths
        ):
            tracking_data(name, number)  # a name that is new, or something that is wrong
        epochs = self._epochs(name)
        first = self._first.get(name, epochs)
        if epochs is not first:
            read = TrackingData(name, number, _epoch_at(first, number))
            if (where := _parting(epochs, read)) is not None:
                message = (
                    f"{self._root}: expected position {number} of {name!r} as of epoch"
                    f" {read.upstream_epoch}, in which it was opened here; found that {where} it was"
                    " restored, repaired or recovered meanwhile, and the event may be one that was"
                    " taken back. Nothing was recorded. Start again: a runner anew, or, without one,"
                    f" open this recorder anew and follow {name!r} from its max_tracking_id() on"
                )
                raise HistoryChangedError(message)
        return TrackingData(name, number, epochs[0] if may_fall else _epoch_at(epochs, number))

    def check(self, path: str, recorded: TrackingData) -> None:
        """Raise HistoryChangedError if ``recorded``, in journal ``path``, is of another history."""
        where = _parting(self._epochs(recorded.application_name), recorded)
        if where is not None:
            message = (
                f"{path}: has tracked {recorded.application_name!r} up to position"
                f" {recorded.notification_id} in epoch {recorded.upstream_epoch}, but {where} it was"
                " restored, repaired or recovered to what is before. Move"
                f" {os.path.dirname(path)} away, so that everything is built anew (a"
                " JournaledView in its place by `aurora-es projection rebuild`), or restore"
                " it from a backup to the same time (`aurora-es restore BACKUP TARGET --time T`)"
            )
            raise HistoryChangedError(message)

    def _epochs(self, name: str) -> _Epochs:
        paths = self._paths.get(name)
        if paths is None:
            directory = os.path.join(self._root, directory_name(name) or "")
            paths = self._paths[name] = [
                os.path.join(directory, purpose, MANIFEST) for purpose in (EVENTS, DCB)
            ]
        for path in paths:
            try:
                status = os.stat(path)
                identity = status.st_dev, status.st_ino, status.st_mtime_ns
                known = self._known.get(name)
                if known is None or known[0] != identity:
                    manifest = read_manifest(SYSTEM_EFFECTS.files, os.path.dirname(path))
                    if manifest is None:
                        continue
                    known = identity, (manifest.epoch, tuple(manifest.epochs or ()))
                    self._known[name] = known
            except FileNotFoundError:
                continue
            except (AuroraError, OSError):
                break  # none that can be read: who opens it is told why
            if path is paths[0]:
                del paths[1:]  # its DCB events are not its history while these are moved away
            self._first.setdefault(name, known[1])
            return known[1]
        return self._first.get(name, _UNKNOWN)  # moved away, as it is to be restored

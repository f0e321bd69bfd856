"""Histories of the applications that are followed: which one a tracking record is of.

Theory of operation: a journal counts epochs, and its manifest says from which position on each
counts. A tracking record names the epoch in which it was made; if a later epoch begins at or before
the position that it names, that position was cut away, and what stands there now, or will, is
another event. Positions beyond the head alone prove nothing: the upstream may have to be recovered
first. An upstream is known by its directory in the same AURORA_PATH: by the journal of its events,
or of its DCB events if it has no others. Its manifest is replaced and
never changed, so one ``stat`` tells whether what was read still holds.
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


class UpstreamHistories:
    """What is known of the applications in one AURORA_PATH; for any number of threads."""

    def __init__(self, root: str) -> None:
        """Look in ``root``."""
        self._root = root
        # Paths of manifests, and what the one that is there was when it was read, by application.
        self._paths: dict[str, list[str]] = {}
        self._known: dict[str, tuple[tuple[int, int, int], _Epochs]] = {}

    def data_of(self, tracking: Tracking) -> TrackingData:
        """A tracking record as it is stored, with the epoch of its upstream, 0 if not known."""
        name, number = tracked_name(tracking), tracking.notification_id
        if (
            type(number) is not int
            or not 0 <= number <= NOTIFICATION_ID_MAX
            or type(name) is not str
            or name not in self._paths
        ):
            tracking_data(name, number)  # a name that is new, or something that is wrong
        return TrackingData(name, number, self._epochs(name)[0])

    def check(self, path: str, recorded: TrackingData) -> None:
        """Raise HistoryChangedError if ``recorded``, in journal ``path``, is of another history."""
        for epoch, first in self._epochs(recorded.application_name)[1]:
            if epoch > recorded.upstream_epoch and first <= recorded.notification_id:
                message = (
                    f"{path}: has tracked {recorded.application_name!r} up to position"
                    f" {recorded.notification_id} in epoch {recorded.upstream_epoch}, but in"
                    f" epoch {epoch} the history of {recorded.application_name!r} goes on"
                    f" differently from position {first} on: it was restored, repaired or"
                    " recovered to what is before. Move"
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
            return known[1]
        return _UNKNOWN

"""The journals that the page looks at: which there are, and those that are kept open.

Theory of operation: a request names a journal by its path below the one that the command was given,
and only paths that were found there are ever opened. Opening reads the unsealed end of a journal, so
journals stay open, read-only, for the requests to come; those that were not asked for the longest are
closed. They are leased as recorders lease theirs: a journal that was replaced is opened anew.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aurora_es.inspection.finding import PathError, find_journals, network_allowed, unfinished
from aurora_es.journal.sharing import JournalLease, LeaseOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.journal.journal import Journal

OPENED_MAX = 64


class OpenJournals:
    """Journals at and below ``root``; for any thread."""

    def __init__(self, root: str, *, opened_max: int = OPENED_MAX) -> None:
        """Look at ``root``, which is a journal, an application's directory or an AURORA_PATH."""
        self.root = os.path.abspath(root)
        self._opened_max = opened_max
        self._options = LeaseOptions(
            read_only=True, allow_network_file_system=network_allowed(), background=False
        )
        self._lock = threading.Lock()  # guards both
        self._paths: dict[str, str] = {}
        self._kept: OrderedDict[str, JournalLease] = OrderedDict()

    def find(self) -> dict[str, str]:
        """Paths of all journals by the names that requests use; raises PathError for none."""
        paths = {
            os.path.relpath(path, self.root): path for path in find_journals(self.root).journals
        }
        with self._lock:
            self._paths = paths
        return paths

    def path_of(self, name: str) -> str:
        """The path of a journal; raises PathError."""
        path = self._paths.get(name) or self.find().get(name)
        if path is None:
            message = (
                f"{self.root}: expected a journal {name!r}, found none; `aurora-es info` lists them"
            )
            raise PathError(message)
        return path

    def lease(self, name: str) -> JournalLease:
        """Lease a journal, to be closed by the caller; raises as ``Journal.open`` and PathError."""
        path = self.path_of(name)
        lease = JournalLease(path, self._options)
        try:
            if not lease.journal.attach():
                raise unfinished(path)
            self._keep(name, path, lease)
        except BaseException:
            lease.close()
            raise
        return lease

    @contextmanager
    def use(self, name: str) -> Iterator[Journal]:
        """A journal for the ``with`` block, raises as ``lease``."""
        lease = self.lease(name)
        try:
            yield lease.journal
        finally:
            lease.close()

    def _keep(self, name: str, path: str, lease: JournalLease) -> None:
        """Keep the journal of ``lease`` open, and no more journals than are wanted."""
        given_back = []
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or kept.journal is not lease.journal:
                if kept is not None:
                    given_back.append(kept)
                self._kept[name] = JournalLease(path, self._options)
            self._kept.move_to_end(name)
            while len(self._kept) > self._opened_max:
                given_back.append(self._kept.popitem(last=False)[1])
        for one in given_back:
            one.close()

    def close(self) -> None:
        """Close all journals that nobody uses at the moment."""
        with self._lock:
            kept, self._kept = self._kept, OrderedDict()
        for lease in kept.values():
            lease.close()

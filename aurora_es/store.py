"""``AuroraStore``: the directory of one application, with a journal for each purpose."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aurora_es.errors import AuroraConfigurationError
from aurora_es.format.names import directory_name
from aurora_es.journal.sharing import JournalLease, LeaseOptions

if TYPE_CHECKING:
    from aurora_es.files.memory import MemoryDirectory

EVENTS = "events"
SNAPSHOTS = "snapshots"
TRACKING = "tracking"
DCB = "dcb"
RESERVED_PURPOSES = frozenset({TRACKING, DCB})
# AURORA_PATH (its last component), the application's directory: made by the first append.
_NEW_PARENTS_MAX = 2


@dataclass(frozen=True, slots=True)
class AuroraStore:
    """Where and how the journals of one application are opened.

    ``root`` is AURORA_PATH, ``name`` the application's exact name, ``originator_id_type`` one of
    ``as written``, ``uuid``, ``text``. Immutable; constructing one touches no file.
    """

    root: str  # AURORA_PATH
    name: str  # the application's
    options: LeaseOptions  # how journals are opened
    originator_id_type: str = "as written"  # ``as written``, ``uuid`` or ``text``
    memory: MemoryDirectory | None = None  # keeps a ``:memory:`` directory alive

    @property
    def path(self) -> str:
        """The application's directory; raises AuroraConfigurationError for a name unfit for one."""
        try:
            self.name.encode()  # the manifest holds the exact name, as UTF-8
        except UnicodeEncodeError:
            message = f"application name {self.name!r}: expected text that UTF-8 can encode"
            raise AuroraConfigurationError(message) from None
        directory = directory_name(self.name)
        if directory is None:
            message = (
                f"application name {self.name!r}: expected at most 200 bytes when percent-encoded"
            )
            raise AuroraConfigurationError(message)
        return os.path.join(self.root, directory)

    def lease(self, purpose: str) -> JournalLease:
        """Lease the journal of ``purpose``: events, snapshots, tracking, or a name of your own."""
        directory = directory_name(purpose)
        if directory is None:
            message = f"purpose {purpose!r}: expected at most 200 bytes when percent-encoded"
            raise AuroraConfigurationError(message)
        settings = replace(self.options.settings, name=self.name)
        options = replace(self.options, settings=settings, new_parents_max=_NEW_PARENTS_MAX)
        return JournalLease(os.path.join(self.path, directory), options)

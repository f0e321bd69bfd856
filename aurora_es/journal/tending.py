"""What an appender does for a journal when a segment has begun: sees to it that old ones are sealed.

Theory of operation: it starts a background run, which seals, merges and cools while this process
goes on. Processes that live too briefly for that may leave closed segments behind; whoever finds two
of them seals the older one by itself, so that what has to be indexed in memory stays bounded. All of
this comes after the append, whose caller then waits for it, and outside of its locks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aurora_es.errors import AuroraError, LockTimeoutError
from aurora_es.journal.background_lock import BackgroundLock
from aurora_es.journal.generation import renew_manifest
from aurora_es.journal.logs import logger
from aurora_es.journal.seal import seal_next
from aurora_es.journal.spawn import start_background_run

if TYPE_CHECKING:
    from aurora_es.journal.handle import Handle

_UNSEALED_MAX = 3  # the tail and two closed segments


def tend(handle: Handle) -> None:
    """Seal a segment here if two are waiting, and start a background run; never raises for it."""
    try:
        # Not while another process is at it: it takes what is closed meanwhile, too. Writers that
        # all roll would start a crowd of processes that find nothing to do.
        with BackgroundLock(handle.effects, handle.path, timeout=0.0):
            _seal_oldest(handle)
        start_background_run(handle.path)
    except LockTimeoutError:
        return
    except (AuroraError, OSError) as error:
        # No affair of the append that it comes after; the next segment is the next occasion.
        logger.warning("%s: what is sealed could not be tended: %s", handle.path, error)


def _seal_oldest(handle: Handle) -> None:
    if len(handle.state.index.parts[1]) >= _UNSEALED_MAX:
        renew_manifest(handle)  # others may have sealed it
    if len(handle.state.index.parts[1]) >= _UNSEALED_MAX:
        seal_next(handle.effects, handle.path)
        renew_manifest(handle)

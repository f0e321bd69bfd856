"""Who has a journal open for appending is seen by whoever needs it closed.

Theory of operation: a handle for appending holds a *shared* flock on ``mark`` from the time it
attaches until its descriptors close. The lock is none that an append waits for, dies with its
process, and costs one call when a journal is opened. Who changes what open handles remember takes
the same lock exclusively: that fails while anybody else has it. Readers hold nothing and are not
seen. A journal that was dropped without ``close`` is open until it is collected.

A handle that attaches reads the manifest before it is seen, and again if that is another file by
then: somebody may have been alone with the journal in between.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH
from typing import TYPE_CHECKING

from aurora_es.errors import InUseError, LockTimeoutError
from aurora_es.files.layer import open_regular
from aurora_es.files.locks import acquire_flock
from aurora_es.format.names import MANIFEST, MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.files.layer import Effects
    from aurora_es.journal.handle import Descriptors, Handle

_SHARED = LOCK_SH | LOCK_NB
_EXCLUSIVE = LOCK_EX | LOCK_NB
# How long somebody who is about to close, or who has just looked, is waited for.
_ALONE_SECONDS = 0.5
_LOOK_SECONDS = 0.1


def show_presence(handle: Handle, descriptors: Descriptors) -> None:
    """Hold the shared lock until ``descriptors`` close; raises LockTimeoutError."""
    effects = handle.effects
    mark = descriptors.mark
    deadline = effects.monotonic() + handle.lock_timeout
    acquire_flock(effects, mark.fd, mark.path, deadline, operation=_SHARED)


def manifest_identity(handle: Handle) -> tuple[int, int] | None:
    """What differs from one generation of the manifest to the next; None if there is none."""
    try:
        status = handle.files.stat(os.path.join(handle.path, MANIFEST))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns


@contextmanager
def alone(handle: Handle, *, purpose: str) -> Iterator[None]:
    """Have the journal to oneself: no other handle of any process has it open for appending.

    ``handle`` is open for appending. Raises InUseError, which says for what ``purpose``. The lock
    is shared again afterwards.
    """
    descriptors = handle.usable()
    assert descriptors is not None
    effects, mark = handle.effects, descriptors.mark
    try:
        deadline = effects.monotonic() + min(_ALONE_SECONDS, handle.lock_timeout)
        acquire_flock(effects, mark.fd, mark.path, deadline, operation=_EXCLUSIVE)
    except LockTimeoutError as error:
        message = (
            f"{handle.path} is open for appending, in this process or another; nothing was"
            f" changed. Close it everywhere (`fuser -v {mark.path}` lists who has it open), then"
            f" {purpose} again"
        )
        raise InUseError(message) from error
    try:
        yield
    finally:
        handle.files.flock(mark.fd, _SHARED)


def is_open_for_appending(effects: Effects, path: str) -> bool:
    """Whether any handle has the journal ``path`` open for appending; raises OSError.

    A process that was just forked, to run a program, holds what its parent held for a moment: so it
    is looked at for a little while before the answer is yes.
    """
    files, mark_path = effects.files, os.path.join(path, MARK)
    fd = open_regular(files, mark_path, os.O_RDONLY)
    try:
        deadline = effects.monotonic() + _LOOK_SECONDS
        acquire_flock(effects, fd, mark_path, deadline, operation=_EXCLUSIVE)
    except LockTimeoutError:
        return True
    finally:
        files.close(fd)
    return False

"""Writes to the tail and to the mark, and what their failures mean.

Theory of operation: a failed *write* is undone by cutting back to the mark, and the handle stays
usable. A failed *sync* is final: the kernel may have dropped the pages and will report success the
next time, so the handle is poisoned and a newly opened one recovers by writing the bytes again.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from aurora_es.errors import (
    CommitOutcomeUnknownError,
    PoisonedHandleError,
    StorageError,
    StorageFullError,
)
from aurora_es.files.layer import write_all

if TYPE_CHECKING:
    from aurora_es.format.mark import Mark
    from aurora_es.journal.handle import Handle
    from aurora_es.segment.file import SegmentFile

FULL_DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_tail(handle: Handle, tail: SegmentFile, data: bytes, mark: Mark) -> None:
    """Write ``data`` at the mark; from here to the publication the handle is in doubt.

    Raises StorageFullError or StorageError with nothing written, CommitOutcomeUnknownError if what
    was written could not be cut again.
    """
    handle.in_doubt = True
    try:
        written = handle.files.pwrite(tail.fd, data, mark.visible_offset)
        if written != len(data):
            write_all(handle.files, tail.fd, data[written:], mark.visible_offset + written)
    except OSError as error:
        handle.reserved_end = 0
        try:
            handle.files.ftruncate(tail.fd, mark.visible_offset)
        except OSError as second:
            message = (
                f"{tail.path}: a write failed ({error}) and could not be undone ({second}); the"
                " next append recovers. Read (Journal.read) before you try again"
            )
            raise CommitOutcomeUnknownError(message) from error
        try:
            # Else a power cut could bring back what the caller is told was not written.
            handle.files.fsync(tail.fd)
        except OSError as second:
            handle.poison_with(second)
            message = (
                f"{tail.path}: a write failed ({error}), and so did the sync of undoing it"
                f" ({second}); this handle is final. Open the journal again (Journal.open), which"
                " recovers, and read"
            )
            raise CommitOutcomeUnknownError(message) from error
        handle.in_doubt = False
        raise storage_error(tail.path, error) from error


def reserve(handle: Handle, tail: SegmentFile, offset: int, length: int) -> None:
    """Fill the tail with zeros ahead of ``offset + length``, in steps, synced before use.

    A commit into zeros needs no change of the file's size or block map, so its sync is cheaper;
    and a full disk shows here, while nothing has been written. A commit of a whole step or more
    is written without: filling its place first would only write it twice. Weak sync modes do
    without, too: a write that is not synced gains nothing.
    """
    step = handle.effects.reserve_bytes
    end = offset + length
    if end <= handle.reserved_end or length >= step:
        return
    size = tail.size_bytes()
    if end <= size:
        handle.reserved_end = size
        return
    start = max(size, offset)
    try:
        write_all(handle.files, tail.fd, bytes(step), start)
    except OSError as error:
        handle.files.ftruncate(tail.fd, size)
        raise storage_error(tail.path, error) from error
    try:
        handle.files.fdatasync(tail.fd)
    except OSError as error:
        raise poisoned(handle, tail.path, error) from error
    handle.reserved_end = start + step


def publish_synced(handle: Handle, mark: Mark) -> None:
    """Publish ``mark`` and force it to disk; a failure makes the handle final."""
    descriptors = handle.usable()
    assert descriptors is not None
    try:
        descriptors.mark.publish(mark)
        handle.sync_mark(mark)
    except OSError as error:
        raise poisoned(handle, descriptors.mark.path, error) from error


def renew_mark(handle: Handle, mark: Mark) -> Mark:
    """Write and sync both slots of the mark again; a failure makes the handle final."""
    descriptors = handle.usable()
    assert descriptors is not None
    try:
        mark = descriptors.mark.renew(mark)
        handle.sync_mark(mark)
    except OSError as error:
        raise poisoned(handle, descriptors.mark.path, error) from error
    return mark


def poisoned(handle: Handle, path: str, error: OSError) -> PoisonedHandleError:
    """Make the handle final; returns the error for a call whose records were not written."""
    handle.poison_with(error)
    return PoisonedHandleError(
        f"{path}: {error}; nothing of this call was written, and this handle is final. Open the"
        " journal again (Journal.open): that recovers first"
    )


def storage_error(path: str, error: OSError) -> StorageFullError | StorageError:
    """The error for a write that the operating system refused and that was undone."""
    if error.errno in FULL_DISK_ERRNOS:
        return StorageFullError(
            f"{path}: {error.strerror}; nothing was written. Free some space, of which"
            " `aurora-es doctor` shows how much there is, and try again"
        )
    return StorageError(
        f"{path}: {error}; nothing was written. `aurora-es doctor` looks at rights and space"
    )

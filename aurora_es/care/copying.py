"""Copies files, looks for room and removes trees, for backup, restore, fork and repair."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aurora_es.errors import ArgumentError, AuroraError, StorageFullError
from aurora_es.files.layer import (
    DIRECTORY_MODE,
    exists,
    is_directory,
    open_regular,
    read_exactly,
    write_all,
)
from aurora_es.files.surroundings import space_of
from aurora_es.journal.tail_writes import FULL_DISK_ERRNOS, storage_error
from aurora_es.segment.create import NO_HARD_LINKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.files.layer import Files

_BLOCK_BYTES = 1 << 20
_STATUS_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own is
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_LINKS = NO_HARD_LINKS | {errno.EXDEV, errno.EACCES}


def is_linked(files: Files, source: str, target: str) -> bool:
    """Give a file that never changes a second name; False where the file systems cannot."""
    try:
        files.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def copy_file(files: Files, source: str, target: str, *, until: int | None = None) -> int:
    """Copy ``source``, up to the offset ``until``, to a new file, and sync; returns its size."""
    source_fd = open_regular(files, source, os.O_RDONLY)
    try:
        target_fd = open_regular(files, target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            at = 0
            while until is None or at < until:
                wanted = _BLOCK_BYTES if until is None else min(_BLOCK_BYTES, until - at)
                block = read_exactly(files, source_fd, wanted, at)
                if not block:
                    break
                write_all(files, target_fd, block, at)
                at += len(block)
            files.fsync(target_fd)
        finally:
            files.close(target_fd)
    finally:
        files.close(source_fd)
    return at


def write_empty(files: Files, path: str) -> None:
    """Make an empty file, if it is not there, with its name on disk."""
    files.close(open_regular(files, path, os.O_RDWR | os.O_CREAT))
    files.sync_directory(os.path.dirname(path))


def refuse_no_place(files: Files, path: str) -> None:
    """Raise ArgumentError unless ``path`` is a directory, or can be made as one."""
    what, expected = path, "a directory, or nothing"
    if not exists(files, path):
        what, expected = os.path.dirname(path), f"a directory to make {os.path.basename(path)!r} in"
    if exists(files, what) and stat.S_ISDIR(files.stat(what).st_mode):
        return
    found = "another kind of file" if exists(files, what) else "nothing"
    message = (
        f"{what}: expected {expected}, found {found}; nothing was written. Make it first"
        f" (`mkdir -p {shlex.quote(what)}`), or name another place"
    )
    raise ArgumentError(message)


def stored_bytes(files: Files, path: str) -> int:
    """How much room a file takes, at least; 0 for one that is not there (any more).

    A file system that compresses stores fewer bytes than the file has.
    """
    try:
        status = files.stat(path)
    except OSError:  # a link to itself, say: whoever copies it tells what is wrong
        return 0
    blocks = status.st_blocks  # none of a file that is stored within its inode
    return min(status.st_size, blocks * _STATUS_BLOCK_BYTES) if blocks else status.st_size


def stored_bytes_up_to(files: Files, path: str, offset: int) -> int:
    """The same up to an offset, which a damaged mark may put far behind the end: copying tells that."""
    return min(offset, stored_bytes(files, path))


def free_bytes_at(files: Files, place: str) -> int | None:
    """How much is free at ``place``; None where that is not told: the writing itself tells then."""
    try:
        return space_of(files, place).free_bytes
    except OSError:
        return None


def refuse_full(files: Files, place: str, needed_bytes: int, *, command: str) -> None:
    """Raise StorageFullError if less is free at ``place``, which exists, than is going to be written.

    An early warning, no promise: others may write meanwhile, and what cannot be known beforehand is
    not counted. A file system that does not tell is taken for large enough.
    """
    free_bytes = free_bytes_at(files, place)
    if free_bytes is None or needed_bytes <= free_bytes:
        return
    message = (
        f"{place}: expected {needed_bytes:,} bytes free, which {command} has to write, found"
        f" {free_bytes:,}; nothing was written. Make room first (`aurora-es doctor` shows what is"
        " free), or name a target on another file system"
    )
    raise StorageFullError(message)


def refuse_inside(source: str, place: str, *, command: str) -> None:
    """Raise ArgumentError for a target that is the source, or in it, or above it, by any name."""
    real = [os.path.realpath(path) for path in (source, place)]
    if os.path.commonpath(real) not in real:
        return
    message = (
        f"{place}: expected a target outside of {source}, and not above it; nothing was written."
        f" Name a directory elsewhere: `aurora-es {command} {shlex.quote(source)} TARGET`"
    )
    raise ArgumentError(message)


@contextmanager
def storage_told(place: str) -> Iterator[None]:
    """Raise StorageFullError or StorageError where ``place`` cannot be written to, or not any more.

    A write that fails does not say by itself to which file.
    """
    try:
        yield
    except OSError as error:
        name = place if error.filename is None else str(error.filename)
        is_refused = error.errno in _REFUSED and name.startswith(place)
        if isinstance(error, AuroraError) or not (error.errno in FULL_DISK_ERRNOS or is_refused):
            raise
        raise storage_error(name, error) from error


def make_directories(files: Files, root: str, relative: str) -> None:
    """Make the directory ``relative`` below ``root``, which exists, and sync the new names."""
    directory = root
    for part in () if relative == "." else relative.split(os.sep):
        parent, directory = directory, os.path.join(directory, part)
        try:
            files.mkdir(directory, DIRECTORY_MODE)
        except FileExistsError:
            continue
        files.sync_directory(parent)


def remove_tree(files: Files, path: str, *, keep: frozenset[str] = frozenset()) -> None:
    """Remove a directory that is known to be ours; links are removed, never followed.

    With ``keep`` the directory itself stays, and these names in it.
    """
    for name in files.listdir(path):
        below = os.path.join(path, name)
        if name in keep:
            continue
        if is_directory(files, below):
            remove_tree(files, below)
        else:
            files.unlink(below)
    if not keep:
        files.rmdir(path)


def is_left_over(files: Files, path: str, marker: str) -> bool:
    """Whether a directory is what a killed run of ours has left: empty, or with our marker.

    Its name alone proves nothing: what is not known to be ours is never removed.
    """
    if not is_directory(files, path):
        return False
    names = files.listdir(path)
    return not names or marker in names

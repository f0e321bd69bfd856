"""Puts files that never change under another name: linked, cloned or copied, and synced.

Theory of operation: a link costs nothing and shares the bytes, with their rot; a clone shares them
until one side changes, and a copy is independent. What is asked for and cannot be had falls back to
the next. A target is made under its final name in a directory that nobody reads yet.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from aurora_es.files.layer import open_regular, read_exactly, write_all

if TYPE_CHECKING:
    from aurora_es.files.layer import Files

COPY_BYTES = 1 << 22
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_NO_CLONES = {*_NO_LINKS, errno.EINVAL, errno.ENOTTY, errno.EBADF, errno.ETXTBSY}


def link_or_copy(files: Files, source: str, target: str) -> int:
    """Link ``source`` to ``target``, or else copy it; returns how many bytes were copied."""
    try:
        files.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return copy_file(files, source, target)
    return 0


def copy_file(files: Files, source: str, target: str) -> int:
    """Clone or copy a whole file and sync it; returns how many bytes were copied."""
    fd = open_regular(files, source, os.O_RDONLY)
    try:
        target_fd = open_regular(files, target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            try:
                files.clone(fd, target_fd)
                size = 0
            except OSError as error:
                if error.errno not in _NO_CLONES:
                    raise
                size = _copy(files, fd, target_fd, files.fstat(fd).st_size)
            files.fsync(target_fd)
        finally:
            files.close(target_fd)
    finally:
        files.close(fd)
    return size


def copy_start(files: Files, source: str, target: str, length: int) -> int:
    """Copy the first ``length`` bytes of a file that others append to, and sync; returns the length."""
    fd = open_regular(files, source, os.O_RDONLY)
    try:
        target_fd = open_regular(files, target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            copied = _copy(files, fd, target_fd, length)
            files.fsync(target_fd)
        finally:
            files.close(target_fd)
    finally:
        files.close(fd)
    return copied


def write_file(files: Files, path: str, data: bytes) -> None:
    """Write a file that does not exist yet, and sync it."""
    fd = open_regular(files, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        write_all(files, fd, data, 0)
        files.fsync(fd)
    finally:
        files.close(fd)


def make_directories(files: Files, path: str) -> None:
    """Make a directory and its missing parents; the caller syncs the names."""
    try:
        files.stat(path)
    except FileNotFoundError:
        make_directories(files, os.path.dirname(path))
        files.mkdir(path)


def sync_tree(files: Files, path: str) -> None:
    """Sync the names in a directory and in all below it, the lowest first."""
    for directory in reversed(directories_of(files, path)):
        files.sync_directory(directory)


def remove_tree(files: Files, path: str) -> None:
    """Remove a directory with all files in it, if it is there; the caller syncs its parent."""
    try:
        directories = directories_of(files, path)
    except FileNotFoundError:
        return
    for directory in reversed(directories):
        for name in files.listdir(directory):
            files.unlink(os.path.join(directory, name))
        files.rmdir(directory)


def directories_of(files: Files, path: str) -> list[str]:
    """A directory and all directories below it, parents first; links are not followed."""
    found = [path]
    for name in sorted(files.listdir(path)):
        below = os.path.join(path, name)
        if is_directory(files, below):
            found += directories_of(files, below)
    return found


def is_directory(files: Files, path: str) -> bool:
    """Whether ``path`` is a directory itself, and no link to one."""
    try:
        fd = files.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP, errno.ENOENT, errno.ENXIO}:
            raise
        return False
    files.close(fd)
    return True


def _copy(files: Files, source_fd: int, target_fd: int, length: int) -> int:
    at = 0
    while at < length:
        data = read_exactly(files, source_fd, min(COPY_BYTES, length - at), at)
        if not data:
            break  # shorter than it was said to be: who asked notices
        write_all(files, target_fd, data, at)
        at += len(data)
    return at

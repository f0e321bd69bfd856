"""What has the name of a file of a journal and cannot be used as one: a link, a FIFO, a directory.

Theory of operation: whoever appends, seals, or cuts a torn tail opens small files that no reader
needs. Where something else has taken their place, everything reads as whole and the next append
refuses. So each is looked at, without following a link or waiting for a FIFO. No byte of a record is
in any of them, so a repair may move what is strange aside: whoever needs the file makes it anew. Where
only rights are wrong, it is for the owner to give them back. Nobody appends to an archive, in whose
directory not even its owner may write, and who is not the owner may do without: there rights are right.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import msgspec

from aurora_es.format.names import (
    LOCK_FILES,
    MANIFEST,
    MARK,
    NEW_SUFFIX,
    RECOVERED,
    is_sealed_file_name,
    parse_cooled_name,
    parse_segment_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.files.layer import Files

A_LINK = "a link"
A_DEAD_LINK = "a link that leads to no file"
_OWNER_USES = stat.S_IRUSR | stat.S_IWUSR
_WHAT_IS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Strange(msgspec.Struct, frozen=True):
    """What is in the place of a file."""

    name: str
    expected: str
    found: str
    is_kind_wrong: bool = True  # else only its rights are

    @property
    def is_movable(self) -> bool:
        """Whether a repair moves it aside: nothing of the journal is lost with it."""
        is_record = self.name in {MANIFEST, MARK} or _is_segment(self.name)
        return self.is_kind_wrong and not is_record

    @property
    def problem(self) -> str:
        """What is wrong with it, in the words of a repair."""
        return f"expected {self.expected}, found {self.found}"


def strange_files(files: Files, path: str) -> list[Strange]:
    """What is strange among the files that are no part of what a journal says; raises OSError.

    The mark is: of that only rights are looked at, which a reader does not need.
    """
    found: list[Strange] = []
    is_archive = not files.stat(path).st_mode & stat.S_IWUSR
    for name in sorted(files.listdir(path)):
        stem = name.removesuffix(NEW_SUFFIX)
        if name == RECOVERED:
            found += _look(files, path, name, "a directory, for bytes that recovery cuts")
        elif name in LOCK_FILES:
            found += _look(files, path, name, "a lock file")
        elif stem != name and (stem == MANIFEST or is_sealed_file_name(stem)):
            found += _look(files, path, name, "a file that is being written, or none")
        elif name == MARK:
            seen = _look(files, path, name, "the mark of a journal")
            found += (one for one in seen if not one.is_kind_wrong)
    return [one for one in found if one.is_kind_wrong or not is_archive]


def movable_files(files: Files, path: str) -> list[Strange]:
    """What a repair moves aside; raises OSError."""
    return [one for one in strange_files(files, path) if one.is_movable]


def strange_records(files: Files, path: str) -> list[Strange]:
    """What is strange among manifest, mark, segments and caches: all of them are looked at."""
    names = [one for one in sorted(files.listdir(path)) if is_sealed_file_name(one)]
    expected = "a file of the journal"
    return [
        one
        for name in (MANIFEST, MARK, *names)
        for one in _look(files, path, name, expected, is_written=False)
    ]


def _is_segment(name: str) -> bool:
    return parse_segment_name(name) is not None or parse_cooled_name(name) is not None


def _leads_on(files: Files, path: str, name: str) -> bool:
    try:
        return stat.S_ISREG(files.stat(os.path.join(path, name)).st_mode)
    except OSError:
        return False  # also one to itself


def _is_only_for_its_owner(files: Files, file: str) -> bool:
    """Whether somebody else may use it, and this user need not: he may read what others append."""
    try:
        status = files.stat(file)
    except OSError:
        return False
    is_usable = status.st_mode & _OWNER_USES == _OWNER_USES
    return is_usable and os.geteuid() not in {0, status.st_uid}


def _look(
    files: Files, path: str, name: str, expected: str, *, is_written: bool = True
) -> Iterator[Strange]:
    try:
        fd = files.open(
            os.path.join(path, name),
            os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK,
        )
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            what = "a socket or a device"
            if error.errno == errno.ELOOP:
                what = A_LINK if is_written or _leads_on(files, path, name) else A_DEAD_LINK
            yield Strange(name, expected, what)
        elif error.errno in {errno.EMFILE, errno.ENFILE}:
            raise  # nothing is known of this one
        elif not (is_written and _is_only_for_its_owner(files, os.path.join(path, name))):
            found = f"one that cannot be opened: {error.strerror}"
            yield Strange(name, expected, found, is_kind_wrong=False)
        return
    try:
        status = files.fstat(fd)
    finally:
        files.close(fd)
    kind = stat.S_IFDIR if name == RECOVERED else stat.S_IFREG
    if stat.S_IFMT(status.st_mode) != kind:
        what = _WHAT_IS.get(stat.S_IFMT(status.st_mode), "a file")
        yield Strange(name, expected, what)
    elif is_written and status.st_uid and status.st_mode & _OWNER_USES != _OWNER_USES:
        # The superuser does not see it, and the owner may not append.
        found = f"one that its owner may not use (mode {stat.S_IMODE(status.st_mode):04o})"
        yield Strange(name, expected, found, is_kind_wrong=False)

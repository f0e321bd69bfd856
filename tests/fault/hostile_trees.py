"""Hostile directories: a journal of which anything was changed, for whoever cares for journals.

Theory of operation: bytes that somebody else chose say, first, what one file holds (an edit that is
sealed again, see ``hostile.py``), and then what happens to the directory: files are edited, cut,
blown up, swapped, removed, replaced by links, FIFOs and directories, joined by files of another
journal and by junk. It is a real directory, beside which things of somebody else lie. Then it is
checked, backed up, restored, repaired, checked again, and appended to. Demanded is that

* nothing but errors of the package comes of it,
* ``verify`` and a dry run change nothing, and nobody touches what lies outside,
* a repair does what its dry run has said, and ends; behind it ``verify`` finds nothing more, unless
  it says itself why it could not be,
* what is restored from a backup that was made of it is whole,
* no file is written that is much larger than what was there: the size of a file may lie, by a
  terabyte of zeros that take no room.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from aurora_es.care import backup, repair, restore, verify
from aurora_es.care.findings import RECOVERY_DUE, UNCHECKED_KINDS
from aurora_es.care.repair import RepairReport
from aurora_es.errors import AuroraError, StorageFullError
from aurora_es.format.names import LOCK_FILES
from aurora_es.journal.creation import Settings
from aurora_es.journal.journal import Journal
from tests.fault.crash_states import Tree
from tests.fault.hostile import BUILDERS, original
from tests.fault.hostile_edits import edited
from tests.fault.small_journal import PATH, small_journal
from tests.fault.told import records_of
from tests.journal.support import effects_with

# What could not be looked at, and what the next append does by itself.
_HARMLESS = {*UNCHECKED_KINDS, RECOVERY_DUE}
_T = TypeVar("_T")
_LOCK_SECONDS = 0.05
_STEPS_MAX = 3
_GIANT_BYTES = 1 << 40
_READ_BYTES_MAX = 1 << 20
_WRITTEN_BYTES_MAX = 1 << 27
_IN_MEMORY = Path("/", "dev", "shm")
# Names that files of a journal may have, or nearly; and names that nobody would give.
_JUNK = (
    "0000000006-00000000000000000019.segment",
    "0000000001-00000000000000000001.r2.segment",
    "0000000009-00000000000000000099.r1.segment",
    "0000000003-00000000000000000017.frames",
    "07-0000000001-0000000004.index",
    "0000000001-00000000000000000001.segment.new",
    "manifest.new",
    "recovered",
    "backup",
    "-rf",
    "a\nb",
    "\udcff",
)


class Step(NamedTuple):
    """One change of the directory."""

    kind: int
    first: int  # which file
    second: int  # which other one
    data: bytes


def steps_of(data: bytes) -> Iterator[Step]:
    """Steps as the bytes say: kind, two files, length of what belongs to it, and that."""
    for _ in range(_STEPS_MAX):
        if len(data) < 3:
            return
        length = data[3] if len(data) > 3 else 0
        yield Step(data[0], data[1], data[2], data[4 : 4 + length])
        data = data[4 + length :]


@functools.cache
def foreign() -> Tree:
    """Another journal, with files of the same names."""
    return small_journal("b")


class Place:
    """A directory with a journal in it, and things of somebody else beside it."""

    def __init__(self, home: str, tree: Tree) -> None:
        """Write the journal and the things."""
        self.journal = Path(home) / "journal"
        self.outside = Path(home) / "outside"
        self.target = Path(home) / "target"
        self.restored = Path(home) / "restored"
        self.journal.mkdir(mode=0o700)
        for path, content in tree.items():
            if content is not None and path.startswith(f"{PATH}/"):
                self._put(path.removeprefix(f"{PATH}/"), content)
        (self.outside / "directory").mkdir(parents=True)
        for name in ("file", "directory/file", "directory/manifest"):
            (self.outside / name).write_bytes(b"mine")

    def take(self, step: Step) -> None:
        """Change the directory."""
        names = sorted(os.listdir(self.journal))
        if names:
            first = self.journal / names[step.first % len(names)]
            second = self.journal / names[step.second % len(names)]
            with contextlib.suppress(IsADirectoryError, shutil.SameFileError, FileExistsError):
                KINDS[step.kind % len(KINDS)](self, first, second, step.data)

    def _put(self, name: str, content: bytes) -> None:
        path = self.journal / name
        path.write_bytes(content)
        path.chmod(0o600)

    # Steps

    def edit(self, first: Path, _: Path, data: bytes) -> None:
        """Edit a file anywhere."""
        if _is_small(first):
            content = edited(first.read_bytes(), data)
            first.write_bytes(content)

    def cut(self, first: Path, _: Path, data: bytes) -> None:
        """Cut a file."""
        if _is_small(first):
            size = first.stat().st_size
            os.truncate(first, int.from_bytes(data[:2], "little") % (size + 1))

    def blow_up(self, first: Path, _: Path, data: bytes) -> None:
        """Let a file be of a terabyte of zeros, or a little longer than it was."""
        if _is_small(first):
            size = first.stat().st_size
            os.truncate(first, size + len(data) if data else _GIANT_BYTES)

    def swap(self, first: Path, second: Path, _: bytes) -> None:
        """Give two files each other's name."""
        between = self.journal.parent / "between"
        first.rename(between)
        if second != first:
            second.rename(first)
        between.rename(second)

    def copy(self, first: Path, second: Path, _: bytes) -> None:
        """Put a copy of one in the place of another."""
        if _is_small(first):
            _remove(second) if second != first else None
            shutil.copyfile(first, second)

    def join(self, first: Path, second: Path, _: bytes) -> None:
        """Give one file both names."""
        if first != second and not first.is_dir():
            _remove(second)
            os.link(first, second, follow_symlinks=False)

    def remove(self, first: Path, _: Path, __: bytes) -> None:
        """Remove a file."""
        _remove(first)

    def link(self, first: Path, second: Path, data: bytes) -> None:
        """Put a link in the place of a file."""
        targets = (
            self.outside / "file",
            self.outside / "directory",
            self.outside / "absent",
            first,
            second,
            self.journal,
            Path("/dev/zero"),
        )
        _remove(first)
        first.symlink_to(targets[(data[0] if data else 0) % len(targets)])

    def make_fifo(self, first: Path, _: Path, __: bytes) -> None:
        """Put a FIFO in the place of a file, which would hang whoever opens it."""
        _remove(first)
        os.mkfifo(first)

    def make_directory(self, first: Path, _: Path, data: bytes) -> None:
        """Put a directory in the place of a file, with something in it."""
        _remove(first)
        first.mkdir()
        (first / "file").write_bytes(data)

    def take_foreign(self, first: Path, _: Path, __: bytes) -> None:
        """Put the file of the same name of another journal there."""
        content = foreign().get(f"{PATH}/{first.name}")
        if content is not None:
            _remove(first)
            self._put(first.name, content)

    def add_junk(self, first: Path, second: Path, data: bytes) -> None:
        """Add a file that nobody lists, with the content of another one or with junk."""
        place = self.journal / _JUNK[len(data) % len(_JUNK)]
        if not os.path.lexists(place):
            content = first.read_bytes() if _is_small(first) and first < second else data
            self._put(place.name, content)

    # Demands

    def check(self) -> None:
        """Let everybody at it who cares for journals, and see that demands are met."""
        with _bounded_files():
            self._check()

    def _check(self) -> None:
        outside = _picture(self.outside)
        before = _picture(self.journal)
        _tried(lambda: verify(self.journal, effects=effects_with()))
        assert _picture(self.journal) == before
        planned = self._repaired(dry_run=True)
        assert _but_locks(_picture(self.journal)) == _but_locks(before)
        self._check_backup()
        done = self._repaired(dry_run=False)
        if planned is not None:
            assert done is not None
            assert (done.repairs, done.lost) == (planned.repairs, planned.lost)
            found = verify(self.journal, effects=effects_with()).findings
            assert not [one for one in found if one.kind not in _HARMLESS], found
        _tried(self._append)
        assert _picture(self.outside) == outside

    def _repaired(self, *, dry_run: bool) -> RepairReport | None:
        return _tried(
            lambda: repair(
                self.journal, dry_run=dry_run, effects=effects_with(), lock_timeout=_LOCK_SECONDS
            )
        )

    def _check_backup(self) -> None:
        """What comes of a backup, and of restoring it, is nothing or whole."""
        made = _tried(
            lambda: backup(
                self.journal, self.target, effects=effects_with(), lock_timeout=_LOCK_SECONDS
            )
        )
        if made is None:
            return
        restored = _tried(
            lambda: restore(
                self.target, self.restored, effects=effects_with(), lock_timeout=_LOCK_SECONDS
            )
        )
        if restored is not None:
            assert verify(self.restored, effects=effects_with()).is_whole

    def _append(self) -> None:
        for read_only in (True, False):
            with (
                contextlib.suppress(AuroraError),
                Journal(
                    effects_with(),
                    str(self.journal),
                    Settings(),
                    read_only=read_only,
                    lock_timeout=_LOCK_SECONDS,
                ) as one,
            ):
                for stored in one.read():
                    assert isinstance(stored.record.state, bytes)
                if not read_only:
                    one.append(records_of("late", 1, 1))


KINDS: tuple[Callable[[Place, Path, Path, bytes], None], ...] = (
    Place.edit,
    Place.cut,
    Place.blow_up,
    Place.swap,
    Place.copy,
    Place.join,
    Place.remove,
    Place.link,
    Place.make_fifo,
    Place.make_directory,
    Place.take_foreign,
    Place.add_junk,
)


def _kind(step: Callable[[Place, Path, Path, bytes], None]) -> int:
    return KINDS.index(step)


# Each ended with another error than one of the package, without end, or with a repair that was none.
FOUND = (
    [Step(_kind(Place.blow_up), 2, 0, b"")],  # an index run of a terabyte was restored
    [Step(_kind(Place.blow_up), 16, 0, b"")],  # a manifest of a terabyte was kept
    [Step(_kind(Place.blow_up), 12, 0, b"")],  # a tail of a terabyte was searched
    [Step(_kind(Place.join), 2, 18, b"")],  # a mark that is another file, too, was written over
    [Step(_kind(Place.link), 5, 0, b"\3")],  # a link to itself
    [Step(_kind(Place.link), 5, 0, b"\2")],  # a link that leads nowhere was backed up
    [Step(_kind(Place.make_directory), 2, 0, b"")],  # planned, and then refused
    # A stray had the name of the fresh tail; the manifest's lock was a FIFO.
    [Step(_kind(Place.add_junk), 16, 1, b""), Step(_kind(Place.cut), 13, 0, b"\xa0\0")],
    [Step(_kind(Place.cut), 18, 0, b"\0\0"), Step(_kind(Place.make_fifo), 17, 0, b"")],
    # A table that nobody lists any more had a directory in its place.
    [Step(_kind(Place.cut), 16, 0, b"\0\0"), Step(_kind(Place.make_directory), 3, 0, b"")],
)


def attack(data: bytes) -> None:
    """Make a directory as the bytes say, and check it."""
    builders = [*BUILDERS.values()]
    at = data[0] % (2 * len(builders)) if data else len(builders)
    tree, rest = original(), data[1:]
    if at < len(builders):
        length = 1 + data[1] % 32 if len(data) > 1 else 0
        tree, rest = builders[at](data[2 : 2 + length]), data[2 + length :]
    attack_tree(tree, [*steps_of(rest)])


def attack_tree(tree: Tree, steps: list[Step]) -> None:
    """Write a journal, change its directory, and check it."""
    parent = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="aurora-es-hostile-", dir=parent) as home:
        place = Place(home, tree)
        for step in steps:
            place.take(step)
        place.check()


@contextlib.contextmanager
def _bounded_files() -> Iterator[None]:
    """Let no file become larger than what a repair of such a journal may need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_WRITTEN_BYTES_MAX, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _tried(act: Callable[[], _T]) -> _T | None:
    """What comes of it; None for an error of the package, but for one of too large a file."""
    try:
        return act()
    except StorageFullError:
        raise
    except AuroraError:
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_small(path: Path) -> bool:
    """Whether it is a file that may be read here."""
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_size <= _READ_BYTES_MAX


def _picture(directory: Path) -> dict[str, tuple[int, int, int, int, bytes | str]]:
    """All that is below a directory, to compare later; of giants the size is enough."""
    found = {}
    for parent, directories, files in os.walk(directory):
        for name in ("", *directories, *files):
            path = Path(parent) / name
            status = path.lstat()
            content: bytes | str = b""
            if path.is_symlink():
                content = os.readlink(path)
            elif _is_small(path):
                content = path.read_bytes()
            found[str(path)] = (
                status.st_mode,
                0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns,
                0 if stat.S_ISDIR(status.st_mode) else status.st_size,
                status.st_ino,
                content,
            )
    return found


def _but_locks(picture: dict[str, tuple[int, int, int, int, bytes | str]]) -> dict[str, object]:
    return {
        path: what for path, what in picture.items() if os.path.basename(path) not in LOCK_FILES
    }

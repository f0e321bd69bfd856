"""Creates a journal; of two creators the second finds the manifest and goes on.

Theory of operation: the manifest comes last. A directory without one is *unborn* if it holds only
our lock files, ``.new`` files, and a mark and a segment 1 without a commit: what a creator that died
left behind. That is removed and creation starts anew; readers treat such a directory as absent. A
commit without a manifest is corruption, and so is any other file that is ours; one that is not makes
the directory foreign.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import UNSET

from aurora_es.codecs.compression import CODEC_OF
from aurora_es.errors import (
    AuroraConfigurationError,
    CorruptionError,
    ForeignDirectoryError,
    StorageError,
)
from aurora_es.files.layer import DIRECTORY_MODE, exists, is_public, open_regular
from aurora_es.files.locks import flocked
from aurora_es.format.frame import KIND_RECORDS
from aurora_es.format.manifest import Manifest
from aurora_es.format.mark import Mark
from aurora_es.format.names import (
    LOCK,
    LOCK_FILES,
    MANIFEST,
    MARK,
    NEW_SUFFIX,
    parse_cooled_name,
    parse_frames_name,
    parse_run_name,
    parse_segment_name,
    segment_name,
)
from aurora_es.journal.catch_up import first_chain
from aurora_es.journal.manifest_file import write_manifest
from aurora_es.journal.mark_file import marked_commits, write_new_mark
from aurora_es.options import CompressionFormat, RollCycle, Sync
from aurora_es.segment.create import link_segment, write_segment
from aurora_es.segment.file import SegmentFile
from aurora_es.segment.walk import Chain, Walk, start_of

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects, Files


def whole_hours(age: timedelta | None) -> int | None:
    """Hours of an age, rounded up; raises AuroraConfigurationError for a negative one."""
    if age is None:
        return None
    if age < timedelta(0):
        message = f"cool_after: expected an age of 0 or more, found {age}"
        raise AuroraConfigurationError(message)
    return -(-age // timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Settings:
    """What a caller asks of a journal; None means as recorded, or the default at creation."""

    sync: Sync | None = None
    roll_cycle: RollCycle | None = None
    compression: CompressionFormat | None = None
    name: str | None = None  # exact name of the application whose store this is
    cool_after_hours: int | None = None  # age at which segments are cooled in the background

    def __post_init__(self) -> None:
        """Refuse a text where an option belongs: it would be recorded without being looked at."""
        for what, kind in (
            ("sync", Sync),
            ("roll_cycle", RollCycle),
            ("compression", CompressionFormat),
        ):
            value = getattr(self, what)
            if value is not None and not isinstance(value, kind):
                message = (
                    f"{what}: expected a {kind.__name__}, found {value!r}; nothing was written"
                )
                raise AuroraConfigurationError(message)


def create_journal(
    effects: Effects, path: str, settings: Settings, *, deadline: float, new_parents_max: int
) -> None:
    """Create the journal ``path`` unless it exists already; up to ``new_parents_max`` parents too.

    Raises ForeignDirectoryError, CorruptionError, LockTimeoutError, OSError.
    """
    files = effects.files
    made = _make_directories(files, path, new_parents_max)
    refuse_public(files, path)
    if MANIFEST in _own_names(files, path):
        return
    for name in LOCK_FILES:
        files.close(open_regular(files, os.path.join(path, name), os.O_RDWR | os.O_CREAT))
    with flocked(effects, os.path.join(path, LOCK), deadline, flags=os.O_RDWR):
        names = _own_names(files, path)
        if MANIFEST in names:
            return
        _remove_unborn(files, path, names)
        # Before the manifest: who finds one relies on the names that lead to it. And whoever
        # made the directories: he may have died before he synced their names.
        _sync_parents(files, path, made, new_parents_max)
        _write_files(effects, path, settings)


def refuse_public(files: Files, path: str) -> None:
    """Raise ForeignDirectoryError where everybody may replace what is in the directory ``path``.

    They could put the files of another day in place of ours, or let two processes append by
    removing a lock file. With the sticky bit set they can only add files, which are refused as
    somebody else's. A group that may write is one that somebody has chosen.
    """
    mode = files.stat(path).st_mode
    if is_public(mode):
        message = (
            f"{path}: expected a directory that not everybody may write to, found mode"
            f" {stat.S_IMODE(mode):o}: anybody could replace its files. Nothing was changed; run"
            f" `chmod o-w {shlex.quote(path)}`, or give the journal a directory below it"
        )
        raise ForeignDirectoryError(message)


def is_unborn(files: Files, path: str) -> bool:
    """Whether a directory without a manifest holds nothing but what a creator leaves behind.

    Raises ForeignDirectoryError, CorruptionError for commits without a manifest.
    """
    try:
        names = _own_names(files, path)
        if MANIFEST not in names:
            _refuse_commits(files, path, names)
    except FileNotFoundError:
        return True
    except CorruptionError:
        # A creator and appenders may have been at work since the manifest was looked for.
        if MANIFEST not in files.listdir(path):
            raise
        return False
    return MANIFEST not in names


def _make_directories(files: Files, path: str, new_parents_max: int) -> list[str]:
    missing = [path]
    parent = os.path.dirname(path)
    while not exists(files, parent) and len(missing) <= new_parents_max:
        missing.append(parent)
        parent = os.path.dirname(parent)
    made = []
    for directory in reversed(missing):
        try:
            files.mkdir(directory, DIRECTORY_MODE)
        except FileExistsError:
            continue
        except FileNotFoundError as error:
            raise _no_parent(path, os.path.dirname(directory)) from error
        made.append(directory)
    return made


def _no_parent(path: str, parent: str) -> StorageError:
    """The error for a journal above which more is missing than is made: a mistyped path, perhaps."""
    return StorageError(
        f"{path}: expected a directory below an existing one, found no {parent}; nothing was written."
        f" Make it first, if it is the right one (`mkdir -p {shlex.quote(parent)}`); `aurora-es doctor`"
        " shows where the store of this environment is"
    )


def _sync_parents(files: Files, path: str, made: list[str], new_parents_max: int) -> None:
    directory = path
    for _ in range(new_parents_max + 1):
        parent = os.path.dirname(directory)
        try:
            files.sync_directory(parent)
        except PermissionError:
            # A parent that another user made long ago need not be readable.
            if directory in made:
                raise
        directory = parent


def _own_names(files: Files, path: str) -> set[str]:
    """Names in the directory; raises ForeignDirectoryError if it holds what we did not write."""
    names = set(files.listdir(path))
    if MANIFEST in names:
        return names
    for name in sorted(names - {*LOCK_FILES, MARK}):
        stem = name.removesuffix(NEW_SUFFIX)
        parsed = parse_segment_name(stem)
        if stem != name and (stem == MANIFEST or parsed):
            continue
        if parsed is not None and stem == segment_name(1, 1):
            continue
        if parsed or parse_cooled_name(stem) or parse_frames_name(stem) or parse_run_name(stem):
            raise CorruptionError(
                os.path.join(path, MANIFEST),
                0,
                expected=f"a manifest, since {name} exists",
                found="no file",
            )
        message = (
            f"{path}: expected an empty or absent directory or a journal, found the file {name!r};"
            " nothing was written. Give the journal a directory of its own: `aurora-es doctor` looks at it"
        )
        raise ForeignDirectoryError(message)
    return names


def _remove_unborn(files: Files, path: str, names: set[str]) -> None:
    _refuse_commits(files, path, names)
    for name in sorted(names - set(LOCK_FILES)):
        files.unlink(os.path.join(path, name))
    files.sync_directory(path)


def _refuse_commits(files: Files, path: str, names: set[str]) -> None:
    """Raise CorruptionError if segment 1 or the mark tell of a commit: then there was a manifest once."""
    commits = marked_commits(files, path) if MARK in names else 0
    evidence = f"the mark beside it names {commits} commits" if commits else ""
    first = segment_name(1, 1)
    if first in names:
        file = SegmentFile(files, os.path.join(path, first), writable=False)
        for frames in Walk(file, start_of(file), file.size_bytes()):
            if frames[0].header.kind == KIND_RECORDS:
                evidence = f"{file.path} holds commits"
                break
    if evidence:
        raise CorruptionError(
            os.path.join(path, MANIFEST),
            0,
            expected=f"a manifest, since {evidence}",
            found="no file",
        )


def _write_files(effects: Effects, path: str, settings: Settings) -> None:
    files = effects.files
    genesis_id = effects.random_bytes(16)
    compression = settings.compression or CompressionFormat.NONE
    sync = Sync.ALWAYS if settings.sync is None else settings.sync
    name = write_segment(
        effects,
        path,
        genesis_id=genesis_id,
        after=Chain(0, 0, 0, 0, 0, 0),
        epoch=0,
        codec=CODEC_OF[compression],
        tracking=(),
        reserve=sync == Sync.ALWAYS,
    )
    link_segment(files, path, name)
    file = SegmentFile(files, os.path.join(path, name), writable=False)
    chain = first_chain(file, start_of(file))
    write_new_mark(files, path, Mark(1, 0, 0, chain.segment_number, 0, chain.offset, chain.offset))
    # A power cut must not leave a manifest without the mark and the segment it stands for.
    files.sync_directory(path)
    write_manifest(
        files,
        path,
        Manifest(
            generation=1,
            genesis_id=genesis_id.hex(),
            epoch=0,
            name=settings.name,
            sync=str(sync),
            roll_cycle=str(settings.roll_cycle or RollCycle.DAY),
            compression=str(compression),
            created_at=effects.clock(),
            cool_after_hours=UNSET
            if settings.cool_after_hours is None
            else settings.cool_after_hours,
        ),
    )

"""Makes a store: a directory, journals for the applications that are named, and what to set.

Theory of operation: a store needs no making, as the first append of an application makes what is
missing. This does it before, so that wrong places and wrong settings show at once: in a directory
that is absent, empty, or a store already; what is somebody else's is refused. Journals record their
settings when they are made; the same call again finds them, and is refused if it asks for others.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.backup_record import RECORD
from aurora_es.care.copying import refuse_no_place
from aurora_es.care.settings import SettingsReport, change_settings
from aurora_es.environment import PERSISTENCE_MODULE
from aurora_es.errors import AuroraConfigurationError, ForeignDirectoryError
from aurora_es.files.layer import DIRECTORY_MODE, SYSTEM_EFFECTS, exists
from aurora_es.format.names import directory_name
from aurora_es.journal.creation import Settings, whole_hours
from aurora_es.journal.discovery import journals_below
from aurora_es.journal.journal import LOCK_TIMEOUT_SECONDS_DEFAULT, Journal
from aurora_es.journal.opening import refuse_network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aurora_es.files.layer import Effects, Files
    from aurora_es.options import CompressionFormat, RollCycle, Sync

_EVENTS = "events"
_OF_FILE_SYSTEMS = frozenset({"lost+found"})  # in the directory where one is mounted


class InitReport(msgspec.Struct, frozen=True, kw_only=True):
    """A store that is there now."""

    path: str
    made: bool  # False: it was a directory before
    journals: tuple[SettingsReport, ...]  # of the applications that were named
    environment: dict[str, str]  # what is to be set for applications to use it


def init(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    *,
    apps: Iterable[str] = (),
    sync: Sync | None = None,
    roll_cycle: RollCycle | None = None,
    compression: CompressionFormat | None = None,
    cool_after: timedelta | None = None,
    allow_network_file_system: bool = False,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
    effects: Effects = SYSTEM_EFFECTS,
) -> InitReport:
    """Make the store ``path``, an AURORA_PATH, and the journal of events of each of ``apps``.

    What is None is the default, and is not put into the environment.

    Raises ForeignDirectoryError for a directory with something else in it, a journal, the directory
    of an application, a target of backups; AuroraConfigurationError where a journal is there that
    records another setting, and on a network file system; ArgumentError without a parent directory.
    """
    place, files = os.path.abspath(os.fspath(path)), effects.files
    if not allow_network_file_system:
        refuse_network(place)
    settings = Settings(sync, roll_cycle, compression, None, whole_hours(cool_after))
    names = list(dict.fromkeys(apps))
    directories = [_directory_of(name) for name in names]
    made = _make(files, place)
    journals = []
    for name, directory in zip(names, directories, strict=True):
        events = os.path.join(place, directory, _EVENTS)
        asked = Settings(sync, roll_cycle, compression, name, settings.cool_after_hours)
        journal = Journal(effects, events, asked, lock_timeout=lock_timeout, new_parents_max=1)
        with journal:
            journal.create()
        recorded = change_settings(events, effects=effects, allow_network_file_system=True)
        journals.append(recorded)
    return InitReport(
        path=place, made=made, journals=tuple(journals), environment=_environment(place, settings)
    )


def _directory_of(name: str) -> str:
    directory = directory_name(name)
    if directory is None:
        message = (
            f"application name {name!r}: expected at most 200 bytes when percent-encoded; nothing"
            " was made. Pass a shorter one (`aurora-es init --app NAME`)"
        )
        raise AuroraConfigurationError(message)
    return directory


def _make(files: Files, path: str) -> bool:
    """Make the directory, or see that what is there may be a store; whether it was made."""
    refuse_no_place(files, path)
    try:
        files.mkdir(path, DIRECTORY_MODE)
    except FileExistsError:
        _refuse_foreign(files, path)
        return False
    files.sync_directory(os.path.dirname(path))
    return True


def _refuse_foreign(files: Files, path: str) -> None:
    found = ""
    if exists(files, os.path.join(path, RECORD)):
        found = "a target of backups"
    elif names := set(files.listdir(path)) - _OF_FILE_SYSTEMS:
        journals = journals_below(path, files).journals
        above = {os.path.dirname(journal) for journal in journals}
        if path in journals:
            found = "a journal"
        elif path in above:
            found = "the directory of an application or a queue; a store is the one above it"
        elif not journals:
            found = f"{min(names)!r}, and no journal"
    if found:
        message = (
            f"{path}: expected nothing, an empty directory or a store, found {found}; nothing was"
            " changed. Name another directory (`aurora-es doctor` looks at what is there)"
        )
        raise ForeignDirectoryError(message)


def _environment(path: str, settings: Settings) -> dict[str, str]:
    hours = settings.cool_after_hours
    found = {
        PERSISTENCE_MODULE: "aurora_es",
        "AURORA_PATH": path,
        "AURORA_SYNC": settings.sync,
        "AURORA_ROLL_CYCLE": settings.roll_cycle,
        "AURORA_COMPRESSION": settings.compression,
        "AURORA_COOL_AFTER": None if hours is None else f"{hours}h",
    }
    return {key: str(value) for key, value in found.items() if value is not None}

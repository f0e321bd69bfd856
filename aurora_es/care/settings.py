"""The settings that a journal records: shows them, and changes them while it is closed."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import msgspec

from aurora_es.care.backup_record import refuse_copy
from aurora_es.errors import ArgumentError, AuroraConfigurationError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.creation import Settings, whole_hours
from aurora_es.journal.journal import LOCK_TIMEOUT_SECONDS_DEFAULT, Journal
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.opening import refuse_network
from aurora_es.journal.recorded import change_recorded

if TYPE_CHECKING:
    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest
    from aurora_es.options import CompressionFormat, RollCycle, Sync

_NEVER = "never"


class SettingsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal records, and what of it a call has changed."""

    path: str  # of the journal
    name: str | None  # of the application, if the journal belongs to one
    sync: str  # ``always``, ``never`` or ``<n>ms``
    roll_cycle: str  # holds from the next roll
    compression: str  # of what is written from now on
    cool_after_hours: int | None  # None: cooled by command only
    changed: dict[str, str] = {}  # setting -> what was recorded before


def change_settings(  # noqa: PLR0913 - a user's choices, all by name
    path: str | os.PathLike[str],
    *,
    sync: Sync | None = None,
    roll_cycle: RollCycle | None = None,
    compression: CompressionFormat | None = None,
    cool_after: timedelta | Literal["never"] | None = None,
    allow_network_file_system: bool = False,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS_DEFAULT,
    effects: Effects = SYSTEM_EFFECTS,
) -> SettingsReport:
    """Change what is recorded in the closed journal ``path``; None leaves a setting as it is.

    Without any, nothing is opened, locked or written, and the report says what holds. A change
    opens the journal, which recovers it, and syncs everything in it first. Raises InUseError, with
    nothing changed, while any process has the journal open for appending; ArgumentError where
    there is no journal; AuroraConfigurationError for what is no setting.
    """
    text = os.path.abspath(os.fspath(path))
    if not allow_network_file_system:
        refuse_network(text)
    refuse_copy(effects.files, text)
    asked = Settings(sync, roll_cycle, compression)  # refuses texts
    before = read_manifest(effects.files, text)
    if before is None:
        message = (
            f"{text}: expected a journal, found none; nothing was changed. Append first"
            " (`Journal.append`), or name another (`aurora-es info` lists them)"
        )
        raise ArgumentError(message)
    hours = _hours_of(cool_after)
    if all(setting is None for setting in (sync, roll_cycle, compression, cool_after)):
        return _report(text, before, before)
    # Opened without the settings: an open that differs is refused, or records some of them.
    with Journal(effects, text, Settings(), lock_timeout=lock_timeout) as journal:
        changed = change_recorded(
            journal.handle,
            sync=asked.sync,
            roll_cycle=asked.roll_cycle,
            compression=asked.compression,
            cool_after_hours=hours,
        )
    return _report(text, before, changed)


def _hours_of(cool_after: timedelta | str | None) -> int | msgspec.UnsetType | None:
    if cool_after == _NEVER:
        return msgspec.UNSET
    if cool_after is not None and not isinstance(cool_after, timedelta):
        message = (
            f"cool_after: expected a timedelta or 'never', found {cool_after!r}"
            " (`aurora-es set --cool-after 7d`)"
        )
        raise AuroraConfigurationError(message)
    return whole_hours(cool_after)


def _report(path: str, before: Manifest, now: Manifest) -> SettingsReport:
    changed = {
        what: _NEVER if old is msgspec.UNSET else str(old)
        for what in ("sync", "roll_cycle", "compression", "cool_after_hours")
        if (old := getattr(before, what)) != getattr(now, what)
    }
    hours = now.cool_after_hours
    return SettingsReport(
        path=path,
        name=now.name,
        sync=now.sync,
        roll_cycle=now.roll_cycle,
        compression=now.compression,
        cool_after_hours=None if isinstance(hours, msgspec.UnsetType) else hours,
        changed=changed,
    )

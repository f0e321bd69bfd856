"""What ``doctor`` knows of a journal, and what there is to see to.

Theory of operation: the journal is opened read-only, which takes no lock and walks only what is not
sealed. What fails is itself an observation, beside all that could be learned without opening. Only
whether somebody has it open for appending is asked of a lock, on its mark, for a moment.
"""

from __future__ import annotations

import os
import shlex
import stat
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.advice import ERROR, NOTE, WARNING, Advice, command
from aurora_es.care.broken_copy import copy_command, has_other_names
from aurora_es.care.strange import A_LINK, Strange, strange_files, strange_records
from aurora_es.errors import AuroraError, CorruptionError, NeedsRecoveryError
from aurora_es.files.layer import is_public
from aurora_es.format.names import (
    MARK,
    NEW_SUFFIX,
    RECOVERED,
    directory_name,
    parse_cooled_name,
    parse_segment_name,
)
from aurora_es.journal.cool import segments_to_cool
from aurora_es.journal.creation import Settings, is_unborn
from aurora_es.journal.discovery import SET_ASIDE
from aurora_es.journal.journal import Journal
from aurora_es.journal.manifest_file import read_manifest
from aurora_es.journal.presence import is_open_for_appending
from aurora_es.journal.records import datetime_of
from aurora_es.options import Sync
from aurora_es.segment.file import SegmentFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aurora_es.files.layer import Effects
    from aurora_es.format.manifest import Manifest

_HOUR_MICROSECONDS = 3_600_000_000
_CLOCK_SECONDS_BEHIND = 60
_UNSEALED_MAX = 2  # more than appenders leave to background runs


class EpochBegin(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest segment that was begun in an epoch."""

    epoch: int
    segment_number: int
    base_position: int


class JournalReport(msgspec.Struct, frozen=True, kw_only=True):
    """A journal; None where something could not be learned."""

    path: str
    name: str | None = None  # of the application
    sync: str | None = None
    roll_cycle: str | None = None
    compression: str | None = None
    cool_after_hours: int | None = None  # also if never
    last_position: int | None = None
    last_timestamp: datetime | None = None
    seconds_behind: float = 0.0  # of the clock, behind the last commit
    tracking: dict[str, int] = {}  # name -> notification id reached
    durable: bool | None = None
    is_open: bool | None = None  # for appending, by any process
    unsealed_segments: int | None = None
    segments_to_cool: int = 0
    epoch: int | None = None
    epochs: tuple[EpochBegin, ...] = ()  # beyond the first, as far as segments are left
    new_files: tuple[str, ...] = ()  # being written, or left by a process that died
    recovered_files: int = 0  # bytes that recovery cut
    set_aside: tuple[str, ...] = ()  # directories in which a repair has kept what it changed
    strange: tuple[Strange, ...] = ()  # names under which something else is
    is_mark_shared: bool = False  # whether the mark has another name, as in a copy made of links
    mode: str = ""  # of the directory, octal
    user: int = 0  # its owner
    error: str | None = None  # why it could not be read
    error_kind: str | None = None


def look_at_journal(effects: Effects, path: str) -> JournalReport:
    """Look at one journal; raises OSError if not even its directory can be listed."""
    files = effects.files
    names = sorted(files.listdir(path))
    status = files.stat(path)
    recovered = os.path.join(path, RECOVERED)
    strange = (*strange_files(files, path), *strange_records(files, path))
    is_kept = RECOVERED in names and all(one.name != RECOVERED for one in strange)
    facts: dict[str, object] = {
        "new_files": tuple(name for name in names if name.endswith(NEW_SUFFIX)),
        "recovered_files": len(files.listdir(recovered)) if is_kept else 0,
        "set_aside": _set_aside(effects, path),
        "strange": strange,
        "is_mark_shared": has_other_names(files, os.path.join(path, MARK)),
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "user": status.st_uid,
    }
    try:
        manifest = read_manifest(files, path)
        if manifest is not None:
            facts |= _recorded(effects, manifest)
            facts |= _counted(effects, path)
            facts["is_open"] = is_open_for_appending(effects, path)
            facts["epochs"] = tuple(_epochs(effects, path, names)) if manifest.epoch else ()
        else:
            is_unborn(files, path)  # raises if there were commits
    except (AuroraError, OSError) as error:
        facts |= {"error": str(error), "error_kind": _kind_of(error)}
    return JournalReport(path=path, **facts)  # type: ignore[arg-type] # by the names above


def _kind_of(error: AuroraError | OSError) -> str:
    if isinstance(error, CorruptionError):
        return "journal-damaged"
    return "needs-recovery" if isinstance(error, NeedsRecoveryError) else "journal-unreadable"


def _set_aside(effects: Effects, path: str) -> tuple[str, ...]:
    above, own = os.path.split(path)
    try:
        names = effects.files.listdir(above)
    except PermissionError:
        return ()
    matched = (SET_ASIDE.fullmatch(name) for name in sorted(names))
    return tuple(os.path.join(above, it[0]) for it in matched if it and it["journal"] == own)


def _recorded(effects: Effects, manifest: Manifest) -> dict[str, object]:
    hours = manifest.cool_after_hours
    due = 0
    if not isinstance(hours, msgspec.UnsetType):
        before = effects.clock() - hours * _HOUR_MICROSECONDS
        due = len(segments_to_cool(manifest, before=before))
    return {
        "name": manifest.name,
        "sync": manifest.sync,
        "roll_cycle": manifest.roll_cycle,
        "compression": manifest.compression,
        "cool_after_hours": None if isinstance(hours, msgspec.UnsetType) else hours,
        "segments_to_cool": due,
        "epoch": manifest.epoch,
    }


def _counted(effects: Effects, path: str) -> dict[str, object]:
    with Journal(effects, path, Settings(), read_only=True) as journal:
        found = journal.statistics()
        last = found.last_timestamp
        behind = 0.0
        if last is not None:
            behind = max((last - datetime_of(effects.clock())).total_seconds(), 0.0)
        return {
            "last_position": found.last_position,
            "last_timestamp": last,
            "seconds_behind": behind,
            "tracking": journal.tracking(),
            "durable": found.durable,
            "unsealed_segments": found.rolled_segments,
            "epoch": found.epoch,
        }


def _epochs(effects: Effects, path: str, names: list[str]) -> Iterator[EpochBegin]:
    """Where the epoch of segments rises; names sort like segments."""
    epoch = 0
    for name in names:
        if parse_segment_name(name) is None and parse_cooled_name(name) is None:
            continue
        header = SegmentFile(effects.files, os.path.join(path, name), writable=False).header
        if header.epoch > epoch:
            epoch = header.epoch
            yield EpochBegin(
                epoch=epoch,
                segment_number=header.segment_number,
                base_position=header.base_position,
            )


def advise_on_journal(journal: JournalReport, user: int) -> Iterator[Advice]:
    """What there is to see to; ``user`` is who runs this."""
    path = journal.path
    if journal.error is not None:
        recovers = journal.error_kind == "needs-recovery"
        yield Advice(
            kind=journal.error_kind or "",
            severity=WARNING if recovers else ERROR,
            where=path,
            found=journal.error,
            cure="start the application, whose opening recovers it"
            if recovers
            else f"{command('verify', path)} says what exactly is wrong",
        )
    elif journal.sync is None:
        yield Advice(
            kind="journal-unborn",
            severity=NOTE,
            where=path,
            found="its creation was not finished",
            cure="nothing: the next append makes it anew",
        )
    for strange in journal.strange:
        yield advise_on_strange(path, strange)
    yield from _advise_on_rights(journal, user)
    yield from _advise_on_work(journal)
    yield from _advise_on_leftovers(journal)
    if journal.seconds_behind > _CLOCK_SECONDS_BEHIND:
        yield Advice(
            kind="clock-behind",
            severity=WARNING,
            where=path,
            found=f"the clock is {journal.seconds_behind:,.0f} s behind the last commit; timestamps"
            " stand still until it has caught up",
            cure="set the clock (`timedatectl`), unless the commit was made by a wrong one",
        )
    if journal.durable is False and journal.is_open is False:
        yield Advice(
            kind="not-durable",
            severity=WARNING,
            where=path,
            found="its last commits are not known to be on disk, and no process has it open",
            cure="start the application, whose opening syncs them",
        )


def advise_on_strange(path: str, strange: Strange) -> Advice:
    """What to do about something in the place of a file of the journal ``path``."""
    file = os.path.join(path, strange.name)
    place, repairs = shlex.quote(file), command("repair", path, "--dry-run")
    away = f"`mv {place} {shlex.quote(f'{path}.aside-{strange.name}')}`"
    if not strange.is_kind_wrong:
        cure = f"`chmod 600 {place}`, as its owner"
    elif strange.is_movable:
        cure = f"{repairs} says what moves it aside"
    elif strange.found == A_LINK:
        cure = (
            f'`cp --remove-destination "$(readlink -f {place})" {place}`, if what it leads to is the'
            f" journal's own file; else {away}, then {repairs}"
        )
    else:
        cure = f"{away}, then {repairs}"
    return Advice(
        kind="file-strange" if strange.is_kind_wrong else "file-mode",
        severity=ERROR,
        where=file,
        found=strange.problem,
        cure=cure,
    )


def _advise_on_rights(journal: JournalReport, user: int) -> Iterator[Advice]:
    mode = int(journal.mode, 8)
    if is_public(mode):
        yield Advice(
            kind="mode-public",
            severity=ERROR,
            where=journal.path,
            found=f"everybody may replace its files (mode {journal.mode}): appenders refuse it",
            cure=f"`chmod 700 {journal.path}`",
        )
    elif mode & 0o077:
        may = "write to" if mode & 0o022 else "look into"
        who = "everybody" if mode & 0o007 else "its group"
        yield Advice(
            kind="mode-open",
            severity=WARNING if mode & 0o027 else NOTE,
            where=journal.path,
            found=f"{who} may {may} the directory (mode {journal.mode}); it was made with 0700",
            cure=f"`chmod 700 {journal.path}`, unless that is meant",
        )
    if journal.is_mark_shared:
        yield Advice(
            kind="mark-shared",
            severity=ERROR,
            where=os.path.join(journal.path, MARK),
            found="it has another name besides, as in a copy that `cp -al` has made: what is appended"
            " here is written into the other store",
            cure=f"`{copy_command(journal.path)}` makes a copy that shares nothing: use that instead",
        )
    if journal.user == user:
        return
    yield Advice(
        kind="other-user",
        severity=WARNING if user == 0 else ERROR,
        where=journal.path,
        found=f"it belongs to user {journal.user}, and this is user {user}"
        + (", whose files the owner could not open" if user == 0 else ": its files are refused"),
        cure=f"run as its owner (`sudo -u '#{journal.user}' …`)",
    )


def _advise_on_work(journal: JournalReport) -> Iterator[Advice]:
    unsealed = journal.unsealed_segments or 0
    if unsealed > _UNSEALED_MAX:
        yield Advice(
            kind="unsealed",
            severity=WARNING,
            where=journal.path,
            found=f"{unsealed} closed segments are not sealed: each process indexes them in memory",
            cure=command("seal", journal.path),
        )
    if journal.segments_to_cool:
        age = f"{journal.cool_after_hours}h"
        yield Advice(
            kind="cooling-due",
            severity=NOTE,
            where=journal.path,
            found=f"{journal.segments_to_cool} segments are older than {age} and not cooled yet",
            cure=f"nothing: the next background run cools them; or {_cool(journal.path, age)}",
        )


def _cool(path: str, age: str) -> str:
    return command("cool", path, "--older-than", age)


def _advise_on_leftovers(journal: JournalReport) -> Iterator[Advice]:
    if journal.new_files and journal.is_open is False:
        yield Advice(
            kind="new-files",
            severity=NOTE,
            where=journal.path,
            found=f"being written, or left by a process that died: {', '.join(journal.new_files)}",
            cure="nothing: they are no part of the journal, and whoever writes next removes them",
        )
    if journal.recovered_files:
        yield Advice(
            kind="recovered-files",
            severity=NOTE,
            where=os.path.join(journal.path, RECOVERED),
            found=f"{journal.recovered_files} files of bytes that recovery cut: never acknowledged",
            cure="nothing; remove them when nobody wants to look at them",
        )
    for directory in journal.set_aside:
        yield Advice(
            kind="set-aside",
            severity=NOTE,
            where=directory,
            found="what a repair has changed, as it was before",
            cure=f"remove it once {command('verify', journal.path)} finds nothing, and what was"
            " lost has been looked for in it",
        )


def advise_on_upstreams(effects: Effects, journal: JournalReport) -> Iterator[Advice]:
    """Whether what follows other journals is more durable than they are."""
    root = os.path.dirname(os.path.dirname(journal.path))
    for upstream in journal.tracking:
        directory = directory_name(upstream)
        if directory is None or journal.sync is None:
            continue
        path = os.path.join(root, directory, "events")
        try:
            manifest = read_manifest(effects.files, path)
        except (AuroraError, OSError):
            continue  # told where that journal itself is looked at
        if manifest is None or _weakness(journal.sync) >= _weakness(manifest.sync):
            continue
        yield Advice(
            kind="more-durable-than-upstream",
            severity=WARNING,
            where=journal.path,
            found=f"its sync mode is {journal.sync}, and that of {upstream!r}, which it follows, is"
            f" {manifest.sync}: after a power cut it may be ahead, and skip events",
            cure=command("set", journal.path, "--sync", manifest.sync)
            + f" or {command('set', path, '--sync', journal.sync)}",
        )


def _weakness(sync: str) -> float:
    interval = Sync.parse(sync).interval_ms
    return float("inf") if interval is None else float(interval)

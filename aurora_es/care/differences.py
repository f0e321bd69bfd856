"""Where what the environment asks for is not what journals record, and what opening does then."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aurora_es.care.advice import ERROR, NOTE, WARNING, Advice, command
from aurora_es.environment import PARSERS
from aurora_es.errors import AuroraConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aurora_es.care.applications import ApplicationReport, SettingSeen
    from aurora_es.care.journals import JournalReport

_PATH = "AURORA_PATH"
_SYNC = "AURORA_SYNC"
# The settings that a journal records: that of the environment, and the option of `set`.
_OPTIONS = {
    _SYNC: "--sync",
    "AURORA_ROLL_CYCLE": "--roll-cycle",
    "AURORA_COMPRESSION": "--compression",
    "AURORA_COOL_AFTER": "--cool-after",
}


def advise_on_differences(
    application: ApplicationReport, journals: Sequence[JournalReport]
) -> Iterator[Advice]:
    """What opening ``journals`` as ``application`` would refuse, or record anew."""
    for journal in journals:
        if journal.name != application.name or journal.sync is None:
            continue
        directory = os.path.dirname(journal.path)
        if application.directory is None:
            continue
        if not _is_same_directory(application.directory, directory):
            yield Advice(
                kind="other-path",
                severity=WARNING if application.asked_for else NOTE,
                where=journal.path,
                found=f"by its settings application {application.name!r} uses"
                f" {application.directory} instead",
                cure=f"if it should use these journals, set {_PATH} to {os.path.dirname(directory)}",
            )
            continue
        for seen in application.settings:
            yield from _advise_on_setting(journal, seen)


def _is_same_directory(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _advise_on_setting(journal: JournalReport, seen: SettingSeen) -> Iterator[Advice]:
    option = _OPTIONS.get(seen.setting)
    asked = _asked(seen)
    if option is None or asked is None:
        return
    recorded = _recorded(journal, seen.setting)
    if asked == recorded:
        return
    refused = seen.setting == _SYNC
    yield Advice(
        kind="setting-differs",
        severity=ERROR if refused else WARNING,
        where=journal.path,
        found=f"{seen.key} asks for {asked}, and the journal records {recorded}: opening it for"
        f" appending {'is refused' if refused else 'records the other'}",
        cure=f"unset {seen.key}, or set it to {recorded}; or, while nobody has it open,"
        f" {command('set', journal.path, option, asked)}",
    )


def _asked(seen: SettingSeen) -> str | None:
    """The text form of a setting; None if it is not set, or wrong, which is told elsewhere."""
    text = (seen.text or "").strip()
    if not text:
        return None
    try:
        value = PARSERS[seen.setting](text)
    except (AuroraConfigurationError, ValueError):
        return None
    return f"{value}h" if isinstance(value, int) else str(value)


def _recorded(journal: JournalReport, setting: str) -> str:
    if setting == _SYNC:
        return str(journal.sync)
    if setting == "AURORA_ROLL_CYCLE":
        return str(journal.roll_cycle)
    if setting == "AURORA_COMPRESSION":
        return str(journal.compression)
    return "never" if journal.cool_after_hours is None else f"{journal.cool_after_hours}h"

"""``doctor``: looks at settings, directories, journals, machine, and says what to do.

Theory of operation: four looks, each in a module with its own judgement, put together here. Looking
is read-only, on a store in use as well; only ``probe=True`` writes, one temporary file for each
directory. What cannot be looked at is an observation, never the end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.advice import ERROR, NOTE, WARNING, Advice
from aurora_es.care.applications import (
    ApplicationReport,
    advise_on_application,
    advise_on_keys,
    look_at_application,
)
from aurora_es.care.differences import advise_on_differences
from aurora_es.care.journals import (
    JournalReport,
    advise_on_journal,
    advise_on_upstreams,
    look_at_journal,
)
from aurora_es.care.machine import MachineReport, advise_on_machine, look_at_machine
from aurora_es.care.places import PlaceReport, advise_on_place, look_at_place
from aurora_es.environment import MEMORY, find_setting, parse_flag, read_setting
from aurora_es.errors import AuroraConfigurationError
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.discovery import journals_below

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aurora_es.files.layer import Effects

_PATH = "AURORA_PATH"
_GRAVITY = {ERROR: 0, WARNING: 1, NOTE: 2}


class DoctorReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen, and what to do about it, gravest first."""

    path: str | None  # that was asked for; None: that of the environment
    machine: MachineReport  # system, versions, limits
    places: tuple[PlaceReport, ...]  # directories that hold or will hold stores
    applications: tuple[ApplicationReport, ...]  # settings as each of them sees them
    journals: tuple[JournalReport, ...]  # what they record, and what is left over in them
    advice: tuple[Advice, ...]  # gravest first


def doctor(
    path: str | os.PathLike[str] | None = None,
    *,
    apps: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    probe: bool = False,
    effects: Effects = SYSTEM_EFFECTS,
) -> DoctorReport:
    """Look at a journal, an application's directory or an AURORA_PATH, and at what uses it.

    Without ``path`` at the AURORA_PATH of the environment, and those of ``apps``. ``apps`` are the
    names of applications and projections whose settings are looked up in ``env`` (None:
    ``os.environ``); those whose journals are found are added. ``probe`` writes and removes one
    temporary file in each directory, to see what a sync costs and whether links work.
    """
    env = os.environ if env is None else env
    roots = _roots(path, apps, env)
    journals: list[JournalReport] = []
    places: list[PlaceReport] = []
    advice: list[Advice] = []
    for root in roots:
        found = journals_below(root)
        for journal in found.journals:
            try:
                journals.append(look_at_journal(effects, journal))
            except OSError as error:
                advice.append(_unusable(journal, error))
        advice += map(_unreadable, found.unreadable)
        try:
            place = look_at_place(effects, root, found.journals, probing=probe)
        except OSError as error:
            advice.append(_unusable(root, error))
            continue
        places.append(place)
        advice += advise_on_place(place, network_allowed=_network_allowed(env))
    stored = {journal.name for journal in journals if journal.name is not None}
    names = [*dict.fromkeys(apps), *sorted(stored - set(apps))]
    applications = [look_at_application(env, name, asked_for=name in apps) for name in names]
    machine = look_at_machine()
    advice += advise_on_machine(machine)
    advice += advise_on_keys(env, names)
    for application in applications:
        advice += advise_on_application(application, env)
        advice += advise_on_differences(application, journals)
    for seen in journals:
        advice += advise_on_journal(seen, os.geteuid())
        advice += advise_on_upstreams(effects, seen)
    return DoctorReport(
        path=None if path is None else os.path.abspath(os.fspath(path)),
        machine=machine,
        places=tuple(places),
        applications=tuple(applications),
        journals=tuple(journals),
        advice=tuple(sorted(advice, key=lambda one: _GRAVITY[one.severity])),
    )


def _roots(
    path: str | os.PathLike[str] | None, apps: Sequence[str], env: Mapping[str, str]
) -> list[str]:
    """The directories to look at."""
    if path is not None:
        return [os.path.abspath(os.fspath(path))]
    found = (find_setting(env, name, _PATH) for name in ("", *apps))
    texts = [one.text for one in found if one is not None and one.text not in {"", MEMORY}]
    return [*dict.fromkeys(map(os.path.abspath, texts))]


def _network_allowed(env: Mapping[str, str]) -> bool:
    try:
        return read_setting(env, "", "AURORA_ALLOW_NETWORK_FILE_SYSTEM", parse_flag, default=False)
    except AuroraConfigurationError:
        return False


def _unreadable(directory: str) -> Advice:
    return Advice(
        kind="directory-unreadable",
        severity=ERROR,
        where=directory,
        found=f"user {os.geteuid()} may not look into it",
        cure="run as its owner, or give this user the right to",
    )


def _unusable(root: str, error: OSError) -> Advice:
    return Advice(
        kind="directory-unusable",
        severity=ERROR,
        where=root,
        found=f"{error.filename or root}: {error.strerror}",
        cure="run as the user that the application runs as",
    )

"""What an application, or a projection, sees of the settings, and where its data lands.

Theory of operation: the same look-up as in the factory, over the environment that is passed in. A
projection is an application named ``Projection.name`` for this: its runner reads ``os.environ`` and
the ``env=`` it is given, and never the ``env`` of an application's class. What is set there is not
seen from outside the program, neither by a runner nor here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import msgspec

from aurora_es.care.advice import ERROR, NOTE, WARNING, Advice
from aurora_es.environment import (
    MEMORY,
    PARSERS,
    PERSISTENCE_DEFAULT,
    PERSISTENCE_KEYS,
    find_setting,
    keys_of,
    misspelled_keys,
    read_setting,
)
from aurora_es.errors import AuroraConfigurationError
from aurora_es.format.names import directory_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aurora_es.environment import Found

_OURS = "aurora_es"
_PATH = "AURORA_PATH"
_VIEW_PURPOSE = "tracking"
_SHELL_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
RUNNER_ADVICE = (
    "put the settings into os.environ, or pass env= to the runner: a projection's runner does not"
    " see an application's class-level env"
)


class SettingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as an application sees it."""

    setting: str
    key: str | None  # the key that won; None: not set, the default holds
    text: str | None
    tried: tuple[str, ...]  # keys, in the order in which they are looked up


class ApplicationReport(msgspec.Struct, frozen=True, kw_only=True):
    """An application or projection, by its name."""

    name: str
    asked_for: bool  # by its name; else it was found in the store
    persistence: SettingSeen  # text: the module or factory
    settings: tuple[SettingSeen, ...]
    root: str | None  # its AURORA_PATH
    directory: str | None  # of its journals; None where there is none
    view: str  # where the view of a projection of this name lands


def look_at_application(env: Mapping[str, str], name: str, *, asked_for: bool) -> ApplicationReport:
    """See the settings as the application sees them."""
    persistence = _persistence(env, name)
    root = find_setting(env, name, _PATH)
    directory = _directory(persistence, root, name)
    return ApplicationReport(
        name=name,
        asked_for=asked_for,
        persistence=persistence,
        settings=tuple(_seen(env, name, setting) for setting in PARSERS),
        root=None if root is None or root.text == MEMORY else os.path.abspath(root.text),
        directory=directory,
        view=_view(persistence, root, directory),
    )


def _seen(env: Mapping[str, str], name: str, setting: str) -> SettingSeen:
    found = find_setting(env, name, setting)
    key, text = (None, None) if found is None else found
    return SettingSeen(setting=setting, key=key, text=text, tried=tuple(keys_of(name, setting)))


def _persistence(env: Mapping[str, str], name: str) -> SettingSeen:
    tried = tuple(key for setting in PERSISTENCE_KEYS for key in keys_of(name, setting))
    for setting in PERSISTENCE_KEYS:
        found = find_setting(env, name, setting)
        if found is not None and found.text:
            return SettingSeen(setting=setting, key=found.key, text=found.text, tried=tried)
    return SettingSeen(setting=PERSISTENCE_KEYS[0], key=None, text=PERSISTENCE_DEFAULT, tried=tried)


def uses_aurora(persistence: SettingSeen) -> bool:
    """Whether a topic names this package, or something in it."""
    return re.split(r"[.:]", persistence.text or "")[0] == _OURS


def _directory(persistence: SettingSeen, root: Found | None, name: str) -> str | None:
    encoded = directory_name(name)
    if not uses_aurora(persistence) or root is None or encoded is None:
        return None
    if root.text in {"", MEMORY}:
        return None
    return os.path.join(os.path.abspath(root.text), encoded)


def _view(persistence: SettingSeen, root: Found | None, directory: str | None) -> str:
    if directory is not None:
        return os.path.join(directory, _VIEW_PURPOSE)
    if uses_aurora(persistence):
        if root is not None and root.text == MEMORY:
            return "a temporary directory, gone with the process (AURORA_PATH=:memory:)"
        return "nowhere: its factory is refused"
    if persistence.text == PERSISTENCE_DEFAULT:
        return f"in the memory of the process, gone with it ({PERSISTENCE_DEFAULT})"
    return f"in another backend ({persistence.text})"


def advise_on_application(
    application: ApplicationReport, env: Mapping[str, str]
) -> Iterator[Advice]:
    """What is wrong with the settings of an application."""
    yield from _advise_on_persistence(application)
    if not uses_aurora(application.persistence):
        return
    name = application.name
    for setting, parse in PARSERS.items():
        try:
            read_setting(env, name, setting, parse, None)
        except AuroraConfigurationError as error:
            yield Advice(
                kind="setting-wrong",
                severity=ERROR,
                where=_label(name),
                found=str(error),
                cure=f"correct {setting}, or unset it",
            )
    if not read_setting(env, name, _PATH, str, ""):
        yield Advice(
            kind="path-missing",
            severity=ERROR,
            where=_label(name),
            found=f"{_PATH} is not set (looked up as {', '.join(keys_of(name, _PATH))})",
            cure=f"set {_PATH} to a directory on a local disk",
        )
    if directory_name(name) is None:
        yield Advice(
            kind="name-too-long",
            severity=ERROR,
            where=_label(name),
            found="its name takes more than 200 bytes as that of a directory",
            cure="give the application a shorter name",
        )


def _advise_on_persistence(application: ApplicationReport) -> Iterator[Advice]:
    persistence = application.persistence
    if uses_aurora(persistence):
        return
    if persistence.key is None:
        # Who only found a store may well look at it from a shell without the program's settings.
        severity = WARNING if application.asked_for else NOTE
        found = (
            f"{persistence.setting} is not set: here its events and views would be kept in memory,"
            " and be gone with the process"
        )
        cure = f"set {persistence.tried[0]}={_OURS}; {RUNNER_ADVICE}"
    else:
        severity = NOTE
        found = f"{persistence.key}={persistence.text}: its data, and a view of this name, go there"
        cure = f"if that is not meant, set {persistence.tried[0]}={_OURS}; {RUNNER_ADVICE}"
    yield Advice(
        kind="other-backend",
        severity=severity,
        where=_label(application.name),
        found=found,
        cure=cure,
    )


def advise_on_keys(env: Mapping[str, str], names: Sequence[str]) -> Iterator[Advice]:
    """Keys that nobody reads, though somebody may think so."""
    for key, meant in misspelled_keys(env):
        yield Advice(
            kind="key-misspelled",
            severity=WARNING,
            where=key,
            found="no setting of aurora_es; it is ignored",
            cure=f"did you mean {meant}? Rename it, or leave it if it is another program's",
        )
    settings = [*PARSERS, *PERSISTENCE_KEYS]
    known = {key for name in ["", *names] for setting in settings for key in keys_of(name, setting)}
    by_capitals = {key.upper(): key for key in known}
    for key in env:
        meant_key = by_capitals.get(key.upper())
        if meant_key is not None and key not in known:
            yield Advice(
                kind="key-in-lower-case",
                severity=WARNING,
                where=key,
                found="it is never looked up: keys, names of applications in them, are upper case",
                cure=f"rename it to {meant_key}",
            )
    for name in names:
        if name and not _SHELL_NAME.fullmatch(name.upper()):
            yield Advice(
                kind="key-not-for-shells",
                severity=NOTE,
                where=_label(name),
                found=f"keys of its own, as {keys_of(name, _PATH)[0]!r}, cannot be set in a shell",
                cure="set keys without the name, or set them in the program (os.environ, env=)",
            )


def _label(name: str) -> str:
    return f"application {name!r}"

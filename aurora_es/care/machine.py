"""What ``doctor`` knows of the machine and the packages, and what is wrong with them."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import google_crc32c
import msgspec

from aurora_es.care.advice import ERROR, WARNING, Advice
from aurora_es.files.surroundings import inotify_limits, watcher_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES = (
    "aurora-es",
    "eventsourcing",
    "msgspec",
    "numpy",
    "lz4",
    "cramjam",
    "google-crc32c",
)
_OPTIONAL = ("zstandard",)
_EVENTSOURCING_MIN, _EVENTSOURCING_BELOW = (9, 5, 6), (10,)


class MachineReport(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, as this process sees it."""

    system: str
    python: str
    versions: dict[str, str | None]  # None: not installed
    crc32c: str  # how checksums are computed: "c", or "python", which is a hundred times slower
    watcher_error: str  # empty: readers are woken by the kernel
    inotify: dict[str, int]  # limits of a user


def look_at_machine() -> MachineReport:
    """Look at versions and limits."""
    return MachineReport(
        system=platform.platform(),
        python=f"{sys.implementation.name} {platform.python_version()}",
        versions={name: _version(name) for name in (*_PACKAGES, *_OPTIONAL)},
        crc32c=str(google_crc32c.implementation),
        watcher_error=watcher_error(),
        inotify=inotify_limits(),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def advise_on_machine(machine: MachineReport) -> Iterator[Advice]:
    """What is wrong with it."""
    for name, version in machine.versions.items():
        # Our own is not installed where the sources are used as they lie.
        if version is None and name not in {*_OPTIONAL, "aurora-es"}:
            yield Advice(
                kind="package-missing",
                severity=ERROR,
                where=name,
                found="not installed",
                cure=f"`pip install {name}`",
            )
    version = machine.versions.get("eventsourcing")
    if version is not None:
        numbers = tuple(map(int, re.findall(r"[0-9]+", version)[:3]))
        if not _EVENTSOURCING_MIN <= numbers < _EVENTSOURCING_BELOW:
            yield Advice(
                kind="eventsourcing-version",
                severity=WARNING,
                where="eventsourcing",
                found=f"version {version}; this version of aurora_es is tested with 9.5.6 to 9.x",
                cure="`pip install 'eventsourcing>=9.5.6,<10'`",
            )
    if machine.crc32c != "c":
        yield Advice(
            kind="checksum-slow",
            severity=WARNING,
            where="google-crc32c",
            found=f"checksums are computed by its {machine.crc32c} implementation",
            cure="install a wheel with the C implementation: `pip install --force-reinstall"
            " --only-binary :all: google-crc32c`",
        )
    if machine.watcher_error:
        yield Advice(
            kind="no-watcher",
            severity=WARNING,
            where="inotify" if machine.inotify else "kernel",
            found=f"{machine.watcher_error}; readers poll every 1 to 50 ms",
            cure="close other programs of this user that watch files, or raise the limit:"
            " `sysctl fs.inotify.max_user_instances=1024`",
        )

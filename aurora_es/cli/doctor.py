"""The command ``doctor``: prints what was seen, and then what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aurora_es.cli.arguments import AsJson
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import check_directory
from aurora_es.cli.text import json_bytes, printable, size_text, time_text

if TYPE_CHECKING:
    from aurora_es.care.advice import Advice
    from aurora_es.care.applications import ApplicationReport
    from aurora_es.care.doctor import DoctorReport
    from aurora_es.care.journals import JournalReport
    from aurora_es.care.machine import MachineReport
    from aurora_es.care.places import PlaceReport

EXIT_WARNED = 5
EXIT_CODES = (
    "Of doctor: 0 nothing but notes; 5 a warning or an error among what it says; 1 PATH is no"
    " directory."
)
_LABEL_WIDTH = 24


def doctor(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="A journal, an application's directory or an AURORA_PATH; if unset, the AURORA_PATH"
            " of the environment.",
        ),
    ] = None,
    *,
    app: Annotated[
        list[str] | None,
        typer.Option(
            "--app",
            metavar="NAME",
            show_default=False,
            help="Show the settings of this application or projection; again for more of them.",
        ),
    ] = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Also write and remove one temporary file: sync cost, flock, links."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which settings an application sees, where its data lands, and what to see to.

    Looks at the environment (which key won), the journals (what they record, what is left over), the
    file system (flock, links, space, rights), the clock, wake-ups and versions. Read-only without
    --probe. The env of an application's class is not seen: a projection's runner ignores it, too.
    """
    from aurora_es.care.advice import NOTE
    from aurora_es.care.doctor import doctor as look

    with errors_told():
        if path is not None:
            path = os.path.abspath(path)
            check_directory(path, may_be_missing=True)
        report = look(path, apps=app or (), probe=probe)
        if as_json:
            sys.stdout.buffer.write(json_bytes(_encodable(report)))
        else:
            for line in _lines(report):
                print(line)
        if any(one.severity != NOTE for one in report.advice):
            sys.stdout.flush()
            raise typer.Exit(EXIT_WARNED)


def _encodable(report: DoctorReport) -> object:
    """The report with bytes of paths that are no UTF-8 escaped, which JSON could not hold."""
    return _escaped(msgspec.to_builtins(report, str_keys=True))


def _escaped(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(item) for item in value]
    return value


def _lines(report: DoctorReport) -> Iterator[str]:
    yield from _section("machine", _machine(report.machine))
    for place in report.places:
        yield from _section(f"directory {place.path}", _place(place))
    for application in report.applications:
        yield from _section(f"application {application.name!r}", _application(application))
    for journal in report.journals:
        yield from _section(f"journal {journal.path}", _journal(journal))
    yield from _advice(report.advice)


def _section(title: str, facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield printable(title)
    for label, value in facts:
        yield f"  {label:<{_LABEL_WIDTH}}{printable(value)}"
    yield ""


def _machine(machine: MachineReport) -> Iterator[tuple[str, str]]:
    yield "system", machine.system
    yield "python", machine.python
    for name, version in machine.versions.items():
        yield name, version or "not installed"
    yield "CRC-32C", f"{machine.crc32c} implementation"
    yield "wake-ups", machine.watcher_error or "by the kernel"
    for name, limit in machine.inotify.items():
        yield name, f"{limit:,}"


def _place(place: PlaceReport) -> Iterator[tuple[str, str]]:
    if not place.exists:
        yield "exists", f"no; {place.nearest} does"
    yield "file system", place.file_system or "unknown"
    yield "wake-ups", "readers poll" if place.is_polled else "by the kernel"
    yield "flock", _works(place.flock)
    yield "hard links", _works(place.hard_links)
    if place.space is not None:
        free = place.space.free_bytes
        yield "free", "not counted" if free is None else size_text(free)
        inodes = place.space.free_inodes
        yield "free inodes", "not counted" if inodes is None else f"{inodes:,}"
    if place.probed is not None:
        probed = place.probed
        yield "sync", f"p50 {probed.sync_p50_us:,} µs, p99 {probed.sync_p99_us:,} µs"
    yield "mode, user", f"{place.mode}, {place.user}"


def _works(works: bool | None) -> str:
    if works is None:
        return "not tried (--probe tries)"
    return "works" if works else "does not work"


def _application(application: ApplicationReport) -> Iterator[tuple[str, str]]:
    persistence = application.persistence
    if persistence.key is None:
        yield "persistence", f"not set in this environment; by default {persistence.text}"
    else:
        yield "persistence", f"{persistence.text} ({persistence.key})"
    for seen in application.settings:
        if seen.key is not None:
            yield seen.setting, f"{seen.text} ({seen.key})"
    unset = [seen.setting for seen in application.settings if seen.key is None]
    yield "by default", ", ".join(unset)
    yield "journals in", application.directory or "no directory"
    yield "a projection's view", application.view


def _journal(journal: JournalReport) -> Iterator[tuple[str, str]]:
    if journal.name is not None:
        yield "application", repr(journal.name)
    if journal.sync is not None:
        yield "sync", journal.sync
        yield "roll cycle", str(journal.roll_cycle)
        yield "compression", str(journal.compression)
        hours = journal.cool_after_hours
        yield "cool after", "never" if hours is None else f"{hours}h"
        yield "open for appending", _yes_or_no(journal.is_open)
    if journal.last_position is not None:
        yield "positions", f"{journal.last_position:,}"
        yield "durable", _yes_or_no(journal.durable)
        yield "not sealed", f"{journal.unsealed_segments} closed segments"
    if journal.last_timestamp is not None:
        yield "last commit", time_text(journal.last_timestamp)
    for name, notification_id in journal.tracking.items():
        yield "follows", f"{name!r} at {notification_id:,}"
    yield "epoch", "unknown" if journal.epoch is None else str(journal.epoch)
    for begin in journal.epochs:
        yield f"  epoch {begin.epoch}", f"by position {begin.base_position:,}"
    yield "mode, user", f"{journal.mode}, {journal.user}"


def _yes_or_no(answer: bool | None) -> str:
    if answer is None:
        return "unknown"
    return "yes" if answer else "no"


def _advice(advice: Sequence[Advice]) -> Iterator[str]:
    if not advice:
        yield "Nothing to see to."
    for one in advice:
        yield f"{one.severity}: {printable(one.where)}: {printable(one.found)}"
        yield f"  to do: {printable(one.cure)}"

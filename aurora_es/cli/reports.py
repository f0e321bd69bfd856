"""Tells what was done: as text or as one JSON object, of several journals even if one of them fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import msgspec

from aurora_es.cli.text import encodable, json_bytes, printable, size_text

_Report = TypeVar("_Report", bound=msgspec.Struct)


def report_told(
    report: _Report, *paths: str, as_json: bool, as_text: Callable[[_Report], object]
) -> None:
    """Print a report with ``journals``, as one JSON object or as text; ``paths`` are fields of it."""
    if not as_json:
        as_text(report)
        return
    shown: dict[str, object] = {name: encodable(getattr(report, name)) for name in paths}
    shown["journals"] = [
        msgspec.structs.replace(one, path=encodable(one.path))
        for one in getattr(report, "journals", ())
    ]
    sys.stdout.buffer.write(json_bytes(msgspec.structs.replace(report, **shown)))


class Dropped(Protocol):
    """What the reports of all that drops old segments have in common."""

    @property
    def dry_run(self) -> bool:
        """Whether nothing was changed."""

    @property
    def retained_from(self) -> int:
        """First position that is left."""

    @property
    def dropped_segments(self) -> int:
        """Number of files."""

    @property
    def dropped_bytes(self) -> int:
        """Of those files."""


def dropped_text(path: str, report: Dropped, count: str) -> str:
    """What was dropped of the journal or queue ``path``, or would be; ``count`` says of what."""
    verb = "would drop" if report.dry_run else "dropped"
    return (
        f"{printable(path)}: {verb} {report.dropped_segments:,} segments, {count},"
        f" {size_text(report.dropped_bytes)}; retained from position {report.retained_from:,}"
    )


@contextmanager
def reports_told(path: str, *, as_json: bool, **more: object) -> Iterator[list[object]]:
    """Collect the reports of journals under ``path``, each without bytes that JSON could not hold.

    With ``as_json`` they are printed at the end, with ``more`` beside them. Where a journal fails, those before it were
    worked on: they are told all the same, and the error goes on.
    """
    reports: list[object] = []
    is_done = False
    try:
        yield reports
        is_done = True
    finally:
        if as_json and (is_done or reports):
            found = {"path": encodable(path), "journals": reports, **more}
            sys.stdout.buffer.write(json_bytes(found))

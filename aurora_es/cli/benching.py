"""The command bench."""

from __future__ import annotations

import os
import sys
from signal import SIGTERM, signal
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aurora_es.cli.arguments import AsJson
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import check_directory, network_allowed
from aurora_es.cli.progress import progress_shown
from aurora_es.cli.text import encodable, json_bytes, printable

if TYPE_CHECKING:
    from aurora_es.care.bench import BenchReport

_NAME_WIDTH = 28


def bench(
    directory: Annotated[
        str | None,
        typer.Argument(
            metavar="DIRECTORY",
            show_default=False,
            help="A directory on the disk to measure; if unset, the AURORA_PATH of the environment,"
            " or else the current directory.",
        ),
    ] = None,
    *,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=120, show_default=False, help="Measure for so long; 10 if unset."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what this disk and machine give: a write with a sync, appends, reads.

    Writes a directory .aurora-es-bench-… in DIRECTORY, of some hundred MiB at most, and removes it at the
    end. Events are of about 200 bytes, by one thread, without an application's mapper. "x floor" compares a call that
    syncs with a plain write and fdatasync of the same size into a file filled with zeros.
    """
    from aurora_es.care.bench import SECONDS_DEFAULT
    from aurora_es.care.bench import bench as measure

    with errors_told():
        place = os.path.abspath(directory or os.environ.get("AURORA_PATH") or ".")
        check_directory(place)
        signal(SIGTERM, _end)
        with progress_shown(f"measuring {printable(place)}") as progress:
            report = measure(
                place,
                seconds=SECONDS_DEFAULT if seconds is None else seconds,
                progress=progress,
                allow_network_file_system=network_allowed(),
            )
        if as_json:
            shown = msgspec.structs.replace(report, path=encodable(report.path))
            sys.stdout.buffer.write(json_bytes(shown))
            return
        _print(report)


def _end(number: int, _: object) -> None:
    """Leave as after Ctrl-C, with the directory removed."""
    sys.exit(128 + number)


def _print(report: BenchReport) -> None:
    print(f"{printable(report.path)}: {report.file_system or 'unknown file system'}")
    print(f"{'':<{_NAME_WIDTH}}{'p50 µs':>12}{'p99 µs':>12}{'events/s':>14}{'x floor':>10}")
    for row in report.rows:
        ratio = "" if row.times_floor is None else f"{row.times_floor:.2f}"
        line = f"{row.name:<{_NAME_WIDTH}}{row.p50_us:>12,.1f}{row.p99_us:>12,.1f}"
        print(f"{line}{row.per_second:>14,.0f}{ratio:>10}".rstrip())

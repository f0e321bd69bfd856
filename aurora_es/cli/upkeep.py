"""The commands that look after sealed segments: seal, merge, cool, retain, compact.

Each works beside writers and readers, one at a time on a journal, and may be killed at any point.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import msgspec
import typer

from aurora_es.cli.arguments import (
    AsJson,
    PathToLookAt,
    PathToRead,
    bytes_max_option,
    older_than_option,
    parse_age,
    parser_of,
)
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import find_one_to_change, find_to_change, refuse_queue
from aurora_es.cli.progress import progress_shown
from aurora_es.cli.reports import dropped_text, reports_told
from aurora_es.cli.text import encodable, json_bytes, printable
from aurora_es.journal import background, compaction, retention
from aurora_es.journal.cool import COOL_CODEC_DEFAULT, codec_named
from aurora_es.journal.retention import RetentionReport

_Progress = Callable[[int, int], object]
_HOUR = timedelta(hours=1)


def _codec(text: str) -> str:
    """The name of a codec that there is; raises AuroraConfigurationError."""
    codec_named(text)
    return text


def seal(path: PathToLookAt, *, as_json: AsJson = False) -> None:
    """Seal what has been rolled: write index runs and tables, so that less is kept in memory.

    Appenders start the same by themselves when they roll; this is for stores whose appenders run
    with AURORA_BACKGROUND=n, or after a run was killed.
    """

    def work(journal: str, progress: _Progress | None) -> dict[str, int]:
        return {"sealed_segments": background.seal(journal, progress=progress)}

    _work(path, "sealing", work, as_json=as_json)


def merge(
    path: PathToLookAt,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Merge all index runs to one, due or not.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Merge index runs that are due, so that a look-up asks few of them."""

    def work(journal: str, progress: _Progress | None) -> dict[str, int]:
        merged = background.merge(journal, everything=everything, progress=progress)
        return {"merged_runs": merged}

    _work(path, "merging", work, as_json=as_json)


def cool(
    path: PathToLookAt,
    *,
    codec: Annotated[
        str,
        typer.Option(metavar="CODEC", parser=parser_of(_codec), help="lz4, none, snappy or zstd."),
    ] = COOL_CODEC_DEFAULT,
    older_than: Annotated[
        timedelta,
        typer.Option(
            parser=parse_age,
            metavar="AGE",
            help="Only segments whose last commit is that old: 90s, 30m, 24h, 7d, 4w.",
        ),
    ] = "24h",  # type: ignore[assignment] # parsed as if it had been typed
    as_json: AsJson = False,
) -> None:
    """Store sealed segments again, in larger frames and compressed; every read works as before.

    A copy is read back and compared before it takes a segment's place.
    """

    def work(journal: str, progress: _Progress | None) -> dict[str, int]:
        hours = older_than / _HOUR
        cooled = background.cool(journal, codec=codec, older_than_hours=hours, progress=progress)
        return {"cooled_segments": cooled}

    _work(path, "cooling", work, as_json=as_json)


def retain(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToRead,
    *,
    older_than: Annotated[
        timedelta | None, older_than_option("segments whose last commit is")
    ] = None,
    before_position: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="Drop segments that end before it."),
    ] = None,
    bytes_max: Annotated[int | None, bytes_max_option("segments")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be dropped, and of whom.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Drop the oldest sealed segments of a journal for good; try --dry-run first.

    Any of the bounds is enough to drop a segment. Refused while an application in the same AURORA_PATH
    has yet to read it. For a queue there is `queue retain`, which knows its names.
    """
    if older_than is None and before_position is None and bytes_max is None:
        message = "expected --older-than, --before-position or --bytes-max, found none of them"
        raise typer.BadParameter(message)
    with errors_told():
        refuse_queue(os.path.abspath(path))
        journal = find_one_to_change(os.path.abspath(path))
        report = retention.retain(
            journal,
            older_than=older_than,
            before_position=before_position,
            bytes_max=bytes_max,
            dry_run=dry_run,
        )
        _print_report(report, as_json=as_json)


def compact(
    path: PathToLookAt,
    *,
    keep_snapshots: Annotated[
        int, typer.Option(min=1, help="Keep so many snapshots of every aggregate, at least.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be dropped.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Drop superseded snapshots, and old tracking records, in whole sealed segments.

    Of an application or an AURORA_PATH its snapshots and tracking; events are never compacted.
    """
    with errors_told():
        path = os.path.abspath(path)
        journals = find_to_change(path)
        if journals != [path]:
            purposes = {compaction.SNAPSHOTS, compaction.TRACKING}
            journals = [one for one in journals if os.path.basename(one) in purposes]
        with reports_told(path, as_json=as_json) as reports:
            for journal in journals:
                report = compaction.compact(journal, keep_snapshots=keep_snapshots, dry_run=dry_run)
                reports.append(msgspec.structs.replace(report, path=encodable(report.path)))
                if not as_json:
                    _print_report(report, as_json=False)
            if not journals and not as_json:
                print(f"{printable(path)}: no snapshots and no tracking, so nothing to compact")


def _print_report(report: RetentionReport, *, as_json: bool) -> None:
    if as_json:
        shown = msgspec.structs.replace(report, path=encodable(report.path))
        sys.stdout.buffer.write(json_bytes(shown))
        return
    count = f"{report.dropped_positions:,} positions"
    print(dropped_text(report.path, report, count))
    if report.originator_count:
        print(f"{report.originator_count:,} originators would lose their first events:")
        for originator_id in report.originator_ids:
            print(printable(str(originator_id)))
        if report.originator_count > len(report.originator_ids):
            print("...")


def _work(
    path: str,
    what: str,
    work: Callable[[str, _Progress | None], dict[str, int]],
    *,
    as_json: bool,
) -> None:
    """Work on every journal under ``path``, and print what was done on each."""
    with errors_told():
        path = os.path.abspath(path)
        with reports_told(path, as_json=as_json) as results:
            for journal in find_to_change(path):
                with progress_shown(f"{what} {printable(os.path.relpath(journal))}") as progress:
                    counts = work(journal, progress)
                results.append({"path": encodable(journal), **counts})
                if not as_json:
                    ((name, count),) = counts.items()
                    print(f"{printable(journal)}: {_counted(name, count)}")


def _counted(name: str, count: int) -> str:
    """``sealed_segments`` and 1 as "sealed 1 segment"."""
    verb, _, noun = name.partition("_")
    return f"{verb} {count:,} {noun.removesuffix('s') if count == 1 else noun}"

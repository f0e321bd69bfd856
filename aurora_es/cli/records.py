"""The commands that print records as they stand in a journal: cat, tail, grep."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from aurora_es.cli.applications import decoder_of
from aurora_es.cli.arguments import (
    ApplicationClass,
    Limit,
    OriginatorId,
    PathToRead,
    RecordsAsJson,
    SearchedText,
    Since,
    Start,
    Stop,
    Topics,
    Until,
    parsed_pattern,
)
from aurora_es.cli.endings import EXIT_REFUSED, errors_told
from aurora_es.cli.finding import find_journal, open_to_read
from aurora_es.cli.progress import progress_shown
from aurora_es.cli.rendering import record_printer
from aurora_es.cli.text import json_bytes, printable
from aurora_es.inspection.selection import (
    Filter,
    candidates,
    newest_records,
    position_range,
    records_between,
)
from aurora_es.journal.journal import Journal
from aurora_es.journal.records import StoredRecord

_PROGRESS_RECORDS = 10_000


def cat(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToRead,
    *,
    start: Start = None,
    stop: Stop = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    topic: Topics = None,
    originator: OriginatorId = None,
    text: SearchedText = None,
    app: ApplicationClass = None,
    as_json: RecordsAsJson = False,
) -> None:
    """Print records in order: position, time (UTC), originator id and version, topic, state.

    Behind a pipe: one line per record, tabs between the fields. States of AURORA_MAPPER=msgpack are
    shown as JSON; one that is no text: hex.
    """
    with errors_told():
        decoder = decoder_of(app, path)
        chosen = Filter(tuple(topic or ()), originator, text, decoder)
        with _open(path) as journal:
            print_record = record_printer(as_json=as_json, decoder=decoder, pattern=text)
            first, last = _range(journal, start, stop, since, until)
            for stored in records_between(
                journal, start=first, stop=last, limit=limit, chosen=chosen
            ):
                print_record(stored)


def tail(  # noqa: PLR0913 - as cat
    path: PathToRead,
    *,
    count: Annotated[
        int, typer.Option("-n", "--count", min=0, help="Begin with so many records.")
    ] = 10,
    after: Annotated[
        int | None,
        typer.Option(
            metavar="POSITION",
            min=0,
            show_default=False,
            help="Begin with all records behind this position, instead of -n.",
        ),
    ] = None,
    since: Since = None,
    follow: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Go on with new records as they come, until Ctrl-C."),
    ] = False,
    topic: Topics = None,
    originator: OriginatorId = None,
    text: SearchedText = None,
    app: ApplicationClass = None,
    as_json: RecordsAsJson = False,
) -> None:
    """Print the newest records, and with -f every later one as soon as it is committed.

    The form is that of cat. --since, as --after, begins there instead of with -n records. Ctrl-C
    ends -f with exit code 0.
    """
    try:
        with errors_told():
            decoder = decoder_of(app, path)
            chosen = Filter(tuple(topic or ()), originator, text, decoder)
            with _open(path) as journal:
                print_record = record_printer(as_json=as_json, decoder=decoder, pattern=text)
                last = journal.last_position
                for stored in _begin(journal, chosen, last, count, after, since):
                    print_record(stored)
                if not follow:
                    return
                sys.stdout.flush()
                with journal.tail(after=last) as tailer:
                    for stored in chosen.choose(tailer):
                        print_record(stored)
                        sys.stdout.flush()
    except KeyboardInterrupt:
        if not follow:
            raise


def _begin(  # noqa: PLR0913, PLR0917 - as tail
    journal: Journal,
    chosen: Filter,
    last: int,
    count: int,
    after: int | None,
    since: datetime | None,
) -> Iterator[StoredRecord]:
    """What tail prints of the records up to position ``last``."""
    if after is None and since is None:
        return newest_records(journal, until=last, count=count, chosen=chosen)
    start = None if after is None else after + 1
    first, _ = position_range(journal, start=start, since=since)
    return records_between(journal, start=first, stop=last, limit=None, chosen=chosen)


def grep(  # noqa: PLR0913 - as cat
    path: PathToRead,
    pattern: Annotated[
        re.Pattern[str],
        typer.Argument(
            metavar="PATTERN",
            parser=parsed_pattern,
            show_default=False,
            help="A regular expression as of Python's re, searched in topic and state.",
        ),
    ],
    *,
    ignore_case: Annotated[
        bool, typer.Option("-i", "--ignore-case", help="Take A and a for the same.")
    ] = False,
    only_count: Annotated[
        bool, typer.Option("-c", "--count", help="Print only how many records were found.")
    ] = False,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="Search backwards, from the newest record on.")
    ] = False,
    start: Start = None,
    stop: Stop = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    topic: Topics = None,
    originator: OriginatorId = None,
    app: ApplicationClass = None,
    as_json: RecordsAsJson = False,
) -> None:
    """Print the records in whose topic or state PATTERN is found; the form is that of cat.

    States are searched as cat shows them: uncompressed, and decoded by --app. Exit code 1 if nothing
    is found.
    """
    if ignore_case:
        pattern = re.compile(pattern.pattern, re.IGNORECASE)
    with errors_told():
        decoder = decoder_of(app, path)
        chosen = Filter(tuple(topic or ()), originator, pattern, decoder)
        found = 0
        with _open(path) as journal:
            print_record = record_printer(as_json=as_json, decoder=decoder, pattern=pattern)
            first, last = _range(journal, start, stop, since, until)
            searched = _searched(journal, chosen, first, last, newest_first=newest_first)
            for stored in islice(searched, limit):
                found += 1
                if not only_count:
                    print_record(stored)
        if only_count:
            if as_json:
                sys.stdout.buffer.write(json_bytes({"count": found}))
            else:
                print(found)
        if not found:
            sys.stdout.flush()
            raise typer.Exit(EXIT_REFUSED)


def _searched(
    journal: Journal, chosen: Filter, first: int, last: int, *, newest_first: bool
) -> Iterator[StoredRecord]:
    """Chosen records; where their output is elsewhere, the terminal shows how far the search is."""
    read = candidates(journal, chosen, start=first, stop=last, backwards=newest_first)
    if sys.stdout.isatty():
        yield from filter(chosen.finds, read)
        return
    with progress_shown(f"searching {printable(os.path.relpath(journal.handle.path))}") as progress:
        for at, stored in enumerate(read):
            if progress is not None and at % _PROGRESS_RECORDS == 0:
                done = last - stored.position if newest_first else stored.position - first
                progress(done, last - first + 1)
            if chosen.finds(stored):
                yield stored


def _range(
    journal: Journal,
    start: int | None,
    stop: int | None,
    since: datetime | None,
    until: datetime | None,
) -> tuple[int, int]:
    """First and last position; a start that was dropped is refused, as it was asked for."""
    first, last = position_range(journal, start=start, stop=stop, since=since, until=until)
    return first if start is None else max(start, first if since is not None else start), last


def _open(path: str) -> Journal:
    return open_to_read(find_journal(os.path.abspath(path)))

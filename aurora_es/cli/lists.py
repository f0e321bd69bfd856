"""The commands that list what is in a journal: streams, topics."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer

from aurora_es.cli.arguments import AsJson, AsJsonLines, PathToRead
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import find_journal, open_to_read
from aurora_es.cli.text import json_bytes, printable
from aurora_es.inspection.aggregates import not_there
from aurora_es.inspection.streams import find_stream, find_whole, list_streams
from aurora_es.journal.journal import Journal
from aurora_es.journal.listing import Originator


def streams(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToRead,
    *,
    prefix: Annotated[
        str | None,
        typer.Option(show_default=False, help="Only ids that begin with this text."),
    ] = None,
    first_topic: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC", show_default=False, help="Only those whose first record has it."
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            metavar="ID", show_default=False, help="Go on behind this one, which was listed last."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, show_default=False, help="Print at most so many.")
    ] = None,
    as_json: AsJsonLines = False,
) -> None:
    """List originators (aggregates), in no useful order; memory does not grow with their number.

    The order is the same each time, so that --after and --limit page through them.

    A line each, tabs between: id, number of records, last version, first position, first topic.
    """
    with errors_told(), open_to_read(find_journal(os.path.abspath(path))) as journal:
        for found in islice(_chosen(journal, prefix, first_topic, after), limit):
            if as_json:
                sys.stdout.buffer.write(json_bytes(found))
                continue
            fields = (
                printable(str(found.originator_id)),
                str(found.record_count),
                str(found.last_version),
                str(found.first_position),
                printable(found.first_topic),
            )
            print("\t".join(fields))


def _chosen(
    journal: Journal, prefix: str | None, first_topic: str | None, after: str | None
) -> Iterator[Originator]:
    """The originators that are asked for; a whole UUID is looked up."""
    behind = None
    if after is not None:
        found = find_stream(journal, after)
        if found is None:
            raise not_there(journal, after)
        behind = found.originator_id
    whole = None if prefix is None or after is not None else find_whole(journal, prefix)
    listed = list_streams(journal, behind) if whole is None else iter([whole])
    for found in listed:
        if whole is None and not str(found.originator_id).startswith(prefix or ""):
            continue
        if first_topic is None or found.first_topic == first_topic:
            yield found


def topics(path: PathToRead, *, as_json: AsJson = False) -> None:
    """Count the records of each topic, most frequent first; a tab between number and topic."""
    with errors_told(), open_to_read(find_journal(os.path.abspath(path))) as journal:
        counts = sorted(journal.topics().items(), key=lambda item: (-item[1], item[0]))
        if as_json:
            sys.stdout.buffer.write(json_bytes({"topics": dict(counts)}))
            return
        for topic, count in counts:
            print(f"{count}\t{printable(topic)}")

"""The commands that list what is in a journal: streams, topics."""

from __future__ import annotations

import os
import sys
from itertools import islice
from typing import Annotated

import typer

from aurora_es.cli.arguments import AsJson, AsJsonLines, PathToRead
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import find_journal, open_to_read
from aurora_es.cli.text import json_bytes, printable


def streams(
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
    limit: Annotated[
        int | None, typer.Option(min=0, show_default=False, help="Print at most so many.")
    ] = None,
    as_json: AsJsonLines = False,
) -> None:
    """List originators (aggregates), in no useful order; memory does not grow with their number.

    A line each, tabs between: id, number of records, last version, first position, first topic.
    """
    with errors_told(), open_to_read(find_journal(os.path.abspath(path))) as journal:
        for found in islice(journal.originator_ids(prefix, first_topic), limit):
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


def topics(path: PathToRead, *, as_json: AsJson = False) -> None:
    """Count the records of each topic, most frequent first; a tab between number and topic."""
    with errors_told(), open_to_read(find_journal(os.path.abspath(path))) as journal:
        counts = sorted(journal.topics().items(), key=lambda item: (-item[1], item[0]))
        if as_json:
            sys.stdout.buffer.write(json_bytes({"topics": dict(counts)}))
            return
        for topic, count in counts:
            print(f"{count}\t{printable(topic)}")

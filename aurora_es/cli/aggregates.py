"""The commands that look at one aggregate: show, diff."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aurora_es.cli.applications import decoder_of
from aurora_es.cli.arguments import ApplicationClass, AsJson, AsJsonLines, PathToRead, Projector
from aurora_es.cli.endings import errors_told
from aurora_es.cli.event_rendering import (
    event_line,
    event_printer,
    print_changes,
    print_state,
)
from aurora_es.cli.finding import find_journal, open_to_read
from aurora_es.cli.text import json_bytes
from aurora_es.inspection.aggregates import (
    NotThereError,
    changes_between,
    not_there,
    read_events,
    read_state,
)

if TYPE_CHECKING:
    from aurora_es.decoding import ApplicationDecoder
    from aurora_es.inspection.aggregates import AggregateState
    from aurora_es.journal.journal import Journal

AggregateId = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, help="The id of the aggregate.")
]


def show(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToRead,
    aggregate_id: AggregateId,
    *,
    after: Annotated[
        int | None,
        typer.Option(metavar="VERSION", show_default=False, help="Only events behind it."),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(metavar="VERSION", show_default=False, help="Only events up to it."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, show_default=False, help="Print at most so many events.")
    ] = None,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="Begin with the last event.")
    ] = False,
    state: Annotated[
        bool,
        typer.Option(
            "--state", help="Print the aggregate as its events made it, up to --until; with --app."
        ),
    ] = False,
    app: ApplicationClass = None,
    projector: Projector = None,
    as_json: AsJsonLines = False,
) -> None:
    """Print the events of an aggregate, sorted by version, with their states.

    --app decodes them as the application does; without it JSON is indented, MessagePack of
    AURORA_MAPPER=msgpack shown as JSON, and what is no text as hex.
    """
    _need_app(app, needed=state, option="--state")
    with errors_told():
        decoder = decoder_of(app, path, projector=projector)
        with open_to_read(find_journal(os.path.abspath(path))) as journal:
            if state:
                assert decoder is not None
                found = read_state(journal, aggregate_id, decoder, version=until)
                print_state(found, as_json=as_json)
                return
            print_event = event_printer(decoder, as_json=as_json)
            count = 0
            for stored in read_events(
                journal,
                aggregate_id,
                after=after,
                until=until,
                backwards=newest_first,
                limit=limit,
            ):
                print_event(stored)
                count += 1
            if not count and next(read_events(journal, aggregate_id, limit=1), None) is None:
                raise not_there(journal, aggregate_id)


def diff(  # noqa: PLR0913 - as show
    path: PathToRead,
    aggregate_id: AggregateId,
    before: Annotated[
        int,
        typer.Argument(
            metavar="V1", show_default=False, help="A version; 0: before there was anything."
        ),
    ],
    after: Annotated[
        int, typer.Argument(metavar="V2", show_default=False, help="Another, as a rule later.")
    ],
    *,
    app: ApplicationClass = None,
    projector: Projector = None,
    as_json: AsJson = False,
) -> None:
    """Print how an aggregate differs between two versions.

    With --app: the attributes that are not the same, as V1 had them (-) and as V2 has them (+).
    Without: the events behind V1, up to V2.
    """
    _need_app(app, needed=before > after, option="a V1 behind V2")
    with errors_told():
        decoder = decoder_of(app, path, projector=projector)
        with open_to_read(find_journal(os.path.abspath(path))) as journal:
            if decoder is None:
                _print_events_between(journal, aggregate_id, before, after, as_json=as_json)
                return
            old = _attributes_at(journal, aggregate_id, decoder, before)
            new = _attributes_at(journal, aggregate_id, decoder, after)
            changes = changes_between(old, new)
            if as_json:
                found = {
                    "originator_id": aggregate_id,
                    "before": before,
                    "after": after,
                    "changes": changes,
                }
                sys.stdout.buffer.write(json_bytes(found))
            else:
                print_changes(changes)


def _need_app(app: str | None, *, needed: bool, option: str) -> None:
    if needed and app is None:
        message = f"expected --app MODULE:CLASS with {option}"
        raise typer.BadParameter(message)


def _attributes_at(
    journal: Journal, aggregate_id: str, decoder: ApplicationDecoder, version: int
) -> dict[str, object]:
    """Attributes at a version; none at 0, which comes before the first event."""
    found: AggregateState | None = None
    try:
        found = read_state(journal, aggregate_id, decoder, version=version)
    except NotThereError:
        if version != 0:
            raise
    return {} if found is None else found.attributes


def _print_events_between(
    journal: Journal, aggregate_id: str, before: int, after: int, *, as_json: bool
) -> None:
    for version in {before, after} - {0}:
        if not list(read_events(journal, aggregate_id, after=version - 1, until=version)):
            raise not_there(journal, aggregate_id, version)
    events = read_events(journal, aggregate_id, after=before, until=after)
    if as_json:
        found = {
            "originator_id": aggregate_id,
            "before": before,
            "after": after,
            "events": [msgspec.Raw(event_line(stored, None).rstrip()) for stored in events],
        }
        sys.stdout.buffer.write(json_bytes(found))
        return
    print_event = event_printer(None, as_json=False)
    for stored in events:
        print_event(stored)

"""The commands, their options and what they say about themselves."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Annotated

import typer

from aurora_es.cli import (
    benching,
    copies,
    doctor,
    forking,
    lists,
    moving,
    projections,
    queues,
    repairing,
    settings,
    starting,
    upkeep,
    verify,
)
from aurora_es.cli.arguments import (
    AsJson,
    OriginatorId,
    PathToLookAt,
    PathToRead,
    Topics,
    epilog,
    time_of,
)
from aurora_es.cli.endings import EXIT_CODES_HELP, errors_told, fail, tell
from aurora_es.cli.finding import find_journal, find_journals, open_to_read
from aurora_es.cli.help import finish_help
from aurora_es.cli.inspection import inspect, survey
from aurora_es.cli.rendering import (
    print_details,
    print_position,
    print_summaries,
    record_printer,
)
from aurora_es.cli.selection import Filter, newest_records, records_between
from aurora_es.journal.journal import Journal

app = typer.Typer(
    name="aurora-es",
    help=(
        "Look inside the journals of aurora_es, follow them, and look after them.\n\n"
        "All commands work on a store in use, unless their help says otherwise. Those that look"
        " inside, doctor and verify only read: they take no lock, disturb no writer, and need no right"
        " to write. The others say what they change; no event ever does. retain and compact drop what"
        " is old, repair may lose what is damaged."
    ),
    epilog=f"aurora-es COMMAND --help explains a command.\n\n{EXIT_CODES_HELP}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_AsJsonLines = Annotated[
    bool,
    typer.Option(
        "--json", help='Print JSON, one object per line; a state that is no JSON as {"base64": …}.'
    ),
]


@app.command(
    epilog=epilog("aurora-es info store/Bank/events", "aurora-es info store --json | jq .journals")
)
def info(path: PathToLookAt, *, as_json: AsJson = False) -> None:
    """Show settings, counts, segments and sizes of a journal, or list all journals under PATH.

    Of a single journal, commits that are not sealed yet are read and checked on the way.
    """
    with errors_told():
        path = os.path.abspath(path)
        findings = find_journals(path)
        if findings.journals == [path]:
            details, error = inspect(path)
            print_details(details, as_json=as_json)
            if error is not None:
                fail(error)
            return
        surveyed = [found for journal in findings.journals if (found := survey(journal))]
        print_summaries(path, [summary for summary, _ in surveyed], as_json=as_json)
        for directory in findings.unreadable:
            tell(f"{directory} cannot be read and is left out")
        errors = [error for _, error in surveyed if error is not None]
        if errors:
            fail(*errors)


@app.command(
    epilog=epilog(
        "aurora-es cat store/Bank --start 1000 --limit 20",
        "aurora-es cat store/Bank/events --json --topic bank:Account.Opened | jq .state",
    )
)
def cat(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToRead,
    *,
    start: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False, help="Position of the first record; oldest if unset."
        ),
    ] = None,
    stop: Annotated[
        int | None,
        typer.Option(
            min=0, show_default=False, help="Position of the last record; newest if unset."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, show_default=False, help="Print at most so many records.")
    ] = None,
    topic: Topics = None,
    originator: OriginatorId = None,
    as_json: _AsJsonLines = False,
) -> None:
    """Print records in order: position, time (UTC), originator id and version, topic, state.

    Behind a pipe: one line per record, tabs between the fields. A state that is no text: hex.
    """
    chosen = Filter(tuple(topic or ()), originator)
    with errors_told(), _open(path) as journal:
        print_record = record_printer(as_json=as_json)
        for stored in records_between(journal, start=start, stop=stop, limit=limit, chosen=chosen):
            print_record(stored)


@app.command(
    epilog=epilog(
        "aurora-es tail -f store/Bank", "aurora-es tail -n 100 --json store/Bank/events | jq .topic"
    )
)
def tail(  # noqa: PLR0913 - as cat
    path: PathToRead,
    *,
    count: Annotated[
        int, typer.Option("-n", "--count", min=0, help="Begin with so many records.")
    ] = 10,
    follow: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Go on with new records as they come, until Ctrl-C."),
    ] = False,
    topic: Topics = None,
    originator: OriginatorId = None,
    as_json: _AsJsonLines = False,
) -> None:
    """Print the newest records, and with -f every later one as soon as it is committed.

    The form is that of cat. Ctrl-C ends -f with exit code 0.
    """
    chosen = Filter(tuple(topic or ()), originator)
    try:
        with errors_told(), _open(path) as journal:
            print_record = record_printer(as_json=as_json)
            last = journal.last_position
            for stored in newest_records(journal, until=last, count=count, chosen=chosen):
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


@app.command(
    epilog=epilog(
        "aurora-es at store/Bank 2026-11-25T20:00:00Z",
        "aurora-es cat store/Bank --stop $(aurora-es at store/Bank 2026-11-25T21:00+01:00)",
    )
)
def at(
    path: PathToRead,
    time: Annotated[
        datetime,
        typer.Argument(
            metavar="TIME",
            parser=time_of,
            show_default=False,
            help="ISO 8601 with a zone, as 2026-11-25T20:00:00Z.",
        ),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Print the position of the last record that was committed at or before TIME, 0 if none.

    The times are those of commits, as cat prints them; they never go backwards.
    """
    with errors_told(), _open(path) as journal:
        position = journal.position_at(time)
        last = next(journal.read(position, position), None) if position else None
        print_position(
            journal.handle.path,
            time,
            position,
            None if last is None else last.timestamp,
            as_json=as_json,
        )


app.command(
    epilog=epilog(
        "aurora-es streams store/Bank --first-topic bank:Account.Opened --limit 100",
        "aurora-es streams store/Bank --prefix 6f1c --json",
    )
)(lists.streams)
app.command(epilog=epilog("aurora-es topics store/Bank", "aurora-es topics store/Bank --json"))(
    lists.topics
)
app.command(epilog=epilog("aurora-es seal store", "aurora-es seal store/Bank/events --json"))(
    upkeep.seal
)
app.command(epilog=epilog("aurora-es merge store/Bank", "aurora-es merge store/Bank --all"))(
    upkeep.merge
)
app.command(
    epilog=epilog("aurora-es cool store", "aurora-es cool store/Bank --codec zstd --older-than 7d")
)(upkeep.cool)
app.command(
    epilog=epilog(
        "aurora-es retain store/Bank --older-than 52w --dry-run",
        "aurora-es retain store/Bank --bytes-max 100GiB",
    )
)(upkeep.retain)
app.command(
    epilog=epilog("aurora-es compact store/Bank", "aurora-es compact store --keep-snapshots 2")
)(upkeep.compact)
app.command(
    "set",
    epilog=epilog("aurora-es set store/Bank", "aurora-es set store/Bank/events --sync always"),
)(settings.change)
app.command(
    epilog=epilog("aurora-es doctor", "aurora-es doctor /var/lib/store --app Bank --app Totals")
    + f"\n\n{doctor.EXIT_CODES}"
)(doctor.doctor)

app.command(
    epilog=epilog(
        "aurora-es verify store", "aurora-es verify store/Bank/events --digest --until 1000"
    )
)(verify.verify)
app.command(
    epilog=epilog("aurora-es repair store/Bank/events --dry-run", "aurora-es repair store --yes")
)(repairing.repair)
app.command(
    epilog=epilog("aurora-es rebuild store", "aurora-es rebuild store/Bank/events --manifest")
)(repairing.rebuild)

app.command(
    epilog=epilog("aurora-es backup store /backups/store", "aurora-es backup store off-site --copy")
)(copies.backup)
app.command(
    epilog=epilog(
        "aurora-es restore /backups/store store",
        "aurora-es restore /backups/store store --time 2026-11-25T20:00:00Z",
    )
)(copies.restore)
app.command(
    epilog=epilog(
        "aurora-es fork store /forks/store --time 2026-11-25T20:00:00Z",
        "aurora-es fork store/Bank /forks/Bank --position 1000 --copy",
    )
)(forking.fork)

app.command(
    epilog=epilog(
        'eval "$(aurora-es init store)"',
        "aurora-es init store --app Bank --sync 100ms --roll-cycle 64MiB --form env",
    )
)(starting.init)
app.command(epilog=epilog("aurora-es bench /var/lib/store", "aurora-es bench --seconds 60 --json"))(
    benching.bench
)
app.add_typer(projections.app)
app.add_typer(queues.app)
app.add_typer(moving.importing)
app.add_typer(moving.exporting)


def _open(path: str) -> Journal:
    return open_to_read(find_journal(os.path.abspath(path)))


finish_help(app)  # behind the last command

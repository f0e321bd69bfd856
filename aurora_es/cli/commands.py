"""The commands, their options and what they say about themselves."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated

import typer

from aurora_es.cli import (
    aggregates,
    benching,
    copies,
    doctor,
    forking,
    lists,
    moving,
    overviews,
    projections,
    queues,
    records,
    repairing,
    settings,
    starting,
    ui,
    upkeep,
    verify,
)
from aurora_es.cli.arguments import AsJson, PathToLookAt, PathToRead, epilog, parsed_time
from aurora_es.cli.endings import EXIT_CODES_HELP, errors_told, fail, tell
from aurora_es.cli.finding import find_journal, find_journals, open_to_read
from aurora_es.cli.help import finish
from aurora_es.cli.rendering import print_details, print_position, print_summaries
from aurora_es.inspection.overview import inspect, survey
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
            parser=parsed_time,
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
        "aurora-es cat store/Bank --start 1000 --limit 20",
        "aurora-es cat store/Bank --since 2026-11-25T20:00:00Z --text overdraft",
        "aurora-es cat store/Bank/events --json --topic bank:Account.Opened | jq .state",
    )
)(records.cat)
app.command(
    epilog=epilog(
        "aurora-es tail -f store/Bank",
        "aurora-es tail -f store/Bank --topic bank:Account.Opened --app bank:Bank",
        "aurora-es tail -n 100 --json store/Bank/events | jq .topic",
    )
)(records.tail)
app.command(
    epilog=epilog(
        "aurora-es grep store/Bank 'overdraft|chargeback'",
        "aurora-es grep store/Bank -i zoë --newest-first --limit 5",
        "aurora-es grep store/Bank --count refused",
    )
    + "\n\nOf grep: 1 also if nothing is found."
)(records.grep)
app.command(
    epilog=epilog(
        "aurora-es show store/Bank 6f1c2f6e-89ab-4cde-8f01-23456789abcd",
        "aurora-es show store/Bank 6f1c2f6e-89ab-4cde-8f01-23456789abcd --app bank:Bank --state",
    )
)(aggregates.show)
app.command(
    epilog=epilog(
        "aurora-es diff store/Bank 6f1c2f6e-89ab-4cde-8f01-23456789abcd 3 7 --app bank:Bank",
        "aurora-es diff store/Bank cargo-7 1 4",
    )
)(aggregates.diff)
app.command(
    epilog=epilog("aurora-es ls store/Bank", "aurora-es ls store/Bank/events --json | jq .tier")
)(overviews.ls)
app.command(
    epilog=epilog(
        "aurora-es stats store/Bank",
        "aurora-es stats store/Bank --since 2026-11-25T00:00:00Z --buckets 24 --json | jq .rates",
    )
)(overviews.stats)
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
        "aurora-es verify store --digest", "aurora-es verify store/Bank/events --until-commit 1000"
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
app.command(
    epilog=epilog("aurora-es ui store", "aurora-es ui store/Bank --app bank:Bank --port 8080")
)(ui.ui)
app.add_typer(projections.app)
app.add_typer(queues.app)
app.add_typer(moving.importing)
app.add_typer(moving.exporting)


def _open(path: str) -> Journal:
    return open_to_read(find_journal(os.path.abspath(path)))


finish(app)  # behind the last command

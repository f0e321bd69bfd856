"""The commands import and export."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from aurora_es.cli.arguments import AsJson, epilog
from aurora_es.cli.endings import errors_told
from aurora_es.cli.progress import progress_shown
from aurora_es.cli.text import encodable, json_bytes, printable

if TYPE_CHECKING:
    from aurora_es.moving import LibraryDcbRecorder, LibraryRecorders, MoveReport
    from aurora_es.moving.sides import OpenableSource, OpenableTarget

STANDARD = "-"

importing = typer.Typer(
    name="import",
    help=(
        "Move the events of an application in, from another recorder of the library or a file.\n\n"
        "Events keep their notification ids, snapshots and tracking records come along. The"
        " application is there when all of it is read back, compared and on disk. Run again, an"
        " import goes on where it was interrupted."
    ),
    no_args_is_help=True,
)
exporting = typer.Typer(
    name="export",
    help=(
        "Move the events of an application out, to another recorder of the library or a file.\n\n"
        "Notification ids are the positions, snapshots and tracking records come along. Run again,"
        " an export goes on where it was interrupted. The store may be in use."
    ),
    no_args_is_help=True,
)


class Gaps(StrEnum):
    """What to do where notification ids are missing."""

    REFUSE = "refuse"
    RENUMBER = "renumber"


class IdType(StrEnum):
    """What originator ids are."""

    UUID = "uuid"
    TEXT = "text"


_Application = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        show_default=False,
        help="The directory of an application: AURORA_PATH/NAME.",
    ),
]
_SqliteFile = Annotated[
    str,
    typer.Argument(metavar="FILE", show_default=False, help="A database of the SQLite recorders."),
]
_JsonFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE", show_default=False, help="A file of JSON lines; - is the standard stream."
    ),
]
_Dsn = Annotated[
    str,
    typer.Argument(
        metavar="DSN",
        show_default=False,
        help="A database, as libpq names it; keep passwords in ~/.pgpass or PGPASSWORD.",
    ),
]
_Topic = Annotated[
    str,
    typer.Argument(
        metavar="TOPIC",
        show_default=False,
        help="A persistence module or factory of the library, as for PERSISTENCE_MODULE.",
    ),
]
_Upstreams = Annotated[
    list[str] | None,
    typer.Option(
        "--upstream",
        metavar="NAME",
        show_default=False,
        help="An application that is followed: move its tracking record; give it again for more.",
    ),
]
_Dcb = Annotated[bool, typer.Option("--dcb", help="Events of dynamic consistency boundaries.")]
_ApplicationThere = Annotated[
    str | None,
    typer.Option(
        "--application",
        metavar="NAME",
        show_default=False,
        help="Whose tables there; the application of PATH if unset, '' for those without a name.",
    ),
]
_Schema = Annotated[str, typer.Option("--schema", help="The schema of the tables.")]
_Gaps = Annotated[
    Gaps,
    typer.Option(
        "--gaps",
        help="Where notification ids are missing: refuse, or number anew and keep a record of it.",
    ),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read and check the source; change nothing.")
]
_WithoutExtras = Annotated[
    bool,
    typer.Option(
        "--without-extras", help="Leave out tags, uuids and metadata, which the target cannot hold."
    ),
]
_IdType = Annotated[
    IdType,
    typer.Option("--originator-id-type", help="The application's ORIGINATOR_ID_TYPE there."),
]
_EventsTable = Annotated[str, typer.Option("--events-table", help="Name of the table of events.")]
_SnapshotsTable = Annotated[
    str, typer.Option("--snapshots-table", help="Name of the table of snapshots.")
]
_TrackingTable = Annotated[
    str, typer.Option("--tracking-table", help="Name of the table of tracking records.")
]


@importing.command(
    "sqlite",
    epilog=epilog(
        "aurora-es import sqlite bank.db store/Bank",
        "aurora-es import sqlite bank.db store/Bank --dry-run --json",
    ),
)
def import_sqlite(  # noqa: PLR0913 - a user's choices, all by name
    file: _SqliteFile,
    path: _Application,
    *,
    gaps: _Gaps = Gaps.REFUSE,
    originator_id_type: _IdType = IdType.UUID,
    events_table: _EventsTable = "stored_events",
    snapshots_table: _SnapshotsTable = "stored_snapshots",
    tracking_table: _TrackingTable = "tracking",
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import from a database of the library's SQLite recorders, which is only read."""
    from aurora_es.moving import SqliteFile

    source = SqliteFile(
        file,
        originator_id_type=originator_id_type,
        events_table=events_table,
        snapshots_table=snapshots_table,
        tracking_table=tracking_table,
    )
    _import(source, path, gaps, dry_run=dry_run, as_json=as_json)


@importing.command(
    "postgres",
    epilog=epilog(
        "aurora-es import postgres postgresql://app@db.local/bank store/Bank",
        "aurora-es import postgres service=bank store/Bank --gaps renumber",
    ),
)
def import_postgres(  # noqa: PLR0913 - a user's choices, all by name
    dsn: _Dsn,
    path: _Application,
    *,
    gaps: _Gaps = Gaps.REFUSE,
    application: _ApplicationThere = None,
    schema: _Schema = "public",
    originator_id_type: _IdType = IdType.UUID,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import from tables of the library's PostgreSQL recorders, which are only read."""
    from aurora_es.moving import PostgresDatabase

    source = PostgresDatabase(
        dsn,
        application_name=_name_there(path, application),
        schema=schema,
        originator_id_type=originator_id_type,
    )
    _import(source, path, gaps, dry_run=dry_run, as_json=as_json)


@importing.command(
    "jsonl",
    epilog=epilog(
        "aurora-es import jsonl bank.jsonl store/Bank",
        "ssh old aurora-es export jsonl - store/Bank | aurora-es import jsonl - store/Bank",
    ),
)
def import_jsonl(
    file: _JsonFile,
    path: _Application,
    *,
    gaps: _Gaps = Gaps.REFUSE,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import from a file of JSON lines, as export writes them."""
    from aurora_es.moving import JsonLines

    source = JsonLines(_stream(file, sys.stdin.buffer))
    _import(source, path, gaps, dry_run=dry_run, as_json=as_json)


@exporting.command(
    "sqlite",
    epilog=epilog(
        "aurora-es export sqlite bank.db store/Bank",
        "aurora-es export sqlite bank.db store/Bank --originator-id-type text",
    ),
)
def export_sqlite(
    file: _SqliteFile,
    path: _Application,
    *,
    without_extras: _WithoutExtras = False,
    originator_id_type: _IdType = IdType.UUID,
    as_json: AsJson = False,
) -> None:
    """Export to a database of the library's SQLite recorders, which is made if it is absent."""
    from aurora_es.moving import SqliteFile

    target = SqliteFile(file, originator_id_type=originator_id_type)
    _export(path, target, without_extras=without_extras, as_json=as_json)


@exporting.command(
    "postgres",
    epilog=epilog(
        "aurora-es export postgres postgresql://app@db.local/bank store/Bank",
        "aurora-es export postgres service=bank store/Bank --schema events",
    ),
)
def export_postgres(  # noqa: PLR0913 - a user's choices, all by name
    dsn: _Dsn,
    path: _Application,
    *,
    without_extras: _WithoutExtras = False,
    application: _ApplicationThere = None,
    schema: _Schema = "public",
    originator_id_type: _IdType = IdType.UUID,
    as_json: AsJson = False,
) -> None:
    """Export to tables of the library's PostgreSQL recorders, which are made if they are absent."""
    from aurora_es.moving import PostgresDatabase

    target = PostgresDatabase(
        dsn,
        application_name=_name_there(path, application),
        schema=schema,
        originator_id_type=originator_id_type,
    )
    _export(path, target, without_extras=without_extras, as_json=as_json)


@exporting.command(
    "jsonl",
    epilog=epilog(
        "aurora-es export jsonl bank.jsonl store/Bank",
        "aurora-es export jsonl - store/Bank | gzip > bank.jsonl.gz",
    ),
)
def export_jsonl(file: _JsonFile, path: _Application, *, as_json: AsJson = False) -> None:
    """Export to a file of JSON lines, which keeps everything; a report for - goes to stderr."""
    from aurora_es.moving import JsonLines

    target = JsonLines(_stream(file, sys.stdout.buffer))
    _export(path, target, as_json=as_json, to_errors=file == STANDARD)


@importing.command(
    "recorder",
    epilog=epilog(
        "aurora-es import recorder eventsourcing.sqlite store/Bank",
        "aurora-es import recorder eventsourcing.dcb.postgres_tt store/Bank --dcb",
    ),
)
def import_recorder(  # noqa: PLR0913 - a user's choices, all by name
    topic: _Topic,
    path: _Application,
    *,
    gaps: _Gaps = Gaps.REFUSE,
    application: _ApplicationThere = None,
    upstream: _Upstreams = None,
    dcb: _Dcb = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import from any recorders of the library, with the settings that the environment has for them."""
    source = _recorders(topic, path, application, upstream or [], dcb=dcb)
    _import(source, path, gaps, dry_run=dry_run, as_json=as_json)


@exporting.command(
    "recorder",
    epilog=epilog(
        "SQLITE_DBNAME=bank.db aurora-es export recorder eventsourcing.sqlite store/Bank",
        "aurora-es export recorder eventsourcing.dcb.postgres_tt store/Bank --dcb",
    ),
)
def export_recorder(  # noqa: PLR0913 - a user's choices, all by name
    topic: _Topic,
    path: _Application,
    *,
    without_extras: _WithoutExtras = False,
    application: _ApplicationThere = None,
    dcb: _Dcb = False,
    as_json: AsJson = False,
) -> None:
    """Export to any recorders of the library, with the settings that the environment has for them."""
    target = _recorders(topic, path, application, [], dcb=dcb)
    _export(path, target, without_extras=without_extras, as_json=as_json)


def _recorders(
    topic: str, path: str, application: str | None, upstreams: list[str], *, dcb: bool
) -> LibraryRecorders | LibraryDcbRecorder:
    from aurora_es.moving import LibraryDcbRecorder, LibraryRecorders

    name = _name_there(path, application)
    env = dict(os.environ) | {"PERSISTENCE_MODULE": topic}
    env.pop(f"{name.upper()}_PERSISTENCE_MODULE", None)
    return (LibraryDcbRecorder if dcb else LibraryRecorders)(env, name, upstreams)


def _name_there(path: str, application: str | None) -> str:
    """Whose tables are meant: those of the application of ``path``, unless another one is named."""
    from aurora_es.moving.journals import application_name

    with errors_told():
        return application_name(os.path.abspath(path)) if application is None else application


def _stream(file: str, standard: BinaryIO) -> str | BinaryIO:
    return standard if file == STANDARD else file


def _import(source: OpenableSource, path: str, gaps: Gaps, *, dry_run: bool, as_json: bool) -> None:
    from aurora_es.moving import import_events

    def move(progress: Callable[[int, int], object] | None) -> MoveReport:
        return import_events(
            source,
            path,
            gaps=gaps.value,
            dry_run=dry_run,
            progress=progress,
        )

    _move(f"importing {printable(os.path.relpath(path))}", move, as_json=as_json)


def _export(
    path: str,
    target: OpenableTarget,
    *,
    as_json: bool,
    without_extras: bool = False,
    to_errors: bool = False,
) -> None:
    from aurora_es.moving import export_events

    def move(progress: Callable[[int, int], object] | None) -> MoveReport:
        return export_events(
            path,
            target,
            without_extras=without_extras,
            progress=progress,
        )

    what = f"exporting {printable(os.path.relpath(path))}"
    _move(what, move, as_json=as_json, to_errors=to_errors)


def _move(
    what: str,
    move: Callable[[Callable[[int, int], object] | None], MoveReport],
    *,
    as_json: bool,
    to_errors: bool = False,
) -> None:
    with errors_told():
        with progress_shown(what) as progress:
            report = move(progress)
        out = sys.stderr if to_errors else sys.stdout
        if as_json:
            shown = msgspec.structs.replace(
                report, source=encodable(report.source), target=encodable(report.target)
            )
            out.buffer.write(json_bytes(shown))
            out.flush()
            return
        print(_text(report), file=out)


def _text(report: MoveReport) -> str:
    lines = [] if report.parts else ["0 events: nothing is in the source"]
    for part in report.parts:
        here = "to move" if report.dry_run else "moved now"
        lines.append(f"{part.count:,} {part.part}, {part.moved:,} of them {here}")
        lines.append(f"digest {part.digest}")
        if part.missing_ids:
            lines.append(f"numbered anew, as {part.missing_ids:,} ids are missing in the source")
        if part.extras_left_out:
            lines.append(f"tags, uuids or metadata of {part.extras_left_out:,} left out")
    lines += [f"tracked {printable(name)} up to {at:,}" for name, at in report.tracking.items()]
    lines += [f"left out {printable(text)}" for text in report.left_out]
    if report.dry_run:
        lines.append(f"{printable(report.target)}: nothing was changed")
    else:
        read_back = "read back and the same" if report.verified else "not read back"
        durable = _durability(report)
        lines.append(f"{printable(report.target)}: {read_back}, {durable}")
    return "\n".join(lines)


def _durability(report: MoveReport) -> str:
    if report.durable:
        return "on disk"
    return "as durable as its recorders are" if report.verified else "not forced to disk"

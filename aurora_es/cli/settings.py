"""The command ``set``: shows what journals record, and changes it while they are closed."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aurora_es.cli.arguments import AsJson, PathToLookAt, parse_age, parser_of
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import find_to_change
from aurora_es.cli.reports import reports_told
from aurora_es.cli.text import encodable, printable
from aurora_es.options import CompressionFormat, RollCycle, Sync

if TYPE_CHECKING:
    from aurora_es.care.settings import SettingsReport

_NEVER = "never"
_UNITS = {"cool_after_hours": "h"}
_LABELS = {"roll_cycle": "roll cycle", "cool_after_hours": "cool after"}


SyncMode = Annotated[
    Sync | None,
    typer.Option(
        parser=parser_of(Sync.parse),
        metavar="MODE",
        show_default=False,
        help="always, never or <n>ms: when an append is forced to disk.",
    ),
]
Cycle = Annotated[
    RollCycle | None,
    typer.Option(
        parser=parser_of(RollCycle.parse),
        metavar="CYCLE",
        show_default=False,
        help="day, 64MiB, 1000events, or several joined by +; holds from the next roll.",
    ),
]
Codec = Annotated[
    CompressionFormat | None,
    typer.Option(
        parser=parser_of(CompressionFormat.parse),
        metavar="CODEC",
        show_default=False,
        help="none, lz4 or snappy, for what is written from now on.",
    ),
]


def _parse_cool_after(text: str) -> timedelta | str:
    return _NEVER if text.strip().lower() == _NEVER else parse_age(text)


def change(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToLookAt,
    *,
    sync: SyncMode = None,
    roll_cycle: Cycle = None,
    compression: Codec = None,
    cool_after: Annotated[
        timedelta | None,
        typer.Option(
            parser=_parse_cool_after,
            metavar="AGE|never",
            show_default=False,
            help="Age at which sealed segments are cooled in the background: 24h, 4w, never.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change settings that closed journals record; without options, show what holds.

    Refused while any process of this machine has the journal open for appending, as that would go on
    under the old settings; readers need not be closed. Of an application or an AURORA_PATH all
    journals are changed, one by one.
    """
    from aurora_es.care.settings import change_settings

    with errors_told():
        path = os.path.abspath(path)
        with reports_told(path, as_json=as_json) as reports:
            # Found on the way here is what a network file system forbids: it need not be asked again.
            for journal in find_to_change(path):
                report = change_settings(
                    journal,
                    sync=sync,
                    roll_cycle=roll_cycle,
                    compression=compression,
                    cool_after=cool_after,
                    allow_network_file_system=True,
                )
                reports.append(msgspec.structs.replace(report, path=encodable(report.path)))
                if not as_json:
                    _print(report)


def _print(report: SettingsReport) -> None:
    held = {
        "sync": report.sync,
        "roll_cycle": report.roll_cycle,
        "compression": report.compression,
        "cool_after_hours": _NEVER
        if report.cool_after_hours is None
        else str(report.cool_after_hours),
    }
    shown = []
    for what, value in held.items():
        before = report.changed.get(what)
        was = "" if before is None else f" (was {_with_unit(what, before)})"
        shown.append(f"{_LABELS.get(what, what)} {_with_unit(what, value)}{was}")
    print(f"{printable(report.path)}: {', '.join(shown)}")


def _with_unit(what: str, value: str) -> str:
    return value if value == _NEVER else value + _UNITS.get(what, "")

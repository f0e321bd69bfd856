"""Arguments and options that several commands have, and the words that end their help."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import typer
from typer.models import OptionInfo

from aurora_es.cli.completing import complete_stores
from aurora_es.cli.endings import EXIT_CODES_HELP
from aurora_es.cli.text import printable
from aurora_es.errors import AuroraConfigurationError
from aurora_es.inspection.selection import parse_time

_T = TypeVar("_T")

PathToLookAt = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        show_default=False,
        autocompletion=complete_stores,
        help="A journal, the directory of an application, or a whole AURORA_PATH.",
    ),
]
PathToRead = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        show_default=False,
        autocompletion=complete_stores,
        help="A journal; or the directory of an application, which stands for its events, or of a queue,"
        " which stands for its messages.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needed where nobody can be asked.")]
Topics = Annotated[
    list[str] | None,
    typer.Option(
        "--topic",
        metavar="TOPIC",
        show_default=False,
        help="Only records of this topic; give it again for more topics.",
    ),
]
OriginatorId = Annotated[
    str | None,
    typer.Option(
        "--originator",
        metavar="ID",
        show_default=False,
        help="Only records of this originator (the id of an aggregate).",
    ),
]

RecordsAsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help='Print JSON, one object per line; a state that is no JSON as {"base64": …}, with --app'
        " as the application decodes it.",
    ),
]
Start = Annotated[
    int | None,
    typer.Option(min=1, show_default=False, help="Position of the first record; oldest if unset."),
]
Stop = Annotated[
    int | None,
    typer.Option(min=0, show_default=False, help="Position of the last record; newest if unset."),
]
Limit = Annotated[
    int | None, typer.Option(min=0, show_default=False, help="Print at most so many records.")
]


def parsed_time(text: str) -> datetime:
    """A time as ``parse_time`` reads it; raises typer.BadParameter."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


UntilTime = Annotated[
    datetime | None,
    typer.Option(
        parser=parsed_time,
        metavar="TIME",
        show_default=False,
        help="Leave out what was committed later: ISO 8601 with a zone.",
    ),
]


def refuse_both(position: int | None, time: datetime | None) -> None:
    """Raise typer.BadParameter if a position and a time are given."""
    if position is not None and time is not None:
        message = "expected --position or --time, found both"
        raise typer.BadParameter(message)


def parsed_pattern(text: str) -> re.Pattern[str]:
    """A regular expression; raises typer.BadParameter."""
    try:
        return re.compile(text)
    except re.error as error:
        message = f"expected a regular expression as of Python's re; found {text!r}: {error}"
        raise typer.BadParameter(message) from None


Since = Annotated[
    datetime | None,
    typer.Option(
        parser=parsed_time,
        metavar="TIME",
        show_default=False,
        help="Only records committed at or after TIME: ISO 8601 with a zone.",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        parser=parsed_time,
        metavar="TIME",
        show_default=False,
        help="Only records committed at or before TIME.",
    ),
]
SearchedText = Annotated[
    re.Pattern[str] | None,
    typer.Option(
        "--text",
        parser=parsed_pattern,
        metavar="PATTERN",
        show_default=False,
        help="Only records in whose topic or state this regular expression is found.",
    ),
]
ApplicationClass = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:CLASS",
        show_default=False,
        help="Decode states with the mapper of this application, which is imported, not started.",
    ),
]
Projector = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        show_default=False,
        help="The function that rebuilds aggregates whose events have no mutate; with --app.",
    ),
]

_AGE = re.compile(r"(\d{1,9})([smhdw]?)")
_SECONDS_OF = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SIZE = re.compile(r"(\d{1,15})(B|KiB|MiB|GiB|TiB|)")
_BYTES_OF = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_age(text: str) -> timedelta:
    """An age such as ``24h``; raises typer.BadParameter."""
    matched = _AGE.fullmatch(text.strip())
    if matched is None:
        message = f"expected an age such as 90s, 30m, 24h, 7d or 4w; found {text!r}"
        raise typer.BadParameter(message)
    return timedelta(seconds=int(matched[1]) * _SECONDS_OF[matched[2]])


def parse_size(text: str) -> int:
    """A number of bytes such as ``10GiB``; raises typer.BadParameter."""
    matched = _SIZE.fullmatch(text.strip())
    if matched is None:
        message = f"expected a size such as 500MiB, 10GiB or 4096; found {text!r}"
        raise typer.BadParameter(message)
    return int(matched[1]) * _BYTES_OF[matched[2]]


def older_than_option(what: str) -> OptionInfo:
    """The option --older-than of a command that drops ``what``."""
    found: OptionInfo = typer.Option(
        parser=parse_age,
        metavar="AGE",
        show_default=False,
        help=f"Drop {what} that old: 24h, 7d, 4w.",
    )
    return found


def bytes_max_option(what: str) -> OptionInfo:
    """The option --bytes-max of a command that drops the oldest of ``what``."""
    found: OptionInfo = typer.Option(
        parser=parse_size,
        metavar="SIZE",
        show_default=False,
        help=f"Drop the oldest {what} while all together take more: 500MiB, 10GiB.",
    )
    return found


def parser_of(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """``parse`` as typer wants it: what is no setting is a wrong argument."""

    def parsed(text: str) -> _T:
        try:
            return parse(text)
        except AuroraConfigurationError as error:
            raise typer.BadParameter(str(error)) from None

    return parsed


def confirmed(question: str, *, yes: bool, can_ask: bool) -> bool:
    """Whether the user wants that to be done; no where nobody can be asked."""
    if yes or not can_ask or not sys.stdin.isatty():
        return yes
    return typer.confirm(question[0].upper() + printable(question[1:]))


def epilog(*examples: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["Examples:", *(f"$ {line}" for line in examples), EXIT_CODES_HELP])

"""Arguments and options that several commands have, and the words that end their help."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import typer

from aurora_es.cli.completing import complete_stores
from aurora_es.cli.endings import EXIT_CODES_HELP
from aurora_es.cli.selection import parse_time
from aurora_es.cli.text import printable
from aurora_es.errors import AuroraConfigurationError

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
        help="A journal, or the directory of an application, which stands for its events.",
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

_AGE = re.compile(r"(\d{1,9})([smhdw]?)")
_SECONDS_OF = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SIZE = re.compile(r"(\d{1,15})(B|KiB|MiB|GiB|TiB|)")
_BYTES_OF = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def time_of(text: str) -> datetime:
    """A time in ISO 8601 with a zone; raises typer.BadParameter."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


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

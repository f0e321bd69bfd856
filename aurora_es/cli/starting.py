"""The command init: makes a store, and prints what to put into the environment."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aurora_es.cli.arguments import AsJson, parse_age
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import network_allowed
from aurora_es.cli.settings import Codec, Cycle, SyncMode
from aurora_es.cli.text import encodable, json_bytes, printable

if TYPE_CHECKING:
    from aurora_es.care import InitReport


class Form(Enum):
    """How the settings are printed."""

    SHELL = "shell"
    ENV = "env"
    PYTHON = "python"


def init(  # noqa: PLR0913 - a user's choices, all by name
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="The AURORA_PATH to be: absent, empty, or a store already.",
        ),
    ],
    *,
    app: Annotated[
        list[str] | None,
        typer.Option(
            "--app",
            metavar="NAME",
            show_default=False,
            help="Make the journal of this application's events, too; again for more of them.",
        ),
    ] = None,
    sync: SyncMode = None,
    roll_cycle: Cycle = None,
    compression: Codec = None,
    cool_after: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_age,
            metavar="AGE",
            show_default=False,
            help="Age at which sealed segments are cooled in the background: 24h, 4w.",
        ),
    ] = None,
    form: Annotated[
        Form,
        typer.Option("--form", help="As shell commands, as lines for an env file, or as Python."),
    ] = Form.SHELL,
    as_json: AsJson = False,
) -> None:
    """Make a store, and print what to put into the environment of applications that use it.

    Journals record the settings that are given; what is not given is the default. A directory with
    something else in it is refused. Of a store nothing is changed but what --app adds.
    """
    from aurora_es.care import init as make_store

    with errors_told():
        report = make_store(
            path,
            apps=app or (),
            sync=sync,
            roll_cycle=roll_cycle,
            compression=compression,
            cool_after=cool_after,
            allow_network_file_system=network_allowed(),
        )
        if as_json:
            sys.stdout.buffer.write(json_bytes(_encodable(report)))
            return
        for line in _comments(report):
            print(f"# {printable(line)}")
        for line in _FORMS[form](report.environment):
            print(line)


def _comments(report: InitReport) -> Iterator[str]:
    yield f"{report.path}: {'made' if report.made else 'was there'}"
    for journal in report.journals:
        yield (
            f"{journal.path}: sync {journal.sync}, roll cycle {journal.roll_cycle},"
            f" compression {journal.compression}"
        )


def _as_shell(environment: dict[str, str]) -> Iterator[str]:
    for key, value in environment.items():
        yield f"export {key}={shlex.quote(value)}"


def _as_env(environment: dict[str, str]) -> Iterator[str]:
    for key, value in environment.items():
        yield f"{key}={value}"


def _as_python(environment: dict[str, str]) -> Iterator[str]:
    yield "import os"
    yield ""
    for key, value in environment.items():
        yield f"os.environ[{key!r}] = {value!r}"


_FORMS = {Form.SHELL: _as_shell, Form.ENV: _as_env, Form.PYTHON: _as_python}


def _encodable(report: InitReport) -> InitReport:
    """The same, with paths that JSON can hold."""
    return msgspec.structs.replace(
        report,
        path=encodable(report.path),
        journals=tuple(
            msgspec.structs.replace(one, path=encodable(os.path.abspath(one.path)))
            for one in report.journals
        ),
        environment={key: encodable(value) for key, value in report.environment.items()},
    )

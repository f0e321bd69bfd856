"""How the command ends: errors as one paragraph on stderr, and an exit code that says which kind."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from signal import SIGINT
from typing import NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from aurora_es.cli.progress import mending_shown
from aurora_es.cli.text import printable
from aurora_es.errors import (
    AuroraError,
    CorruptionError,
    HistoryChangedError,
    NeedsRecoveryError,
)

EXIT_REFUSED = 1
EXIT_DAMAGED = 3
EXIT_UNCHECKED = 4
_INTERRUPTED = 128 + SIGINT  # as shells say
EXIT_CODES_HELP = (
    "Exit codes: 0 done; 1 not found or refused; 2 wrong arguments; 3 the journal is damaged,"
    " needs recovery, or took back commits while it was read; 4 a part could not be checked."
)
_DAMAGES = (CorruptionError, NeedsRecoveryError, HistoryChangedError)
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell what goes wrong inside, without a traceback, and exit with its code."""
    try:
        with mending_shown():
            yield
        sys.stdout.flush()
    except BrokenPipeError:
        # As in ``aurora-es cat … | head``: the reader has what it wanted.
        _discard_output()
        raise typer.Exit(0) from None
    except (AuroraError, OSError) as error:
        fail(error)


def ending_well(command: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """``command``, with ``errors_told`` around all of it: where it only prints, output may fail."""

    @functools.wraps(command)
    def ended(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        with errors_told():
            return command(*arguments, **options)

    return ended


def exit_with(app: typer.Typer) -> NoReturn:
    """Run the commands, and exit; help, which no command prints, may meet the end of a pipe, too."""
    try:
        with errors_told():
            _run(app)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except KeyboardInterrupt:  # before there was a command, which says so by itself
        sys.exit(_INTERRUPTED)
    sys.exit(0)


def _run(app: typer.Typer) -> None:
    try:
        app(prog_name="aurora-es")
    except SystemExit as ended:
        # rich and click end with 1 where a pipe was closed, which is no failure.
        if isinstance(ended.__context__, BrokenPipeError):
            raise BrokenPipeError from ended
        sys.stdout.flush()
        raise


def fail(*errors: Exception) -> None:
    """Tell every error and exit with the code of the gravest."""
    with suppress(OSError):
        sys.stdout.flush()  # what was printed comes first
    _discard_output()
    for error in errors:
        tell(_message_of(error))
    codes = [EXIT_DAMAGED if isinstance(error, _DAMAGES) else EXIT_REFUSED for error in errors]
    raise typer.Exit(max(codes)) from None


def tell(message: str) -> None:
    """Print one paragraph on stderr."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        console.print(Text.assemble(("aurora-es: ", "bold red"), printable(message)))
    else:
        print(f"aurora-es: {printable(message)}", file=sys.stderr, flush=True)


def _message_of(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, AuroraError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}"
    return str(error)


def _discard_output() -> None:
    # What is still buffered cannot be written; without this the interpreter would try at its end.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)

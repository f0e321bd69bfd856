"""The command fork."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from aurora_es.cli.arguments import AsJson, UntilTime, refuse_both
from aurora_es.cli.completing import complete_stores
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import find_to_copy
from aurora_es.cli.progress import bytes_shown
from aurora_es.cli.reports import report_told
from aurora_es.cli.text import printable, size_text

if TYPE_CHECKING:
    from aurora_es.care import ForkReport


def fork(  # noqa: PLR0913 - a user's choices, all by name
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            show_default=False,
            autocompletion=complete_stores,
            help="A journal, the directory of an application, or a whole AURORA_PATH.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", show_default=False, help="An absent or empty directory."),
    ],
    *,
    position: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default=False,
            help="Leave out what is behind this position of the application's events.",
        ),
    ] = None,
    time: UntilTime = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy files; needed on another file system.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a second store with the first one's history, as it is or was, to replay or debug.

    The first may be in use, and is left as it is. Whole segments are the same files under a second
    name: they take no space and no time, and neither store ever writes into them. Each goes on by
    itself; the fork begins a new epoch. What was forked is read and checked.
    """
    from aurora_es.care import fork as fork_store

    refuse_both(position, time)
    with errors_told():
        source = os.path.abspath(source)
        find_to_copy(source)
        with bytes_shown(f"forking {printable(os.path.relpath(source))}") as progress:
            report = fork_store(
                source, target, position=position, time=time, copy=copy, progress=progress
            )
        report_told(report, "source", "target", as_json=as_json, as_text=_print)


def _print(report: ForkReport) -> None:
    for journal in report.journals:
        print(
            f"{printable(os.path.normpath(os.path.join(report.target, journal.path)))}: up to"
            f" position {journal.position:,}, commit {journal.commit:,}; epoch {journal.epoch};"
            f" {journal.left_out:,} positions left out; {journal.linked_files:,} files linked,"
            f" {journal.copied_files:,} copied, {size_text(journal.copied_bytes)}"
        )
        print(f"digest {journal.digest}")

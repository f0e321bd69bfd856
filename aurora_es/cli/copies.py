"""The commands backup and restore."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aurora_es.cli.arguments import AsJson, PathToLookAt, UntilTime, refuse_both
from aurora_es.cli.endings import errors_told
from aurora_es.cli.finding import find_to_copy
from aurora_es.cli.progress import bytes_shown
from aurora_es.cli.reports import report_told
from aurora_es.cli.text import encodable, printable, size_text

if TYPE_CHECKING:
    from aurora_es.care import BackupReport, RestoreReport


def backup(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToLookAt,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            show_default=False,
            help="A directory for backups of PATH alone; made if it is absent.",
        ),
    ],
    *,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy files, also where they could be linked.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read and check the whole copy, and print its digest.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Give up journals and events of the copy before that PATH lacks now."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Back up a store in use; the next backup to the same TARGET copies only what is new.

    The copy before is the current one until the new one is complete. A PATH that lacks what the copy
    before holds is refused without --replace.
    """
    from aurora_es.care import backup as back_up

    with errors_told():
        path = os.path.abspath(path)
        find_to_copy(path)
        with bytes_shown(f"backing up {printable(os.path.relpath(path))}") as progress:
            report = back_up(
                path, target, copy=copy, verify=verify, replace=replace, progress=progress
            )
        journals = tuple(
            msgspec.structs.replace(one, warnings=tuple(map(encodable, one.warnings)))
            for one in report.journals
        )
        shown = msgspec.structs.replace(report, journals=journals) if as_json else report
        report_told(shown, "path", "target", as_json=as_json, as_text=_print_backup)


def restore(
    backup: Annotated[
        str,
        typer.Argument(
            metavar="BACKUP", show_default=False, help="The TARGET of a backup, or a copy of it."
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", show_default=False, help="An absent or empty directory."),
    ],
    *,
    position: Annotated[
        int | None,
        typer.Option(min=0, show_default=False, help="Leave out what is behind this position."),
    ] = None,
    time: UntilTime = None,
    as_json: AsJson = False,
) -> None:
    """Verify a backup and restore it, to its end, to a position or to a time.

    Each journal begins a new epoch, so that nobody mistakes its later positions for those of before.
    """
    from aurora_es.care import restore as restore_backup

    refuse_both(position, time)
    with errors_told():
        with bytes_shown(f"restoring {printable(os.path.relpath(target))}") as progress:
            report = restore_backup(backup, target, position=position, time=time, progress=progress)
        report_told(report, "backup", "target", as_json=as_json, as_text=_print_restore)


def _print_backup(report: BackupReport) -> None:
    for journal in report.journals:
        print(
            f"{printable(os.path.normpath(os.path.join(report.path, journal.path)))}: up to position"
            f" {journal.position:,}, commit {journal.commit:,}; {journal.linked_files:,} files"
            f" linked, {journal.copied_files:,} copied, {size_text(journal.copied_bytes)}"
        )
        if journal.digest is not None:
            print(f"digest {journal.digest}")
        for name in journal.left_out:
            print(f"left out, since the source lacks it: {printable(name)}")
        for warning in journal.warnings:
            print(
                f"the copy before was damaged, all is copied again and read: {printable(warning)}"
            )
    print(f"in {printable(os.path.join(report.target, report.directory))}")


def _print_restore(report: RestoreReport) -> None:
    for journal in report.journals:
        print(
            f"{printable(os.path.normpath(os.path.join(report.target, journal.path)))}: up to"
            f" position {journal.position:,}, commit {journal.commit:,}; epoch {journal.epoch};"
            f" {journal.cut_positions:,} positions of the backup left out"
        )

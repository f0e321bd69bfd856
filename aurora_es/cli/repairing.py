"""The commands repair and rebuild: what is wrong with a journal is mended, as far as it can be."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aurora_es.cli.arguments import AsJson, PathToLookAt
from aurora_es.cli.endings import EXIT_DAMAGED, EXIT_REFUSED, errors_told, tell
from aurora_es.cli.finding import find_to_repair
from aurora_es.cli.progress import progress_shown
from aurora_es.cli.reports import reports_told
from aurora_es.cli.text import encodable, lost_text, printable, ranges_text

if TYPE_CHECKING:
    from aurora_es.care import RebuildReport, RepairReport


def repair(
    path: PathToLookAt,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and what is lost.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; needed where nobody can be asked.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Repair a damaged journal: keep what can be read, and say which positions are lost.

    Nothing is renumbered, and lost positions are never used again. Whatever is changed is kept in
    a directory beside the journal. A dry run ends with exit code 3 if there is something to do.
    """
    from aurora_es.care import repair as repair_journal

    damaged = False
    refused = []
    with errors_told():
        path = os.path.abspath(path)
        with reports_told(path, as_json=as_json) as reports:
            for journal in find_to_repair(path):
                confirmation = _Confirmation(yes=yes, can_ask=not as_json and sys.stdin.isatty())
                with progress_shown(f"reading {printable(os.path.relpath(journal))}") as progress:
                    report = repair_journal(
                        journal,
                        dry_run=dry_run,
                        progress=progress if yes or dry_run else None,
                        confirm=confirmation.confirm if not dry_run else lambda _: False,
                    )
                reports.append(_safe(report))
                damaged = damaged or (dry_run and bool(report.repairs))
                if not dry_run and report.dry_run and report.repairs:
                    refused.append(journal)
                if not as_json and not confirmation.was_shown:
                    _print_repair(report)
                if not as_json and report.repairs and not report.dry_run:
                    print(
                        f"repaired; epoch {report.epoch};"
                        f" next: aurora-es verify {printable(shlex.quote(journal))}"
                    )
    if refused:
        tell(f"not repaired: {', '.join(refused)}; add --yes to do it without being asked")
        raise typer.Exit(EXIT_REFUSED)
    if damaged:
        raise typer.Exit(EXIT_DAMAGED)


def rebuild(
    path: PathToLookAt,
    *,
    indexes: Annotated[
        bool, typer.Option("--indexes", help="Index runs and tables of frames; the default.")
    ] = False,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="The manifest as well, from all segments.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be made anew.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make index runs and tables anew from the segments, or the manifest.

    Indexes may be made while the store is in use. Refused for damages that only repair can do
    something about.
    """
    from aurora_es.care import rebuild as rebuild_journal

    del indexes  # they are made in any case: the manifest lists them
    with errors_told():
        path = os.path.abspath(path)
        with reports_told(path, as_json=as_json) as reports:
            for journal in find_to_repair(path):
                with progress_shown(
                    f"rebuilding {printable(os.path.relpath(journal))}"
                ) as progress:
                    report = rebuild_journal(
                        journal, manifest=manifest, dry_run=dry_run, progress=progress
                    )
                kept_in = None if report.kept_in is None else encodable(report.kept_in)
                reports.append(
                    msgspec.structs.replace(report, path=encodable(report.path), kept_in=kept_in)
                )
                if not as_json:
                    _print_rebuild(report)


class _Confirmation:
    """Shows the plan and asks, where that can be."""

    def __init__(self, *, yes: bool, can_ask: bool) -> None:
        self._yes, self._can_ask = yes, can_ask
        self.was_shown = False

    def confirm(self, report: RepairReport) -> bool:
        """Whether the user wants that to be done."""
        if self._yes or not self._can_ask:
            return self._yes
        _print_repair(report)
        self.was_shown = True
        return typer.confirm("Do it?")


def _print_repair(report: RepairReport) -> None:
    path = printable(report.path)
    for directory in report.killed:
        print(f"{path}: a repair was killed; what it changed is kept: {printable(directory)}")
    if not report.repairs:
        print(f"{path}: nothing to repair")
        if report.killed:
            print(lost_text(report.lost, report.lost_behind))
        return
    print(f"{path}:")
    for one in report.repairs:
        lost = f"; lost: {ranges_text(one.lost)}" if one.lost else ""
        print(f"{printable(one.file)}: {printable(one.problem)}: {one.action}{lost}")
    for assumption in report.assumptions:
        print(f"assumed: {printable(assumption)}")
    print(lost_text(report.lost, report.lost_behind, report.lost_commits))
    if report.kept_in is not None:
        print(f"kept as it was: {printable(report.kept_in)}")


def _print_rebuild(report: RebuildReport) -> None:
    verb = "would make" if report.dry_run else "made"
    what = "the manifest, " if report.manifest else ""
    print(
        f"{printable(report.path)}: {verb} {what}index runs and tables of {report.segments:,}"
        " segments anew"
    )
    for assumption in report.assumptions:
        print(f"assumed: {printable(assumption)}")
    if report.kept_in is not None:
        print(f"kept as it was: {printable(report.kept_in)}")


def _safe(report: RepairReport) -> RepairReport:
    """The same, with paths that JSON can hold."""
    return msgspec.structs.replace(
        report,
        path=encodable(report.path),
        kept_in=None if report.kept_in is None else encodable(report.kept_in),
        killed=tuple(map(encodable, report.killed)),
        repairs=tuple(
            msgspec.structs.replace(one, file=encodable(one.file), problem=encodable(one.problem))
            for one in report.repairs
        ),
    )

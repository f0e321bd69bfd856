"""The command verify: is a store whole, and what is wrong with it if not."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aurora_es.cli.arguments import AsJson, PathToLookAt
from aurora_es.cli.endings import EXIT_DAMAGED, EXIT_REFUSED, EXIT_UNCHECKED, errors_told, tell
from aurora_es.cli.finding import PathError, copy_in, find_journals
from aurora_es.cli.progress import bytes_shown
from aurora_es.cli.reports import reports_told
from aurora_es.cli.text import encodable, lost_text, printable, ranges_text, size_text
from aurora_es.files.layer import SYSTEM_EFFECTS
from aurora_es.journal.discovery import Findings

if TYPE_CHECKING:
    from aurora_es.care import Finding, VerifyReport

_Processes = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        show_default=False,
        help="Processes that examine segments; by default one for each core, as far as it pays.",
    ),
]
_LOCK_SECONDS = 5.0  # to wait while a backup is being made to where the copy lies


def verify(  # noqa: PLR0913 - a user's choices, all by name
    path: PathToLookAt,
    *,
    digest: Annotated[
        bool,
        typer.Option(
            "--digest", help="Print a digest of the contents too, to compare two copies by."
        ),
    ] = False,
    until: Annotated[
        int | None,
        typer.Option(
            metavar="POSITION",
            min=0,
            show_default=False,
            help="Digest only commits that end at or before POSITION; implies --digest. One without"
            " records counts once records follow it.",
        ),
    ] = None,
    until_commit: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            min=0,
            show_default=False,
            help="Digest only commits up to this one, as the digest of another copy names it; implies"
            " --digest.",
        ),
    ] = None,
    processes: _Processes = None,
    as_json: AsJson = False,
) -> None:
    """Read and check everything: checksums, order, indexes, manifest and mark.

    Nothing is written, and the store may be in use. Says what is wrong, where, which positions are
    lost, and which command to run next.
    """
    from aurora_es.care import verify as verify_journal
    from aurora_es.care.backup_record import copy_held, cure_of_copy, missing_journals

    reports = []
    with errors_told(), copy_held(SYSTEM_EFFECTS, os.path.abspath(path), timeout=_LOCK_SECONDS):
        path = os.path.abspath(path)
        missing = missing_journals(SYSTEM_EFFECTS.files, path)
        found = _journals_in(path, may_be_none=bool(missing))
        unreadable = [*map(encodable, found.unreadable)]
        with reports_told(path, as_json=as_json, unreadable=unreadable) as told:
            for journal in found.journals:
                with bytes_shown(f"verifying {printable(os.path.relpath(journal))}") as progress:
                    report = verify_journal(
                        journal,
                        digest=digest,
                        until=until,
                        until_commit=until_commit,
                        processes=processes,
                        progress=progress,
                    )
                reports.append(report)
                told.append(_encodable_report(report))
                if not as_json:
                    _print_report(report)
        for directory in () if as_json else found.unreadable:
            print(f"{printable(directory)}: cannot be read, and was not checked")
        if missing:
            _tell_missing(missing, cure_of_copy(SYSTEM_EFFECTS.files, copy_in(path) or path))
    if missing or any(report.is_damaged for report in reports):
        raise typer.Exit(EXIT_DAMAGED)
    if found.unreadable or not all(report.is_whole for report in reports):
        raise typer.Exit(EXIT_UNCHECKED)
    _refuse_short(reports, until, until_commit)


def _tell_missing(directories: Iterable[str], cure: str) -> None:
    for directory in directories:
        tell(
            f"{directory}: expected a journal, as the record of the backup says, found none."
            f" Next: `{cure}`"
        )


def _journals_in(path: str, *, may_be_none: bool) -> Findings:
    """The journals under a path; none if that is a target whose copy is gone, which is told."""
    try:
        return find_journals(path)
    except PathError:
        if may_be_none:
            return Findings()
        raise


def _refuse_short(
    reports: Iterable[VerifyReport], until: int | None, until_commit: int | None
) -> None:
    """Fail where a digest up to some point was asked for, and a journal does not reach it."""
    is_short = False
    for report in reports:
        first, last, commit = report.first_position, report.last_position, report.digest_commit
        problem = ""
        if until is not None and until < first - 1:
            problem = f"a journal with position {until:,}, found one that begins at {first:,}"
        elif until is not None and last is not None and last < until:
            problem = (
                f"a journal up to position {until:,} at least, found one that ends at {last:,}"
            )
        elif until_commit is not None and until is None and commit not in {None, until_commit}:
            problem = f"a journal with commit {until_commit:,}, found commits up to {commit:,} only"
        if problem:
            is_short = True
            tell(
                f"{report.path}: expected {problem}; its digest covers no more. Compare up to a point"
                " that both have: `aurora-es verify --until POSITION`, or `--until-commit NUMBER`"
            )
    if is_short:
        raise typer.Exit(EXIT_REFUSED)


def _print_report(report: VerifyReport) -> None:
    path = printable(report.path)
    size = size_text(sum(segment.size_bytes for segment in report.segments))
    last = "not known" if report.last_position is None else f"{report.last_position:,}"
    positions = f"positions {report.first_position:,} to {last}"
    if report.last_position is not None and report.last_position < report.first_position:
        positions = "no positions"
    extent = f"{positions}, {len(report.segments):,} segments, {size}"
    state = "whole"
    if report.is_damaged:
        state = "damaged"
    elif not report.is_whole:
        state = "not checked"
    print(f"{path}: {state}; {extent}")
    if report.digest is not None:
        print(
            f"digest {report.digest} up to position {report.digest_position:,},"
            f" commit {report.digest_commit:,}"
        )
    for finding in report.findings:
        _print_finding(finding)
    if report.is_damaged:
        print(lost_text(report.lost, report.lost_behind, report.lost_commits))
    for cure in dict.fromkeys(finding.cure for finding in report.findings):
        print(f"next: {printable(cure)}")


def _print_finding(finding: Finding) -> None:
    from aurora_es.care.findings import UNCHECKED_KINDS

    if finding.kind in UNCHECKED_KINDS and finding.found.startswith(finding.path):
        # What could not be read is told by the error, with its own place, expected and found.
        print(f"{finding.kind}: {printable(finding.found)}")
        return
    at = "" if finding.offset is None else f", offset {finding.offset}"
    lost = f"; lost: {ranges_text(finding.lost)}" if finding.lost else ""
    print(
        f"{finding.kind}: {printable(finding.path)}{at}: expected {printable(finding.expected)},"
        f" found {printable(finding.found)}{lost}"
    )


def _encodable_report(report: VerifyReport) -> VerifyReport:
    """The same, with paths that JSON can hold."""
    findings = tuple(
        msgspec.structs.replace(
            finding,
            path=encodable(finding.path),
            expected=encodable(finding.expected),
            found=encodable(finding.found),
            cure=encodable(finding.cure),
        )
        for finding in report.findings
    )
    return msgspec.structs.replace(report, path=encodable(report.path), findings=findings)

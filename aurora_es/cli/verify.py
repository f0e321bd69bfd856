"""The command verify: is a store whole, and what is wrong with it if not."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import msgspec
import typer

from aurora_es.care import Finding, VerifyReport
from aurora_es.care import verify as verify_journal
from aurora_es.cli.arguments import AsJson, PathToLookAt
from aurora_es.cli.endings import EXIT_DAMAGED, EXIT_UNCHECKED, errors_told
from aurora_es.cli.finding import find_journals
from aurora_es.cli.progress import bytes_shown
from aurora_es.cli.text import encodable, json_bytes, printable, size_text


def verify(
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
            help="Digest only commits that end at or before POSITION; implies --digest.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read and check everything: checksums, order, indexes, manifest and mark.

    Nothing is written, and the store may be in use. Says what is wrong, where, which positions are
    lost, and which command to run next.
    """
    with errors_told():
        path = os.path.abspath(path)
        found = find_journals(path)
        reports = []
        for journal in found.journals:
            with bytes_shown(f"verifying {printable(os.path.relpath(journal))}") as progress:
                report = verify_journal(journal, digest=digest, until=until, progress=progress)
            reports.append(report)
            if not as_json:
                _print_report(report)
        if as_json:
            results = {
                "path": encodable(path),
                "journals": [_encodable_report(report) for report in reports],
                "unreadable": [encodable(directory) for directory in found.unreadable],
            }
            sys.stdout.buffer.write(json_bytes(results))
        else:
            for directory in found.unreadable:
                print(f"{printable(directory)}: cannot be read, and was not checked")
    if any(report.is_damaged for report in reports):
        raise typer.Exit(EXIT_DAMAGED)
    if found.unreadable or not all(report.is_whole for report in reports):
        raise typer.Exit(EXIT_UNCHECKED)


def _print_report(report: VerifyReport) -> None:
    path = printable(report.path)
    size = size_text(sum(segment.size_bytes for segment in report.segments))
    last = "not known" if report.last_position is None else f"{report.last_position:,}"
    extent = (
        f"positions {report.first_position:,} to {last}, {len(report.segments):,} segments, {size}"
    )
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
    if report.lost:
        count = sum(last - first + 1 for first, last in report.lost)
        print(f"lost: {count:,} positions: {_ranges(report.lost)}")
    elif report.is_damaged:
        print("lost: nothing")
    for cure in dict.fromkeys(finding.cure for finding in report.findings):
        print(f"next: {printable(cure)}")


def _print_finding(finding: Finding) -> None:
    at = "" if finding.offset is None else f", offset {finding.offset}"
    lost = f"; lost: {_ranges(finding.lost)}" if finding.lost else ""
    print(
        f"{finding.kind}: {printable(finding.path)}{at}: expected {printable(finding.expected)},"
        f" found {printable(finding.found)}{lost}"
    )


def _ranges(ranges: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


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

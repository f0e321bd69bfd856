"""The table, for a terminal, for a page and for a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .machine import MEMORY_FILE_SYSTEMS
from .rows import HEADINGS

_NUMBERS_FROM = 2
"""Columns from here on are aligned to the right, as far as the target."""


def notes(report: dict[str, Any]) -> list[str]:
    """The lines below the table: what was measured, on what, how sure it is."""
    machine = report["machine"]
    disk = machine["file_system"]["type"]
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    lines = [
        (
            f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, {disk}, "
            f"{machine['python']}, SQLite {machine['sqlite']}, {packages}; revision"
            f" {machine['revision']}, {machine['date'][:10]}."
        ),
        (
            "Stores worked in turn, block by block; figures are medians over blocks, ratios "
            "medians of the blocks' ratios (above 1: aurora_es is faster or smaller). "
            f"Events of about 200 B. Command: {report['command']}."
        ),
        (
            "durable: SQLite WAL with synchronous=FULL beside AURORA_SYNC=always; never: "
            "synchronous=OFF beside AURORA_SYNC=never; the in-memory recorder syncs nothing."
        ),
    ]
    if disk in MEMORY_FILE_SYSTEMS:
        lines.append(f"WARNING: the stores lay on {disk}: durable figures say nothing about disks.")
    if report["quick"]:
        lines.append("WARNING: --quick checks that the benchmarks run; these figures say nothing.")
    if report["note"]:
        lines.append(f"Note: {report['note']}.")
    lines += [f"FAILED: {name}: {error}" for name, error in report["errors"].items()]
    return lines


def _cells(report: dict[str, Any]) -> list[list[str]]:
    return [row["cells"] for row in report["rows"]]


def markdown(report: dict[str, Any]) -> str:
    """The table as Markdown."""
    rule = ["---" if n < _NUMBERS_FROM else "---:" for n in range(len(HEADINGS))]
    table = [list(HEADINGS), rule, *_cells(report)]
    lines = ["| " + " | ".join(cell.strip() for cell in row) + " |" for row in table]
    return "\n".join([*lines, "", *("- " + note for note in notes(report))])


def plain(report: dict[str, Any]) -> str:
    """The table as text."""
    table = [list(HEADINGS), *_cells(report)]
    widths = [max(len(row[n]) for row in table) for n in range(len(HEADINGS))]
    lines = [_aligned(row, widths) for row in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *notes(report)])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if n < _NUMBERS_FROM else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def print_table(report: dict[str, Any]) -> None:
    """Print the table to stdout, with colours where a person looks on."""
    if not sys.stdout.isatty() or find_spec("rich") is None:
        print(plain(report))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="aurora_es beside the library's recorders")
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if number < _NUMBERS_FROM else "right")
    styles = {"yes": "green", "no": "red"}
    for row in _cells(report):
        *cells, reached = row
        table.add_row(*map(Text, cells), Text(reached, style=styles.get(reached, "")))
    console = Console()
    console.print(table)
    for note in notes(report):
        console.print(Text(note))


def write_json(report: dict[str, Any], path: Path) -> None:
    """Replace the file at once, so that nobody finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)

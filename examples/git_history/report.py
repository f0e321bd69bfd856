"""What the demo shows: progress, tables and a plot; plain text where there is no terminal."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from examples.git_history.application import SourceFile
from examples.git_history.churn import ChurnTotals
from examples.git_history.plot import churn_plot

ROWS_MAX = 8


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What the writer counted and measured."""

    totals: ChurnTotals
    commit_count: int
    event_count: int
    last_notification_id: int
    seconds: float
    bytes_on_disk: int


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What the follower reported."""

    totals: ChurnTotals
    last_notification_id: int
    behind_at_end: int
    lag_ms: dict[str, float]


@dataclass(frozen=True)
class Replay:
    """A file as it was at one of its versions, and how long it took to get it."""

    source_file: SourceFile
    seconds: float


def progress(console: Console) -> Progress:
    """Return a progress bar to enter and `track` with; without a terminal only its end shows."""
    return Progress(
        TextColumn("  {task.description:<9}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def show_notice(console: Console, notice: str) -> None:
    """Say what is not as asked for."""
    console.print(Text(printable(notice), style="yellow"))


def show_step(console: Console, title: str) -> None:
    """Head a step."""
    console.print()
    console.print(Text(printable(title), style="bold"))


def show_import(console: Console, imported: Imported, *, sync: str) -> None:
    """Show what was written, how fast and how big."""
    events, commits, size = imported.event_count, imported.commit_count, imported.bytes_on_disk
    seconds = max(imported.seconds, 1e-9)
    rates = f"{events / seconds:,.0f} events/s, {commits / seconds:,.0f} commits/s"
    _show_facts(
        console,
        ("written", f"{events:,} events in {commits:,} atomic commits, {imported.seconds:.1f} s"),
        ("rate", f"{rates} with sync={sync}"),
        ("on disk", f"{size / 1e6:,.2f} MB, {size / max(events, 1):,.0f} bytes per event"),
    )


def show_follower(console: Console, followed: Followed) -> None:
    """Show how far the other process lagged."""
    lag = ", ".join(f"{name} {ms:,.1f} ms" for name, ms in followed.lag_ms.items())
    _show_facts(
        console,
        ("follower", f"another process projected {followed.totals.event_count:,} events live"),
        ("its lag", f"{lag} per commit, sync included"),
        ("at the end", f"{followed.behind_at_end:,} events behind when the last was written"),
    )


def show_replays(console: Console, replays: Sequence[Replay]) -> None:
    """Show one file at some of its versions, side by side."""
    if not replays:
        return
    table = Table(
        box=box.SIMPLE_HEAD, title=_name(replays[0].source_file.path), title_justify="left"
    )
    table.add_column("")
    for replay in replays:
        table.add_column(f"version {replay.source_file.version:,}", justify="right")
    files = [replay.source_file for replay in replays]
    table.add_row("last commit", *(f.last_commit[:12] for f in files))
    table.add_row("author time", *(f"{f.last_change_at:%Y-%m-%d %H:%M}" for f in files))
    table.add_row("lines added", *(f"{f.lines_added:,}" for f in files))
    table.add_row("lines removed", *(f"{f.lines_removed:,}" for f in files))
    table.add_row("authors", *(f"{len(f.changes_by_author):,}" for f in files))
    table.add_row("replayed in", *(f"{replay.seconds * 1000:.1f} ms" for replay in replays))
    console.print(table)


def show_agreement(console: Console, totals: ChurnTotals) -> None:
    """Say that the comparison found nothing."""
    agreed = f"Follower and writer agree on all {totals.event_count:,} events."
    console.print(Text(agreed, style="green"))


def show_failures(console: Console, failures: Sequence[str], count: int) -> None:
    """Show the first differences between writer and follower, and their number."""
    console.print(Text(f"MISMATCH: {count} difference(s)", style="bold red"))
    for failure in failures:
        console.print(Text(f"  {printable(failure)}", style="red"))


def show_totals(console: Console, totals: ChurnTotals) -> None:
    """Show the projection: top files, top authors, and churn over time."""
    files = _top_table("Top files", "file", totals.by_path, ("changes", totals.changes_by_path))
    console.print(files)
    console.print(_top_table("Top authors", "author", totals.by_author))
    console.print(Text(churn_plot(totals.by_day, width=console.width), style="cyan"))


def show_commands(console: Console, journal: Path) -> None:
    """Show how to look further."""
    show_step(console, "The store is still there. Look further with")
    command, path = _command(), shlex.quote(_shortest(journal))
    for line in (f"info {path}", f"cat {path}", f"tail -f {path}"):
        # Not wrapped: the lines are there to be copied.
        console.print(Text(f"  {command} {line}", style="cyan"), soft_wrap=True)


def printable(text: str) -> str:
    """Return the text with control characters escaped: a file name must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _name(name: str) -> Text:
    # Text, not str: rich would take "[bot]" in an author's name for markup.
    return Text(printable(name), no_wrap=True, overflow="ellipsis")


def _show_facts(console: Console, *facts: tuple[str, str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=12)
    table.add_column()
    for label, value in facts:
        table.add_row(Text(f"  {label}", style="dim"), Text(value))
    console.print(table)


def _top_table(
    title: str, label: str, churn: Counter[str], *more: tuple[str, Counter[str]]
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column(label, max_width=48)
    table.add_column("changed lines", justify="right")
    for name, _ in more:
        table.add_column(name, justify="right")
    for key, count in churn.most_common(ROWS_MAX):
        table.add_row(_name(key), f"{count:,}", *(f"{counter[key]:,}" for _, counter in more))
    return table


def _command() -> str:
    """Return the command as one can type it: by name if it is on the path, else beside Python."""
    if shutil.which("aurora-es") is not None:
        return "aurora-es"
    beside = Path(sys.executable).parent / "aurora-es"
    return shlex.quote(_shortest(beside)) if beside.exists() else "aurora-es"


def _shortest(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)

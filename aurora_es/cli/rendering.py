"""Prints records and facts: for a person at a terminal, for a program behind a pipe, as JSON."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from aurora_es.cli.text import (
    encodable,
    json_bytes,
    json_line,
    originator_texts,
    plain_line,
    printable,
    size_text,
    state_text,
    time_text,
)
from aurora_es.inspection.overview import Details, SegmentInfo, Summary
from aurora_es.inspection.states import StateDecoder
from aurora_es.journal.records import StoredRecord

_POSITION_WIDTH = 8
_INDENT = " " * (_POSITION_WIDTH + 2)
_STATE_WIDTH_MIN = 24  # with less room behind the topic the state gets a line of its own
_SEGMENTS_SHOWN_MAX = 8
_PIPE_WIDTH = 4096  # columns; a table takes no more than it needs
_FOLDED_WIDTH = 20  # of a long name; what is shorter, as a time, stays in one line
_UNKNOWN = "unknown"


def record_printer(
    *,
    as_json: bool,
    decoder: StateDecoder | None = None,
    pattern: re.Pattern[str] | None = None,
) -> Callable[[StoredRecord], object]:
    """The function that prints one record; whoever must see it at once has to flush.

    At a terminal, what matches ``pattern`` stands out.
    """
    if as_json:
        write_bytes = sys.stdout.buffer.write
        return lambda stored: write_bytes(json_line(stored, decoder))
    if not sys.stdout.isatty():
        write = sys.stdout.write
        return lambda stored: write(plain_line(stored, decoder))
    console = console_of()
    return lambda stored: console.print(
        _terminal_lines(stored, decoder, pattern, console.width), soft_wrap=True
    )


def _terminal_lines(
    stored: StoredRecord,
    decoder: StateDecoder | None,
    pattern: re.Pattern[str] | None,
    width: int,
) -> Text:
    originator_id, version = originator_texts(stored)
    lines = Text()
    lines.append(f"{stored.position:>{_POSITION_WIDTH}}  ", "bold")
    lines.append(f"{time_text(stored.timestamp)}  ", "dim")
    lines.append(f"{originator_id} {version}\n" if version else "\n", "cyan")
    topic = printable(stored.record.topic)
    body = Text(f"{_INDENT}{topic}  ", "green")
    if width - body.cell_len < _STATE_WIDTH_MIN:
        body.rstrip()
        lines.append_text(body).append("\n")
        body = Text(_INDENT)
    state = state_text(stored.record, decoder)
    room = width - body.cell_len
    if pattern is not None:
        state = _around_match(state, pattern, room)
    shown = Text(state)
    shown.truncate(room, overflow="ellipsis")
    lines.append_text(body).append_text(shown)
    if pattern is not None:
        lines.highlight_regex(pattern, "bold red")
    return lines


def _around_match(state: str, pattern: re.Pattern[str], room: int) -> str:
    """The part of a long state in which the match lies."""
    found = pattern.search(state)
    if found is None or found.end() < room:
        return state
    return "…" + state[max(found.start() - room // 3, 0) :]


def print_details(details: Details, *, as_json: bool) -> None:
    """Print all that is known about one journal."""
    if as_json:
        details.path = encodable(details.path)
        sys.stdout.buffer.write(json_bytes(details))
        return
    facts = table_of(("", "left"), ("", "left"), header=False)
    for label, value in _facts_of(details):
        facts.add_row(Text(label, "dim"), Text(printable(value)))
    print_all(facts, *_segment_table(details.segments))


def print_position(
    path: str, time: datetime, position: int, timestamp: datetime | None, *, as_json: bool
) -> None:
    """Print the position that was last at ``time``; ``timestamp`` is that of its commit."""
    if as_json:
        found = {
            "path": encodable(path),
            "time": time,
            "position": position,
            "timestamp": timestamp,
        }
        sys.stdout.buffer.write(json_bytes(found))
        return
    print(position)


def print_summaries(path: str, summaries: Sequence[Summary], *, as_json: bool) -> None:
    """Print one line for each journal under ``path``."""
    if as_json:
        for summary in summaries:
            summary.path = encodable(summary.path)
        sys.stdout.buffer.write(json_bytes({"path": encodable(path), "journals": summaries}))
        return
    table = table_of(
        ("journal", "left"),
        ("positions", "right"),
        ("commits", "right"),
        ("segments", "right"),
        ("on disk", "right"),
        ("sync", "left"),
        ("durable", "left"),
    )
    for summary in summaries:
        table.add_row(
            Text(printable(summary.path), "bold"),
            _number(summary.last_position),
            _number(summary.last_commit),
            _number(summary.segment_count),
            size_text(summary.size_on_disk_bytes),
            summary.sync or _UNKNOWN,
            _yes_or_no(summary.durable),
        )
    print_all(table)


def _facts_of(details: Details) -> Iterable[tuple[str, str]]:
    yield "path", details.path
    if details.name is not None:
        yield "application", details.name or "'' (no name)"
    yield "genesis", details.genesis_id or _UNKNOWN
    yield "created", _UNKNOWN if details.created_at is None else time_text(details.created_at)
    yield "epoch", _number(details.epoch)
    yield "sync", details.sync or _UNKNOWN
    yield "roll cycle", details.roll_cycle or _UNKNOWN
    yield "compression", details.compression or _UNKNOWN
    yield "positions", _number(details.last_position)
    yield "commits", _number(details.last_commit)
    yield "originators", _number(details.originators)
    if details.last_timestamp is not None:
        yield "last commit", time_text(details.last_timestamp)
    yield "durable", _yes_or_no(details.durable)
    states = ", ".join(f"{count:,} {state}" for state, count in details.segments_by_state.items())
    counted = _number(details.segment_count)
    yield "segments", f"{counted}: {states}" if states else counted
    yield "index runs", _number(details.run_count)
    if details.retained_from is not None and details.retained_from > 1:
        yield "retained from", f"position {details.retained_from:,}"
    yield "tail", _UNKNOWN if details.tail_bytes is None else size_text(details.tail_bytes)
    yield "size on disk", size_text(details.size_on_disk_bytes)
    for kind, size in sorted(details.size_by_kind_bytes.items()):
        yield f"  {kind}", size_text(size)
    if details.recovered_files:
        files = f"{details.recovered_files} files" if details.recovered_files > 1 else "1 file"
        yield "recovered", f"{files}, {size_text(details.recovered_bytes)} kept of what was cut"
    for name, notification_id in (details.tracking or {}).items():
        yield "tracking", f"{name or repr(name)} at {notification_id:,}"


def _segment_table(segments: Sequence[SegmentInfo]) -> Iterable[RenderableType]:
    if not segments:
        return
    table = table_of(
        ("segment", "right"), ("first", "right"), ("last", "right"), ("size", "right"), ("", "left")
    )
    for segment in segments[-_SEGMENTS_SHOWN_MAX:]:
        last = segment.last_position
        is_empty = last is not None and last < segment.base_position
        table.add_row(
            _number(segment.segment_number),
            "-" if is_empty else _number(segment.base_position),
            "-" if is_empty else _number(last),
            size_text(segment.size_bytes),
            segment.state or _UNKNOWN,
        )
    yield Text()
    hidden = len(segments) - _SEGMENTS_SHOWN_MAX
    if hidden > 0:
        yield Text(f"{hidden:,} older segments: see --json", "dim")
    yield table


def table_of(*columns: tuple[str, str], header: bool = True) -> Table:
    """A table without lines; of each column its name, and ``left`` or ``right``."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header)
    for name, justify in columns:
        table.add_column(
            name,
            header_style="dim",
            justify="right" if justify == "right" else "left",
            overflow="fold",
        )
    return table


def _fitting(table: RenderableType, width: int) -> Iterable[RenderableType]:
    """A list of each row of a table, in place of columns a few letters wide."""
    if (
        not isinstance(table, Table)
        or not table.show_header
        or not table.rows
        or _needed_width(table) <= width
    ):
        yield table
        return
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        facts = table_of(("", "left"), ("", "left"), header=False)
        for column, cell in zip(table.columns, cells, strict=True):
            facts.add_row(Text(str(column.header), "dim"), cell)
        yield facts
        yield ""


def _needed_width(table: Table) -> int:
    """Of a terminal in which nothing but long names has to be folded."""
    widths = [
        max(cell_len(str(cell)) for cell in (column.header, *column.cells))
        for column in table.columns
    ]
    return sum(min(width, _FOLDED_WIDTH) + 2 for width in widths) - 2


def _number(count: int | None) -> str:
    return _UNKNOWN if count is None else f"{count:,}"


def _yes_or_no(durable: bool | None) -> str:
    if durable is None:
        return _UNKNOWN
    return "yes" if durable else "not yet"


class _Console(Console):
    """A console that leaves it to the command what a closed pipe means; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console_of() -> Console:
    """A console at which nothing that a store holds means anything."""
    return _Console(markup=False, highlight=False, emoji=False)


def print_all(*renderables: RenderableType) -> None:
    """Print; behind a pipe without colours, and in lines as long as they need to be."""
    if sys.stdout.isatty():
        console = console_of()
        for renderable in renderables:
            for part in _fitting(renderable, console.width):
                console.print(part)
        return
    console = _Console(
        markup=False, highlight=False, emoji=False, width=_PIPE_WIDTH, force_terminal=False
    )
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    for line in captured.get().splitlines():
        print(line.rstrip())

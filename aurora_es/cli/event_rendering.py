"""Prints events of one aggregate, its state and what has changed in it: in colours at a terminal.

Theory of operation: states are JSON by now, whatever they were; they are indented, and everything in
them that is not printable is escaped before colours are added.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

import msgspec
from rich.text import Text

from aurora_es.cli.rendering import console_of
from aurora_es.cli.text import json_bytes, printable, time_text
from aurora_es.inspection.aggregates import AggregateState, Change
from aurora_es.inspection.states import DecodedState, StateDecoder, decode_state
from aurora_es.journal.records import StoredRecord

_INDENT = "  "
# Names of attributes, texts, numbers and words of JSON.
_COLOURS = (
    (r'(?m)^ *"(?:[^"\\]|\\.)*"(?=: )', "blue"),
    (r'(?<=: )"(?:[^"\\]|\\.)*"', "green"),
    (r"(?<=: )-?[0-9][0-9.eE+-]*", "cyan"),
    (r"(?<=: )(?:true|false|null)", "magenta"),
)


class _Event(msgspec.Struct):
    originator_id: UUID | str | None
    originator_version: int | None
    position: int
    timestamp: datetime
    topic: str
    coding: str
    state: msgspec.Raw
    problem: str | None


def event_printer(
    decoder: StateDecoder | None, *, as_json: bool
) -> Callable[[StoredRecord], object]:
    """The function that prints one event of an aggregate."""
    if as_json:
        write = sys.stdout.buffer.write
        return lambda stored: write(event_line(stored, decoder))
    return lambda stored: _print(_event_text(stored, decoder))


def event_line(stored: StoredRecord, decoder: StateDecoder | None) -> bytes:
    """An event as one line of JSON, with its decoded state, and how it was decoded."""
    record = stored.record
    decoded = decode_state(record, decoder)
    return json_bytes(
        _Event(
            originator_id=record.originator_id,
            originator_version=record.originator_version,
            position=stored.position,
            timestamp=stored.timestamp,
            topic=record.topic,
            coding=decoded.coding,
            state=decoded.value,
            problem=decoded.problem,
        )
    )


def print_state(state: AggregateState, *, as_json: bool) -> None:
    """Print an aggregate as it was at a version."""
    if as_json:
        sys.stdout.buffer.write(json_bytes(state))
        return
    text = Text()
    text.append(f"version {state.version}", "bold")
    text.append(f"  {time_text(state.timestamp)}", "dim")
    text.append(f"  {printable(state.kind or 'discarded')}", "green")
    text.append(f"  position {state.position}\n", "dim")
    text.append_text(_indented(msgspec.json.encode(state.attributes)))
    _print(text)


def print_changes(changes: Iterable[Change]) -> None:
    """Print what was (-) and what is (+), attribute by attribute."""
    for change in changes:
        name = "".join(
            f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in change.path
        ).removeprefix(".")
        text = Text()
        for sign, value, colour in (("-", change.before, "red"), ("+", change.after, "green")):
            if value is not msgspec.UNSET:
                shown = printable(msgspec.json.encode(value).decode())
                text.append(f"{sign} {name}: {shown}\n", colour)
        text.rstrip()
        _print(text)


def _event_text(stored: StoredRecord, decoder: StateDecoder | None) -> Text:
    record = stored.record
    decoded = decode_state(record, decoder)
    text = Text()
    text.append(f"version {record.originator_version}", "bold")
    text.append(f"  {time_text(stored.timestamp)}", "dim")
    text.append(f"  {printable(record.topic)}", "green")
    text.append(f"  position {stored.position}\n", "dim")
    text.append_text(_state_text(decoded))
    if decoded.problem is not None:
        text.append(f"\n{_INDENT}not decoded: {printable(decoded.problem)}", "red")
    return text


def _state_text(decoded: DecodedState) -> Text:
    if decoded.is_text:
        lines = decoded.text.split("\n")
        return Text("\n".join(_INDENT + printable(line) for line in lines))
    return _indented(bytes(decoded.value))


def _indented(json: bytes) -> Text:
    lines = msgspec.json.format(json, indent=2).decode().split("\n")
    text = Text("\n".join(_INDENT + printable(line) for line in lines))
    for pattern, colour in _COLOURS:
        text.highlight_regex(pattern, colour)
    return text


def _print(text: Text) -> None:
    if sys.stdout.isatty():
        console_of().print(text, soft_wrap=True)
    else:
        print(text.plain)

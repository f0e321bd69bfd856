"""Results: rows of figures, their targets, and how they are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from .measure import median_or_none, ratios
from .stores import SYNC_WORDS, Sync

Unit = Literal["seconds", "per_second", "bytes", "share", "times"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a row wants to reach: a limit on its ratio, or on our own figure."""

    text: str
    limit: float
    of: Literal["ratio", "aurora"] = "ratio"
    sense: Literal["at_least", "more_than", "at_most"] = "at_least"

    def reached_by(self, value: float) -> bool:
        """Whether this value is on the right side of the limit."""
        if self.sense == "at_most":
            return value <= self.limit
        return value > self.limit if self.sense == "more_than" else value >= self.limit


def faster(times: float) -> Target:
    """At least this many times as fast as what the row is compared with."""
    return Target(text=f"{times:g} x", limit=times)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Figures are in seconds, events per second, bytes, shares or times."""

    key: str
    work: str
    sync: Sync | None
    unit: Unit
    figures: Mapping[str, Sequence[float]]
    """Per store ("sqlite", "memory", "aurora"): one figure per block."""
    ratios: Sequence[float] = ()
    """Per block: how many times as fast ours is."""
    target: Target | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def value(self, kind: str) -> float | None:
        """The median figure of a store, or None where there is none."""
        return median_or_none(self.figures.get(kind, ()))

    @property
    def ratio(self) -> float | None:
        """The median of the blocks' ratios."""
        return median_or_none(self.ratios)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target or without a figure."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of == "ratio" else self.value("aurora")
        return None if value is None else self.target.reached_by(value)

    def as_json(self) -> dict[str, Any]:
        """Everything about this row, for the file."""
        return {
            "key": self.key,
            "work": self.work,
            "sync": SYNC_WORDS[self.sync] if self.sync else None,
            "unit": self.unit,
            "median": {kind: self.value(kind) for kind in self.figures},
            "ratio": self.ratio,
            "ratio_range": [min(self.ratios), max(self.ratios)] if self.ratios else None,
            "target": self.target.text if self.target else None,
            "reached": self.reached,
            "blocks": {kind: list(figures) for kind, figures in self.figures.items()},
            "details": dict(self.details),
            "cells": self.cells(),
        }

    def cells(self) -> list[str]:
        """The texts of the table's columns."""
        reached = {True: "yes", False: "no", None: "-" if self.target is None else "n/a"}
        words = {"durable": "durable", "never": "never", None: "-"}
        return [
            self.work,
            words[self.sync],
            *(format_value(self.value(kind), self.unit) for kind in ("sqlite", "memory", "aurora")),
            format_value(self.ratio, "times"),
            self.target.text if self.target else "-",
            reached[self.reached],
        ]


HEADINGS = ("work", "sync", "SQLite", "in-memory", "aurora_es", "ratio", "target", "reached")


def compare(
    key: str,
    work: str,
    sync: Sync | None,
    unit: Unit,
    figures: Mapping[str, Sequence[float]],
    *,
    target: Target | None = None,
    against: str = "sqlite",
    details: Mapping[str, Any] | None = None,
) -> Row:
    """A row whose ratio says how many times as fast (or as small) ours is, block by block."""
    ours, other = figures.get("aurora", ()), figures.get(against, ())
    both = ours and other
    found = (ratios(ours, other) if unit == "per_second" else ratios(other, ours)) if both else []
    return Row(key, work, sync, unit, figures, found, target, details or {})


def above_floor(
    key: str,
    work: str,
    figures: Mapping[str, Sequence[float]],
    floor: Sequence[float],
    *,
    target: Target | None = None,
) -> Row:
    """A row that says how many times the floor each store takes, block by block."""
    # A recorder that writes no file has no such floor.
    times = {k: ratios(values, floor) for k, values in figures.items() if k != "memory"}
    work = f"{work} ({format_value(median(floor), 'seconds')})"
    details = {"floor_seconds": list(floor)}
    return Row(key, work, "durable", "times", times, target=target, details=details)


def format_value(value: float | None, unit: Unit) -> str:
    """A figure with three significant digits and its unit; a dash for none."""
    if value is None:
        return "-"
    if unit == "seconds":
        return _scaled(value, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))
    if unit == "per_second":
        return _scaled(value, ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")))
    if unit == "bytes":
        return _scaled(value, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")))
    if unit == "share":
        return f"{_digits(value * 100)} %"
    return f"{value:.2f} x"


def _scaled(value: float, scales: Sequence[tuple[float, str]]) -> str:
    for scale, word in scales:
        if abs(value) >= scale:
            return f"{_digits(value / scale)} {word}"
    scale, word = scales[-1]
    return f"{_digits(value / scale)} {word}"


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

"""Ratios as bars."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from benchmarks.ratio_plot import rows_of, svg


def row(work: str, ratio: float | None, *, sqlite: float | None = 1.0) -> dict[str, object]:
    """A row as the report keeps it."""
    median = {"sqlite": sqlite, "aurora": 1.0}
    return {"work": work, "ratio": ratio, "median": median, "cells": [work, "durable"]}


def test_only_what_compares_with_sqlite_is_drawn() -> None:
    """Other comparisons, and rows without one, have no bar."""
    rows = [
        row("  insert", 2.0),
        row("encode (beside: JSON)", 3.0),
        row("save, against memory", 0.5),
        row("wake-up", None),
        row("idle", 1.0, sqlite=None),
    ]
    assert rows_of({"rows": rows}) == [("insert (durable)", 2.0)]


def test_bars_begin_at_one_and_end_at_the_ratio() -> None:
    """Faster goes to the right, slower as far to the left for the inverse."""
    drawn = ET.fromstring(svg([("a", 4.0), ("b", 0.25)]))  # noqa: S314 - our own
    faster, slower = drawn.findall("{*}rect")[1:]
    assert faster.get("width") == slower.get("width")
    assert float(slower.get("x", "")) + float(slower.get("width", "")) == float(faster.get("x", ""))
    assert faster.get("fill") != slower.get("fill")

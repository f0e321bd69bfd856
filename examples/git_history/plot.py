"""Churn over time as a bar plot in plain text, by day, month or year, whichever fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple

import plotext

BARS_MAX = 60
HEIGHT_LINES = 14
WIDTH_MAX = 100
TICK_COUNT = 4


class Unit(NamedTuple):
    """A period of time: its name, a date's period as a running number, and that number's label."""

    name: str
    number: Callable[[date], int]
    label: Callable[[int], str]


UNITS = (
    Unit("day", date.toordinal, lambda n: date.fromordinal(n).isoformat()),
    Unit("month", lambda d: d.year * 12 + d.month - 1, lambda n: f"{n // 12:04}-{n % 12 + 1:02}"),
    Unit("year", lambda d: d.year, str),
)


def churn_plot(churn_by_day: Mapping[str, int], *, width: int) -> str:
    """Return the plot as lines of text, at most `width` characters wide."""
    unit_name, bars = churn_by_period(churn_by_day)
    if not bars:
        return ""
    figure = plotext.figure
    figure.clear()
    figure.draw(figure.bar(list(bars), list(bars.values()), width=0.7))
    figure.theme("colorless")
    figure.title(f"Changed lines per {unit_name}")
    ticks = [max(bars.values()) * step // TICK_COUNT for step in range(TICK_COUNT + 1)]
    figure.ruler("y").ticks(ticks, [f"{tick:,}" for tick in ticks])
    figure.plot_size(min(width, WIDTH_MAX), HEIGHT_LINES)
    plain: str = plotext.uncolorize(str(figure.build()))
    return plain


def churn_by_period(churn_by_day: Mapping[str, int]) -> tuple[str, dict[str, int]]:
    """Return the unit's name and the churn by period, in order, periods without churn included.

    The unit is the finest that gives at most `BARS_MAX` bars. An author's clock may have been
    centuries off: if even years are too many, the latest years with any churn are returned.
    """
    days = {date.fromisoformat(day): churn for day, churn in churn_by_day.items()}
    if not days:
        return "day", {}
    for unit in UNITS:
        first, last = unit.number(min(days)), unit.number(max(days))
        sums: Counter[int] = Counter()
        for day, churn in days.items():
            sums[unit.number(day)] += churn
        if last - first < BARS_MAX:
            return unit.name, {unit.label(n): sums[n] for n in range(first, last + 1)}
    return unit.name, {unit.label(n): sums[n] for n in sorted(sums)[-BARS_MAX:]}
